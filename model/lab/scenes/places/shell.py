"""Walls with doors and windows in them, floors and ceilings: what rooms, corridors and halls are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from model.lab.scenes.stage import Spot
from model.lab.scenes.things.furniture import radiator

DOOR_HEIGHT_M = (1.97, 2.1)
DOOR_WIDTH_M = (0.75, 1.0)
THICKNESS_M = 0.2


@dataclass(frozen=True)
class Opening:
    """A hole in a wall: left and right edge along it, lower and upper edge, metres; ``door`` or a window."""

    left: float
    right: float
    bottom: float
    top: float
    door: bool


def wall(spot: Spot, length: float, height: float, material: int, openings: Sequence[Opening] = ()) -> None:
    """A wall whose inner face is the spot's x-height plane, with holes; it stands behind that plane (z > 0)."""

    def piece(left: float, right: float, bottom: float, top: float) -> None:
        if right - left > 0.005 and top - bottom > 0.005:
            spot.box(material, (right - left, top - bottom, THICKNESS_M), ((left + right) / 2, bottom, THICKNESS_M / 2))

    at = -length / 2
    for hole in sorted(openings, key=lambda o: o.left):
        piece(at, hole.left, 0, height)
        piece(hole.left, hole.right, 0, hole.bottom)
        piece(hole.left, hole.right, hole.top, height)
        at = hole.right
    piece(at, length / 2, 0, height)


def door(spot: Spot, hole: Opening, *, leaf: int, frame: int, ajar: float | None = None) -> None:
    """A door leaf with handle and frame in its hole; ``ajar`` (radians) swings it into the room, None shuts it."""
    paint, w, h = spot.paint, hole.right - hole.left, hole.top
    middle = (hole.left + hole.right) / 2
    for x in (hole.left - 0.03, hole.right + 0.03):
        spot.box(frame, (0.08, h + 0.07, 0.03), (x, 0, -0.012))
    spot.box(frame, (w + 0.14, 0.08, 0.03), (middle, h, -0.012))
    metal = paint.metal()
    if ajar is None:
        spot.box(leaf, (w, h - 0.005, 0.04), (middle, 0.005, 0.06))
        spot.limb(metal, 0.02, (hole.right - 0.14, 1.03, 0.005), (hole.right - 0.06, 1.03, 0.005))
        return
    hinge = spot.at(hole.left, 0, 0.02, yaw=ajar)
    hinge.box(leaf, (w, h - 0.01, 0.04), (w / 2, 0.005, 0))
    hinge.limb(metal, 0.02, (w - 0.14, 1.03, -0.06), (w - 0.06, 1.03, -0.06))


def window(spot: Spot, hole: Opening, *, frame: int, curtain: int | None, heater: bool) -> None:
    """Frame and bars in a window's hole, with curtains and a radiator now and then."""
    w, h, middle = hole.right - hole.left, hole.top - hole.bottom, (hole.left + hole.right) / 2
    for x in (hole.left + 0.03, hole.right - 0.03):
        spot.box(frame, (0.06, h, 0.06), (x, hole.bottom, 0.1))
    for base in (hole.bottom, hole.top - 0.06):
        spot.box(frame, (w, 0.06, 0.06), (middle, base, 0.1))
    if w > 1.0:
        spot.box(frame, (0.05, h, 0.05), (middle, hole.bottom, 0.1))
    spot.box(frame, (w + 0.1, 0.03, 0.2), (middle, hole.bottom - 0.03, 0.02))
    if curtain is not None:
        long = min(hole.top + 0.1, hole.top - hole.bottom + 0.3) if spot.rng.random() < 0.4 else hole.top + 0.08
        for x in (hole.left - 0.1, hole.right + 0.1):
            spot.box(curtain, (float(spot.rng.uniform(0.25, 0.5)), long, 0.09), (x, hole.top + 0.1 - long, -0.07))
        spot.limb(frame, 0.03, (hole.left - 0.35, hole.top + 0.12, -0.07), (hole.right + 0.35, hole.top + 0.12, -0.07))
    if heater and hole.bottom > 0.6:
        radiator(spot.at(middle, 0, -0.08), (min(w, 1.6), hole.bottom - 0.1, 0.1))


def picture(spot: Spot, width: float, height: float, at: tuple[float, float]) -> None:
    """A framed picture on a wall, its middle at ``at`` (along the wall, height)."""
    paint = spot.paint
    spot.box(paint.lacquer(), (width, height, 0.025), (at[0], at[1] - height / 2, -0.013))
    edge = min(width, height) * float(spot.rng.uniform(0.03, 0.15))
    spot.card(paint.print(), (width - edge, height - edge), (at[0], at[1] - (height - edge) / 2, -0.028))


def ceiling_lamp(spot: Spot, height: float) -> None:
    """A lamp that hangs from or sits on a ceiling at ``height``."""
    rng, paint = spot.rng, spot.paint
    glow = paint.glow(float(rng.uniform(1.5, 5)), (1, float(rng.uniform(0.8, 1)), float(rng.uniform(0.6, 1))))
    kind = rng.integers(4)
    if kind == 0:
        spot.box(glow, (0.6, 0.04, 0.6), (0, height - 0.04, 0))
    elif kind == 1:
        spot.box(glow, (0.15, 0.06, 1.2), (0, height - 0.07, 0))
    elif kind == 2:
        drop = float(rng.uniform(0.3, 0.8))
        spot.post(paint.dark(), (0.012, drop, 0.012), (0, height - drop, 0))
        spot.post(
            glow if rng.random() < 0.5 else paint.plastic(), (0.4, 0.2, 0.4), (0, height - drop - 0.2, 0), taper=0.4
        )
        spot.ball(glow, (0.1, 0.1, 0.1), (0, height - drop - 0.22, 0))
    else:
        spot.ball(glow, (0.35, 0.16, 0.35), (0, height - 0.15, 0))


def slabs(spot: Spot, size: tuple[float, float, float], floor: int, ceiling: int) -> None:
    """Floor and ceiling of a room of ``size``: width, height, depth."""
    w, h, d = size[0] + 2 * THICKNESS_M, size[1], size[2] + 2 * THICKNESS_M
    spot.box(floor, (w, 0.2, d), (0, -0.2, 0))
    spot.box(ceiling, (w, 0.2, d), (0, h, 0))


def sides(spot: Spot, size: tuple[float, float, float]) -> list[tuple[Spot, float]]:
    """The four walls' spots, in the middle of each inner face with +z pointing out, and the walls' lengths.

    The order is far (+z), right (+x), near, left.
    """
    w, _, d = size
    return [
        (spot.at(yaw=k * math.pi / 2).at(0, 0, (d if k % 2 == 0 else w) / 2), w if k % 2 == 0 else d + 2 * THICKNESS_M)
        for k in range(4)
    ]
