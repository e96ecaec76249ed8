"""Furniture in its real sizes. A piece stands on a spot: the middle of its footprint, its back towards +z.

Every piece is a function ``(spot, size)`` with the size in metres; :data:`PIECES` gives the sizes that are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model.lab.scenes.stage import Size, Spot
from model.lab.scenes.things.cabinets import cupboard, fridge, kitchen, shelf, television, trinket
from model.lab.scenes.things.people import person
from model.lab.scenes.things.seats import bed, chair, legs, office_chair, sofa, stool


def table(spot: Spot, size: Size) -> None:
    """A top on four legs or on a column, now and then laid."""
    rng, paint = spot.rng, spot.paint
    w, h, d = size
    top, leg = paint.lacquer(), paint.lacquer() if rng.random() < 0.5 else paint.metal()
    thick = float(rng.uniform(0.02, 0.05))
    if rng.random() < 0.2:
        spot.post(top, (w, thick, d), (0, h - thick, 0))
        spot.post(leg, (0.1, h - thick, 0.1))
        spot.post(leg, (w * 0.5, 0.04, d * 0.5), taper=0.8)
    else:
        spot.box(top, (w, thick, d), (0, h - thick, 0))
        legs(spot, leg, (w, h - thick, d), float(rng.uniform(0.03, 0.08)), splay=float(rng.choice([0, 0, 0.06])))
    for _ in range(int(rng.integers(0, 5))):
        trinket(
            spot.at(
                float(rng.uniform(-0.4, 0.4) * w), h, float(rng.uniform(-0.4, 0.4) * d), yaw=float(rng.uniform(0, 6.28))
            )
        )


def desk(spot: Spot, size: Size) -> None:
    """A table with a screen, a keyboard and a lamp, facing −z: whoever works there sits in front."""
    rng, paint = spot.rng, spot.paint
    w, h, d = size
    top = paint.lacquer()
    spot.box(top, (w, 0.03, d), (0, h - 0.03, 0))
    if rng.random() < 0.5:
        legs(spot, paint.metal(), (w, h - 0.03, d), 0.05)
    else:
        for x in (-1, 1):
            spot.box(top, (0.03, h - 0.03, d - 0.04), (x * (w / 2 - 0.03), 0, 0))
        spot.box(paint.lacquer(), (0.4, 0.55, d - 0.1), (w / 2 - 0.26, h - 0.6, 0))
    for k in range(int(rng.integers(1, 3))):
        screen(spot.at((k - 0.25) * 0.62 - 0.1, h, d * 0.25, yaw=float(rng.normal(0, 0.15))))
    spot.box(
        paint.make("tiles", [paint.grey(0.1, 0.9), paint.grey(0.1, 0.5)], 0.019, gap=0.15),
        (0.44, 0.02, 0.14),
        (0, h, -d * 0.2),
    )
    spot.ball(paint.plastic(), (0.06, 0.035, 0.11), (0.32, h, -d * 0.2))
    for _ in range(int(rng.integers(0, 3))):
        trinket(spot.at(float(rng.uniform(-0.45, 0.45)) * w, h, float(rng.uniform(-0.3, 0.4)) * d))


def screen(spot: Spot) -> None:
    """A monitor of 22 to 32 inches on its foot."""
    rng, paint = spot.rng, spot.paint
    w = float(rng.uniform(0.49, 0.71))
    h = w * 9 / 16
    shell = paint.dark()
    spot.box(shell, (0.24, 0.015, 0.18))
    spot.box(shell, (0.05, 0.22, 0.02), (0, 0, 0.04))
    spot.box(shell, (w, h + 0.02, 0.03), (0, 0.12, 0))
    face = paint.print() if rng.random() < 0.5 else paint.dark()
    if rng.random() < 0.35:
        face = paint.make("marks", [paint.any_color(), paint.any_color(), paint.any_color()], 0.03, emission=0.8)
    spot.card(face, (w - 0.02, h), (0, 0.13, -0.017))


def floor_lamp(spot: Spot, size: Size) -> None:
    """A pole with a shade."""
    paint, (w, h, _) = spot.paint, size
    spot.post(paint.metal(), (w * 0.8, 0.03, w * 0.8))
    spot.post(paint.metal(), (0.025, h - 0.2, 0.025), (0, 0.02, 0))
    shade = paint.glow(float(spot.rng.uniform(1, 4)), (1, 0.85, 0.6)) if spot.rng.random() < 0.4 else paint.cloth()
    spot.post(shade, (w, 0.28, w), (0, h - 0.28, 0), taper=float(spot.rng.uniform(0.5, 1)))


def plant(spot: Spot, size: Size) -> None:
    """A pot with leaves that bend outwards."""
    rng, paint, (w, h, _) = spot.rng, spot.paint, size
    pot = min(0.4 * h, 0.35)
    spot.post(paint.plastic(), (pot * 0.75, pot, pot * 0.75), taper=1.3)
    leaf = paint.leaves()
    if rng.random() < 0.3:
        spot.post(paint.bark(), (0.03, h * 0.5, 0.03), (0, pot * 0.9, 0))
        spot.ball(leaf, (w, h * 0.55, w), (0, h * 0.45, 0))
        return
    for _ in range(int(rng.integers(6, 13))):
        turn, tilt = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.15, 1.1))
        long = (h - pot) * float(rng.uniform(0.7, 1.0))
        # rooted at the rim of the pot, leaning out by `tilt`; the card turns about its middle
        out = long / 2 * float(np.sin(tilt))
        middle = pot + long / 2 * float(np.cos(tilt)) - long / 2
        spot.card(
            leaf,
            (long * float(rng.uniform(0.15, 0.4)), long),
            (out * float(np.sin(turn)), middle, out * float(np.cos(turn))),
            outline=1.4,
            yaw=turn,
            pitch=-tilt,
        )


def radiator(spot: Spot, size: Size) -> None:
    """Flat ribs under a window."""
    w, h, _ = size
    white = spot.paint.make("stripes", [spot.paint.grey(0.7, 0.95), spot.paint.grey(0.4, 0.7)], 0.05)
    spot.box(white, (w, h - 0.12, 0.08), (0, 0.12, 0))


def boxes(spot: Spot, size: Size) -> None:
    """Cartons, a few on top of each other."""
    rng, paint, (w, h, d) = spot.rng, spot.paint, size
    base, count = 0.0, int(rng.integers(1, 4))
    for k in range(count):
        tall = h / count
        spot.box(
            paint.print() if rng.random() < 0.4 else paint.plain(paint.earth(0.4, 0.8)),
            (w * (1 - 0.12 * k), tall, d * (1 - 0.12 * k)),
            (0, base, 0),
            yaw=float(rng.normal(0, 0.1 * k)),
        )
        base += tall


def bin_(spot: Spot, size: Size) -> None:
    """A waste bin or basket."""
    spot.post(spot.paint.plastic(), (size[0] * 0.8, size[1], size[2] * 0.8), taper=1.2)


def standing_person(spot: Spot, _size: Size) -> None:
    """Somebody in the way."""
    person(spot.at(yaw=float(spot.rng.uniform(0, 6.28))))


@dataclass(frozen=True)
class Piece:
    """A kind of furniture: how it is built, and the ranges of its width, height and depth in metres."""

    build: Callable[[Spot, Size], None]
    width: tuple[float, float]
    height: tuple[float, float]
    depth: tuple[float, float]
    against_wall: bool = True
    front: float = 0.0
    """Room to leave in front of it, in metres, where somebody sits or stands."""

    def draw(self, rng: np.random.Generator) -> Size:
        """A size within the ranges."""
        return float(rng.uniform(*self.width)), float(rng.uniform(*self.height)), float(rng.uniform(*self.depth))


PIECES: dict[str, Piece] = {
    "table": Piece(table, (0.9, 2.2), (0.72, 0.77), (0.7, 1.0), against_wall=False),
    "coffee table": Piece(table, (0.6, 1.3), (0.35, 0.5), (0.45, 0.8), against_wall=False),
    "chair": Piece(chair, (0.4, 0.5), (0.8, 1.0), (0.4, 0.5), against_wall=False),
    "stool": Piece(stool, (0.3, 0.4), (0.42, 0.75), (0.3, 0.4), against_wall=False),
    "office chair": Piece(office_chair, (0.6, 0.68), (0.9, 1.2), (0.6, 0.68), against_wall=False),
    "sofa": Piece(sofa, (1.4, 2.5), (0.7, 0.95), (0.8, 1.0), front=0.4),
    "armchair": Piece(sofa, (0.75, 1.0), (0.75, 1.0), (0.75, 0.9), against_wall=False),
    "bed": Piece(bed, (0.9, 1.9), (0.6, 1.2), (2.0, 2.15)),
    "wardrobe": Piece(cupboard, (0.8, 2.4), (1.8, 2.3), (0.5, 0.65)),
    "sideboard": Piece(cupboard, (0.8, 2.0), (0.6, 1.1), (0.35, 0.5)),
    "bedside table": Piece(cupboard, (0.35, 0.55), (0.4, 0.6), (0.35, 0.45)),
    "shelf": Piece(shelf, (0.5, 1.6), (0.8, 2.2), (0.25, 0.4)),
    "desk": Piece(desk, (1.2, 1.8), (0.7, 0.76), (0.6, 0.8), front=0.7),
    "television": Piece(television, (1.0, 2.0), (1.2, 1.2), (0.35, 0.45)),
    "floor lamp": Piece(floor_lamp, (0.3, 0.45), (1.4, 1.9), (0.3, 0.45)),
    "plant": Piece(plant, (0.4, 0.8), (0.4, 1.7), (0.4, 0.8)),
    "kitchen": Piece(kitchen, (1.8, 3.6), (0.9, 0.9), (0.6, 0.65), front=0.6),
    "fridge": Piece(fridge, (0.55, 0.7), (0.85, 2.0), (0.6, 0.7)),
    "boxes": Piece(boxes, (0.3, 0.6), (0.25, 1.0), (0.25, 0.5)),
    "bin": Piece(bin_, (0.2, 0.35), (0.25, 0.6), (0.2, 0.35)),
    "person": Piece(standing_person, (0.6, 0.6), (1.7, 1.7), (0.6, 0.6), against_wall=False),
}
