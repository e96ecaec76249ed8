"""Heaps of plain bodies at any scale, in a room or on open ground: shape and size without a story."""

from __future__ import annotations

import math

import numpy as np

from model.lab.scenes import illumination
from model.lab.scenes.places.plan import Plan
from model.lab.scenes.places.rooms import enclose
from model.lab.scenes.places.views import Eye, eye_height
from model.lab.scenes.stage import Point, Spot, Stage


def clutter(stage: Stage) -> Eye:
    """Boxes, cylinders, spheres, cones, poles and leaves, standing, lying and hanging."""
    rng, spot = stage.rng, stage.origin
    inside = rng.random() < 0.55
    size = (float(rng.uniform(3, 12)), float(rng.uniform(2.4, 5)), float(rng.uniform(3, 14)))
    if inside:
        enclose(stage, size, Plan(stage, size))
    else:
        stage.builder.ground(material=stage.paint.ground())
        illumination.daylight(stage)
    count = int(rng.integers(10, 70))
    low, high = sorted(math.exp(v) for v in rng.uniform(math.log(0.08), math.log(1.2 if inside else 4.0), 2))
    floating = float(rng.choice([0.0, 0.15, 0.5], p=[0.6, 0.25, 0.15]))
    shared = [stage.paint.anything(0.2) for _ in range(4)]
    for _ in range(count):
        scale = float(math.exp(rng.uniform(math.log(low), math.log(high * 1.3))))
        if inside:
            x, z = (float(rng.uniform(-0.5, 0.5)) * (s - scale) for s in (size[0], size[2]))
        else:
            distance, angle = float(math.exp(rng.uniform(math.log(1.2), math.log(45)))), float(rng.normal(0, 0.9))
            x, z = distance * math.sin(angle), distance * math.cos(angle)
            scale *= 1 + distance / 20
        height = 0.0
        if rng.random() < floating:
            height = float(rng.uniform(0, max(0.1, (size[1] - scale) * 0.8) if inside else 4))
        material = (
            shared[rng.integers(4)]
            if rng.random() < 0.2
            else stage.paint.anything(scale * 0.3)
            if rng.random() < 0.4
            else stage.paint.lacquer()
        )
        body(
            spot.at(x, height, z, yaw=float(rng.uniform(0, 2 * math.pi))),
            scale,
            material,
            ceiling=size[1] if inside else 8.0,
        )
        stage.interests.append((x, height + scale / 2, z))

    def eye(rng: np.random.Generator) -> tuple[Point, Point]:
        height = eye_height(rng, ceiling=size[1] if inside else math.inf)
        if inside:
            x, z = (float(rng.uniform(-0.5, 0.5)) * (s - 0.6) for s in (size[0], size[2]))
        else:
            x, z = float(rng.normal(0, 2)), float(rng.normal(-1.5, 1.5))
        return (x, height, z), stage.interests[int(rng.integers(len(stage.interests)))]

    return eye


def body(spot: Spot, scale: float, material: int, *, ceiling: float) -> None:
    """One body of about ``scale`` metres."""
    rng = spot.rng
    w, h, d = (scale * float(math.exp(rng.normal(0, 0.4))) for _ in range(3))
    h = min(h, max(0.03, ceiling * 0.9 - spot.height))
    tilted = rng.random() < 0.25
    pitch, roll = (float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1))) if tilted else (0.0, 0.0)
    lift = scale * 0.2 if tilted else 0.0
    kind = rng.random()
    if kind < 0.32:
        spot.box(material, (w, h, d), (0, lift, 0), pitch=pitch, roll=roll)
    elif kind < 0.48:
        spot.post(
            material,
            (w, h, w),
            (0, lift, 0),
            taper=float(rng.choice([1.0, rng.uniform(0.3, 1.5)])),
            pitch=pitch,
            roll=roll,
        )
    elif kind < 0.64:
        spot.ball(
            material, (w, h, d) if rng.random() < 0.5 else (scale, min(scale, h * 2), scale), pitch=pitch, roll=roll
        )
    elif kind < 0.72:
        spot.post(material, (w, h, w), (0, lift, 0), taper=0.0, pitch=pitch, roll=roll)
    elif kind < 0.86:
        thick = float(rng.uniform(0.008, 0.06))
        end = (
            float(rng.normal(0, scale * 0.6)),
            min(scale * float(rng.uniform(0.8, 3)), max(ceiling * 0.95 - spot.height, 0.1)),
            float(rng.normal(0, scale * 0.6)),
        )
        spot.limb(material, thick, (0, 0, 0), end, box=bool(rng.random() < 0.3))
    else:
        for _ in range(int(rng.integers(1, 5))):
            spot.card(
                material,
                (w, h),
                (float(rng.normal(0, scale * 0.3)), lift + scale * 0.1, float(rng.normal(0, scale * 0.3))),
                outline=float(rng.choice([1.0, 1.4, 2.0, math.inf])),
                yaw=float(rng.uniform(0, 6)),
                pitch=float(rng.uniform(-1.3, 1.3)),
            )
