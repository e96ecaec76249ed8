"""Table tops and close-ups: small things of everyday size, seen from 0.3 to 1.2 m."""

from __future__ import annotations

import math

import numpy as np

from model.scenes import furniture, illumination
from model.scenes.furniture import legs, screen
from model.scenes.rooms import Plan, enclose
from model.scenes.stage import Point, Spot, Stage
from model.scenes.trees import bush, hedge, tree
from model.scenes.views import Eye


def table_top(stage: Stage) -> Eye:
    """A laid, a working or a cluttered table in a room or outside."""
    return _scene(stage, things=int(stage.rng.integers(5, 18)), reach=(0.45, 1.3))


def close_up(stage: Stage) -> Eye:
    """One to four things near the camera, on a table, a floor or the ground."""
    return _scene(stage, things=int(stage.rng.integers(1, 5)), reach=(0.22, 0.7))


def _scene(stage: Stage, *, things: int, reach: tuple[float, float]) -> Eye:
    rng, paint, spot = stage.rng, stage.paint, stage.origin
    on_table = rng.random() < 0.85
    w, d = (float(rng.uniform(0.8, 1.8)), float(rng.uniform(0.6, 1.0))) if on_table else (1.2, 1.2)
    top = float(rng.choice([rng.uniform(0.7, 0.78), rng.uniform(0.85, 0.95), rng.uniform(0.38, 0.5)], p=[0.75, 0.15, 0.1])) if on_table else 0.0
    inside = rng.random() < 0.85
    place = spot.at(0, 0, 0)
    room = (float(rng.uniform(2.8, 6)), float(rng.uniform(2.4, 3)), float(rng.uniform(2.8, 6)))
    if inside:
        plan = Plan(stage, room)
        enclose(stage, room, plan)
        # the table stands anywhere in the room that leaves space for who looks at it
        place = spot.at(float(rng.uniform(-0.5, 0.5)) * (room[0] - w - 0.3), 0, float(rng.uniform(-0.5, 0.5)) * (room[2] - d - 0.3))
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
        x, z, radius = float(rng.uniform(-0.46, 0.46)) * w, float(rng.uniform(-0.46, 0.46)) * d, float(rng.uniform(0.06, 0.13))
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
        place.patch(paint.cloth(), (w * float(rng.uniform(0.4, 1.0)), d * float(rng.uniform(0.4, 1.0))), (0, h + 0.003, 0))


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


