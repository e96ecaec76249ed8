"""What viewers see of one camera: its newest frame, encoded once for all of them, and how it fares."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor

from sinks.live_status import LiveStatus
from sinks.view.message import SCHEMA, encode
from sinks.view.options import ViewOptions
from stream.errors import printable
from stream.frame import DepthFrame, SourceState
from stream.ports import SourceInfo

Calibrate = Callable[[int, int, float, Callable[[str], None]], None]
"""Called with x and y of a pixel of the upright source picture, its metres, and who is told what came of it."""


class LiveCamera:
    """The newest frame of a camera. Frames come by one thread, states by another, viewers ask on the server's.

    Args:
        options: how it is shown.
        session: of this run.

    Attributes:
        name: of the camera.
        sequence: frames so far.
        calibrate: measures the run's scale, where viewers may ask for that.
    """

    def __init__(self, options: ViewOptions, session: str) -> None:
        self.name, self._quality, self._codes = options.camera, options.quality, options.make_codes()
        self.sequence = 0
        self.calibrate: Calibrate | None = None
        self._calibration = ""  # what became of it
        self._status = LiveStatus(options.camera, session)
        self._lock = threading.Lock()
        self._frame: DepthFrame | None = None
        self._source = SourceInfo(name=options.camera, live=True)
        self._first: tuple[int, int] | None = None  # index of the first frame, and drops before it
        self._lost_in_queue = self._cuts = 0
        self._messages: dict[int, asyncio.Future[bytes]] = {}  # of the newest frame, by level
        self._of = 0  # the sequence that they are of

    def prepare(self, info: SourceInfo) -> None:
        """Where the frames come from."""
        self._source = info

    def offer(self, frame: DepthFrame) -> None:
        """Take the place of the frame before."""
        with self._lock:
            self._status.count(frame)
            self._cuts += frame.scene_cut
            index, dropped = frame.capture.index, frame.dropped
            if self._first is None:
                self._first = (index, dropped)
            expected = (index - self._first[0]) - (dropped - self._first[1])
            self._lost_in_queue = max(0, expected - self.sequence)
            self._frame, self.sequence = frame, self.sequence + 1

    def observe(self, state: SourceState) -> None:
        """What happens to the camera."""
        with self._lock:
            self._status.source = state

    def calibrated(self, text: str) -> None:
        """What became of a measurement."""
        self._calibration = text

    def record(self, *, ended: bool = False) -> dict[str, object]:
        """The fields of a status message."""
        with self._lock:
            return {
                "schema": SCHEMA,
                **self._status.record(sequence=self.sequence, ended=ended),
                "name": printable(self._source.name),
                "live": self._source.live,
                "lost_in_queue": self._lost_in_queue,
                "scene_cuts": self._cuts,
                "calibrates": self.calibrate is not None,
                "calibration": self._calibration,
            }

    async def message(self, level: int, encoder: Executor) -> tuple[int, bytes]:
        """The newest frame's sequence and message at ``level``. Whoever asks for the same gets the same bytes.

        Raises:
            SinkError: it cannot be encoded.
        """
        with self._lock:
            frame, sequence = self._frame, self.sequence
            source = self._status.source
        assert frame is not None, "nobody asks before the first frame"
        if self._of != sequence:
            self._messages, self._of = {}, sequence
        if level not in self._messages:
            make = self._maker(frame, sequence, level, source)
            self._messages[level] = asyncio.get_running_loop().run_in_executor(encoder, make)
        return sequence, await asyncio.shield(self._messages[level])

    def _maker(self, frame: DepthFrame, sequence: int, level: int, source: SourceState | None) -> Callable[[], bytes]:
        offset = source.clock_offset_s if source is not None else None
        taken_ns = _taken_ns(frame, offset or 0.0)
        return lambda: encode(
            frame,
            self._codes,
            camera=self.name,
            sequence=sequence - 1,
            level=level,
            quality=self._quality,
            taken_ns=taken_ns,
        )


def _taken_ns(frame: DepthFrame, clock_offset_s: float) -> int:
    """When a frame was taken, on this machine's monotonic clock; of a file, when it was read.

    Args:
        clock_offset_s: the camera's wall clock minus ours.
    """
    capture = frame.capture
    if capture.clock == "host-monotonic":
        return capture.time_ns
    if capture.clock == "camera-rtcp":
        return capture.time_ns - round(clock_offset_s * 1e9) - time.time_ns() + time.monotonic_ns()
    return capture.received_ns
