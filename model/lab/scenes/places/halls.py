"""Corridors, warehouses, car parks and other halls."""

from __future__ import annotations

import math

import numpy as np

from model.lab.scenes import illumination
from model.lab.scenes.places import shell
from model.lab.scenes.places.shell import Opening
from model.lab.scenes.places.views import Eye, eye_height
from model.lab.scenes.stage import Point, Stage
from model.lab.scenes.things import vehicles
from model.lab.scenes.things.furniture import PIECES
from model.lab.scenes.things.people import person
from model.lab.scenes.things.roadside import bench


def corridor(stage: Stage) -> Eye:
    """A corridor along z with doors at intervals, lamps on the ceiling, people and things along the walls."""
    rng, paint, spot = stage.rng, stage.paint, stage.origin
    size = (float(rng.uniform(1.2, 3.2)), float(rng.uniform(2.3, 3.2)), float(rng.uniform(7, 36)))
    w, h, d = size
    shell.slabs(spot, size, paint.floor(), paint.ceiling())
    face, leaf, frame = paint.wall(), paint.lacquer(), paint.lacquer()
    wide, tall, every = (
        float(rng.uniform(*shell.DOOR_WIDTH_M)),
        float(rng.uniform(*shell.DOOR_HEIGHT_M)),
        float(rng.uniform(2.4, 5.5)),
    )
    for k, (place, length) in enumerate(shell.sides(spot, size)):
        holes: list[Opening] = []
        if k % 2 == 1:
            for j in range(min(int((d - 1.5) / every), 6)):
                middle = -d / 2 + every * (j + 0.5) + float(rng.uniform(0, 0.3))
                if rng.random() < 0.8 and middle + wide < d / 2:
                    holes.append(Opening(middle - wide / 2, middle + wide / 2, 0, tall, door=True))
        elif w > wide + 0.3 and rng.random() < 0.7:
            window = rng.random() < 0.35
            holes.append(
                Opening(
                    -wide / 2, wide / 2, 0.9 if window else 0, min(2.1, h - 0.1) if window else tall, door=not window
                )
            )
        shell.wall(place, length, h, face if rng.random() < 0.9 else paint.wall(), holes)
        for hole in holes:
            if hole.door and len(stage) < 110:
                shell.door(place, hole, leaf=leaf, frame=frame)
            elif not hole.door:
                shell.window(place, hole, frame=frame, curtain=None, heater=False)
        if k % 2 == 1 and rng.random() < 0.5:
            for j in range(3):
                shell.picture(
                    place, float(rng.uniform(0.3, 0.9)), float(rng.uniform(0.3, 0.8)), (-d / 2 + every * (j + 1), 1.55)
                )
    lamps: list[Point] = []
    count = max(2, min(7, round(d / float(rng.uniform(2.5, 5)))))
    glow = paint.glow(float(rng.uniform(1.5, 5)), (1, 0.97, float(rng.uniform(0.75, 1))))
    strip = (float(rng.choice([0.15, 0.6])), 0.03, float(rng.choice([0.6, 1.2])))
    for k in range(count):
        z = -d / 2 + d * (k + 0.5) / count
        spot.box(glow, strip, (0, h - 0.03, z))
        lamps.append((0, h - 0.6, z))
    _along(stage, w, d)
    illumination.indoors(stage, lamps, day=bool(rng.random() < 0.6))

    def eye(rng: np.random.Generator) -> tuple[Point, Point]:
        height = eye_height(rng, ceiling=h)
        x, z = float(rng.uniform(-0.5, 0.5)) * (w - 0.6), float(rng.uniform(-0.5, 0.3)) * (d - 0.8)
        ahead = float(rng.uniform(3, 12)) * (1 if z < 0 or rng.random() < 0.5 else -1)
        aside = float(rng.normal(0, 0.12)) if rng.random() < 0.75 else float(rng.normal(0, 0.5))
        return (x, height, z), (aside * abs(ahead), height + float(rng.normal(-0.05, 0.06)) * abs(ahead), z + ahead)

    return eye


def _along(stage: Stage, w: float, d: float) -> None:
    """Benches, cupboards, plants, bins along a corridor's walls, and people in it."""
    rng, spot = stage.rng, stage.origin
    for _ in range(int(rng.integers(0, 6))):
        side, z = float(rng.choice([-1, 1])), float(rng.uniform(-0.45, 0.45)) * d
        name = str(rng.choice(["plant", "bin", "sideboard", "chair", "boxes", "wardrobe", "fridge"]))
        piece = PIECES[name]
        size = piece.draw(rng)
        if size[2] < w * 0.4 and len(stage) < 120:
            piece.build(spot.at(side * (w / 2 - size[2] / 2 - 0.02), 0, z, yaw=side * math.pi / 2), size)
    for _ in range(int(rng.integers(0, 4))):
        if len(stage) < 125:
            z = float(rng.uniform(-0.3, 0.48)) * d
            person(spot.at(float(rng.uniform(-0.3, 0.3)) * w, 0, z, yaw=float(rng.choice([0, math.pi]))))


