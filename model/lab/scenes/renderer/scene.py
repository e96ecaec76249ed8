"""Scenes: primitives in metres, materials and lights, gathered by a builder into tensors.

World axes: +x right, +y DOWN, +z forward. The ground is usually y = 0, so a camera 1.6 m above it has y = -1.6.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.lab.scenes.renderer.camera import rotation
from model.lab.scenes.renderer.materials import GREY, RGB, ROW, Material, check_color
from stream.errors import ConfigError

Vec = Sequence[float]

KINDS = ("box", "ellipsoid", "frustum", "card", "leaf", "ground")
"""Primitive kinds in the order in which a scene stores them. A leaf is a card with an outline."""

FACES = ("left", "right", "floor", "ceiling", "near", "far")
"""Faces of a room: -x, +x, +y, -y, -z and +z in the room's own axes."""

MAX_LIGHTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What can be seen, as float32 tensors on the CPU; made by :class:`SceneBuilder`.

    ``P`` primitives sorted by kind, ``M`` materials, ``L`` lights.

    ``kind`` int64 ``[P]`` (index into ``KINDS``); ``center`` ``[P, 3]``; ``turn`` ``[P, 3, 3]`` local axes to world;
    ``half`` ``[P, 3]`` half extents; ``shape`` ``[P]`` (a frustum's taper, a leaf's exponent); ``radius`` ``[P]``
    of the
    bounding sphere, infinite for a ground; ``material`` int64 ``[P]``; ``materials`` ``[M, ROW]``;
    ``lights`` ``[L, 8]``: position of a lamp or unit vector towards a sun, colour, size, 1 for a lamp;
    ``ambient`` ``[2, 3]`` from above and below; ``sky`` ``[2, 3]`` zenith and horizon; ``clouds`` 0..1; ``fog``
    ``[4]``:
    density per metre and colour.
    """

    kind: Tensor
    center: Tensor
    turn: Tensor
    half: Tensor
    shape: Tensor
    radius: Tensor
    material: Tensor
    materials: Tensor
    lights: Tensor
    ambient: Tensor
    sky: Tensor
    clouds: float
    fog: Tensor


class SceneBuilder:
    """Gathers a scene piece by piece; ``build`` makes it. Raises ``ConfigError`` for numbers that cannot be."""

    def __init__(self) -> None:
        self._rows: list[list[float]] = []
        self._kinds: list[int] = []
        self._materials: list[list[float]] = []
        self._lights: list[list[float]] = []
        self._ambient = [[0.30, 0.32, 0.36], [0.16, 0.15, 0.14]]
        self._sky = [[0.18, 0.32, 0.65], [0.60, 0.70, 0.82]]
        self._clouds = 0.0
        self._fog = [0.0, 0.6, 0.7, 0.8]

    def material(
        self,
        *,
        pattern: str = "plain",
        colors: Sequence[RGB] = GREY,
        scale: float = 0.3,
        aspect: float = 1.0,
        gap: float = 0.05,
        jitter: float = 0.1,
        gloss: float = 0.0,
        bump: float = 0.0,
        emission: float = 0.0,
    ) -> int:
        """Add a material and return its number.

        ``pattern``: one of ``materials.PATTERNS``. ``colors``: one to three linear RGB colours; what they mean
        depends on
        the pattern (body, joints or second colour, accent). ``scale``: metres, the size of one tile, brick, stripe,
        letter row or noise feature. ``aspect``: width over height of a cell. ``gap``: width of the joints as a
        fraction of
        a cell. ``jitter``: brightness variation from cell to cell, 0..1. ``gloss``: strength of highlights, 0 matt to 1
        polished. ``bump``: relief, 0 flat, 1 strong. ``emission``: light given off, times the colour.
        """
        given = Material(
            pattern=pattern,
            colors=colors,
            scale=scale,
            aspect=aspect,
            gap=gap,
            jitter=jitter,
            gloss=gloss,
            bump=bump,
            emission=emission,
        )
        self._materials.append(given.row(salt=len(self._materials)))
        return len(self._materials) - 1

    def box(
        self, center: Vec, size: Vec, *, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, material: int
    ) -> None:
        """A cuboid; ``size`` is its full extents in metres, ``yaw``, ``pitch`` and ``roll`` are radians.

        Like all solids it is seen from outside only: from inside it is not there.
        """
        x, y, z = self._size("a box", size, 3)
        self._add("box", center, (x, y, z), 1.0, math.hypot(x, y, z) / 2, yaw, pitch, roll, material)

    def ellipsoid(
        self, center: Vec, size: Vec, *, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, material: int
    ) -> None:
        """An ellipsoid; ``size`` is its three diameters in metres."""
        x, y, z = self._size("an ellipsoid", size, 3)
        self._add("ellipsoid", center, (x, y, z), 1.0, max(x, y, z) / 2, yaw, pitch, roll, material)

    def frustum(
        self,
        center: Vec,
        size: Vec,
        *,
        taper: float = 1.0,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
        material: int,
    ) -> None:
        """A cylinder or a cone, cut off or not, standing on its local y axis, with elliptic caps.

        ``size``: diameter across x at the bottom, height, diameter across z at the bottom. ``taper``: radius at the
        top over
        radius at the bottom, 1 a cylinder, 0 a cone. The bottom is the end at +y, which is down.
        """
        x, y, z = self._size("a frustum", size, 3)
        if not 0 <= taper < math.inf:
            raise ConfigError(f"a frustum's taper is zero or more, not {taper!r}")
        reach = math.hypot(max(x, z) * max(1.0, taper), y) / 2
        self._add("frustum", center, (x, y, z), taper, reach, yaw, pitch, roll, material)

    def card(
        self,
        center: Vec,
        size: Vec,
        *,
        outline: float = math.inf,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
        material: int,
    ) -> None:
        """A flat figure in its local x-y plane, seen from both sides; ``size`` is width and height in metres.

        ``outline``: exponent p of the superellipse ``|x|^p + |y|^p <= 1``: infinity a rectangle, 2 an ellipse, 1 a
        diamond.
        """
        x, y = self._size("a card", size, 2)
        if not outline > 0:
            raise ConfigError(f"a card's outline is a positive exponent, not {outline!r}")
        kind = "card" if outline == math.inf else "leaf"
        shape = 1.0 if outline == math.inf else outline
        self._add(kind, center, (x, y, 0.0), shape, math.hypot(x, y) / 2, yaw, pitch, roll, material)

    def ground(self, *, material: int, y: float = 0.0) -> None:
        """An infinite horizontal plane at height ``y``, seen from above (from smaller y)."""
        self._add("ground", (0.0, y, 0.0), (0.0, 0.0, 0.0), 1.0, math.inf, 0.0, 0.0, 0.0, material)

    def room(
        self,
        center: Vec,
        size: Vec,
        *,
        walls: int,
        floor: int,
        ceiling: int,
        yaw: float = 0.0,
        open_faces: Collection[str] = (),
    ) -> None:
        """Six cards around ``center``, full extents ``size``; the faces named in ``open_faces`` are left out."""
        unknown = sorted(set(open_faces) - set(FACES))
        if unknown:
            raise ConfigError(f"a room has no face {', '.join(unknown)}; its faces are {', '.join(FACES)}")
        x, y, z = self._size("a room", size, 3)
        quarter = math.pi / 2
        faces = {
            "left": ((-x / 2, 0.0, 0.0), (z, y), -quarter, 0.0, walls),
            "right": ((x / 2, 0.0, 0.0), (z, y), quarter, 0.0, walls),
            "floor": ((0.0, y / 2, 0.0), (x, z), 0.0, quarter, floor),
            "ceiling": ((0.0, -y / 2, 0.0), (x, z), 0.0, quarter, ceiling),
            "near": ((0.0, 0.0, -z / 2), (x, y), 0.0, 0.0, walls),
            "far": ((0.0, 0.0, z / 2), (x, y), 0.0, 0.0, walls),
        }
        turn = rotation(yaw)
        for face, (offset, extent, face_yaw, face_pitch, material) in faces.items():
            if face not in open_faces:
                middle = [float(c) + float(o) for c, o in zip(center, turn @ offset, strict=True)]
                self.card(middle, extent, yaw=yaw + face_yaw, pitch=face_pitch, material=material)

    def sun(self, direction: Vec, color: RGB, *, size: float = 0.02) -> None:
        """Parallel light that travels along ``direction`` (y > 0: it shines down); ``size`` is its radius in radians.

        A white surface facing a sun of colour 1 looks 1. The first two lights cast shadows; there are at most four.
        """
        x, y, z = self._point("a sun's direction", direction)
        length = math.hypot(x, y, z)
        if length == 0:
            raise ConfigError("a sun's direction has a length above zero")
        self._light((-x / length, -y / length, -z / length), color, size, 0.0)

    def lamp(self, position: Vec, color: RGB, *, size: float = 0.08) -> None:
        """A ball of light of radius ``size`` metres; a white surface facing it from 1 m looks ``color``, from 2 m a
        quarter."""
        self._light(self._point("a lamp's position", position), color, size, 1.0)

    def ambient(self, up_color: RGB, down_color: RGB) -> None:
        """Light from all around: ``up_color`` on surfaces that look up, ``down_color`` on those that look down."""
        self._ambient = [list(check_color("ambient light", up_color)), list(check_color("ambient light", down_color))]

    def sky(self, *, zenith: RGB, horizon: RGB, clouds: float = 0.0) -> None:
        """The colour where nothing is, from overhead to the horizon, and how much of it is clouds, 0..1."""
        if not 0 <= clouds <= 1:
            raise ConfigError(f"clouds cover 0 to 1 of the sky, not {clouds!r}")
        self._sky = [list(check_color("the sky's colour", zenith)), list(check_color("the sky's colour", horizon))]
        self._clouds = clouds

    def fog(self, *, density: float, color: RGB) -> None:
        """Haze: ``exp(-density * metres)`` of the light comes through, the rest is ``color``."""
        if not 0 <= density < math.inf:
            raise ConfigError(f"fog's density is zero or more per metre, not {density!r}")
        self._fog = [density, *check_color("fog's colour", color)]

    def build(self) -> Scene:
        """The scene. Raises ``ConfigError`` where a primitive names a material that does not exist."""
        order = sorted(range(len(self._kinds)), key=self._kinds.__getitem__)
        table = torch.tensor([self._rows[i] for i in order], dtype=torch.float32).reshape(-1, 18)
        material = table[:, 17].long()
        if order and not 0 <= int(material.min()) <= int(material.max()) < len(self._materials):
            raise ConfigError(f"a primitive names a material that is not one of the scene's {len(self._materials)}")
        return Scene(
            kind=torch.tensor([self._kinds[i] for i in order], dtype=torch.int64),
            center=table[:, 0:3].contiguous(),
            turn=table[:, 3:12].reshape(-1, 3, 3).contiguous(),
            half=table[:, 12:15].contiguous(),
            shape=table[:, 15].contiguous(),
            radius=table[:, 16].contiguous(),
            material=material,
            materials=torch.tensor(self._materials, dtype=torch.float32).reshape(-1, ROW),
            lights=torch.tensor(self._lights, dtype=torch.float32).reshape(-1, 8),
            ambient=torch.tensor(self._ambient),
            sky=torch.tensor(self._sky),
            clouds=self._clouds,
            fog=torch.tensor(self._fog),
        )

    def _add(
        self,
        kind: str,
        center: Vec,
        size: tuple[float, float, float],
        shape: float,
        radius: float,
        yaw: float,
        pitch: float,
        roll: float,
        material: int,
    ) -> None:
        x, y, z = self._point(f"a {kind}'s centre", center)
        if not math.isfinite(yaw + pitch + roll):
            raise ConfigError(f"a {kind}'s angles are finite radians, not {(yaw, pitch, roll)!r}")
        turn = rotation(yaw, pitch, roll).ravel().tolist()
        self._kinds.append(KINDS.index(kind))
        self._rows.append([x, y, z, *turn, size[0] / 2, size[1] / 2, size[2] / 2, shape, radius, float(material)])

    def _light(self, vector: Vec, color: RGB, size: float, lamp: float) -> None:
        if len(self._lights) == MAX_LIGHTS:
            raise ConfigError(f"a scene has at most {MAX_LIGHTS} lights")
        if not 0 <= size < math.inf:
            raise ConfigError(f"a light's size is zero or more, not {size!r}")
        self._lights.append([*vector, *check_color("a light's colour", color), size, lamp])

    @staticmethod
    def _point(what: str, value: Vec) -> tuple[float, float, float]:
        if len(value) != 3 or not all(math.isfinite(c) for c in value):
            raise ConfigError(f"{what} is three finite numbers, not {value!r}")
        return float(value[0]), float(value[1]), float(value[2])

    @staticmethod
    def _size(what: str, value: Vec, count: int) -> tuple[float, ...]:
        if len(value) != count or not all(0 < c < math.inf for c in value):
            raise ConfigError(f"{what}'s size is {count} positive numbers of metres, not {value!r}")
        return tuple(float(c) for c in value)
