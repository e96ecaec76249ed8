"""The room of the demo: surfaces, ray casting and light.

Rays are cast analytically against planes, boxes, a column and a ball, so depth has no error beyond float32. Units are
metres; axes as in :mod:`stream.frame`: +x right, +y down, +z into the room.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.demo.textures import Floats, Texture, blocks, ceiling, plaster, stripes

_ROOM = np.array([[-2.6, -1.45, -1.2], [2.6, 1.25, 8.0]], np.float32)  # eye level is y = 0
_LIGHTS = np.array([[0.4, -1.25, 1.6], [-0.3, -1.25, 5.4]], np.float32)


@dataclass(frozen=True, slots=True)
class _Box:
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    texture: Texture


_WOOD = blocks((0.55, 0.33, 0.16), (0.3, 0.15, 0.06), (0.06, 0.03, 0.01), 1.5, 0.19, 0.006, 0.05)
_BRICK = blocks((0.6, 0.25, 0.16), (0.36, 0.12, 0.08), (0.45, 0.42, 0.38), 0.42, 0.14, 0.018, 0.03)
_TILES = blocks((0.75, 0.82, 0.84), (0.5, 0.62, 0.7), (0.3, 0.33, 0.35), 0.4, 0.4, 0.012, 0.2)
_OAK = blocks((0.6, 0.42, 0.22), (0.45, 0.29, 0.13), (0.1, 0.06, 0.03), 0.9, 0.3, 0.01, 0.04)
_WALLS: tuple[tuple[Texture, Texture], ...] = (
    (_BRICK, plaster((0.62, 0.66, 0.55), (0.16, 0.28, 0.26), pictures=True)),  # left, right
    (ceiling(_LIGHTS), _WOOD),  # up, down
    (plaster((0.7, 0.6, 0.45), (0.35, 0.16, 0.1), pictures=True), _TILES),  # behind, ahead
)
_BOXES = (
    _Box((-2.6, 0.35, 1.4), (-1.75, 1.25, 3.0), _OAK),  # sideboard
    _Box((1.55, -0.75, 2.6), (2.6, 1.25, 3.3), _OAK),  # cupboard
    _Box((0.55, 0.72, 3.9), (1.25, 1.25, 4.6), stripes((0.75, 0.55, 0.1), (0.08, 0.1, 0.3), 0.14, both_ways=True)),
    _Box((-2.2, 0.6, 5.2), (-0.7, 1.25, 6.1), stripes((0.15, 0.3, 0.55), (0.1, 0.2, 0.42), 0.11)),  # sofa
    _Box((-2.2, 0.1, 6.1), (-0.7, 1.25, 6.4), stripes((0.15, 0.3, 0.55), (0.1, 0.2, 0.42), 0.11)),
)
_COLUMN = (1.7, 6.0, 0.28, stripes((0.8, 0.78, 0.72), (0.62, 0.6, 0.56), 0.11))  # x, z, radius
_BALL = ((-0.75, 0.9, 3.1), 0.35, stripes((0.8, 0.08, 0.05), (0.85, 0.82, 0.75), 0.22))  # centre, radius


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """Where the picture is taken from: position in metres, rotation camera → room ``float32 [3, 3]``, focal length in
    pixels, picture size in pixels. The principal point is the centre, ``((W - 1) / 2, (H - 1) / 2)``."""

    position: Floats
    rotation: Floats
    f_px: float
    width: int
    height: int

    def window(self, low: tuple[float, float, float], high: tuple[float, float, float]) -> tuple[slice, slice]:
        """Rows and columns that show the box from ``low`` to ``high``; everything if part of it is behind."""
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), -1).reshape(8, 3) - self.position
        x, y, z = self.rotation.T @ corners.T
        if z.min() < 0.05:
            return slice(None), slice(None)
        columns = x / z * self.f_px + (self.width - 1) / 2
        rows = y / z * self.f_px + (self.height - 1) / 2
        return _span(rows, self.height), _span(columns, self.width)


def _span(values: npt.NDArray[np.floating[Any]], size: int) -> slice:
    """Whole pixels around ``values``, within the picture."""
    return slice(min(max(int(values.min()) - 1, 0), size), max(min(int(values.max()) + 2, size), 0))


@dataclass(frozen=True, slots=True)
class Rays:
    """Rays ``origin + t · direction``; directions have length 1 along the optical axis, so ``t`` is z-depth.

    ``nearest`` is that of the surface hit so far and ``surface`` its number, both ``[H, W]``.
    """

    origin: Floats
    direction: tuple[Floats, Floats, Floats]
    nearest: Floats
    surface: npt.NDArray[np.uint8]

    def hit(self, t: Floats, where: npt.NDArray[np.bool_], surface: int | npt.NDArray[np.uint8]) -> None:
        """Keep what is in front of what was hit before."""
        closer = where & (t > 0) & (t < self.nearest)
        self.nearest[closer] = t[closer]
        self.surface[closer] = surface if isinstance(surface, int) else surface[closer]

    def within(self, window: tuple[slice, slice]) -> Rays:
        """The same rays in part of the picture, as views: hits show in the whole."""
        x, y, z = (c[window] for c in self.direction)
        return Rays(self.origin, (x, y, z), self.nearest[window], self.surface[window])


def _intersect(rays: Rays, camera: Camera) -> None:
    """Surfaces 0-5: the room's planes; then three per box (by axis); then the column and the ball."""
    o, d = rays.origin, rays.direction
    rays.nearest.fill(np.inf)
    for axis in range(3):
        inverse = _inverse(d[axis])
        away = d[axis] > 0
        # Seen from inside, one of the two walls lies ahead and the other behind.
        t = np.maximum((_ROOM[0, axis] - o[axis]) * inverse, (_ROOM[1, axis] - o[axis]) * inverse)
        rays.hit(t, t > 0, away.view(np.uint8) + np.uint8(2 * axis))
    for n, box in enumerate(_BOXES):
        _hit_box(rays.within(camera.window(box.low, box.high)), box, 6 + 3 * n)
    x, z, radius, _ = _COLUMN
    low, high = (x - radius, float(_ROOM[0, 1]), z - radius), (x + radius, float(_ROOM[1, 1]), z + radius)
    _hit_round(rays.within(camera.window(low, high)), (0, 2), (x, z), radius, 6 + 3 * len(_BOXES))
    centre, radius, _ = _BALL
    low, high = ((centre[0] + k, centre[1] + k, centre[2] + k) for k in (-radius, radius))
    _hit_round(rays.within(camera.window(low, high)), (0, 1, 2), centre, radius, 7 + 3 * len(_BOXES))


