"""A pinhole camera in a scene: where it stands, how it is turned, how long its lens is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from stream.errors import ConfigError

Matrix = npt.NDArray[np.float64]


def rotation(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Matrix:
    """Rotation ``[3, 3]`` float64 that takes local axes to the world's: yaw · pitch · roll, radians.

    Axes are +x right, +y down, +z forward. Positive yaw turns to the right, positive pitch looks up, positive roll
    lowers the right side.
    """
    cy, sy = math.cos(yaw), math.sin(yaw)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    return np.array(
        [
            [cy * cr + sy * sp * sr, sy * sp * cr - cy * sr, sy * cp],
            [cp * sr, cp * cr, -sp],
            [cy * sp * sr - sy * cr, sy * sr + cy * sp * cr, cy * cp],
        ]
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """A pinhole camera with its principal point in the picture's middle.

    ``position``: metres in the world, three numbers. ``rotation``: camera axes to world axes, ``[3, 3]``. ``f_px``:
    focal length in pixels, across. ``width`` and ``height`` in pixels; pixel centres lie at integer coordinates, so the
    principal point is ``((width - 1) / 2, (height - 1) / 2)``. ``pixel_aspect``: a pixel's width over its height.
    Raises ``ConfigError`` for anything that is not such a camera.
    """

    position: Sequence[float] | Matrix
    rotation: Sequence[Sequence[float]] | Matrix
    f_px: float
    width: int
    height: int
    pixel_aspect: float = 1.0

    def __post_init__(self) -> None:
        position = np.asarray(self.position, np.float64)
        turn = np.asarray(self.rotation, np.float64)
        if position.shape != (3,) or not np.isfinite(position).all():
            raise ConfigError(f"a camera's position is three finite numbers, not {self.position!r}")
        if turn.shape != (3, 3) or not np.allclose(turn @ turn.T, np.eye(3), atol=1e-6) or np.linalg.det(turn) < 0:
            raise ConfigError(f"a camera's rotation is a 3 x 3 rotation matrix, not {self.rotation!r}")
        if not (math.isfinite(self.f_px) and self.f_px > 0):
            raise ConfigError(f"a camera's focal length is a positive number of pixels, not {self.f_px!r}")
        if not (math.isfinite(self.pixel_aspect) and self.pixel_aspect > 0):
            raise ConfigError(f"a pixel's aspect is a positive number, not {self.pixel_aspect!r}")
        if self.width < 1 or self.height < 1:
            raise ConfigError(f"a picture of {self.width} x {self.height} pixels has no area")
        object.__setattr__(self, "position", position)
        object.__setattr__(self, "rotation", turn)

    @property
    def fov_deg(self) -> float:
        """Horizontal field of view in degrees, between the outer edges of the picture."""
        return math.degrees(2 * math.atan(self.width / 2 / self.f_px))

    @property
    def fy_px(self) -> float:
        """Focal length in pixels, down."""
        return self.f_px * self.pixel_aspect

    def scaled(self, width: int, height: int) -> Camera:
        """The same view in a picture of another size; the focal length follows the width."""
        return replace(self, f_px=self.f_px * width / self.width, width=width, height=height)

    def squeezed(self, side: int) -> Camera:
        """The same view in a square picture of ``side`` pixels, as the network takes it."""
        f_px, fy_px = self.f_px * side / self.width, self.fy_px * side / self.height
        return replace(self, f_px=f_px, pixel_aspect=fy_px / f_px, width=side, height=side)
