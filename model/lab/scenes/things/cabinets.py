"""Cupboards, shelves, kitchens and what stands on them. The origin is the footprint's middle, the back towards +z."""

from __future__ import annotations

from model.lab.scenes.stage import Size, Spot


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
            spot.box(
                knob,
                (0.015, min(0.15, h / 4), 0.025),
                (x + (0.4 if k % 2 == 0 else -0.4) * wide, min(h * 0.5, 1.0), -d / 2 - 0.01),
            )
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
            spot.box(
                book, (wide - 0.004, tall, deep), (left + wide / 2, base + 0.025, d / 2 - deep / 2 - 0.02), roll=lean
            )
            left += wide + (0.0 if rng.random() < 0.6 else float(rng.uniform(0.03, 0.35))) + 0.06 * (lean > 0)


def television(spot: Spot, size: Size) -> None:
    """A wide flat screen on a low board."""
    w, _h, d = size
    cupboard(spot, (w, 0.45, d))
    wide = min(w * 0.95, 1.45)
    spot.box(spot.paint.dark(), (wide, wide * 0.57, 0.05), (0, 0.5, 0))
    spot.box(spot.paint.dark(), (0.4, 0.05, 0.2), (0, 0.45, 0))


def kitchen(spot: Spot, size: Size) -> None:
    """A row of 60 cm units with a worktop at 90 cm, wall cupboards, an oven, a tap."""
    rng, paint, (w, _h, d) = spot.rng, spot.paint, size
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
        spot.box(
            paint.print(), (float(rng.uniform(0.1, 0.3)), float(rng.uniform(0.08, 0.25)), float(rng.uniform(0.08, 0.2)))
        )
    else:
        spot.post(paint.plastic(), (0.1, float(rng.uniform(0.12, 0.3)), 0.1), taper=float(rng.uniform(0.5, 1.3)))