def _inverse(direction: Floats) -> Floats:
    safe = direction.copy()
    safe[np.abs(safe) < 1e-7] = 1e-7
    return np.float32(1) / safe


def _hit_box(rays: Rays, box: _Box, surface: int) -> None:
    """Slabs: a ray is inside the box between the last entry and the first exit."""
    near, far = [], []
    for axis in range(3):
        inverse = _inverse(rays.direction[axis])
        first = (np.float32(box.low[axis]) - rays.origin[axis]) * inverse
        second = (np.float32(box.high[axis]) - rays.origin[axis]) * inverse
        near.append(np.minimum(first, second))
        far.append(np.maximum(first, second))
    enter = np.maximum(np.maximum(near[0], near[1]), near[2])
    leave = np.minimum(np.minimum(far[0], far[1]), far[2])
    axis_hit = np.where(near[0] == enter, 0, np.where(near[1] == enter, 1, 2)).astype(np.uint8)
    rays.hit(enter, enter < leave, axis_hit + np.uint8(surface))


def _hit_round(rays: Rays, axes: tuple[int, ...], centre: tuple[float, ...], radius: float, surface: int) -> None:
    """A ball, or with two axes an endless cylinder along the third: the nearer root of |o + t·d - c|² = r²."""
    offset = [float(rays.origin[i]) - c for i, c in zip(axes, centre, strict=True)]
    d = [rays.direction[i] for i in axes]
    a = np.zeros_like(rays.nearest)
    b = np.zeros_like(rays.nearest)
    for c, k in zip(d, offset, strict=True):
        a += c * c
        b += c * np.float32(k)
    discriminant = b * b - a * np.float32(sum(k * k for k in offset) - radius * radius)
    rays.hit((-b - np.sqrt(np.maximum(discriminant, 0))) / a, discriminant > 0, surface)


# Pictures -------------------------------------------------------------------------------------------------------------


def cast(camera: Camera) -> tuple[Floats, Rays]:
    """z-depth ``float32 [H, W]`` in metres, and the rays :func:`shade` needs for the same picture."""
    x = (np.arange(camera.width, dtype=np.float32) - np.float32((camera.width - 1) / 2)) / np.float32(camera.f_px)
    y = (np.arange(camera.height, dtype=np.float32) - np.float32((camera.height - 1) / 2)) / np.float32(camera.f_px)
    r = camera.rotation
    direction = tuple(r[i, 0] * x[None, :] + (r[i, 1] * y[:, None] + r[i, 2]) for i in range(3))
    shape = (camera.height, camera.width)
    rays = Rays(camera.position, direction, np.empty(shape, np.float32), np.zeros(shape, np.uint8))
    _intersect(rays, camera)
    return rays.nearest, rays


