"""A sink that keeps frames in a list. Public: the double to test a pipeline with, yours or ours."""

from __future__ import annotations

import threading
import time
from collections import deque

from stream.errors import SinkError
from stream.frame import DepthFrame


class MemorySink:
    """Collects frames, and misbehaves on request.

    Args:
        needs_image: ask for ``DepthFrame.image``.
        keep: keep only the newest so many frames; ``None`` keeps all.
        delay_s: seconds each ``write`` takes: a slow sink.
        fail_at: number of the ``write`` (0 is the first) that raises ``SinkError``: a broken sink.
        gate: each ``write`` waits until this event is set: a stuck sink.

    ``frames`` holds what was written, oldest first; ``closed`` tells whether ``close`` was called.
    """

    def __init__(
        self,
        *,
        needs_image: bool = False,
        keep: int | None = None,
        delay_s: float = 0.0,
        fail_at: int | None = None,
        gate: threading.Event | None = None,
    ) -> None:
        self.frames: deque[DepthFrame] = deque(maxlen=keep)
        self.closed = False
        self._needs_image = needs_image
        self._delay_s = delay_s
        self._fail_at = fail_at
        self._gate = gate
        self._writes = 0

    @property
    def name(self) -> str:
        return "memory:"

    @property
    def needs_image(self) -> bool:
        return self._needs_image

    def write(self, frame: DepthFrame) -> None:
        number, self._writes = self._writes, self._writes + 1
        if self._gate is not None:
            self._gate.wait()
        if self._delay_s:
            time.sleep(self._delay_s)
        if number == self._fail_at:
            raise SinkError(f"memory: write {number} fails, as it was told to")
        self.frames.append(frame)

    def close(self) -> None:
        self.closed = True
