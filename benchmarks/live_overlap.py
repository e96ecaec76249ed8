"""What it is worth that a camera's next frame is submitted while the one before is still being finished.

    python benchmarks/live_overlap.py

A camera, and a device that needs 40 ms for a network and 4 ms of the host to finish a frame, both made of sleeps, so
that the order of work is what is measured and nothing else. With one frame in flight the device waits for the host;
with two it does not. Rates and ages of both, taken in turns.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from typing import Annotated

import cyclopts
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from stream.frame import CameraIntrinsics, Capture, DepthFrame, FocalEstimate, Frame, Geometry
from stream.pipeline import Pipeline, Stream
from stream.ports import Lease, SourceInfo


class Camera:
    """Frames at a steady rate, as a driver hands them over."""

    def __init__(self, rate: float, count: int) -> None:
        self.info = SourceInfo(name="camera", live=True)
        self._rate, self._count = rate, count

    def __iter__(self) -> Iterator[Frame]:
        planes = (np.zeros((48, 64, 1), np.uint8),)
        start = time.monotonic()
        for index in range(self._count):
            time.sleep(max(0.0, start + index / self._rate - time.monotonic()))
            now = time.monotonic_ns()
            capture = Capture(index=index, pts=None, time_base=Fraction(1, 1000), time_ns=now, clock="host-monotonic")
            yield Frame(capture=capture, geometry=Geometry("gray", 64, 48), planes=planes)

    def close(self) -> None:
        """Nothing to release."""


class Device:
    """An estimator whose networks run one after the other on a thread of their own, as on a GPU."""

    batch = 1

    def __init__(self, capacity: int, *, network_s: float, host_s: float) -> None:
        self.capacity = capacity
        self._network_s, self._host_s = network_s, host_s
        self._device = ThreadPoolExecutor(1)
        self._jobs: deque[tuple[Frame, Future[None]]] = deque()

    def allocate(self, size: int) -> npt.NDArray[np.uint8]:
        return np.empty(size, np.uint8)

    def submit(self, lease: Lease, *, with_image: bool) -> None:  # noqa: ARG002 (the protocol's)
        lease.release()
        self._jobs.append((lease.frame, self._device.submit(time.sleep, self._network_s)))

    def wait(self) -> None:
        self._jobs[0][1].result()

    def collect(self) -> DepthFrame:
        frame, done = self._jobs.popleft()
        done.result()
        time.sleep(self._host_s)
        return DepthFrame(
            capture=frame.capture,
            depth=np.ones((48, 64), np.float32),
            camera=CameraIntrinsics.from_focal(64, 64, 48),
            focal=FocalEstimate(smoothed_px=64, raw_px=64, log_std=0.01, source="estimated"),
            source_width=64,
            source_height=48,
        )

    def close(self) -> None:
        self._device.shutdown()


class Ages:
    """A sink that notes how old frames are when they arrive."""

    name, needs_image = "ages", False

    def __init__(self) -> None:
        self.ages: list[float] = []

    def write(self, frame: DepthFrame) -> None:
        self.ages.append((time.monotonic_ns() - frame.capture.received_ns) * 1e-6)

    def close(self) -> None:
        """Nothing to finish."""


def main(
    *,
    rate: Annotated[float, cyclopts.Parameter(help="frames per second of the camera")] = 60.0,
    network_ms: float = 40.0,
    host_ms: float = 4.0,
    seconds: float = 6.0,
    rounds: int = 5,
) -> None:
    """Measure one and two frames in flight in turns; print a table."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    ages: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for capacity in rates:
            sink = Ages()
            device = Device(capacity, network_s=network_ms / 1e3, host_s=host_ms / 1e3)
            (status,) = Pipeline(
                Stream(source=Camera(rate, round(rate * seconds)), estimator=device, sinks=[sink])
            ).run()
            rates[capacity].append(status.fps)
            ages[capacity].append(statistics.median(sink.ages))
    table = Table(title=f"network {network_ms:g} ms, host {host_ms:g} ms, camera {rate:g}/s: median of {rounds} rounds")
    for heading in ("in flight", "frames/s", "lowest - highest", "age, median ms"):
        table.add_column(heading, justify="right")
    for capacity, values in rates.items():
        spread = f"{min(values):.1f} - {max(values):.1f}"
        age = statistics.median(ages[capacity])
        table.add_row(str(capacity), f"{statistics.median(values):.1f}", spread, f"{age:.1f}")
    Console().print(table)


if __name__ == "__main__":
    cyclopts.run(main)
