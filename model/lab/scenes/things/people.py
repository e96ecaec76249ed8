"""People and animals, from ellipsoids and frusta, with the proportions of a grown body.

Segment lengths are fractions of the body height after Drillis and Contini (1966), rounded.
"""

from __future__ import annotations

import math

import numpy as np

from model.lab.scenes.stage import Spot

MIN_HEIGHT_M, MAX_HEIGHT_M = 1.5, 1.95


def body_height(rng: np.random.Generator) -> float:
    """Height of a grown person in metres, within ``MIN_HEIGHT_M`` … ``MAX_HEIGHT_M``."""
    return float(np.clip(rng.normal(1.70, 0.09), MIN_HEIGHT_M, MAX_HEIGHT_M))


def person(spot: Spot, *, height: float | None = None, detail: bool = True, seat: float | None = None) -> None:
    """Somebody who stands or walks towards −z, or sits on a seat ``seat`` metres high.

    16 primitives with ``detail``, 8 without, for those far away.
    """
    rng, paint = spot.rng, spot.paint
    tall = height or body_height(rng)
    wide = tall * float(rng.uniform(0.21, 0.28))  # shoulders
    deep = wide * float(rng.uniform(0.48, 0.75))
    top, trousers, shoes, skin = paint.cloth(), paint.cloth(), paint.dark(), paint.skin()
    sleeves = top if rng.random() < 0.7 else skin
    stride = 0.0 if rng.random() < 0.4 else float(rng.uniform(0.1, 0.45))  # radians
    sitting = seat is not None
    hip = seat + 0.09 if seat is not None else 0.52 * tall
    shoulder = hip + 0.29 * tall
    lean = float(rng.normal(0, 0.03)) * tall
    spot.post(
        top, (wide * 0.78, 0.31 * tall, deep), (0, hip - 0.02 * tall, lean / 2), taper=float(rng.uniform(1.0, 1.2))
    )
    spot.ball(skin, (0.085 * tall, 0.13 * tall, 0.105 * tall), (lean, shoulder + 0.06 * tall, lean - 0.01))
    spot.ball(paint.hair(), (0.098 * tall, 0.1 * tall, 0.115 * tall), (lean, shoulder + 0.095 * tall, lean + 0.012))
    if detail:
        spot.ball(top, (wide, 0.1 * tall, deep * 0.95), (0, shoulder - 0.07 * tall, lean / 2))
        spot.post(skin, (0.06 * tall, 0.07 * tall, 0.06 * tall), (lean, shoulder, lean))
        spot.ball(trousers, (wide * 0.82, 0.15 * tall, deep * 1.05), (0, hip - 0.09 * tall, 0))
    skirt = not sitting and rng.random() < 0.15
    if skirt:
        spot.post(trousers, (wide * 1.25, 0.32 * tall, wide), (0, hip - 0.3 * tall, 0), taper=0.62)
    for side in (-1, 1):
        swing = side * stride
        x = side * 0.055 * tall
        if sitting:
            knee, foot = (x * 1.3, hip - 0.02, -0.25 * tall), (x * 1.3, 0.04 * tall, -0.24 * tall - 0.05)
        else:
            knee = (x, hip - 0.245 * tall * math.cos(swing), -0.245 * tall * math.sin(swing))
            back = swing * 0.3 - abs(swing) * 0.5  # the lower leg trails
            foot = (
                x,
                max(knee[1] - 0.246 * tall * math.cos(back), 0.03 * tall),
                knee[2] - 0.246 * tall * math.sin(back),
            )
        if detail:
            spot.limb(trousers, 0.095 * tall, (x, hip - 0.02, 0), knee, taper=0.75)
            spot.limb(skin if skirt else trousers, 0.07 * tall, knee, foot, taper=0.6)
            spot.box(
                shoes,
                (0.055 * tall, 0.045 * tall, 0.15 * tall),
                (foot[0], max(foot[1] - 0.035 * tall, 0), foot[2] - 0.03 * tall),
            )
        else:
            spot.limb(trousers, 0.095 * tall, (x, hip - 0.02, 0), foot, taper=0.55)
        hang = -swing * 0.8 + float(rng.uniform(-0.1, 0.1))
        bend = float(rng.choice([0.1, 0.3, 1.3], p=[0.5, 0.35, 0.15]))
        joint = (side * (wide / 2 + 0.01), shoulder - 0.03 * tall, lean / 2)
        elbow = (
            joint[0] + side * 0.02 * tall,
            joint[1] - 0.175 * tall * math.cos(hang),
            joint[2] - 0.175 * tall * math.sin(hang),
        )
        hand = (
            elbow[0],
            elbow[1] - 0.18 * tall * math.cos(hang + bend),
            elbow[2] - 0.18 * tall * math.sin(hang + bend),
        )
        if detail:
            spot.limb(top, 0.058 * tall, joint, elbow, taper=0.75)
            spot.limb(sleeves, 0.045 * tall, elbow, hand, taper=0.65)
        else:
            spot.limb(top, 0.055 * tall, joint, (elbow[0], elbow[1] * 2 - joint[1], elbow[2]), taper=0.6)
    if detail and rng.random() < 0.2:
        _bag(spot, tall, wide, deep, hip)


def _bag(spot: Spot, tall: float, wide: float, deep: float, hip: float) -> None:
    """A rucksack on the back or a bag at the hand."""
    bag = spot.paint.cloth()
    if spot.rng.random() < 0.5:
        spot.box(bag, (wide * 0.7, 0.26 * tall, 0.16), (0, hip + 0.03, deep / 2 + 0.06))
    else:
        spot.box(bag, (0.1, 0.3, 0.35), (wide / 2 + 0.08, hip - 0.32 * tall, 0))


def animal(spot: Spot) -> None:
    """A dog, a sheep or a cow, facing −z."""
    rng, paint = spot.rng, spot.paint
    back = float(rng.choice([0.45, 0.6, 0.8, 1.4], p=[0.4, 0.3, 0.2, 0.1]))  # height of the back, metres
    length, deep = back * float(rng.uniform(1.15, 1.4)), back * 0.5
    fur = paint.make("noise", [paint.earth(0.1, 0.8), paint.grey(0.1, 0.9)], back * 0.15)
    spot.ball(fur, (back * 0.42, deep, length), (0, back - deep, 0))
    spot.ball(fur, (back * 0.26, back * 0.28, back * 0.45), (0, back * 0.95, -length / 2 - back * 0.1), pitch=0.2)
    spot.limb(fur, back * 0.22, (0, back * 0.8, -length * 0.35), (0, back * 1.1, -length / 2 - back * 0.05))
    spot.limb(
        fur, back * 0.07, (0, back * 0.85, length * 0.45), (0, back * 0.8, length * 0.45 + back * 0.35), taper=0.5
    )
    for x in (-1, 1):
        for z in (-1, 1):
            spot.limb(
                fur,
                back * 0.12,
                (x * back * 0.14, back * 0.65, z * length * 0.33),
                (x * back * 0.14, 0, z * length * 0.33),
                taper=0.7,
            )
