"""Trees, bushes, hedges and rocks."""

from __future__ import annotations

import math

from model.lab.scenes.stage import Spot


def tree(spot: Spot, *, height: float | None = None, parts: int = 12) -> None:
    """A broad-leaved tree, a conifer, a poplar or a bare one, 3 to 18 m high; ``parts`` bounds its primitives."""
    rng, paint = spot.rng, spot.paint
    tall = height or float(math.exp(rng.uniform(math.log(3), math.log(16))))
    trunk = max(0.06, tall * float(rng.uniform(0.02, 0.04)))
    bark, leaf = paint.bark(), paint.leaves()
    kind = rng.random()
    if kind < 0.2:  # a conifer: stacked cones
        count = min(parts - 1, int(rng.integers(2, 5)))
        wide = tall * float(rng.uniform(0.28, 0.5))
        spot.post(bark, (trunk, tall * 0.3, trunk))
        for k in range(count):
            base = tall * (0.1 + 0.8 * k / (count + 0.6))
            spread = wide * (1 - k / (count + 0.8))
            spot.post(leaf, (spread, tall * 0.95 / count + tall * 0.05, spread), (0, base, 0), taper=0.08)
        return
    if kind < 0.28:  # a poplar or cypress: one tall ellipsoid
        spot.post(bark, (trunk, tall * 0.3, trunk))
        wide = tall * float(rng.uniform(0.15, 0.28))
        spot.ball(leaf, (wide, tall * 0.9, wide), (0, tall * 0.1, 0))
        return
    fork = tall * float(rng.uniform(0.25, 0.45))
    lean = tall * float(rng.normal(0, 0.03))
    spot.limb(bark, trunk, (0, 0, 0), (lean, fork * 1.3, 0), taper=0.7)
    crown = tall * float(rng.uniform(0.4, 0.75))
    if kind < 0.38:  # bare branches
        for _ in range(parts - 1):
            turn, steep = float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(0.3, 1.2))
            start, long = fork * float(rng.uniform(0.7, 1.3)), tall * float(rng.uniform(0.25, 0.5))
            reach = long * math.cos(steep)
            spot.limb(
                bark,
                trunk * 0.5,
                (lean, start, 0),
                (lean + reach * math.sin(turn), start + long * math.sin(steep), reach * math.cos(turn)),
                taper=0.2,
            )
        return
    blobs = max(1, min(parts // 2, int(rng.integers(1, 6))))
    middle, high = (fork + tall) / 2, (tall - fork) * 1.15  # the crown, as one ellipsoid
    spot.limb(bark, trunk * 0.7, (lean, fork, 0), (lean, middle, 0), taper=0.5)
    for k in range(blobs):
        turn = 2 * math.pi * (k + float(rng.random())) / blobs
        size = 1.0 if blobs == 1 else float(rng.uniform(0.55, 0.8))
        out = 0.0 if blobs == 1 else crown * 0.5 * (1 - size) * float(rng.uniform(0.8, 1.3))
        rise = 0.0 if blobs == 1 else high * 0.5 * (1 - size) * float(rng.uniform(-1.0, 1.0))
        body = (crown * size, high * size, crown * size * float(rng.uniform(0.8, 1.0)))
        spot.ball(
            leaf, body, (lean + out * math.sin(turn), middle + rise - body[1] / 2, out * math.cos(turn)), yaw=turn
        )
    for _ in range(parts - blobs - 2):  # twigs of leaves break the outline
        turn, level = float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(-0.7, 0.8))
        out, size = crown * 0.43 * math.sqrt(1 - level**2), crown * float(rng.uniform(0.18, 0.4))
        at = (lean + out * math.sin(turn), middle + high * 0.43 * level - size / 2, out * math.cos(turn))
        spot.card(
            leaf,
            (size, size),
            at,
            outline=float(rng.choice([1.0, 1.4])),
            yaw=turn + float(rng.normal(0, 0.7)),
            pitch=float(rng.uniform(-1, 1)),
        )


def bush(spot: Spot) -> None:
    """One to three round bodies of leaves, 0.5 to 2 m."""
    rng, leaf = spot.rng, spot.paint.leaves()
    size = float(rng.uniform(0.5, 2.0))
    for k in range(int(rng.integers(1, 4))):
        spread = size * float(rng.uniform(0.7, 1.2))
        spot.ball(
            leaf,
            (spread, size * float(rng.uniform(0.7, 1.0)), spread),
            (k * size * 0.5, -size * 0.15, float(rng.normal(0, 0.2)) * size),
        )


def hedge(spot: Spot, length: float) -> None:
    """A clipped hedge along x, 0.8 to 2 m high."""
    spot.box(spot.paint.leaves(), (length, float(spot.rng.uniform(0.8, 2.0)), float(spot.rng.uniform(0.5, 1.0))))


def rock(spot: Spot) -> None:
    """A boulder of 0.2 to 3 m, half sunk into the ground."""
    rng, stone = spot.rng, spot.paint.stone()
    size = float(math.exp(rng.uniform(math.log(0.25), math.log(3))))
    flat, yaw, tilt = float(rng.uniform(0.5, 0.9)), float(rng.uniform(0, 6)), float(rng.normal(0, 0.3))
    spot.ball(stone, (size, size * flat, size * float(rng.uniform(0.6, 1.0))), (0, -size * 0.2, 0), yaw=yaw, pitch=tilt)
    if rng.random() < 0.4:
        spot.box(
            stone, (size * 0.6, size * 0.6, size * 0.5), (size * 0.2, -size * 0.15, 0), yaw=yaw, pitch=0.4, roll=0.3
        )


def fence(spot: Spot, length: float) -> None:
    """Posts and rails along x, 0.9 to 1.8 m high."""
    rng, material = spot.rng, spot.paint.lacquer()
    tall, bay = float(rng.uniform(0.9, 1.8)), float(rng.uniform(1.5, 3.0))
    count = max(2, min(14, round(length / bay) + 1))
    for k in range(count):
        spot.box(material, (0.09, tall, 0.09), (-length / 2 + length * k / (count - 1), 0, 0))
    for level in (0.3, 0.6, 0.9) if rng.random() < 0.7 else (0.85,):
        spot.box(material, (length, 0.1, 0.03), (0, tall * level - 0.05, -0.05))
