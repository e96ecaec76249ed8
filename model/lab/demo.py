"""The demo: a source that needs no input, a flight through rendered scenes, and a sink that knows the truth."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from model.lab.evaluation.metrics import DepthErrors, depth_errors, mean, valid_truth
from model.lab.scenes import Camera, demo_flight, depth
from stream.frame import Capture, DepthFrame, Frame, Geometry
from stream.ports import SourceInfo

MAX_DEPTH_M = 80.0


class DemoSource:
    """Frames in ``rgb24``, deterministic, with :meth:`truth` for each. No network has been trained on its scenes.

    The first two thirds are one shot with a smooth 2× zoom in its middle; then a hard cut to another scene.

    Args:
        width, height: picture size in pixels.
        frame_rate: frames per second of the media clock; frames are made as fast as they are taken.
        frame_count: length; the walk, zoom and cut stretch with it.

    Raises:
        ConfigError: a size, rate or count that is not positive.
    """

    def __init__(self, *, width: int = 640, height: int = 360, frame_rate: float = 15.0, frame_count: int = 90) -> None:
        self._flight = demo_flight(frame_count, width, height, frame_rate)
        self._geometry = Geometry("rgb24", width, height)
        self._rate = Fraction(frame_rate).limit_denominator(1001)
        self.info = SourceInfo(name="demo", live=False, frame_rate=self._rate, frame_count=frame_count)

    @property
    def cut_index(self) -> int:
        """Index of the first frame after the hard cut."""
        return self._flight.cuts[0]

    def __iter__(self) -> Iterator[Frame]:
        for index in range(len(self._flight)):
            capture = Capture(
                index=index,
                pts=index,
                time_base=1 / self._rate,
                time_ns=round(index / self._rate * 10**9),
                clock="media",
            )
            yield Frame(
                capture=capture,
                geometry=self._geometry,
                planes=(self._flight.render(index).image,),
                color_range="full",
            )

    def close(self) -> None:
        """Nothing to release."""

    def camera(self, index: int) -> Camera:
        """Where frame ``index`` is taken from, exactly. Raises ``IndexError`` where there is no such frame."""
        return self._flight.camera(index)

    def truth(self, index: int, *, width: int, height: int) -> tuple[npt.NDArray[np.float32], float]:
        """Depth and focal length of frame ``index`` as a picture of another size, of the same shape, would have them.

        Returns:
            z-depth in metres, ``float32 [height, width]``, +inf for the sky; and the focal length in pixels of the
            frame's own width.

        Raises:
            IndexError: there is no such frame.
        """
        camera = self.camera(index)
        return depth(self._flight.scene(index), camera.scaled(width, height)).numpy(), camera.f_px


class DemoLoop:
    """The demo again and again, as a camera gives it: each frame at its time. The first round is as fast as rendering.

    Args:
        source: what is repeated; its pictures are kept.
    """

    def __init__(self, source: DemoSource) -> None:
        self._source = source
        self._rate = source.info.frame_rate or Fraction(15)
        self._stopping = threading.Event()
        self.info = replace(source.info, live=True, frame_count=None)

    def __iter__(self) -> Iterator[Frame]:
        kept: list[Frame] = []
        rendered = iter(self._source)
        due = time.monotonic()
        for index in itertools.count():
            frame = next(rendered, None)
            if frame is not None:
                kept.append(frame)
            else:
                frame = kept[index % len(kept)]
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                return
            now = time.monotonic_ns()
            due = time.monotonic() + float(1 / self._rate)  # what is late is not made up for
            capture = replace(
                frame.capture, index=index, pts=index, time_ns=now, clock="host-monotonic", received_ns=now
            )
            yield replace(frame, capture=capture)

    def stop(self) -> None:
        """End the iteration soon."""
        self._stopping.set()

    def close(self) -> None:
        """Nothing to release."""


class DemoScore:
    """A sink that compares depth and focal lengths with the truth. :meth:`summary` tells how it went."""

    name = "the comparison with the truth"
    needs_image = False

    def __init__(self, source: DemoSource) -> None:
        self._source = source
        self._errors: list[DepthErrors] = []
        self._raw: list[float] = []
        self._smoothed: list[float] = []
        self._model = ""

    def write(self, frame: DepthFrame) -> None:
        """Compare one frame. Errors are those of :mod:`model.lab.evaluation`."""
        truth, f_px = self._source.truth(frame.capture.index, width=frame.width, height=frame.height)
        if valid_truth(truth, MAX_DEPTH_M).any():
            self._errors.append(depth_errors(frame.depth, truth, max_depth_m=MAX_DEPTH_M))
        if frame.focal.raw_px is not None:
            self._raw.append(abs(frame.focal.raw_px / f_px - 1))
        self._smoothed.append(abs(frame.focal.smoothed_px / f_px - 1))
        self._model = frame.model

    def close(self) -> None:
        """Nothing to finish."""

    def summary(self) -> str:
        """A line for people, empty before the first frame."""
        errors = mean(self._errors)
        if errors is None:
            return ""
        small = " (figures of nano, which is small)" if self._model.startswith("nano") else ""
        raw = f"{statistics.median(self._raw):.1%} raw and " if self._raw else ""
        return (
            f"against the truth, over {len(self._errors)} frames: AbsRel {errors.abs_rel:.3f}, δ1 {errors.delta1:.3f}, "
            f"median error of the focal length {raw}{statistics.median(self._smoothed):.1%} smoothed{small}"
        )
