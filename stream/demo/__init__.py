"""A source that needs no input: a walk through a rendered room whose depth and focal length are known exactly.

The first two thirds are one shot with a smooth 2× zoom in its middle; then a hard cut shows the room from its far end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from stream.demo.scene import Camera, cast, shade
from stream.errors import ConfigError
from stream.frame import Frame, Geometry
from stream.ports import SourceInfo


class DemoSource:
    """Frames of ``width`` × ``height`` pixels in ``rgb24``, deterministic, with :meth:`truth` for each.

    Args:
        width, height: picture size in pixels.
        frame_rate: frames per second of the media clock; frames are made as fast as they are taken.
        frame_count: length; the walk, zoom and cut stretch with it.

    Raises:
        ConfigError: a size, rate or count that is not positive.
    """

    def __init__(self, *, width: int = 640, height: int = 360, frame_rate: float = 15.0, frame_count: int = 90) -> None:
        if min(width, height, frame_count) < 1 or not 0 < frame_rate < math.inf:
            raise ConfigError(
                f"a demo needs a positive size, rate and length, not {width}x{height}, {frame_rate}/s, {frame_count}"
            )
        self._geometry = Geometry("rgb24", width, height)
        self._rate = Fraction(frame_rate).limit_denominator(1001)
        self._count = frame_count
        self.info = SourceInfo(name="demo", live=False, frame_rate=self._rate, frame_count=frame_count)

    @property
    def cut_index(self) -> int:
        """Index of the first frame after the hard cut."""
        return -(-2 * self._count // 3)

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            camera = self.camera(index)
            yield Frame(
                index=index,
                pts=index,
                time_base=1 / self._rate,
                capture_time_ns=round(index / self._rate * 10**9),
                clock="media",
                geometry=self._geometry,
                planes=(shade(camera, cast(camera)[1]),),
                color_range="full",
            )

    def close(self) -> None:
        """Nothing to release."""

    def truth(self, index: int) -> tuple[npt.NDArray[np.float32], float]:
        """Depth and focal length of frame ``index``.

        Returns:
            z-depth in metres, ``float32 [H, W]``, and the horizontal focal length in pixels.

        Raises:
            IndexError: there is no such frame.
        """
        camera = self.camera(index)
        return cast(camera)[0], camera.f_px

    def camera(self, index: int) -> Camera:
        """Where frame ``index`` is taken from, exactly.

        Raises:
            IndexError: there is no such frame.
        """
        if not 0 <= index < self._count:
            raise IndexError(f"frame {index} of a demo of {self._count} frames")
        first = index < self.cut_index
        start, end = (0, self.cut_index) if first else (self.cut_index, self._count)
        s = (index - start) / max(end - start - 1, 1)  # 0 … 1 through the shot
        seconds = float(index / self._rate)
        sway = _sway(seconds)
        if first:
            x, z = -0.9 + 0.9 * s, -0.7 + 1.5 * s
            yaw, pitch = 0.16 - 0.2 * math.sin(math.pi * s), 0.06
            zoom = 1 + _smoothstep((s - 0.35) / 0.35)  # 1 … 2
            f_px = 0.62 * self._geometry.width * zoom
        else:
            x, z = 0.9 - 0.7 * s, 7.5 - 0.6 * s
            yaw, pitch = math.pi + 0.3 - 0.12 * s, 0.1
            f_px = 0.7 * self._geometry.width
        return Camera(
            position=np.array([x + 0.03 * sway[0], -0.1 + 0.02 * sway[1], z], np.float32),
            rotation=_rotation(yaw + 0.012 * sway[2], pitch + 0.009 * sway[3], 0.008 * sway[0]),
            f_px=f_px,
            width=self._geometry.width,
            height=self._geometry.height,
        )


def _sway(seconds: float) -> tuple[float, ...]:
    """A hand that holds still as well as it can: two sines each, -1 … 1, of rates that do not repeat together."""
    return tuple(
        0.6 * math.sin(2 * math.pi * rate * seconds + phase)
        + 0.4 * math.sin(2 * math.pi * 2.3 * rate * seconds + 2 * phase)
        for rate, phase in ((0.31, 0.0), (0.53, 1.0), (0.41, 2.0), (0.67, 3.0))
    )


def _smoothstep(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)


def _rotation(yaw: float, pitch: float, roll: float) -> npt.NDArray[np.float32]:
    """Camera → room, ``[3, 3]``: yaw to the right, pitch downwards, roll clockwise, in radians."""
    cy, sy, cp, sp, cr, sr = (g(a) for a in (yaw, pitch, roll) for g in (math.cos, math.sin))
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    rotation: npt.NDArray[np.float32] = (turn @ nod @ tilt).astype(np.float32)
    return rotation
