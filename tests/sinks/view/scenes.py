"""Frames whose every pixel is known, and a sink that shows them on a free port."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from sinks import open_sink
from sinks.view.sink import ViewSink
from stream.frame import CameraIntrinsics, Capture, DepthFrame, FocalEstimate

WIDTH, HEIGHT, FOCAL = 160, 90, 120.0


@contextmanager
def showing(options: str = "", *, address: str = "127.0.0.1:0") -> Iterator[ViewSink]:
    sink = open_sink(f"view://{address}{options}")
    assert isinstance(sink, ViewSink)
    try:
        yield sink
    finally:
        sink.close()


def address_of(sink: ViewSink) -> tuple[str, int]:
    host, _, port = sink.name.removeprefix("view://").rpartition(":")
    return host, int(port)


def slope(width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.float32]:
    """Depth that differs from pixel to pixel, from 1 to 30 m; no estimate in one corner, beyond range in another."""
    steps = np.arange(width * height, dtype=np.float64).reshape(height, width) / (width * height)
    depth = (30.0**steps).astype(np.float32)
    depth[:4, :4], depth[:4, -4:] = np.nan, np.inf
    return depth


def frame_of(
    index: int, depth: npt.NDArray[np.float32], *, grey: int = 128, live: bool = True, **changes: object
) -> DepthFrame:
    """A frame with a picture of one grey level."""
    height, width = depth.shape
    now = time.monotonic_ns()
    fields: dict[str, object] = {
        "capture": Capture(
            index=index,
            pts=index,
            time_base=Fraction(1, 30),
            time_ns=now if live else index * 33_333_333,
            clock="host-monotonic" if live else "media",
            received_ns=now,
        ),
        "depth": depth,
        "camera": CameraIntrinsics.from_focal(FOCAL, width, height),
        "focal": FocalEstimate(smoothed_px=2 * FOCAL, raw_px=2.1 * FOCAL, log_std=0.01, source="estimated"),
        "source_width": 2 * width,
        "source_height": 2 * height,
        "image": np.full((height, width, 3), grey, np.uint8),
        "model": "nano",
    }
    return DepthFrame(**{**fields, **changes})  # type: ignore[arg-type]
