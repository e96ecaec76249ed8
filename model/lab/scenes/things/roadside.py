"""Street furniture in its real sizes: lamps, signs, traffic lights, benches."""

from __future__ import annotations

import math

from model.lab.scenes.stage import Spot


def street_lamp(spot: Spot, tall: float, steel: int) -> None:
    """A mast with an arm towards +z and a lamp at its end."""
    spot.limb(steel, 0.16, (0, 0, 0), (0, tall, 0), taper=0.55)
    spot.limb(steel, 0.08, (0, tall - 0.05, 0), (0, tall + 0.1, 1.3))
    spot.box(spot.paint.glow(float(spot.rng.choice([0.6, 4.0]))), (0.22, 0.1, 0.6), (0, tall + 0.03, 1.5))


def sign(spot: Spot) -> None:
    """A traffic sign, 60 to 75 cm, at 2.0 to 2.5 m on a 6 cm post."""
    rng, paint = spot.rng, spot.paint
    tall, size = float(rng.uniform(2.0, 2.5)), float(rng.uniform(0.6, 0.75))
    spot.post(paint.metal(), (0.06, tall + size, 0.06))
    face = paint.make(
        "dots" if rng.random() < 0.4 else "marks",
        [paint.vivid(), paint.grey(0.8, 0.95), paint.vivid()],
        size * 0.5,
        jitter=0.0,
    )
    outline = float(rng.choice([2.0, 1.0, math.inf]))
    spot.card(face, (size, size), (0, tall, -0.045), outline=outline, yaw=float(rng.normal(0, 0.2)))


def traffic_light(spot: Spot) -> None:
    """A post of 3.3 m with three lights of 20 cm."""
    paint = spot.paint
    spot.post(paint.metal(), (0.12, 3.3, 0.12))
    spot.box(paint.dark(), (0.3, 0.95, 0.2), (0, 2.3, -0.12))
    on = int(spot.rng.integers(3))
    for k, color in enumerate(((0.1, 1.0, 0.4), (1.0, 0.6, 0.05), (1.0, 0.05, 0.03))):
        spot.ball(
            paint.glow(3.0 if k == on else 0.0, color if k == on else (0.05, 0.05, 0.05)),
            (0.2, 0.2, 0.08),
            (0, 2.37 + 0.3 * k, -0.22),
        )


def bench(spot: Spot) -> None:
    """A bench 1.6 m long with a back, its back towards +z."""
    wood, iron = spot.paint.lacquer(), spot.paint.metal()
    for z in (-0.2, -0.03, 0.14):
        spot.box(wood, (1.6, 0.035, 0.13), (0, 0.43, z))
    for h in (0.6, 0.76):
        spot.box(wood, (1.6, 0.12, 0.03), (0, h, 0.24 + (h - 0.6) * 0.25), pitch=-0.2)
    for x in (-0.65, 0.65):
        spot.limb(iron, 0.05, (x, 0, -0.18), (x, 0.43, -0.18), box=True)
        spot.limb(iron, 0.05, (x, 0, 0.2), (x, 0.88, 0.28), box=True)
