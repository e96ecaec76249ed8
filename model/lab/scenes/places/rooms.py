"""Furnished rooms: living rooms, kitchens, offices, bedrooms, half-empty ones, with what is outside their windows."""

from __future__ import annotations

import math

import numpy as np

from model.lab.scenes import illumination
from model.lab.scenes.places import shell
from model.lab.scenes.places.plan import Plan
from model.lab.scenes.places.shell import Opening
from model.lab.scenes.places.views import Eye, eye_height
from model.lab.scenes.stage import Point, Size, Spot, Stage
from model.lab.scenes.things.furniture import PIECES

FURNISHINGS: dict[str, tuple[tuple[float, str], ...]] = {
    "living": (
        (1, "sofa"),
        (0.8, "television"),
        (0.7, "shelf"),
        (0.7, "coffee table"),
        (0.6, "armchair"),
        (0.6, "plant"),
        (0.5, "floor lamp"),
        (0.5, "sideboard"),
        (0.3, "armchair"),
        (0.3, "chair"),
        (0.3, "shelf"),
        (0.3, "plant"),
        (0.3, "dining"),
        (0.2, "boxes"),
        (0.25, "person"),
    ),
    "kitchen": (
        (1, "kitchen"),
        (0.8, "fridge"),
        (0.8, "dining"),
        (0.4, "kitchen"),
        (0.4, "sideboard"),
        (0.4, "stool"),
        (0.4, "bin"),
        (0.3, "plant"),
        (0.3, "person"),
    ),
    "office": (
        (1, "desk"),
        (0.9, "office chair"),
        (0.7, "desk"),
        (0.7, "office chair"),
        (0.6, "shelf"),
        (0.5, "wardrobe"),
        (0.5, "plant"),
        (0.4, "bin"),
        (0.4, "desk"),
        (0.3, "sideboard"),
        (0.3, "boxes"),
        (0.3, "dining"),
        (0.35, "person"),
    ),
    "bedroom": (
        (1, "bed"),
        (0.8, "bedside table"),
        (0.8, "wardrobe"),
        (0.5, "bedside table"),
        (0.4, "chair"),
        (0.4, "desk"),
        (0.4, "sideboard"),
        (0.4, "shelf"),
        (0.4, "floor lamp"),
        (0.3, "plant"),
        (0.3, "stool"),
        (0.2, "person"),
    ),
    "dining": (
        (1, "dining"),
        (0.6, "sideboard"),
        (0.5, "plant"),
        (0.5, "shelf"),
        (0.4, "floor lamp"),
        (0.4, "person"),
        (0.3, "sofa"),
        (0.3, "dining"),
    ),
    "mixed": tuple((0.3, name) for name in PIECES),
}
"""For each use of a room: with what probability a piece stands in it; "dining" is a table with its chairs."""

EXTRAS = (
    "sideboard",
    "plant",
    "boxes",
    "chair",
    "stool",
    "floor lamp",
    "bin",
    "shelf",
    "armchair",
    "wardrobe",
    "coffee table",
)
"""What else stands in a room, the more the larger it is."""


def room(stage: Stage) -> Eye:
    """One furnished room with windows and doors, seen from inside it."""
    rng, spot = stage.rng, stage.origin
    use = str(rng.choice(list(FURNISHINGS), p=[0.26, 0.16, 0.2, 0.18, 0.1, 0.1]))
    width, depth = (
        float(np.clip(math.exp(rng.normal(1.4, 0.28)), 2.4, 9)),
        float(np.clip(math.exp(rng.normal(1.5, 0.28)), 2.6, 10)),
    )
    size = (width, float(rng.uniform(2.35, 3.1)) if rng.random() < 0.9 else float(rng.uniform(3.1, 4.2)), depth)
    plan = Plan(stage, size)
    enclose(stage, size, plan)
    for chance, name in FURNISHINGS[use]:
        if rng.random() < chance and len(stage) < 115:
            plan.place(name)
    for _ in range(int(width * depth / 5)):
        if rng.random() < 0.6 and len(stage) < 110:
            plan.place(str(rng.choice(EXTRAS)))
    if rng.random() < 0.4:
        flat = (float(rng.uniform(0.4, 0.8)) * width, float(rng.uniform(0.4, 0.8)) * depth)
        spot.patch(stage.paint.cloth(), flat, (0, 0.006, 0), outline=float(rng.choice([math.inf, 2.0])))

    def eye(rng: np.random.Generator) -> tuple[Point, Point]:
        height = eye_height(rng, ceiling=size[1])
        edge = rng.random() < 0.75  # people step back to get more into the picture
        x, z = (float(rng.uniform(-0.5, 0.5) * (s - 0.6)) for s in (width, depth))
        if edge:
            side = float(rng.choice([-1, 1]))
            if rng.random() < 0.5:
                x = side * (width / 2 - float(rng.uniform(0.3, 0.8)))
            else:
                z = side * (depth / 2 - float(rng.uniform(0.3, 0.8)))
        if rng.random() < 0.65 and stage.interests:
            target = stage.interests[int(rng.integers(len(stage.interests)))]
        else:
            target = (-x * float(rng.uniform(0, 1)), float(rng.uniform(0.3, 1.6)), -z * float(rng.uniform(0, 1)))
        return (x, height, z), target

    return eye


