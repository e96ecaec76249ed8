"""One sink with its queue: the last thread on a frame's way."""

from __future__ import annotations

import logging
import threading

from stream.channel import Channel, Policy
from stream.errors import DepthStreamError, SinkError
from stream.frame import DepthFrame, SourceState
from stream.ports import Sink, SourceInfo
from stream.stats import SinkStatus
from stream.worker import ForeignCall

_log = logging.getLogger(__name__)


class SinkFeed:
    """Writes what it is offered to one sink. The sink's failure ends this feed alone.

    Args:
        sink: where frames go; closed when the feed ends.
        capacity: frames that may wait.
        policy: what happens when they are more: ``block`` holds the whole pipeline back, ``newest`` loses the oldest.
        info: the source that frames come from.

    Attributes:
        call: entered whenever the sink is asked for something.
    """

    def __init__(self, sink: Sink, *, capacity: int, policy: Policy, info: SourceInfo) -> None:
        self._sink = sink
        self._info = info
        self._channel: Channel[DepthFrame] = Channel(capacity=capacity, policy=policy)
        self._written = 0
        self._writing = False
        self._error: Exception | None = None
        self._observing = threading.Lock()  # a sink is not told anything once it is closed
        self._closed = False
        self.call = ForeignCall()

    @property
    def name(self) -> str:
        return self._sink.name

    @property
    def error(self) -> Exception | None:
        """Why the sink failed, if it did."""
        return self._error

    def offer(self, frame: DepthFrame) -> None:
        """Queue ``frame``; one that a full or failed sink cannot take is counted as lost."""
        self._channel.put(frame)

    def observe(self, state: SourceState) -> None:
        """Tell the sink what happens to its camera, if it wants to know."""
        observe = getattr(self._sink, "observe", None)
        with self._observing:
            if observe is None or self._closed or self._error is not None:
                return
            try:
                observe(state)
            except Exception as exc:  # noqa: BLE001 (a sink is foreign code; its frames go on)
                _log.warning("sink %s cannot be told that the camera is %s: %s", self.name, state.state, exc)

    def end(self) -> None:
        """Nothing more will be offered; what is queued is still written."""
        self._channel.close()

    def run(self) -> None:
        """The thread's loop."""
        try:
            self._prepare()
            for frame in self._channel:
                self._write(frame)
                del frame  # or an idle sink would keep the memory of its last frame until the next one
        except BaseException as exc:  # noqa: BLE001 (a sink is foreign code: whatever it raises must not reach the others)
            self._fail(exc)
        finally:
            self._channel.cancel()
            self._close_sink()

    def leave_behind(self, error: Exception) -> None:
        """Report the sink as failed although its thread still hangs in it."""
        self._fail(error)
        self._channel.cancel()

    def status(self) -> SinkStatus:
        lost = self._channel.dropped + (self._writing and self._error is not None)
        return SinkStatus(name=self.name, written=self._written, lost=lost, error=self._error)

    def _prepare(self) -> None:
        prepare = getattr(self._sink, "prepare", None)
        if prepare is not None:
            with self.call:
                prepare(self._info)

    def _write(self, frame: DepthFrame) -> None:
        self._writing = True  # and still so when it raises: that frame is lost
        with self.call:
            self._sink.write(frame)
        self._writing = False
        self._written += 1

    def _close_sink(self) -> None:
        with self._observing:
            self._closed = True
        try:
            with self.call:
                self._sink.close()
        except BaseException as exc:  # noqa: BLE001 (as above)
            self._fail(exc)

    def _fail(self, exc: BaseException) -> None:
        if self._error is not None:
            return
        # What is no Exception, such as SystemExit, would end the program of whoever raises it again.
        self._error = (
            exc if isinstance(exc, Exception) else SinkError(f"{self.name} raised {type(exc).__name__}: {exc}")
        )
        ours = isinstance(exc, DepthStreamError)
        _log.error("sink %s failed: %s", self.name, exc if ours else f"{type(exc).__name__}: {exc}")
        if not ours:
            _log.debug("where it failed:", exc_info=exc)
