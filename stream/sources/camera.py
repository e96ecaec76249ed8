"""A camera of this machine or behind a server: it is opened late, kept fresh, and opened again when it is lost.

::

    connecting ──► streaming ◄──► stalled
                       ▲             │
                       └─ reconnecting ◄┘      failed: no waiting helps, or nobody wants to wait any longer

The thread that iterates decides; each connection is read by a thread of its own (:mod:`stream.sources.reader`), which
can be given up in time whatever it hangs in.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

from stream.channel import Closed
from stream.errors import SourceError
from stream.frame import Frame, SourcePhase, SourceState
from stream.ports import SourceInfo
from stream.sources.address import Address
from stream.sources.config import SourceConfig
from stream.sources.connection import FrameMaker
from stream.sources.ffmpeg_errors import LATE, Interruption
from stream.sources.punctuality import QUIET_S, LiveEdge
from stream.sources.reader import Opened, Reader, Shot
from stream.sources.retry import Backoff, may_pass

log = logging.getLogger(__name__)

_STALLED_S = 2.0  # without a picture
_BEHIND_S = 2.0  # of pictures that all come too late: what holds them up does not go away by itself
_STEADY_S = 5.0  # a connection that has held for so long is a good one: the next loss starts with a short wait again
_CLOSE_S = 2.0


class Camera:
    """Frames of a live source for as long as somebody wants them, whatever happens to the connection.

    It is opened by the first ``next``, not before: what a camera sends while a network is being loaded would be old.
    Numbers of frames go on over a lost connection.

    Args:
        address: of the camera.
        config: timeouts, retries, ages.
        frame_rate: pictures per second, if it has been looked at.
    """

    def __init__(self, address: Address, config: SourceConfig, *, frame_rate: Fraction | None = None) -> None:
        self._address, self._config = address, config
        self._frames = FrameMaker(address)
        self._backoff = Backoff(cap_s=config.retry_max_s, retries=config.retries)
        self._stop = threading.Event()
        self._reader: Reader | None = None
        self._listener: Callable[[SourceState], None] = lambda _state: None
        self._index = 0
        self._reconnects = 0
        self._lost_s: float | None = None  # time.monotonic() when the connection was lost
        self._last_s: float | None = None  # that of the last fresh picture
        self._offset_s: float | None = None  # of the camera's clock
        self._clock_is_wrong = False
        self._state = SourceState(camera=address.name, state="connecting", since_ns=time.monotonic_ns())
        self.info = SourceInfo(name=address.name, live=True, frame_rate=frame_rate, max_age_s=config.max_age_s)

    def listen(self, listener: Callable[[SourceState], None]) -> None:
        """Have ``listener`` called at once and with every change, by the thread that iterates."""
        self._listener = listener
        listener(self._state)

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames; see :meth:`stream.ports.Source.__iter__`.

        Raises:
            SourceError: the camera cannot be opened and waiting would not help, or there were enough retries.
        """
        try:
            while not self._stop.is_set():
                try:
                    yield from self._connection()
                except SourceError as error:
                    self._wait_after(error)
        except SourceError as error:
            self._tell("failed", reason=str(error))
            raise
        finally:
            if self._state.state != "failed":
                self._tell("ended")
            self.close()

    def stop(self) -> None:
        """Let the iteration end soon, whatever it waits for. Safe from any thread."""
        self._stop.set()
        if self._reader is not None:
            self._reader.give_up()

    def close(self) -> None:
        """Hang up. May be called again."""
        self.stop()
        if self._reader is not None:
            self._reader.join(_CLOSE_S)

    # One connection ---------------------------------------------------------------------------------------------------

    def _connection(self) -> Iterator[Frame]:
        """Frames of one connection, until it is given up.

        Raises:
            SourceError: it could not be made, or broke off.
        """
        reader = self._reader = Reader(
            self._address, self._config, first_index=self._index, clock_is_known_wrong=self._clock_is_wrong
        )
        if self._stop.is_set():  # it came before this reader was there
            reader.give_up()
        edge: LiveEdge | None = LiveEdge(time.monotonic())
        held: Shot | None = None  # the newest of what had been waiting, until it is known to be the last of that
        began = time.monotonic()
        deadline = began + self._config.open_timeout_s
        late_since: float | None = None  # when pictures began to come too late
        last_ns = 0  # when the last picture came
        try:
            while True:
                try:
                    item = reader.items.get(self._patience_s(deadline, holds_one=held is not None))
                except Closed:
                    return
                except TimeoutError:
                    if held is not None:
                        edge = None
                        yield self._hand_on(held, began)
                        held = None
                    elif time.monotonic() >= deadline:
                        raise SourceError(f"{self._address.name}: {LATE}") from Interruption()
                    elif self._state.state == "streaming":
                        self._tell("stalled", reason=f"no picture for {_STALLED_S:g} s")
                    continue
                if isinstance(item, SourceError):
                    raise item
                now = time.monotonic()
                deadline = now + self._config.read_timeout_s
                if isinstance(item, Opened):
                    continue
                if item.pts_s is None and item.received_ns - last_ns > self._config.max_age_s * 1e9:
                    edge = LiveEdge(now)  # nothing tells the age of what comes now, and it may have been waiting
                last_ns = item.received_ns
                if edge is not None and not edge.is_reached(item.pts_s, item.received_ns * 1e-9):
                    held = item
                    continue
                edge = held = None
                if self._is_fresh(item):
                    late_since = None
                elif late_since is None:
                    late_since = now
                elif now - late_since > _BEHIND_S:
                    behind = f"the stream is {item.late_ns * 1e-9:.1f} s behind"
                    raise SourceError(f"{self._address.name}: {behind}; check the network") from Interruption()
                yield self._hand_on(item, began)
        finally:
            self._clock_is_wrong |= reader.clock_is_wrong
            reader.give_up()

    def _patience_s(self, deadline: float, *, holds_one: bool) -> float:
        """For how long the next picture may be waited for before something else is to be done."""
        now = time.monotonic()
        patience = deadline - now
        if holds_one:
            patience = min(patience, QUIET_S)
        elif self._state.state == "streaming" and self._last_s is not None:
            patience = min(patience, self._last_s + _STALLED_S - now)
        return max(patience, 0.0)

    def _is_fresh(self, shot: Shot) -> bool:
        return shot.late_ns <= self._config.max_age_s * 1e9

    def _hand_on(self, shot: Shot, began_s: float) -> Frame:
        """The frame of a picture."""
        now = time.monotonic()
        offset_is_new = shot.clock_offset_s is not None and self._offset_s is None
        if shot.clock_offset_s is not None:
            self._offset_s = shot.clock_offset_s
        if self._is_fresh(shot):
            self._last_s = now
            if now - began_s > _STEADY_S:
                self._backoff.reset()
            if self._state.state != "streaming" or offset_is_new:
                self._is_back(now)
        index = self._index
        self._index += 1
        return self._frames.frame(
            shot.picture,
            index=index,
            time_base=shot.time_base,
            time_ns=shot.time_ns,
            clock=shot.clock,
            uncertainty_ns=shot.uncertainty_ns,
            received_ns=shot.received_ns,
            late_ns=shot.late_ns,
            pixel_aspect=shot.pixel_aspect,
        )

    # Between two connections ------------------------------------------------------------------------------------------

    def _wait_after(self, error: SourceError) -> None:
        """Wait until the camera is to be tried again.

        Raises:
            SourceError: it is not.
        """
        if self._stop.is_set():
            return
        now = time.monotonic()
        silent_s = None if self._last_s is None else now - self._last_s
        if self._lost_s is None and self._last_s is not None:
            self._lost_s = now
        passing = may_pass(error, network=self._address.network, silent_s=silent_s)
        wait_s = self._backoff.next_s() if passing else None
        if wait_s is None:
            tried = self._backoff.attempt if passing else 0
            many = f"; given up after {tried} {'retry' if tried == 1 else 'retries'}" if tried else ""
            good = f" (last good frame: {self._index - 1})" if self._index else ""
            raise SourceError(f"{error}{many}{good}") from error.__cause__
        self._tell(
            "connecting" if self._last_s is None else "reconnecting",
            reason=str(error).removeprefix(f"{self._address.name}: "),
            attempt=self._backoff.attempt,
        )
        self._stop.wait(wait_s)

    def _is_back(self, now_s: float) -> None:
        reason = ""
        if self._lost_s is not None:
            self._reconnects += 1
            reason = f"back after {now_s - self._lost_s:.1f} s"
            self._lost_s = None
        self._tell("streaming", reason=reason)

    def _tell(self, state: SourcePhase, *, reason: str = "", attempt: int = 0) -> None:
        """Tell a change: everybody who listens each one, the log each once."""
        before = self._state
        self._state = SourceState(
            camera=self._address.name,
            state=state,
            reason=reason,
            attempt=attempt,
            since_ns=before.since_ns if state == before.state else time.monotonic_ns(),
            clock_offset_s=self._offset_s,
            reconnects=self._reconnects,
        )
        self._log(before)
        self._listener(self._state)

    def _log(self, before: SourceState) -> None:
        now = self._state
        if now.state in ("stalled", "reconnecting", "connecting"):
            if now.state == before.state and now.reason == before.reason:
                return
            again = "" if now.state == "stalled" else "; trying again"
            log.warning("%s: %s: %s%s", self._address.name, now.state, now.reason, again)
        elif now.state == "streaming" and before.state != "streaming":
            log.info("%s: streaming%s", self._address.name, f", {now.reason}" if now.reason else "")