def small_thing(spot: Spot) -> tuple[float, float]:
    """Something that stands or lies on tables, of its usual size. Returns its height and radius in metres."""
    rng, paint = spot.rng, spot.paint
    name = THINGS[int(rng.choice(len(THINGS), p=_SHARES))]
    if name == "mug":
        wide, tall = float(rng.uniform(0.07, 0.1)), float(rng.uniform(0.08, 0.11))
        clay = paint.plastic()
        spot.post(clay, (wide, tall, wide), taper=float(rng.uniform(0.95, 1.15)))
        spot.patch(paint.dark(), (wide * 0.86, wide * 0.86), (0, tall + 0.001, 0), outline=2)
        for a, b in (((wide / 2, 0.8), (wide / 2 + 0.03, 0.75)), ((wide / 2 + 0.03, 0.75), (wide / 2 + 0.03, 0.3)), ((wide / 2 + 0.03, 0.3), (wide / 2, 0.2))):
            spot.limb(clay, 0.012, (a[0], a[1] * tall, 0), (b[0], b[1] * tall, 0))
        return tall, wide
    if name == "glass":
        wide, tall = float(rng.uniform(0.06, 0.08)), float(rng.uniform(0.09, 0.16))
        spot.post(paint.plain(paint.grey(0.5, 0.9), gloss=0.9), (wide * 0.8, tall, wide * 0.8), taper=1.2)
        return tall, wide
    if name == "bottle":
        wide, tall = float(rng.uniform(0.06, 0.09)), float(rng.uniform(0.2, 0.33))
        glass = paint.plain(paint.any_color(0.6), gloss=0.8)
        spot.post(glass, (wide, tall * 0.6, wide))
        spot.post(glass, (wide, tall * 0.15, wide), (0, tall * 0.6, 0), taper=0.4)
        spot.post(glass, (wide * 0.4, tall * 0.25, wide * 0.4), (0, tall * 0.75, 0))
        spot.post(paint.print(), (wide * 1.01, tall * 0.3, wide * 1.01), (0, tall * 0.15, 0))
        return tall, wide
    if name == "can":
        spot.post(paint.print(), (0.066, 0.115, 0.066))
        spot.post(paint.metal(), (0.064, 0.003, 0.064), (0, 0.115, 0), taper=0.85)
        return 0.12, 0.04
    if name == "books":
        base = 0.0
        for _ in range(int(rng.integers(1, 5))):
            thick, w, d = float(rng.uniform(0.008, 0.045)), float(rng.uniform(0.11, 0.22)), float(rng.uniform(0.18, 0.3))
            yaw = float(rng.normal(0, 0.2))
            spot.box(paint.print(), (w, thick, d), (0, base, 0), yaw=yaw)
            spot.box(paint.plain(paint.grey(0.7, 0.9)), (w * 0.99, thick * 0.8, d * 0.985), (w * 0.012, base + thick * 0.1, 0), yaw=yaw)
            base += thick
        return base, 0.16
    if name == "box":
        w, h, d = (float(math.exp(rng.uniform(math.log(0.03), math.log(0.3)))) for _ in range(3))
        spot.box(paint.print(), (w, h, d))
        return h, max(w, d) / 2
    if name == "fruit":
        size = float(rng.choice([0.04, 0.07, 0.08, 0.09, 0.13]))
        spot.ball(paint.plain(paint.vivid(), gloss=0.3), (size, size * float(rng.uniform(0.85, 1.3)), size))
        if rng.random() < 0.6:
            spot.limb(paint.bark(), 0.005, (0, size * 0.9, 0), (0.004, size * 1.15, 0.003))
        return size, size / 2
    if name == "bowl":
        wide, tall = float(rng.uniform(0.12, 0.26)), float(rng.uniform(0.05, 0.1))
        spot.post(paint.plastic(), (wide * 0.5, tall, wide * 0.5), taper=2.0)
        spot.patch(paint.plain(paint.any_color(0.5)), (wide * 0.93, wide * 0.93), (0, tall + 0.001, 0), outline=2)
        for k in range(int(rng.integers(0, 4))):
            size = wide * 0.32
            spot.ball(paint.plain(paint.vivid(), gloss=0.3), (size, size, size), (wide * 0.2 * math.sin(k * 2.1), tall - size * 0.3, wide * 0.2 * math.cos(k * 2.1)))
        return tall, wide / 2
    if name == "plate":
        wide = float(rng.uniform(0.16, 0.28))
        rim = paint.plain(paint.grey(0.7, 0.95) if rng.random() < 0.6 else paint.any_color(), gloss=0.5)
        spot.post(rim, (wide * 0.65, 0.02, wide * 0.65), taper=1.5)
        spot.patch(paint.plain(paint.any_color(0.3)), (wide * 0.6, wide * 0.6), (0, 0.0215, 0), outline=2)
        for side in (-1, 1):
            spot.box(paint.metal(), (0.018, 0.004, 0.19), (side * (wide / 2 + 0.03), 0, 0))
        return 0.03, wide / 2 + 0.05
    if name == "keyboard":
        spot.box(paint.dark(), (0.44, 0.018, 0.14))
        spot.card(paint.make("tiles", [paint.grey(0.1, 0.9), paint.grey(0.02, 0.3)], 0.019, gap=0.12), (0.43, 0.13), (0, 0.0195 - 0.065, 0), pitch=math.pi / 2)
        return 0.02, 0.22
    if name == "laptop":
        spot.box(paint.metal(), (0.33, 0.016, 0.23))
        spot.card(paint.make("tiles", [paint.grey(0.05, 0.3), paint.grey(0.3, 0.6)], 0.018, gap=0.1), (0.28, 0.1), (0, 0.0175 - 0.05, 0.045), pitch=math.pi / 2)
        lid = spot.at(0, 0.016, 0.12)
        tilt = float(rng.uniform(0.1, 0.5))
        lid.box(paint.dark(), (0.33, 0.22, 0.008), (0, 0.11 * math.cos(tilt) - 0.11, 0.11 * math.sin(tilt)), pitch=-tilt)
        lid.card(paint.print(), (0.31, 0.2), (0, 0.11 * math.cos(tilt) - 0.1, 0.11 * math.sin(tilt) - 0.006), pitch=-tilt)
        return 0.2, 0.2
    if name == "monitor":
        screen(spot)
        return 0.4, 0.25
    if name == "phone":
        spot.box(paint.dark(), (0.072, 0.009, 0.15))
        spot.patch(paint.print(), (0.068, 0.145), (0, 0.0095, 0))
        return 0.01, 0.08
    if name == "pens":
        spot.post(paint.plastic(), (0.08, 0.1, 0.08))
        for _ in range(int(rng.integers(2, 5))):
            spot.limb(paint.plastic(), 0.009, (0, 0.05, 0), (float(rng.normal(0, 0.03)), 0.17, float(rng.normal(0, 0.03))))
        return 0.15, 0.05
    if name == "paper":
        spot.patch(paint.make("marks", [paint.grey(0.85, 0.97), paint.grey(0.05, 0.3), paint.vivid()], 0.008), (0.21, 0.297), (0, 0.002, 0))
        if rng.random() < 0.5:
            spot.limb(paint.plastic(), 0.009, (-0.05, 0.008, -0.05), (0.06, 0.008, 0.02))
        return 0.01, 0.17
    if name == "lamp":
        metal, lean = paint.metal(), float(rng.uniform(0.05, 0.2))
        spot.post(metal, (0.16, 0.02, 0.16))
        spot.limb(metal, 0.015, (0, 0.02, 0), (lean, 0.25, 0))
        spot.limb(metal, 0.015, (lean, 0.25, 0), (-0.05, 0.42, 0))
        spot.post(paint.plastic(), (0.15, 0.1, 0.15), (-0.08, 0.36, 0), taper=0.4, roll=-0.5)
        return 0.4, 0.1
    if name == "plant":
        furniture.plant(spot, (float(rng.uniform(0.15, 0.3)), float(rng.uniform(0.15, 0.45)), 0.2))
        return 0.3, 0.1
    if name == "blocks":
        edge = float(rng.uniform(0.02, 0.06))
        for _ in range(int(rng.integers(3, 8))):
            x, z = float(rng.normal(0, 2 * edge)), float(rng.normal(0, 2 * edge))
            spot.box(paint.plain(paint.vivid()), (edge, edge, edge), (x, 0, z), yaw=float(rng.uniform(0, 6)))
        return edge, 4 * edge
    if name == "candle":
        tall = float(rng.uniform(0.05, 0.25))
        spot.post(paint.plain(paint.any_color()), (0.025, tall, 0.025), (0, 0.02, 0))
        spot.post(paint.metal(), (0.1, 0.02, 0.1))
        spot.ball(paint.glow(4.0, (1, 0.6, 0.2)), (0.012, 0.03, 0.012), (0, tall + 0.02, 0))
        return tall, 0.05
    if name == "figure":
        material = paint.plastic()
        tall = float(rng.uniform(0.06, 0.2))
        spot.ball(material, (tall * 0.5, tall * 0.65, tall * 0.4))
        spot.ball(paint.plastic(), (tall * 0.4, tall * 0.4, tall * 0.4), (0, tall * 0.58, 0))
        for side in (-1, 1):
            spot.limb(material, tall * 0.12, (side * tall * 0.2, tall * 0.45, 0), (side * tall * 0.4, tall * 0.25, -tall * 0.1))
        return tall, tall * 0.4
    jug = paint.plastic()
    spot.post(jug, (0.11, 0.12, 0.11), taper=1.15)
    spot.post(jug, (0.126, 0.1, 0.126), (0, 0.12, 0), taper=0.75)
    spot.limb(jug, 0.018, (0.06, 0.2, 0), (0.12, 0.16, 0))
    spot.limb(jug, 0.018, (0.12, 0.16, 0), (0.06, 0.06, 0))
    return 0.22, 0.1


THINGS = ("mug", "glass", "bottle", "can", "books", "box", "fruit", "bowl", "plate", "keyboard", "laptop", "monitor", "phone", "pens", "paper", "lamp", "plant", "blocks", "candle", "figure", "jug")  # fmt: skip
_SHARES = np.array([1.5, 1, 1.5, 0.7, 1.5, 1.5, 1.5, 1, 1, 0.7, 0.6, 0.4, 0.6, 0.6, 0.7, 0.5, 0.8, 0.6, 0.4, 0.6, 0.5])
_SHARES = _SHARES / _SHARES.sum()
