"""Houses along a street: fronts with doors, shops, balconies, and pitched roofs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from model.lab.scenes.stage import Spot


@dataclass(frozen=True)
class House:
    """A house whose front is its spot's x-height plane: how wide and tall it is, how high its storeys are."""

    spot: Spot
    wide: float
    tall: float
    storey: float


def roof(house: Spot, wide: float, tall: float, deep: float) -> None:
    """A pitched roof on a house ``deep`` metres deep from the spot on: two slanted slabs and the gables under them."""
    rng, paint = house.rng, house.paint
    tiles = paint.surface("bricks", [paint.earth(0.2, 0.5), paint.grey(0.1, 0.3)], 0.3)
    rise = deep / 2 * float(rng.uniform(0.5, 1.0))
    slope = math.hypot(deep / 2, rise) + 0.4
    angle = math.atan2(rise, deep / 2)
    for k, pitch in ((0.25, angle), (0.75, -angle)):
        house.box(tiles, (wide + 0.3, 0.2, slope), (0, tall + rise / 2 - 0.1, deep * k), pitch=pitch)
    gable = paint.wall()
    for side in (-1, 1):  # the lower half of the diamond is inside the house
        house.card(
            gable, (deep, 2 * rise), (side * (wide / 2 - 0.02), tall - rise, deep / 2), outline=1.0, yaw=math.pi / 2
        )


def front(home: House) -> None:
    """Door, shop windows, awning, balconies, drainpipe, sign."""
    house, wide, tall, storey = home.spot, home.wide, home.tall, home.storey
    rng, paint = house.rng, house.paint
    x = float(rng.uniform(-0.35, 0.35)) * wide
    house.box(paint.lacquer(), (float(rng.uniform(0.9, 1.2)), float(rng.uniform(2.0, 2.3)), 0.08), (x, 0.1, 0))
    house.box(paint.concrete(), (1.5, 0.12, 0.5), (x, 0, -0.25))
    if rng.random() < 0.35:
        glass = paint.make("panes", [paint.grey(0.1, 0.5), paint.grey(0.05, 0.3), paint.any_color(0.5)], 1.6, gloss=0.6)
        left = 0.2 * wide if x < 0 else -0.2 * wide
        house.box(glass, (wide * 0.45, 2.2, 0.06), (left, 0.45, 0))
        house.box(paint.print(), (wide * 0.45, 0.6, 0.12), (left, 2.75, 0))
        if rng.random() < 0.5:
            house.box(paint.cloth(), (wide * 0.4, 0.05, 1.3), (left, 2.5, -0.6), pitch=0.3)
    if rng.random() < 0.3 and tall > 2 * storey:
        for k in range(1, min(4, int(tall / storey))):
            house.box(paint.concrete(), (2.6, 0.15, 1.1), (-x * 0.7, k * storey, -0.55))
            house.box(paint.metal(), (2.6, 0.9, 0.04), (-x * 0.7, k * storey + 0.15, -1.08))
    if rng.random() < 0.3:
        house.limb(paint.metal(), 0.1, (wide / 2 - 0.3, 0, -0.07), (wide / 2 - 0.3, tall, -0.07))
