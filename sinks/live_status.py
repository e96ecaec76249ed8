"""What a live sink says of itself every second, so that a camera without pictures can be told from a dead process."""

from __future__ import annotations

import time
from collections import deque
from typing import Literal

import numpy as np

from sinks.frame_json import describe_correction
from stream.frame import DepthFrame, ScaleCorrection, SourceState

State = Literal["starting", "streaming", "stalled", "ended"]

_STALLED_S = 2.0
_WINDOW = 256  # frames that rate and latency are taken over


class LiveStatus:
    """Counts what is sent. Not thread-safe: a lock of its sink guards it.

    Args:
        camera: name of the camera.
        session: of this sink.

    Attributes:
        source: how the camera's connection fares, once that is known.
    """

    def __init__(self, camera: str, session: str) -> None:
        self._camera = camera
        self._session = session
        self.source: SourceState | None = None
        self._started = time.monotonic()
        self._published = self._retried = self._dropped = 0
        self._times: deque[float] = deque(maxlen=_WINDOW)
        self._latencies: deque[float] = deque(maxlen=_WINDOW)
        self._steady: ScaleCorrection | None = None

    @property
    def retried(self) -> int:
        """Frames that had to be computed again, so far."""
        return self._retried

    @property
    def silent_s(self) -> float:
        """Seconds since the last frame, or since the start."""
        return time.monotonic() - (self._times[-1] if self._times else self._started)

    def count(self, frame: DepthFrame) -> None:
        """Count a frame that is about to be sent."""
        now = time.monotonic()
        self._published += 1
        self._retried += frame.retried
        self._dropped, self._steady = frame.dropped, frame.steady
        self._times.append(now)
        self._latencies.append(now - frame.capture.received_ns * 1e-9)

    def record(self, *, sequence: int, ended: bool) -> dict[str, object]:
        """The fields of a status message, but for its schema.

        Args:
            sequence: that the next frame will have.
            ended: nothing will follow.
        """
        now = time.monotonic()
        return {
            "type": "status",
            "session": self._session,
            "sequence": sequence,
            "camera": self._camera,
            "state": "ended" if ended else self._state(),
            "unix_ns": time.time_ns(),
            "monotonic_ns": time.monotonic_ns(),
            "uptime_s": round(now - self._started, 3),
            "silent_s": round(self.silent_s, 3),
            "fps": round(self._rate(now), 3),
            "latency_s": self._latency(),
            "published": self._published,
            "dropped": self._dropped,
            "retried": self._retried,
            "steady": None if self._steady is None else describe_correction(self._steady),
            "source": None if self.source is None else _described(self.source),
        }

    def _state(self) -> State:
        if not self._times:
            return "starting"
        lost = self.source is not None and self.source.state not in ("streaming", "ended")
        return "stalled" if lost or self.silent_s > _STALLED_S else "streaming"

    def _latency(self) -> dict[str, float] | None:
        """From a frame's arrival on this machine to its publication."""
        if not self._latencies:
            return None
        p50, p99 = np.percentile(self._latencies, [50, 99]).tolist()
        return {"p50": round(p50, 6), "p99": round(p99, 6)}

    def _rate(self, now: float) -> float:
        recent = [t for t in self._times if now - t < 10.0]
        span = recent[-1] - recent[0] if len(recent) > 1 else 0.0
        return (len(recent) - 1) / span if span > 0 else 0.0


def _described(source: SourceState) -> dict[str, object]:
    return {
        "state": source.state,
        "reason": source.reason,
        "attempt": source.attempt,
        "reconnects": source.reconnects,
        "clock_offset_s": source.clock_offset_s,
    }