def hall(stage: Stage) -> Eye:
    """A warehouse, a car park, a gymnasium, a waiting hall: large, with pillars, racks or cars."""
    rng, paint, spot = stage.rng, stage.paint, stage.origin
    use = stage.paint.pick([(3, "warehouse"), (3, "car park"), (2, "waiting")])
    h = float(rng.uniform(2.4, 3.2)) if use == "car park" else float(rng.uniform(4.5, 11))
    size = (float(rng.uniform(12, 30)), h, float(rng.uniform(18, 55)))
    w, _, d = size
    shell.slabs(
        spot,
        size,
        paint.concrete() if rng.random() < 0.6 else paint.floor(),
        paint.ceiling() if rng.random() < 0.5 else paint.concrete(),
    )
    face = paint.concrete() if rng.random() < 0.5 else paint.wall()
    windows = rng.random() < 0.5 and h > 4
    for place, length in shell.sides(spot, size):
        holes = []
        if windows:
            wide, count = float(rng.uniform(1.5, 4)), int(rng.integers(2, 5))
            holes = [
                Opening(x - wide / 2, x + wide / 2, h * 0.45, h * 0.85, door=False)
                for x in (length * (0.8 * (k + 0.5) / count - 0.4) for k in range(count))
                if length / count > wide + 1
            ]
        shell.wall(place, length, h, face, holes)
        x = float(rng.uniform(-0.3, 0.3)) * length
        place.box(paint.lacquer(), (1.0, 2.05, 0.05), (x, 0, -0.02))
        if rng.random() < 0.4:
            place.box(paint.metal(), (3.5, min(3.5, h - 0.3), 0.06), (x + 4, 0, -0.02))
    stage.builder.ground(material=paint.ground(), y=0.3)
    bay = float(rng.uniform(5, 8))
    column, thick = paint.concrete(), float(rng.uniform(0.25, 0.6))
    lamps: list[Point] = []
    for k in range(int(d / bay)):
        z = -d / 2 + bay * (k + 0.5)
        for x in (-w / 4, w / 4):
            if len(stage) < 45:
                spot.box(column, (thick, h, thick), (x, 0, z)) if use != "waiting" else spot.post(
                    column, (thick, h, thick), (x, 0, z)
                )
        spot.box(paint.glow(float(rng.uniform(2, 5))), (0.3, 0.06, 1.5), (0, h - 0.1, z))
        lamps.append((0, h - 0.9, z))
    {"warehouse": _racks, "car park": _parked, "waiting": _seats}[use](stage, w, d)
    for _ in range(int(rng.integers(0, 5))):
        if len(stage) < 128:
            x, z = float(rng.uniform(-0.2, 0.2)) * w, float(rng.uniform(-0.4, 0.45)) * d
            person(spot.at(x, 0, z, yaw=float(rng.uniform(0, 6))), detail=False)
            stage.interests.append((x, 1.0, z))
    illumination.indoors(stage, lamps, day=windows)

    def eye(rng: np.random.Generator) -> tuple[Point, Point]:
        height = eye_height(rng, ceiling=h)
        if h > 4 and rng.random() < 0.1:
            height = h - 1.0
        x, z = float(rng.uniform(-0.25, 0.25)) * w, float(rng.uniform(-0.48, 0.2)) * d
        if stage.interests and rng.random() < 0.6:
            return (x, height, z), stage.interests[int(rng.integers(len(stage.interests)))]
        return (x, height, z), (
            float(rng.uniform(-0.4, 0.4)) * w,
            float(rng.uniform(0.5, 2)),
            z + float(rng.uniform(4, 20)),
        )

    return eye


def _racks(stage: Stage, w: float, d: float) -> None:
    """Pallet racks: 2.7 m bays, 1.1 m deep, with boxes on every level."""
    rng, paint, spot = stage.rng, stage.paint, stage.origin
    steel, beam = paint.metal(), paint.plain(paint.vivid())
    for x in (-w * 0.38, w * 0.38, -w * 0.14, w * 0.14):
        z = -d / 2 + float(rng.uniform(1.5, 4))
        while z < d / 2 - 3 and len(stage) < 115:
            if rng.random() < 0.75:
                for level in (1.3, 2.6):
                    spot.box(beam, (1.1, 0.12, 2.7), (x, level, z))
                for dx in (-0.5, 0.5):
                    spot.box(steel, (0.1, 3.8, 0.1), (x + dx, 0, z - 1.4))
                for level in (0, 1.42, 2.72):
                    if rng.random() < 0.8:
                        spot.box(
                            paint.print() if rng.random() < 0.3 else paint.plain(paint.earth(0.4, 0.8)),
                            (1.0, float(rng.uniform(0.5, 1.1)), float(rng.uniform(0.8, 2.4))),
                            (x, level, z),
                        )
                stage.interests.append((x, 1.5, z))
            z += 2.9


def _parked(stage: Stage, w: float, d: float) -> None:
    """Cars in bays of 2.5 × 5 m on both sides of the lane."""
    rng, spot = stage.rng, stage.origin
    line = stage.paint.plain(stage.paint.grey(0.7, 0.95))
    for side in (-1, 1):
        z = -d / 2 + 2.0
        while z < d / 2 - 2:
            if len(stage) < 75:
                spot.patch(line, (5.0, 0.1), (side * (w / 2 - 2.7), 0.004, z - 1.25))
            if rng.random() < 0.6 and len(stage) < 122:
                x = side * (w / 2 - 2.8)
                vehicles.car(
                    spot.at(x, 0, z, yaw=float(rng.choice([-1, 1])) * math.pi / 2), detail=bool(rng.random() < 0.35)
                )
                stage.interests.append((x, 0.9, z))
            z += 2.5


def _seats(stage: Stage, w: float, d: float) -> None:
    """Rows of benches, plants and counters."""
    rng, spot = stage.rng, stage.origin
    for k in range(int(rng.integers(6, 14))):
        x, z = float(rng.uniform(-0.42, 0.42)) * w, -d / 2 + d * (k + 0.7) / 15
        name = str(rng.choice(["bench", "plant", "sideboard", "boxes", "table", "sofa"]))
        place = spot.at(x, 0, z, yaw=float(rng.choice([0, 0.5, 1, 1.5])) * math.pi)
        if len(stage) < 110:
            bench(place) if name == "bench" else PIECES[name].build(place, PIECES[name].draw(rng))
            stage.interests.append((x, 0.7, z))
