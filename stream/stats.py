"""What a run measures of itself: rates, latencies, drops, focal length."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from stream.frame import DepthFrame, FocalEstimate, ScaleCorrection, SourcePhase, SourceState

_WINDOW = 512  # recent frames that rates and latency percentiles are taken over


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkStatus:
    """One sink so far. ``lost`` frames were offered and not written; ``error`` is why it stopped, if it did."""

    name: str
    written: int
    lost: int
    error: Exception | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One source's run so far, or its summary once it has ended.

    Attributes:
        camera: name of the source in this run.
        seconds: since the start.
        produced: frames decoded.
        processed: frames that got depth. ``produced == processed + dropped`` once the run has ended.
        dropped: frames that were decoded and got no depth.
        retried: processed frames whose first attempt was not finite.
        invalid: processed frames without any finite depth.
        fps: processed frames per second, over the last frames while running and over the whole run in a summary.
        latency_p50_s, latency_p99_s: from the frame's arrival to its depth over the last frames; ``None`` for
            files.
        focal: of the last frame.
        steady: how the scale of the last frame was steadied, ``None`` where that is not done.
        sinks: one entry per sink.
        live: whether it is a camera.
        idle_s: seconds since the last frame got its depth; since the start where none has.
        source_state, source_reason, attempt, reconnects, clock_offset_s: of a camera's connection, see
            :class:`stream.frame.SourceState`.
        error: what ended this source's run, if that was not its end or ``stop``.
    """

    camera: str = "camera"
    seconds: float
    produced: int
    processed: int
    dropped: int
    retried: int
    invalid: int
    fps: float
    latency_p50_s: float | None
    latency_p99_s: float | None
    focal: FocalEstimate | None
    steady: ScaleCorrection | None = None
    sinks: tuple[SinkStatus, ...]
    live: bool = False
    idle_s: float = 0.0
    source_state: SourcePhase = "streaming"
    source_reason: str = ""
    attempt: int = 0
    reconnects: int = 0
    clock_offset_s: float | None = None
    error: BaseException | None = None


class Stats:
    """Counts frames as they come out of the estimator. One thread counts, any thread reads."""

    def __init__(self, *, live: bool = False) -> None:
        self._live = live
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._ended: float | None = None
        self._done_at: deque[float] = deque(maxlen=_WINDOW)
        self._latencies: deque[float] = deque(maxlen=_WINDOW)
        self._processed = self._retried = self._invalid = 0
        self._focal: FocalEstimate | None = None
        self._steady: ScaleCorrection | None = None

    def count(self, frame: DepthFrame) -> None:
        """Count a frame that has just got its depth."""
        now = time.monotonic()
        with self._lock:
            self._processed += 1
            self._retried += frame.retried
            self._invalid += bool(np.isnan(frame.depth[0, 0]) and np.isnan(frame.depth).all())
            self._done_at.append(now)
            if frame.capture.clock != "media":
                self._latencies.append(now - frame.capture.received_ns * 1e-9)
            self._focal, self._steady = frame.focal, frame.steady

    def end(self) -> None:
        """Stop the clock: from here on the status is a summary."""
        with self._lock:
            self._ended = time.monotonic()

    def status(
        self,
        *,
        camera: str,
        produced: int,
        dropped: int,
        sinks: tuple[SinkStatus, ...],
        source: SourceState | None,
        error: BaseException | None,
    ) -> Status:
        """The run so far, with what only its lane knows."""
        with self._lock:
            source = source or SourceState(camera=camera, state="streaming", since_ns=0)
            now = self._ended or time.monotonic()
            seconds = now - self._started
            p50, p99 = np.percentile(self._latencies, [50, 99]).tolist() if self._latencies else (None, None)
            return Status(
                camera=camera,
                seconds=seconds,
                produced=produced,
                processed=self._processed,
                dropped=dropped if self._ended is None else produced - self._processed,
                retried=self._retried,
                invalid=self._invalid,
                fps=self._rate(seconds),
                latency_p50_s=p50,
                latency_p99_s=p99,
                focal=self._focal,
                steady=self._steady,
                sinks=sinks,
                live=self._live,
                idle_s=now - (self._done_at[-1] if self._done_at else self._started),
                source_state=source.state,
                source_reason=source.reason,
                attempt=source.attempt,
                reconnects=source.reconnects,
                clock_offset_s=source.clock_offset_s,
                error=error,
            )

    def _rate(self, seconds: float) -> float:
        if self._ended is not None:
            return self._processed / seconds if seconds > 0 else 0.0
        times = self._done_at
        span = times[-1] - times[0] if len(times) > 1 else 0.0
        return (len(times) - 1) / span if span > 0 else 0.0
