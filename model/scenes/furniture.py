"""Furniture in its real sizes. A piece stands on a spot: the middle of its footprint, its back towards +z.

Every piece is a function ``(spot, size)`` with the size in metres; :data:`PIECES` gives the sizes that are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model.scenes.people import person
from model.scenes.stage import Size, Spot

DOOR_HEIGHT_M, DOOR_WIDTH_M = 2.0, 0.85


def legs(spot: Spot, material: int, size: Size, thickness: float, *, inset: float = 0.02, splay: float = 0.0) -> None:
    """Four legs under a footprint of ``size``."""
    w, h, d = size[0] / 2 - inset - thickness / 2, size[1], size[2] / 2 - inset - thickness / 2
    square = bool(spot.rng.random() < 0.5)
    for x in (-1, 1):
        for z in (-1, 1):
            spot.limb(material, thickness, (x * (w - splay), h, z * (d - splay)), (x * w, 0, z * d), box=square)


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
        trinket(spot.at(float(rng.uniform(-0.4, 0.4) * w), h, float(rng.uniform(-0.4, 0.4) * d), yaw=float(rng.uniform(0, 6.28))))


def trinket(spot: Spot) -> None:
    """Something small that stands on a table or shelf, one or two primitives."""
    rng, paint = spot.rng, spot.paint
    kind = rng.integers(7)
    if kind == 0:
        spot.post(paint.plastic(), (0.08, 0.095, 0.08), taper=float(rng.uniform(0.9, 1.2)))
    elif kind == 1:
        spot.post(paint.plastic(), (0.075, 0.2, 0.075))
        spot.post(paint.dark(), (0.05, 0.1, 0.05), (0, 0.2, 0), taper=0.5)
    elif kind == 2:
        spot.box(paint.print(), (0.16, float(rng.uniform(0.02, 0.12)), 0.23))
    elif kind == 3:
        size = float(rng.uniform(0.06, 0.12))
        spot.ball(paint.plain(paint.vivid()), (size, size, size))
    elif kind == 4:
        spot.post(paint.plastic(), (0.12, 0.07, 0.12), taper=1.7)
    elif kind == 5:
        spot.box(paint.print(), (float(rng.uniform(0.1, 0.3)), float(rng.uniform(0.08, 0.25)), float(rng.uniform(0.08, 0.2))))
    else:
        spot.post(paint.plastic(), (0.1, float(rng.uniform(0.12, 0.3)), 0.1), taper=float(rng.uniform(0.5, 1.3)))


def chair(spot: Spot, size: Size) -> None:
    """Four thin legs, a seat at about 45 cm and a back of boards, bars or one panel."""
    rng, paint = spot.rng, spot.paint
    w, h, d = size
    frame = paint.lacquer() if rng.random() < 0.65 else paint.metal()
    cover = paint.cloth() if rng.random() < 0.5 else frame
    seat = float(rng.uniform(0.42, 0.48))
    thin = float(rng.uniform(0.02, 0.045))
    spot.box(cover, (w, 0.04, d), (0, seat - 0.04, 0))
    legs(spot, frame, (w, seat - 0.04, d), thin, inset=0.0)
    lean = float(rng.uniform(0, 0.12))
    for x in (-1, 1):
        spot.limb(frame, thin, (x * (w / 2 - thin), seat, d / 2 - thin), (x * (w / 2 - thin), h, d / 2 - thin + lean))
    if rng.random() < 0.5:
        spot.box(cover, (w - thin, (h - seat) * 0.55, 0.025), (0, h - (h - seat) * 0.57, d / 2 - thin + lean * 0.7), pitch=-lean)
    else:
        for k in range(int(rng.integers(2, 4))):
            spot.box(frame, (w - 2 * thin, 0.05, 0.015), (0, h - 0.06 - 0.13 * k, d / 2 - thin + lean * 0.8), pitch=-lean)


def office_chair(spot: Spot, size: Size) -> None:
    """A seat on a column with five feet."""
    rng, paint = spot.rng, spot.paint
    w, h, d = size
    frame, cover, seat = paint.dark(), paint.cloth(), float(rng.uniform(0.43, 0.52))
    spot.post(frame, (0.05, seat - 0.05, 0.05), (0, 0.05, 0))
    for angle in np.linspace(0, 2 * np.pi, 6)[:5]:
        spot.limb(frame, 0.04, (0, 0.1, 0), (0.3 * float(np.sin(angle)), 0.03, 0.3 * float(np.cos(angle))), box=True)
    spot.box(cover, (w * 0.75, 0.07, d * 0.75), (0, seat - 0.03, 0))
    spot.box(cover, (w * 0.7, h - seat - 0.15, 0.06), (0, seat + 0.15, d * 0.36), pitch=-0.1)
    spot.limb(frame, 0.04, (0, seat, d * 0.33), (0, seat + 0.3, d * 0.38), box=True)


def stool(spot: Spot, size: Size) -> None:
    """Round seat, three or four splayed legs."""
    w, h, d = size
    spot.post(spot.paint.lacquer(), (w, 0.04, d), (0, h - 0.04, 0))
    legs(spot, spot.paint.lacquer(), (w * 0.95, h - 0.04, d * 0.95), 0.03, splay=0.06)


def sofa(spot: Spot, size: Size) -> None:
    """Base, back, arms, cushions; also an armchair when it is narrow."""
    rng, paint = spot.rng, spot.paint
    w, h, d = size
    cover = paint.cloth()
    arm, seat = float(rng.uniform(0.1, 0.25)), float(rng.uniform(0.38, 0.46))
    foot = float(rng.choice([0.0, 0.06, 0.12]))
    spot.box(cover, (w, seat * 0.7 - foot, d), (0, foot, 0))
    spot.box(cover, (w, h - foot, 0.2), (0, foot, d / 2 - 0.1), pitch=-float(rng.uniform(0, 0.08)))
    high = seat + float(rng.uniform(0.12, 0.25))
    for x in (-1, 1):
        spot.box(cover, (arm, high - foot, d), (x * (w / 2 - arm / 2), foot, 0))
    count = max(1, round((w - 2 * arm) / 0.7))
    wide = (w - 2 * arm) / count
    for k in range(count):
        spot.box(cover, (wide - 0.015, 0.16, d - 0.24), (-w / 2 + arm + wide * (k + 0.5), seat - 0.12, -0.1))
    for _ in range(int(rng.integers(0, 3))):
        spot.ball(paint.cloth(), (0.45, 0.42, 0.16), (float(rng.uniform(-0.4, 0.4)) * (w - 2 * arm), seat + 0.02, d / 2 - 0.3), pitch=-0.3)
    if rng.random() < 0.2:
        person(spot.at(float(rng.uniform(-0.25, 0.25)) * w, 0, -0.05), seat=seat)


def bed(spot: Spot, size: Size) -> None:
    """Frame, mattress, blanket, pillows and a headboard."""
    rng, paint = spot.rng, spot.paint
    w, h, d = size
    frame = paint.lacquer()
    top = float(rng.uniform(0.42, 0.6))
    spot.box(frame, (w, 0.2, d), (0, top - 0.38, 0))
    legs(spot, frame, (w, top - 0.38, d), 0.07)
    spot.box(paint.plain(paint.grey(0.7, 0.95)), (w - 0.06, 0.2, d - 0.06), (0, top - 0.2, 0))
    spot.box(paint.cloth(), (w + 0.04, 0.22, d * 0.68), (0, top - 0.17, -d * 0.16))
    spot.box(frame, (w, h, 0.06), (0, 0, d / 2))
    pillow = paint.cloth()
    for x in (-1, 1) if w > 1.2 else (0,):
        spot.ball(pillow, (min(0.65, w * 0.6), 0.2, 0.42), (x * w / 4, top - 0.02, d / 2 - 0.35), pitch=-0.2)


def cupboard(spot: Spot, size: Size) -> None:
    """A closed body with doors or drawers and handles: wardrobe, sideboard, bedside table."""
    rng, paint = spot.rng, spot.paint
    w, h, d = size
    body = paint.lacquer()
    front = body if rng.random() < 0.6 else paint.lacquer()
    knob = paint.metal()
    spot.box(body, (w, h, d - 0.02), (0, 0, 0.01))
    if rng.random() < 0.5 and h > 0.4:
        count = max(2, round(h / 0.3)) if h < 1.3 else 4
        for k in range(min(count, 5)):
            tall = (h - 0.05) / min(count, 5)
            spot.box(front, (w - 0.03, tall - 0.012, 0.02), (0, 0.03 + k * tall, -d / 2 + 0.01))
            spot.box(knob, (0.12, 0.015, 0.02), (0, 0.03 + (k + 0.55) * tall, -d / 2 - 0.01))
    else:
        count = max(1, round(w / 0.5))
        for k in range(count):
            wide, x = w / count, -w / 2 + w / count * (k + 0.5)
            spot.box(front, (wide - 0.01, h - 0.06, 0.02), (x, 0.04, -d / 2 + 0.01))
            spot.box(knob, (0.015, min(0.15, h / 4), 0.025), (x + (0.4 if k % 2 == 0 else -0.4) * wide, min(h * 0.5, 1.0), -d / 2 - 0.01))
    if h < 1.5:
        for _ in range(int(rng.integers(0, 4))):
            trinket(spot.at(float(rng.uniform(-0.4, 0.4)) * w, h, float(rng.uniform(-0.2, 0.2)) * d))


def shelf(spot: Spot, size: Size) -> None:
    """Boards between two sides, with rows of books and a few things."""
    rng, paint = spot.rng, spot.paint
    w, h, d = size
    body = paint.lacquer()
    for x in (-1, 1):
        spot.box(body, (0.025, h, d), (x * (w / 2 - 0.0125), 0, 0))
    if rng.random() < 0.7:
        spot.box(body, (w - 0.05, h, 0.01), (0, 0, d / 2 - 0.01))
    rows = max(2, round(h / 0.36))
    books = [paint.print() for _ in range(5)]
    for k in range(rows + 1):
        base = k * (h - 0.025) / rows
        spot.box(body, (w - 0.05, 0.025, d), (0, base, 0))
        if k == rows or rng.random() < 0.2:
            continue
        left, room = -w / 2 + 0.03, h / rows - 0.06
        while left < w / 2 - 0.12 and len(spot.stage) < 130:
            wide = min(float(rng.choice([0.03, 0.05, 0.15, 0.3])), w / 2 - 0.03 - left)
            tall = min(float(rng.uniform(0.17, 0.31)), room)
            deep = float(rng.uniform(0.14, min(0.24, d - 0.02)))
            lean = float(rng.choice([0, 0, 0.15])) if wide < 0.06 else 0.0
            book = books[rng.integers(5)]
            spot.box(book, (wide - 0.004, tall, deep), (left + wide / 2, base + 0.025, d / 2 - deep / 2 - 0.02), roll=lean)
            left += wide + (0.0 if rng.random() < 0.6 else float(rng.uniform(0.03, 0.35))) + 0.06 * (lean > 0)


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
    spot.box(paint.make("tiles", [paint.grey(0.1, 0.9), paint.grey(0.1, 0.5)], 0.019, gap=0.15), (0.44, 0.02, 0.14), (0, h, -d * 0.2))
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


def television(spot: Spot, size: Size) -> None:
    """A wide flat screen on a low board."""
    w, h, d = size
    cupboard(spot, (w, 0.45, d))
    wide = min(w * 0.95, 1.45)
    spot.box(spot.paint.dark(), (wide, wide * 0.57, 0.05), (0, 0.5, 0))
    spot.box(spot.paint.dark(), (0.4, 0.05, 0.2), (0, 0.45, 0))


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
        spot.card(leaf, (long * float(rng.uniform(0.15, 0.4)), long), (out * float(np.sin(turn)), middle, out * float(np.cos(turn))), outline=1.4, yaw=turn, pitch=-tilt)  # fmt: skip


def radiator(spot: Spot, size: Size) -> None:
    """Flat ribs under a window."""
    w, h, _ = size
    white = spot.paint.make("stripes", [spot.paint.grey(0.7, 0.95), spot.paint.grey(0.4, 0.7)], 0.05)
    spot.box(white, (w, h - 0.12, 0.08), (0, 0.12, 0))


def kitchen(spot: Spot, size: Size) -> None:
    """A row of 60 cm units with a worktop at 90 cm, wall cupboards, an oven, a tap."""
    rng, paint, (w, h, d) = spot.rng, spot.paint, size
    front, metal, top = paint.lacquer(), paint.metal(), paint.stone()
    count = max(2, round(w / 0.6))
    wide = w / count
    spot.box(paint.dark(), (w, 0.1, d - 0.08), (0, 0, 0.04))
    spot.box(top, (w, 0.04, d), (0, 0.86, 0))
    oven = int(rng.integers(count))
    for k in range(count):
        x = -w / 2 + wide * (k + 0.5)
        spot.box(paint.dark() if k == oven else front, (wide - 0.006, 0.75, d - 0.03), (x, 0.1, 0.015))
        spot.box(metal, (wide * 0.5, 0.015, 0.03), (x, 0.76, -d / 2))
        if rng.random() < 0.65:
            spot.box(front, (wide - 0.006, 0.7, 0.35), (x, 1.45, d / 2 - 0.175))
    spot.limb(metal, 0.025, (w * 0.2, 0.9, d * 0.3), (w * 0.2, 1.15, d * 0.3))
    spot.limb(metal, 0.02, (w * 0.2, 1.15, d * 0.3), (w * 0.2, 1.12, d * 0.05))
    for _ in range(int(rng.integers(1, 5))):
        trinket(spot.at(float(rng.uniform(-0.45, 0.45)) * w, 0.9, float(rng.uniform(-0.3, 0.2)) * d))


def fridge(spot: Spot, size: Size) -> None:
    """Also washing machines and freezers: a plain metal body with a gap and a handle."""
    w, h, d = size
    shell = spot.paint.metal()
    split = h * float(spot.rng.choice([0.35, 0.65]))
    spot.box(shell, (w, split - 0.005, d))
    spot.box(shell, (w, h - split - 0.005, d), (0, split + 0.005, 0))
    for base in (split - 0.35, split + 0.1):
        spot.box(spot.paint.metal(), (0.025, 0.25, 0.03), (-w * 0.4, max(base, 0.1), -d / 2 - 0.02))


def boxes(spot: Spot, size: Size) -> None:
    """Cartons, a few on top of each other."""
    rng, paint, (w, h, d) = spot.rng, spot.paint, size
    base, count = 0.0, int(rng.integers(1, 4))
    for k in range(count):
        tall = h / count
        spot.box(paint.print() if rng.random() < 0.4 else paint.plain(paint.earth(0.4, 0.8)), (w * (1 - 0.12 * k), tall, d * (1 - 0.12 * k)), (0, base, 0), yaw=float(rng.normal(0, 0.1 * k)))  # fmt: skip
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