def shade(camera: Camera, rays: Rays) -> npt.NDArray[np.uint8]:
    """What :func:`cast` hit, as sRGB-like ``uint8 [H, W, 3]``: texture × (ambient + two lamps), darkened in corners."""
    image = np.empty((camera.width * camera.height, 3), np.uint8)
    surfaces = rays.surface.ravel()
    for surface in np.flatnonzero(np.bincount(surfaces)):
        hit = np.flatnonzero(surfaces == surface)
        t = rays.nearest.ravel()[hit]
        d = [c.ravel()[hit] for c in rays.direction]
        point = [o + t * c for o, c in zip(rays.origin, d, strict=True)]
        normal, u, v, texture = _surface(int(surface), point)
        slant = np.abs(_dot(normal, d)).clip(np.float32(0.05))
        pixel: Floats = t / slant / np.float32(camera.f_px)
        color = texture(u, v, pixel) * (_light(point, normal) * _corners(int(surface), point))[:, None]
        image[hit] = np.sqrt(np.clip(color, 0, 1)) * np.float32(255)  # gamma 2, near enough to sRGB
    return image.reshape(camera.height, camera.width, 3)


def _dot(normal: list[Floats | float], vector: list[Floats]) -> Floats:
    """Skips the components a wall's normal does not have."""
    total = np.zeros_like(vector[0])
    for n, c in zip(normal, vector, strict=True):
        if not isinstance(n, float) or n:
            total += n * c
    return total


def _surface(number: int, point: list[Floats]) -> tuple[list[Floats | float], Floats, Floats, Texture]:
    """Unit normal towards the viewer's side, surface coordinates and texture at points on surface ``number``."""
    if number < 6:
        axis, side = divmod(number, 2)
        return [float((1 - 2 * side) * (i == axis)) for i in range(3)], *_plane_uv(axis, point), _WALLS[axis][side]
    number -= 6
    if number < 3 * len(_BOXES):
        box, axis = _BOXES[number // 3], number % 3
        middle = (box.low[axis] + box.high[axis]) / 2
        normal: list[Floats | float] = [0.0, 0.0, 0.0]
        normal[axis] = np.where(point[axis] > middle, np.float32(1), np.float32(-1))
        return normal, *_plane_uv(axis, point), box.texture
    if number == 3 * len(_BOXES):
        x, z, radius, texture = _COLUMN
        nx, nz = (point[0] - x) / radius, (point[2] - z) / radius
        return [nx, 0.0, nz], np.arctan2(nx, nz) * np.float32(radius), point[1], texture
    centre, radius, texture = _BALL
    n = [(p - c) / np.float32(radius) for p, c in zip(point, centre, strict=True)]
    around = np.arctan2(n[0] + 0.4 * n[1], n[2]) * np.float32(radius)
    return list(n), around, n[1], texture


def _plane_uv(axis: int, point: list[Floats]) -> tuple[Floats, Floats]:
    """Coordinates along a plane: horizontal first; on floor and ceiling boards run along z."""
    return ((point[2], point[1]), (point[2], point[0]), (point[0], point[1]))[axis]


def _light(point: list[Floats], normal: list[Floats | float]) -> Floats:
    total = np.full_like(point[0], 0.3)
    for lamp in _LIGHTS:
        to = [np.float32(c) - p for c, p in zip(lamp, point, strict=True)]
        square = to[0] * to[0] + to[1] * to[1] + to[2] * to[2]
        total += np.maximum(_dot(normal, to), 0) * np.float32(1.5) / (np.sqrt(square) * (1 + np.float32(0.35) * square))
    return total


def _corners(surface: int, point: list[Floats]) -> Floats:
    """Darkening where walls meet, and on the floor around what stands on it."""
    edges = [np.minimum(p - low, high - p) for p, low, high in zip(point, *_ROOM, strict=True)]
    if surface < 6:
        del edges[surface // 2]
    else:
        edges = edges[1:2]
    factor: Floats = 1 - np.float32(0.4) * np.exp(np.min(edges, axis=0) * np.float32(-4))
    if surface == 3:
        for x0, x1, z0, z1 in _footprints():
            dx = np.maximum(np.maximum(x0 - point[0], point[0] - x1), 0)
            dz = np.maximum(np.maximum(z0 - point[2], point[2] - z1), 0)
            factor *= 1 - np.float32(0.55) * np.exp((dx + dz) * np.float32(-6))
    return factor


def _footprints() -> Iterator[tuple[float, float, float, float]]:
    for box in _BOXES:
        yield box.low[0], box.high[0], box.low[2], box.high[2]
    for x, z, reach in ((_COLUMN[0], _COLUMN[1], 0.2), (_BALL[0][0], _BALL[0][2], 0.1)):
        yield x - reach, x + reach, z - reach, z + reach
