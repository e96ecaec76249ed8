"""Metric depth to colours that mean the same metres in every frame."""

from __future__ import annotations

import math
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from stream.errors import ConfigError

Scale = Literal["log", "inverse", "linear"]
ColormapName = Literal["turbo", "inferno", "magma", "plasma", "viridis", "cividis", "jet", "bone"]

MIN_M, MAX_M = 0.5, 50.0
SCALE: Scale = "log"
COLORMAP: ColormapName = "turbo"
"""The defaults, of the video sink too."""

NO_ESTIMATE_RGB = (128, 128, 128)


class DepthColormap:
    """Maps metres to RGB over the fixed range ``min_m``..``max_m``; near is the high end of the colour map.

    Nearer and farther depth, +Inf too, takes the colour of the end it lies beyond. NaN, no estimate, is neutral grey.
    ``scale`` spaces the colours evenly in log depth, inverse depth or depth.

    Results are views of buffers that the next call overwrites.

    Raises:
        ConfigError: a range that is empty or, but for ``linear``, does not start above zero.
    """

    def __init__(
        self, *, min_m: float = MIN_M, max_m: float = MAX_M, scale: Scale = SCALE, name: ColormapName = COLORMAP
    ) -> None:
        if not (math.isfinite(min_m) and math.isfinite(max_m) and 0 < min_m < max_m):
            raise ConfigError(f"the depth range must be finite with 0 < min < max, in metres, not {min_m:g}..{max_m:g}")
        if scale not in get_args(Scale) or name not in get_args(ColormapName):
            raise ConfigError(
                f"scale must be one of {', '.join(get_args(Scale))} and colormap one of "
                f"{', '.join(get_args(ColormapName))}, not {scale!r} and {name!r}"
            )
        self.min_m, self.max_m, self.scale, self.name = min_m, max_m, scale, name
        self.lut = _lut(name)
        self._levels = np.empty((0, 0), np.float32)
        self._index = np.empty((0, 0), np.uint8)
        self._rgb = np.empty((0, 0, 3), np.uint8)

    def nearness(self, metres: float) -> float:
        """Place of a depth in the colour map: 1 at ``min_m``, 0 at ``max_m``; not clipped."""
        near, far, here = (_stretch(m, self.scale) for m in (self.min_m, self.max_m, metres))
        return (here - far) / (near - far)

    def index(self, depth: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Entry of ``lut`` for each pixel, ``uint8 [H, W]``: 0 no estimate, 1 far … 255 near."""
        self._allocate(depth.shape[0], depth.shape[1])
        levels = self._levels
        near, far = _stretch(self.min_m, self.scale), _stretch(self.max_m, self.scale)
        gain = 254.0 / (near - far)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.scale == "inverse":
                np.divide(gain, depth, out=levels)
            elif self.scale == "log":
                np.log(depth, out=levels)
                levels *= gain
            else:
                np.multiply(depth, gain, out=levels)
        levels += 1.5 - gain * far  # level 1 is the far end; half a level, because storing as integers cuts off
        np.clip(levels, 1, 255, out=levels)
        cv2.patchNaNs(levels, 0.0)
        np.copyto(self._index, levels, casting="unsafe")
        return self._index

    def rgb(self, depth: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Colours of ``depth`` (``float32 [H, W]``, metres) as RGB ``uint8 [H, W, 3]``."""
        index = self.index(depth)
        cv2.applyColorMap(index, self.lut[:, None], self._rgb)
        return self._rgb

    def _allocate(self, height: int, width: int) -> None:
        if self._index.shape != (height, width):
            self._levels = np.empty((height, width), np.float32)
            self._index = np.empty((height, width), np.uint8)
            self._rgb = np.empty((height, width, 3), np.uint8)


def _stretch(metres: float, scale: Scale) -> float:
    if scale == "inverse":
        return 1.0 / metres
    return math.log(metres) if scale == "log" else metres


def _lut(name: ColormapName) -> npt.NDArray[np.uint8]:
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    bgr = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{name.upper()}"))
    lut = np.ascontiguousarray(bgr[:, 0, ::-1]).astype(np.uint8)
    lut[0] = NO_ESTIMATE_RGB
    return lut