def enclose(stage: Stage, size: Size, plan: Plan) -> None:
    """Walls, floor, ceiling, doors, windows, pictures, lamps and light of a room around the origin."""
    rng, paint, spot = stage.rng, stage.paint, stage.origin
    common = paint.wall()
    shell.slabs(spot, size, paint.floor(), paint.ceiling())
    leaf, frame, window_frame = paint.lacquer(), paint.lacquer(), paint.plain(paint.grey(0.5, 0.95))
    curtain = paint.cloth() if rng.random() < 0.5 else None
    skirting = paint.lacquer() if rng.random() < 0.5 else None
    windows = 0
    for side, (place, length) in enumerate(shell.sides(spot, size)):
        holes: list[Opening] = []
        draw = rng.random()
        inner = length if side % 2 == 0 else length - 2 * shell.THICKNESS_M
        if draw < 0.5 and windows < 2 and inner > 1.6:
            windows += 1
            wide = float(rng.uniform(0.7, min(2.6, inner - 0.7)))
            middle = float(rng.uniform(-0.5, 0.5)) * (inner - wide - 0.3)
            bottom = float(rng.choice([0.05, rng.uniform(0.4, 1.0)], p=[0.15, 0.85]))
            holes.append(
                Opening(
                    middle - wide / 2,
                    middle + wide / 2,
                    bottom,
                    min(float(rng.uniform(2.0, 2.4)), size[1] - 0.15),
                    door=False,
                )
            )
        elif draw < 0.85 and inner > 1.4:
            wide, tall = float(rng.uniform(*shell.DOOR_WIDTH_M)), float(rng.uniform(*shell.DOOR_HEIGHT_M))
            middle = float(rng.uniform(-0.5, 0.5)) * (inner - wide - 0.3)
            holes.append(Opening(middle - wide / 2, middle + wide / 2, 0, tall, door=True))
        face = common if rng.random() < 0.85 else paint.wall()
        shell.wall(place, length, size[1], face, holes)
        for hole in holes:
            plan.keep_free(side, hole)
            if not hole.door:
                shell.window(place, hole, frame=window_frame, curtain=curtain, heater=bool(rng.random() < 0.5))
            elif rng.random() < 0.3:
                shell.door(place, hole, leaf=leaf, frame=frame, ajar=float(rng.uniform(0.4, 1.5)))
                _next_room(place, hole)
            else:
                shell.door(place, hole, leaf=leaf, frame=frame)
        if skirting is not None and not any(h.bottom < 0.1 for h in holes):
            place.box(skirting, (inner, 0.08, 0.015), (0, 0, -0.008))
        if not holes and rng.random() < 0.7:
            _pictures(place, inner, size[1])
    lamps: list[Point] = []
    for k in range(1 if size[2] < 4 else 2):
        z = 0.0 if size[2] < 4 else (k - 0.5) * size[2] / 2
        shell.ceiling_lamp(spot.at(0, 0, z), size[1])
        lamps.append((0, size[1] - float(rng.uniform(0.6, 1.0)), z))
    day = bool(rng.random() < 0.75)
    if windows:
        _outside(stage, size)
    illumination.indoors(stage, lamps, day=day)


def _pictures(place: Spot, length: float, height: float) -> None:
    rng = place.rng
    count = int(rng.integers(1, 4))
    for k in range(count):
        w = min(float(rng.uniform(0.25, 1.0)), length / count - 0.15)
        h = float(np.clip(w * math.exp(rng.normal(0, 0.35)), 0.2, height - 1.4))
        if w > 0.15:
            shell.picture(
                place,
                w,
                h,
                (-length / 2 + length / count * (k + 0.5), min(float(rng.uniform(1.4, 1.7)), height - h / 2 - 0.1)),
            )


def _next_room(place: Spot, hole: Opening) -> None:
    """What an open door shows: another wall, some metres behind, its floor and ceiling."""
    rng, paint = place.rng, place.paint
    deep, wide = float(rng.uniform(1.2, 4)), float(rng.uniform(2, 4))
    middle = (hole.left + hole.right) / 2
    material = paint.wall()
    start = shell.THICKNESS_M
    place.patch(paint.floor(), (wide, deep + start), (middle, 0.0, (deep + start) / 2))
    place.patch(paint.ceiling(), (wide, deep), (middle, 2.5, start + deep / 2))
    place.card(material, (wide, 2.5), (middle, 0, start + deep))
    for x in (-wide / 2, wide / 2):
        place.card(material, (deep, 2.5), (middle + x, 0, start + deep / 2), yaw=math.pi / 2)
    if rng.random() < 0.5:
        place.box(
            paint.lacquer(),
            (0.8, float(rng.uniform(0.5, 1.8)), 0.4),
            (middle + float(rng.uniform(-0.5, 0.5)), 0, start + deep - 0.25),
        )


def _outside(stage: Stage, size: Size) -> None:
    """What windows show: ground some storeys below or at the door-step, houses, trees, sky."""
    rng, paint, spot = stage.rng, stage.paint, stage.origin
    below = float(rng.choice([0.25, 3.0, 6.0, 12.0], p=[0.5, 0.25, 0.15, 0.1]))
    stage.builder.ground(material=paint.ground(), y=below)
    far = max(size[0], size[2]) / 2 + 4
    for _ in range(int(rng.integers(2, 6))):
        angle, distance = float(rng.uniform(0, 2 * math.pi)), far + float(rng.uniform(4, 40))
        there = spot.at(distance * math.sin(angle), -below, distance * math.cos(angle), yaw=float(rng.uniform(0, 6)))
        if rng.random() < 0.5:
            there.box(
                paint.facade(3.0), (float(rng.uniform(4, 8)), float(rng.uniform(2, 6)) * 3, float(rng.uniform(4, 8)))
            )
        else:
            tall = float(rng.uniform(4, 10))
            there.post(paint.bark(), (0.3, tall * 0.5, 0.3))
            there.ball(paint.leaves(), (tall * 0.5, tall * 0.7, tall * 0.5), (0, tall * 0.3, 0))
