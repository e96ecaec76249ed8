"""Open ground under the sky: meadows, parks, squares, hills, with trees, rocks, people and houses far away."""

from __future__ import annotations

import math

import numpy as np

from model.lab.scenes import illumination
from model.lab.scenes.places.views import Eye, eye_height
from model.lab.scenes.stage import Point, Spot, Stage
from model.lab.scenes.things import vehicles
from model.lab.scenes.things.houses import roof
from model.lab.scenes.things.people import animal, person
from model.lab.scenes.things.roadside import bench, sign, street_lamp
from model.lab.scenes.things.trees import bush, fence, hedge, rock, tree


def open_ground(stage: Stage) -> Eye:
    """A wide place with things near and far."""
    rng, paint, spot = stage.rng, stage.paint, stage.origin
    stage.builder.ground(material=paint.ground())
    square = rng.random() < 0.3
    if not square and rng.random() < 0.6:
        _hills(stage)
    if rng.random() < (0.9 if square else 0.4):
        _skyline(stage, near=square)
    for _ in range(int(rng.integers(0, 3))):  # a path, a lawn, a puddle
        wide, long = float(rng.uniform(1, 5)), float(rng.uniform(8, 120))
        spot.patch(
            paint.ground(),
            (wide, long),
            (float(rng.uniform(-8, 8)), float(rng.uniform(0.008, 0.02)), float(rng.uniform(0, 30))),
            outline=float(rng.choice([math.inf, 2.0])),
            yaw=float(rng.uniform(0, 6)),
        )
    lamps = _things(stage, square=square)
    illumination.daylight(stage, lamps=lamps)

    def eye(rng: np.random.Generator) -> tuple[Point, Point]:
        height = eye_height(rng) if rng.random() < 0.9 else float(rng.uniform(3, 12))
        x, z = float(rng.normal(0, 3)), float(rng.normal(-4, 4))
        if stage.interests and rng.random() < 0.7:
            target = stage.interests[int(rng.integers(len(stage.interests)))]
            return (x, height, z), target
        ahead = float(rng.uniform(5, 40))
        return (x, height, z), (
            x + float(rng.normal(0, 0.4)) * ahead,
            height - float(rng.normal(0.1, 0.1)) * ahead,
            z + ahead,
        )

    return eye


def _hills(stage: Stage) -> None:
    """Hills and mountains: large ellipsoids sunk into the ground."""
    rng, paint = stage.rng, stage.paint
    for _ in range(int(rng.integers(1, 7))):
        distance = float(math.exp(rng.uniform(math.log(60), math.log(1500))))
        angle = float(rng.uniform(0, 2 * math.pi)) if rng.random() < 0.4 else float(rng.normal(0, 0.6))
        wide = distance * float(rng.uniform(0.4, 1.3))
        tall = wide * float(rng.uniform(0.1, 0.5))
        material = paint.make(
            "foliage" if rng.random() < 0.5 else "noise",
            [paint.green(), paint.green(0.1, 0.3), paint.earth()],
            distance * float(rng.uniform(0.01, 0.06)),
            bump=0.3,
        )
        place = stage.origin.at(yaw=angle).at(0, 0, distance + wide * 0.5)
        place.ball(material, (wide * float(rng.uniform(1, 2)), tall * 2, wide), (0, -tall, 0))


def _skyline(stage: Stage, *, near: bool) -> None:
    """Houses, barns and towers around, the nearest from 15 m (a square) or 50 m."""
    rng, paint = stage.rng, stage.paint
    for _ in range(int(rng.integers(3, 12))):
        distance = float(math.exp(rng.uniform(math.log(22 if near else 60), math.log(80 if near else 400))))
        angle = float(rng.uniform(-math.pi, math.pi)) if near else float(rng.normal(0, 0.9))
        storey = float(rng.uniform(2.8, 3.5))
        count = int(rng.integers(1, 7)) if rng.random() < 0.8 else int(rng.integers(7, 25))
        wide, deep = float(rng.uniform(6, 24)), float(rng.uniform(6, 14))
        house = stage.origin.at(yaw=angle).at(0, 0, distance, yaw=float(rng.normal(0, 0.3)))
        house.box(paint.facade(storey), (wide, storey * count + 0.6, deep), (0, 0, deep / 2))
        if count < 4:
            roof(house, wide, storey * count + 0.6, deep)


def _things(stage: Stage, *, square: bool) -> list[Point]:
    """What stands around: more of one or two kinds than of the others. Returns where lamps would shine."""
    rng, spot, lit = stage.rng, stage.origin, []
    kinds = [
        "tree",
        "bush",
        "rock",
        "person",
        "animal",
        "bench",
        "fence",
        "hedge",
        "lamp",
        "car",
        "sign",
        "bicycle",
        "pole",
    ]
    weights = np.array(
        [4, 1.5, 0.4, 4, 0.6, 1.5, 0.6, 0.7, 1.5, 1.5, 0.6, 0.7, 0.6]
        if square
        else [5, 2.5, 2.5, 2, 1.2, 0.4, 1.0, 0.5, 0.3, 0.5, 0.2, 0.3, 0.5]
    )
    weights = weights * rng.exponential(1.0, len(kinds))
    taken: list[tuple[float, float]] = []
    for _ in range(int(rng.integers(8, 34))):
        if len(stage) > 115:
            break
        distance = float(math.exp(rng.uniform(math.log(2), math.log(50))))
        angle = float(rng.normal(0, 0.8))
        x, z = distance * math.sin(angle), distance * math.cos(angle) - 3
        if any(math.hypot(x - a, z - b) < 1.2 for a, b in taken):
            continue
        taken.append((x, z))
        place = spot.at(x, 0, z, yaw=float(rng.uniform(0, 2 * math.pi)))
        kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
        tall = thing(place, kind, near=distance < 25)
        if kind == "lamp":
            lit.append((x, 4.5, z))
        stage.interests.append((x, tall / 2, z))
    return lit


def thing(place: Spot, kind: str, *, near: bool = True) -> float:
    """Puts one thing of ``kind`` on the ground. Returns roughly how high it is, in metres."""
    if kind == "tree":
        tree(place, parts=13 if near else 6)
        return 4.0
    if kind == "car":
        vehicles.car(place, detail=near)
        return 1.5
    if kind == "person":
        person(place, detail=near)
        return 1.7
    if kind == "lamp":
        street_lamp(place, 4.5, place.paint.metal())
        return 4.0
    if kind == "pole":
        tall = float(place.rng.uniform(1.0, 7.0))
        place.post(place.paint.lacquer(), (0.12, tall, 0.12), taper=0.8)
        return tall
    if kind in ("fence", "hedge"):
        (fence if kind == "fence" else hedge)(place, float(place.rng.uniform(4, 20)))
        return 1.2
    {"bush": bush, "rock": rock, "animal": animal, "bench": bench, "sign": sign, "bicycle": vehicles.bicycle}[kind](
        place
    )
    return 1.0
