"""Table tops and close-ups: small things of everyday size, seen from 0.3 to 1.2 m."""

from __future__ import annotations

import math

import numpy as np

from model.lab.scenes import illumination
from model.lab.scenes.places.plan import Plan
from model.lab.scenes.places.rooms import enclose
from model.lab.scenes.places.views import Eye
from model.lab.scenes.stage import Point, Spot, Stage
from model.lab.scenes.things.seats import legs
from model.lab.scenes.things.small_things import small_thing
from model.lab.scenes.things.trees import bush, hedge, tree


def table_top(stage: Stage) -> Eye:
    """A laid, a working or a cluttered table in a room or outside."""
    return _scene(stage, things=int(stage.rng.integers(5, 18)), reach=(0.45, 1.3))


def close_up(stage: Stage) -> Eye:
    """One to four things near the camera, on a table, a floor or the ground."""
    return _scene(stage, things=int(stage.rng.integers(1, 5)), reach=(0.22, 0.7))


def _scene(stage: Stage, *, things: int, reach: tuple[float, float]) -> Eye:
    rng, _paint, spot = stage.rng, stage.paint, stage.origin
    on_table = rng.random() < 0.85
    w, d = (float(rng.uniform(0.8, 1.8)), float(rng.uniform(0.6, 1.0))) if on_table else (1.2, 1.2)
    top = (
        float(
            rng.choice([rng.uniform(0.7, 0.78), rng.uniform(0.85, 0.95), rng.uniform(0.38, 0.5)], p=[0.75, 0.15, 0.1])
        )
        if on_table
        else 0.0
    )
    inside = rng.random() < 0.85
    place = spot.at(0, 0, 0)
    room = (float(rng.uniform(2.8, 6)), float(rng.uniform(2.4, 3)), float(rng.uniform(2.8, 6)))
    if inside:
        plan = Plan(stage, room)
        enclose(stage, room, plan)
        # the table stands anywhere in the room that leaves space for who looks at it
        place = spot.at(
            float(rng.uniform(-0.5, 0.5)) * (room[0] - w - 0.3), 0, float(rng.uniform(-0.5, 0.5)) * (room[2] - d - 0.3)
        )
        plan.reserve(place, w + 0.9, d + 0.9)
        for name in ("shelf", "sofa", "wardrobe", "plant", "chair", "sideboard", "floor lamp"):
            if rng.random() < 0.35 and len(stage) < 70:
                plan.place(name)
    else:
        _garden(stage)
    if on_table:
        _board(place, (w, top, d))
    taken: list[tuple[float, float, float]] = []
    targets: list[Point] = []
    for _ in range(things * 3):
        x, z, radius = (
            float(rng.uniform(-0.46, 0.46)) * w,
            float(rng.uniform(-0.46, 0.46)) * d,
            float(rng.uniform(0.06, 0.13)),
        )
        if len(targets) >= things or len(stage) > 135:
            break
        if any(math.hypot(x - a, z - b) < radius + r for a, b, r in taken):
            continue
        here = place.at(x, top, z, yaw=float(rng.uniform(0, 2 * math.pi)))
        tall, wide = small_thing(here)
        taken.append((x, z, wide))
        targets.append((here.x, top + tall / 2, here.z))

    def eye(rng: np.random.Generator) -> tuple[Point, Point]:
        target = targets[int(rng.integers(len(targets)))] if targets else (place.x, top, place.z)
        distance = float(math.exp(rng.uniform(math.log(reach[0]), math.log(reach[1]))))
        angle, steep = float(rng.uniform(0, 2 * math.pi)), float(rng.beta(1.6, 2.2)) * 1.35 + 0.08
        flat = distance * math.cos(steep)
        x, z = target[0] + flat * math.sin(angle), target[2] + flat * math.cos(angle)
        if inside:
            x, z = (float(np.clip(v, -s / 2 + 0.25, s / 2 - 0.25)) for v, s in ((x, room[0]), (z, room[2])))
        return (x, target[1] + distance * math.sin(steep), z), target

    return eye


def _board(place: Spot, size: tuple[float, float, float]) -> None:
    """The table itself, with a cloth or a mat now and then."""
    rng, paint = place.rng, place.paint
    w, h, d = size
    place.box(paint.lacquer() if rng.random() < 0.8 else paint.stone(), (w, 0.04, d), (0, h - 0.04, 0))
    legs(place, paint.lacquer(), (w, h - 0.04, d), float(rng.uniform(0.03, 0.08)))
    if rng.random() < 0.25:
        place.patch(
            paint.cloth(), (w * float(rng.uniform(0.4, 1.0)), d * float(rng.uniform(0.4, 1.0))), (0, h + 0.003, 0)
        )


def _garden(stage: Stage) -> None:
    """A background outside."""
    rng, spot = stage.rng, stage.origin
    stage.builder.ground(material=stage.paint.ground())
    for _ in range(int(rng.integers(2, 7))):
        angle, distance = float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(3, 25))
        there = spot.at(distance * math.sin(angle), 0, distance * math.cos(angle), yaw=angle)
        kind = rng.random()
        if kind < 0.4:
            tree(there, parts=8)
        elif kind < 0.7:
            bush(there)
        elif kind < 0.85:
            hedge(there, float(rng.uniform(4, 12)))
        else:
            there.box(stage.paint.facade(3.0), (10, 6.5, 8), (0, 0, 12))
    illumination.daylight(stage)
