"""Where cameras are: in hands, on heads, robots, dashboards and ceilings."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from model.lab.scenes.stage import Point

Eye = Callable[[np.random.Generator], tuple[Point, Point]]
"""Proposes a camera's place and a point to look at, both ``(x, height, z)`` in metres, from random numbers."""


def eye_height(rng: np.random.Generator, *, ceiling: float = math.inf) -> float:
    """Height in metres of a camera that somebody or something carries."""
    kind = rng.random()
    if kind < 0.5:
        height = rng.normal(1.55, 0.12)  # held at the eyes
    elif kind < 0.7:
        height = rng.uniform(1.0, 1.5)  # sitting, a phone held low, a tripod
    elif kind < 0.85:
        height = rng.uniform(0.28, 0.8)  # robots, children, dogs
    else:
        height = rng.uniform(1.8, 3.2)  # masts, selfie sticks, cameras on the wall
    return float(min(max(height, 0.25), ceiling - 0.2))


def aim(position: Point, target: Point) -> tuple[float, float]:
    """Yaw and pitch (upwards) in radians that look from one point to another."""
    dx, dh, dz = (t - p for t, p in zip(target, position, strict=True))
    return math.atan2(dx, dz), math.atan2(dh, max(math.hypot(dx, dz), 1e-6))
