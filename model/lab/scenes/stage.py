"""A scene under construction: local frames to place things in, and what is needed to keep cameras out of solids.

Generators think in floor plans: x to the right, z forward, and a *height* that counts upwards from the floor. The
:class:`Spot` turns that into world coordinates, whose y axis points down.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from model.lab.scenes.palette import Palette
from model.lab.scenes.renderer.camera import rotation
from model.lab.scenes.renderer.scene import SceneBuilder

Point = tuple[float, float, float]
"""(x, height, z) in metres: height counts upwards."""

Size = tuple[float, float, float]
"""(width along x, height, depth along z) in metres."""


class Stage:
    """One scene: its builder, its materials, its random numbers, and the solids no camera may enter."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.builder = SceneBuilder()
        self.paint = Palette(self.builder, rng)
        self.origin = Spot(self)
        self._centers: list[tuple[float, float, float]] = []
        self._halves: list[tuple[float, float, float]] = []
        self._turns: list[npt.NDArray[np.float64]] = []
        self._round: list[bool] = []
        self.interests: list[Point] = []
        """Points a camera may want to look at."""

    def __len__(self) -> int:
        """How many primitives stand on the stage, the ground not counted."""
        return len(self._centers)

    def record(self, center: Point, size: Size, turn: npt.NDArray[np.float64], *, round: bool = False) -> None:
        """Remember a solid, given in world axes, for :meth:`clearance`."""
        self._centers.append(center)
        self._halves.append((size[0] / 2, size[1] / 2, size[2] / 2))
        self._turns.append(turn)
        self._round.append(round)

    def clearance(self, position: npt.NDArray[np.float64]) -> float:
        """A lower bound of the metres from ``position`` (world, ``[3]``) to the nearest solid; 0 inside one.

        Boxes, cards and frusta count as their bounding boxes. An ellipsoid's distance is bounded by its smallest
        radius times how far outside, in radii, the point lies.
        """
        if not self._centers:
            return math.inf
        halves = np.array(self._halves)
        local = np.einsum("nji,nj->ni", np.array(self._turns), position - np.array(self._centers))
        boxes = np.linalg.norm(np.maximum(np.abs(local) - halves, 0), axis=1)
        radii = np.linalg.norm(local / np.maximum(halves, 1e-6), axis=1)
        balls = np.maximum(boxes, np.maximum(radii - 1, 0) * halves.min(axis=1))
        return float(np.where(self._round, balls, boxes).min())


class Spot:
    """A frame on the stage: origin ``(x, height, z)`` and a yaw, in which things are placed.

    ``at`` is always the middle of a thing's underside (of its middle, for a card's lower edge) before it is pitched or
    rolled about its own centre.
    """

    __slots__ = ("_cos", "_sin", "height", "paint", "rng", "stage", "x", "yaw", "z")

    def __init__(self, stage: Stage, x: float = 0.0, height: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> None:
        self.stage, self.rng, self.paint = stage, stage.rng, stage.paint
        self.x, self.height, self.z, self.yaw = x, height, z, yaw
        self._cos, self._sin = math.cos(yaw), math.sin(yaw)

    def at(self, x: float = 0.0, height: float = 0.0, z: float = 0.0, *, yaw: float = 0.0) -> Spot:
        """A frame inside this one."""
        wx, wy, wz = self.world((x, height, z))
        return Spot(self.stage, wx, -wy, wz, self.yaw + yaw)

    def world(self, point: Point) -> tuple[float, float, float]:
        """World coordinates (y down) of a point given in this frame."""
        x, height, z = point
        return (
            self.x + self._cos * x + self._sin * z,
            -(self.height + height),
            self.z - self._sin * x + self._cos * z,
        )

    def box(
        self,
        material: int,
        size: Size,
        at: Point = (0, 0, 0),
        *,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
    ) -> None:
        """A cuboid."""
        center = self._put(size, at, yaw, pitch, roll)
        self.stage.builder.box(center, size, yaw=self.yaw + yaw, pitch=pitch, roll=roll, material=material)

    def ball(
        self,
        material: int,
        size: Size,
        at: Point = (0, 0, 0),
        *,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
    ) -> None:
        """An ellipsoid; ``size`` holds its diameters."""
        center = self._put(size, at, yaw, pitch, roll, round=True)
        self.stage.builder.ellipsoid(center, size, yaw=self.yaw + yaw, pitch=pitch, roll=roll, material=material)

    def post(
        self,
        material: int,
        size: Size,
        at: Point = (0, 0, 0),
        *,
        taper: float = 1.0,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
    ) -> None:
        """An upright frustum whose underside is ``size[0]`` × ``size[2]`` and whose top is ``taper`` times that."""
        wide = max(taper, 1.0)
        center = self._put((size[0] * wide, size[1], size[2] * wide), at, yaw, pitch, roll)
        self.stage.builder.frustum(
            center, size, taper=taper, yaw=self.yaw + yaw, pitch=pitch, roll=roll, material=material
        )

    def card(
        self,
        material: int,
        size: tuple[float, float],
        at: Point = (0, 0, 0),
        *,
        outline: float = math.inf,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
    ) -> None:
        """A flat two-sided shape in the x-height plane; ``pitch`` of a quarter turn lays it flat."""
        center = self._put((size[0], size[1], 0.0), at, yaw, pitch, roll)
        self.stage.builder.card(
            center, size, outline=outline, yaw=self.yaw + yaw, pitch=pitch, roll=roll, material=material
        )

    def patch(
        self,
        material: int,
        size: tuple[float, float],
        at: Point = (0, 0, 0),
        *,
        outline: float = math.inf,
        yaw: float = 0,
    ) -> None:
        """A card lying flat, ``size`` along x and z: a rug, a road mark, a puddle."""
        x, height, z = at
        self.card(material, size, (x, height - size[1] / 2, z), outline=outline, yaw=yaw, pitch=math.pi / 2)

    def limb(
        self, material: int, thickness: float, start: Point, end: Point, *, taper: float = 1.0, box: bool = False
    ) -> None:
        """A round or square bar from ``start``, where it is ``thickness`` thick, to ``end`` (``taper`` times that)."""
        dx, dy, dz = (start[0] - end[0], end[1] - start[1], start[2] - end[2])  # from end to start, y down
        length = math.sqrt(dx * dx + dy * dy + dz * dz)
        yaw, pitch = math.atan2(dx, dz), math.acos(max(-1.0, min(1.0, dy / max(length, 1e-9))))
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 - length / 2, (start[2] + end[2]) / 2)
        size = (thickness, length, thickness)
        if box:
            self.box(material, size, middle, yaw=yaw, pitch=pitch)
        else:
            self.post(material, size, middle, taper=taper, yaw=yaw, pitch=pitch)

    def _put(
        self, size: Size, at: Point, yaw: float, pitch: float, roll: float, *, round: bool = False
    ) -> tuple[float, float, float]:
        center = self.world((at[0], at[1] + size[1] / 2, at[2]))
        self.stage.record(center, size, np.asarray(rotation(self.yaw + yaw, pitch, roll)), round=round)
        return center
