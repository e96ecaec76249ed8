"""Small things that stand or lie on tables, in their usual sizes. Each returns its height and radius in metres."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from model.lab.scenes.stage import Spot
from model.lab.scenes.things import furniture


def small_thing(spot: Spot) -> tuple[float, float]:
    """Something that stands or lies on tables, of its usual size. Returns its height and radius in metres."""
    return _THINGS[int(spot.rng.choice(len(_THINGS), p=_SHARES))][1](spot)


def _mug(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    wide, tall = float(rng.uniform(0.07, 0.1)), float(rng.uniform(0.08, 0.11))
    clay = paint.plastic()
    spot.post(clay, (wide, tall, wide), taper=float(rng.uniform(0.95, 1.15)))
    spot.patch(paint.dark(), (wide * 0.86, wide * 0.86), (0, tall + 0.001, 0), outline=2)
    for a, b in (
        ((wide / 2, 0.8), (wide / 2 + 0.03, 0.75)),
        ((wide / 2 + 0.03, 0.75), (wide / 2 + 0.03, 0.3)),
        ((wide / 2 + 0.03, 0.3), (wide / 2, 0.2)),
    ):
        spot.limb(clay, 0.012, (a[0], a[1] * tall, 0), (b[0], b[1] * tall, 0))
    return tall, wide


def _glass(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    wide, tall = float(rng.uniform(0.06, 0.08)), float(rng.uniform(0.09, 0.16))
    spot.post(paint.plain(paint.grey(0.5, 0.9), gloss=0.9), (wide * 0.8, tall, wide * 0.8), taper=1.2)
    return tall, wide


def _bottle(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    wide, tall = float(rng.uniform(0.06, 0.09)), float(rng.uniform(0.2, 0.33))
    glass = paint.plain(paint.any_color(0.6), gloss=0.8)
    spot.post(glass, (wide, tall * 0.6, wide))
    spot.post(glass, (wide, tall * 0.15, wide), (0, tall * 0.6, 0), taper=0.4)
    spot.post(glass, (wide * 0.4, tall * 0.25, wide * 0.4), (0, tall * 0.75, 0))
    spot.post(paint.print(), (wide * 1.01, tall * 0.3, wide * 1.01), (0, tall * 0.15, 0))
    return tall, wide


def _can(spot: Spot) -> tuple[float, float]:
    paint = spot.paint
    spot.post(paint.print(), (0.066, 0.115, 0.066))
    spot.post(paint.metal(), (0.064, 0.003, 0.064), (0, 0.115, 0), taper=0.85)
    return 0.12, 0.04


def _books(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    base = 0.0
    for _ in range(int(rng.integers(1, 5))):
        thick, w, d = (
            float(rng.uniform(0.008, 0.045)),
            float(rng.uniform(0.11, 0.22)),
            float(rng.uniform(0.18, 0.3)),
        )
        yaw = float(rng.normal(0, 0.2))
        spot.box(paint.print(), (w, thick, d), (0, base, 0), yaw=yaw)
        spot.box(
            paint.plain(paint.grey(0.7, 0.9)),
            (w * 0.99, thick * 0.8, d * 0.985),
            (w * 0.012, base + thick * 0.1, 0),
            yaw=yaw,
        )
        base += thick
    return base, 0.16


def _box(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    w, h, d = (float(math.exp(rng.uniform(math.log(0.03), math.log(0.3)))) for _ in range(3))
    spot.box(paint.print(), (w, h, d))
    return h, max(w, d) / 2


def _fruit(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    size = float(rng.choice([0.04, 0.07, 0.08, 0.09, 0.13]))
    spot.ball(paint.plain(paint.vivid(), gloss=0.3), (size, size * float(rng.uniform(0.85, 1.3)), size))
    if rng.random() < 0.6:
        spot.limb(paint.bark(), 0.005, (0, size * 0.9, 0), (0.004, size * 1.15, 0.003))
    return size, size / 2


def _bowl(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    wide, tall = float(rng.uniform(0.12, 0.26)), float(rng.uniform(0.05, 0.1))
    spot.post(paint.plastic(), (wide * 0.5, tall, wide * 0.5), taper=2.0)
    spot.patch(paint.plain(paint.any_color(0.5)), (wide * 0.93, wide * 0.93), (0, tall + 0.001, 0), outline=2)
    for k in range(int(rng.integers(0, 4))):
        size = wide * 0.32
        spot.ball(
            paint.plain(paint.vivid(), gloss=0.3),
            (size, size, size),
            (wide * 0.2 * math.sin(k * 2.1), tall - size * 0.3, wide * 0.2 * math.cos(k * 2.1)),
        )
    return tall, wide / 2


def _plate(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    wide = float(rng.uniform(0.16, 0.28))
    rim = paint.plain(paint.grey(0.7, 0.95) if rng.random() < 0.6 else paint.any_color(), gloss=0.5)
    spot.post(rim, (wide * 0.65, 0.02, wide * 0.65), taper=1.5)
    spot.patch(paint.plain(paint.any_color(0.3)), (wide * 0.6, wide * 0.6), (0, 0.0215, 0), outline=2)
    for side in (-1, 1):
        spot.box(paint.metal(), (0.018, 0.004, 0.19), (side * (wide / 2 + 0.03), 0, 0))
    return 0.03, wide / 2 + 0.05


def _keyboard(spot: Spot) -> tuple[float, float]:
    paint = spot.paint
    spot.box(paint.dark(), (0.44, 0.018, 0.14))
    spot.card(
        paint.make("tiles", [paint.grey(0.1, 0.9), paint.grey(0.02, 0.3)], 0.019, gap=0.12),
        (0.43, 0.13),
        (0, 0.0195 - 0.065, 0),
        pitch=math.pi / 2,
    )
    return 0.02, 0.22


def _laptop(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    spot.box(paint.metal(), (0.33, 0.016, 0.23))
    spot.card(
        paint.make("tiles", [paint.grey(0.05, 0.3), paint.grey(0.3, 0.6)], 0.018, gap=0.1),
        (0.28, 0.1),
        (0, 0.0175 - 0.05, 0.045),
        pitch=math.pi / 2,
    )
    lid = spot.at(0, 0.016, 0.12)
    tilt = float(rng.uniform(0.1, 0.5))
    lid.box(paint.dark(), (0.33, 0.22, 0.008), (0, 0.11 * math.cos(tilt) - 0.11, 0.11 * math.sin(tilt)), pitch=-tilt)
    lid.card(paint.print(), (0.31, 0.2), (0, 0.11 * math.cos(tilt) - 0.1, 0.11 * math.sin(tilt) - 0.006), pitch=-tilt)
    return 0.2, 0.2


def _monitor(spot: Spot) -> tuple[float, float]:
    furniture.screen(spot)
    return 0.4, 0.25


def _phone(spot: Spot) -> tuple[float, float]:
    paint = spot.paint
    spot.box(paint.dark(), (0.072, 0.009, 0.15))
    spot.patch(paint.print(), (0.068, 0.145), (0, 0.0095, 0))
    return 0.01, 0.08


def _pens(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    spot.post(paint.plastic(), (0.08, 0.1, 0.08))
    for _ in range(int(rng.integers(2, 5))):
        spot.limb(paint.plastic(), 0.009, (0, 0.05, 0), (float(rng.normal(0, 0.03)), 0.17, float(rng.normal(0, 0.03))))
    return 0.15, 0.05


def _paper(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    spot.patch(
        paint.make("marks", [paint.grey(0.85, 0.97), paint.grey(0.05, 0.3), paint.vivid()], 0.008),
        (0.21, 0.297),
        (0, 0.002, 0),
    )
    if rng.random() < 0.5:
        spot.limb(paint.plastic(), 0.009, (-0.05, 0.008, -0.05), (0.06, 0.008, 0.02))
    return 0.01, 0.17


def _lamp(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    metal, lean = paint.metal(), float(rng.uniform(0.05, 0.2))
    spot.post(metal, (0.16, 0.02, 0.16))
    spot.limb(metal, 0.015, (0, 0.02, 0), (lean, 0.25, 0))
    spot.limb(metal, 0.015, (lean, 0.25, 0), (-0.05, 0.42, 0))
    spot.post(paint.plastic(), (0.15, 0.1, 0.15), (-0.08, 0.36, 0), taper=0.4, roll=-0.5)
    return 0.4, 0.1


def _plant(spot: Spot) -> tuple[float, float]:
    rng = spot.rng
    furniture.plant(spot, (float(rng.uniform(0.15, 0.3)), float(rng.uniform(0.15, 0.45)), 0.2))
    return 0.3, 0.1


def _blocks(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    edge = float(rng.uniform(0.02, 0.06))
    for _ in range(int(rng.integers(3, 8))):
        x, z = float(rng.normal(0, 2 * edge)), float(rng.normal(0, 2 * edge))
        spot.box(paint.plain(paint.vivid()), (edge, edge, edge), (x, 0, z), yaw=float(rng.uniform(0, 6)))
    return edge, 4 * edge


def _candle(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    tall = float(rng.uniform(0.05, 0.25))
    spot.post(paint.plain(paint.any_color()), (0.025, tall, 0.025), (0, 0.02, 0))
    spot.post(paint.metal(), (0.1, 0.02, 0.1))
    spot.ball(paint.glow(4.0, (1, 0.6, 0.2)), (0.012, 0.03, 0.012), (0, tall + 0.02, 0))
    return tall, 0.05


def _figure(spot: Spot) -> tuple[float, float]:
    rng, paint = spot.rng, spot.paint
    material = paint.plastic()
    tall = float(rng.uniform(0.06, 0.2))
    spot.ball(material, (tall * 0.5, tall * 0.65, tall * 0.4))
    spot.ball(paint.plastic(), (tall * 0.4, tall * 0.4, tall * 0.4), (0, tall * 0.58, 0))
    for side in (-1, 1):
        spot.limb(
            material,
            tall * 0.12,
            (side * tall * 0.2, tall * 0.45, 0),
            (side * tall * 0.4, tall * 0.25, -tall * 0.1),
        )
    return tall, tall * 0.4


def _jug(spot: Spot) -> tuple[float, float]:
    paint = spot.paint
    jug = paint.plastic()
    spot.post(jug, (0.11, 0.12, 0.11), taper=1.15)
    spot.post(jug, (0.126, 0.1, 0.126), (0, 0.12, 0), taper=0.75)
    spot.limb(jug, 0.018, (0.06, 0.2, 0), (0.12, 0.16, 0))
    spot.limb(jug, 0.018, (0.12, 0.16, 0), (0.06, 0.06, 0))
    return 0.22, 0.1


_THINGS: tuple[tuple[float, Callable[[Spot], tuple[float, float]]], ...] = (
    (1.5, _mug),
    (1, _glass),
    (1.5, _bottle),
    (0.7, _can),
    (1.5, _books),
    (1.5, _box),
    (1.5, _fruit),
    (1, _bowl),
    (1, _plate),
    (0.7, _keyboard),
    (0.6, _laptop),
    (0.4, _monitor),
    (0.6, _phone),
    (0.6, _pens),
    (0.7, _paper),
    (0.5, _lamp),
    (0.8, _plant),
    (0.6, _blocks),
    (0.4, _candle),
    (0.6, _figure),
    (0.5, _jug),
)
_SHARES = np.array([share for share, _ in _THINGS])
_SHARES = _SHARES / _SHARES.sum()
