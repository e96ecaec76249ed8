"""A source and an estimator that do what a test tells them, with frames that can be told apart."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from stream.frame import CameraIntrinsics, Capture, DepthFrame, FocalEstimate, Frame, Geometry, Odometry
from stream.ports import Lease, SourceInfo

Hook = Callable[[int], None]
"""Called with a frame's index at the moment it is handled; may sleep, wait or raise."""


def nothing(_index: int) -> None:
    """The hook that does nothing."""


Width = Callable[[int], int]


def _eight(_index: int) -> int:
    return 8


def make_frame(index: int, *, width: int = 8, height: int = 6, live: bool = False) -> Frame:
    """A grey frame whose every pixel is ``index % 256``."""
    capture = Capture(
        index=index,
        pts=index,
        time_base=Fraction(1, 30),
        time_ns=time.monotonic_ns() if live else index * 33_333_333,
        clock="host-monotonic" if live else "media",
    )
    return Frame(
        capture=capture,
        geometry=Geometry("gray", width, height),
        planes=(np.full((height, width, 1), index % 256, np.uint8),),
    )


def make_depth_frame(index: int = 0, *, width: int = 8, height: int = 6, value: float = 1.0) -> DepthFrame:
    """A frame of constant depth."""
    return to_depth(make_frame(index, width=width, height=height), value)


def to_depth(frame: Frame, value: float, dropped: int = 0) -> DepthFrame:
    return DepthFrame(
        capture=frame.capture,
        depth=np.full((frame.height, frame.width), value, np.float32),
        camera=CameraIntrinsics.from_focal(frame.width, frame.width, frame.height),
        focal=FocalEstimate(smoothed_px=frame.width, raw_px=frame.width * 1.1, log_std=0.01, source="estimated"),
        source_width=frame.width,
        source_height=frame.height,
        dropped=dropped,
        model="double",
    )


POSE = Odometry(
    stretch=3,
    position=(0.5, -0.25, 1.125),
    orientation=(0.1, 0.5, -0.1, 0.8544003745317531),
    covariance=tuple(k / 1024 for k in range(36)),
)
"""A pose whose numbers all differ."""


AnyFrame = TypeVar("AnyFrame", Frame, DepthFrame)


def recaptured(frame: AnyFrame, **changes: Any) -> AnyFrame:
    """``frame`` with other fields of its :class:`Capture`."""
    return replace(frame, capture=replace(frame.capture, **changes))


class ScriptedSource:
    """``count`` grey frames. ``hook`` runs before each; ``width`` picks each frame's width."""

    def __init__(
        self,
        count: int,
        *,
        live: bool = False,
        hook: Hook = nothing,
        width: Callable[[int], int] = lambda _: 8,
        on_close: Callable[[], None] = lambda: None,
    ):
        self.info = SourceInfo(name="scripted", live=live, frame_rate=Fraction(30), frame_count=count)
        self.closed = 0
        self._count, self._live, self._hook, self._width, self._on_close = count, live, hook, width, on_close

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            self._hook(index)
            yield make_frame(index, width=self._width(index), live=self._live)

    def close(self) -> None:
        self.closed += 1
        self._on_close()


class ScriptedEstimator:
    """Depth is the frame's grey value, read when it is collected: a slot overwritten too early shows.

    ``uniform=False`` takes pictures too; their depth is their first value.
    """

    def __init__(
        self,
        *,
        capacity: int = 2,
        batch: int = 1,
        hindsight: int = 0,
        on_submit: Hook = nothing,
        on_wait: Hook = nothing,
        on_collect: Hook = nothing,
        on_close: Callable[[], None] = lambda: None,
        uniform: bool = True,
    ):
        self.capacity, self.batch, self.hindsight = capacity, batch, hindsight
        self.closed = 0
        self.with_image: set[bool] = set()
        self._uniform = uniform
        self._on_submit, self._on_wait, self._on_collect, self._on_close = on_submit, on_wait, on_collect, on_close
        self._leases: deque[Lease] = deque()

    def allocate(self, size: int) -> npt.NDArray[np.uint8]:
        return np.empty(size, np.uint8)

    def submit(self, lease: Lease, *, with_image: bool) -> None:
        assert len(self._leases) < self.capacity + self.hindsight
        self.with_image.add(with_image)
        self._on_submit(lease.frame.capture.index)
        self._leases.append(lease)

    def wait(self) -> None:
        self._on_wait(self._leases[0].frame.capture.index)

    def collect(self) -> DepthFrame:
        lease = self._leases.popleft()
        self._on_collect(lease.frame.capture.index)
        plane = lease.frame.planes[0]
        assert not self._uniform or np.ptp(plane) == 0, "half of one frame and half of another"
        depth = to_depth(lease.frame, float(plane.flat[0]), lease.dropped)
        lease.release()
        return depth

    def close(self) -> None:
        self.closed += 1
        self._on_close()


class ScriptedSink:
    """Remembers indices and depth values. Written by one thread, read after the run."""

    def __init__(self, *, name: str = "scripted", hook: Hook = nothing, on_close: Callable[[], None] = lambda: None):
        self.name = name
        self.needs_image = False
        self.written: list[int] = []
        self.values: list[float] = []
        self.closed = 0
        self._hook, self._on_close = hook, on_close

    def write(self, frame: DepthFrame) -> None:
        self._hook(frame.capture.index)
        self.written.append(frame.capture.index)
        self.values.append(float(frame.depth[0, 0]))

    def close(self) -> None:
        self.closed += 1
        self._on_close()
