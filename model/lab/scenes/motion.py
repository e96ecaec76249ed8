"""How a camera moves through a scene: walking, circling, held in a hand, zooming."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from model.lab.scenes.generate import Setting
from model.lab.scenes.renderer.camera import Camera, rotation
from model.lab.scenes.renderer.render import depth

CLEAR_M = 0.3
"""A moving camera keeps this far from everything."""

Pose = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
Way = Callable[[float, float], Pose]
"""Position ``[3]`` and rotation ``[3, 3]`` after some seconds of a take of so many."""


def fly(
    place: Setting, start: Camera, rng: np.random.Generator, motion: str, frames: int, frame_rate: float, zoom: float
) -> tuple[Camera, ...]:
    """A camera per frame, from ``start`` on; over the middle third the focal length changes by the factor ``zoom``."""
    seconds = np.arange(frames) / frame_rate
    total = max(float(seconds[-1]), 1 / frame_rate)
    if motion == "orbit":
        way = _orbit(place, start, rng)
    elif motion == "walk":
        way = _walk(place, start, rng, total)
    else:
        way = _stand(start)
    reach = _free(place, way, total)
    phases = rng.uniform(0, 2 * math.pi, 6)
    cameras = []
    for k, t in enumerate(seconds):
        position, turn = way(float(t) * reach, total)
        s = _sway(float(t), phases)
        grow = zoom ** _smoothstep((k / max(frames - 1, 1) - 0.35) / 0.35)
        cameras.append(
            Camera(
                position=position + turn @ (np.array([0.012, 0.01, 0.004]) * s[:3]),
                rotation=turn @ rotation(0.008 * s[3], 0.007 * s[4], 0.006 * s[5]),
                f_px=start.f_px * grow,
                width=start.width,
                height=start.height,
            )
        )
    return tuple(cameras)


def _stand(start: Camera) -> Way:
    """Where it starts."""
    origin, turn = np.asarray(start.position), np.asarray(start.rotation)
    return lambda _t, _total: (origin, turn)


def _walk(place: Setting, start: Camera, rng: np.random.Generator, total: float) -> Way:
    """Level, at up to walking speed, while the view swings to one side and back: ahead, or where there is more room."""
    origin, turn = np.asarray(start.position), np.asarray(start.rotation)
    ahead = math.atan2(turn[0, 2], turn[2, 2])
    seen = float(np.median(depth(place.scene, start.scaled(8, 8)).numpy()))
    speed = min(float(rng.uniform(0.5, 1.4)), 0.5 * seen / total)  # what is looked at stays in front of the camera
    swing = float(rng.normal(0, 0.12))
    step = float(rng.uniform(1.6, 2.0))

    def towards(heading: float) -> Way:
        course = np.array([math.sin(ahead + heading), 0.0, math.cos(ahead + heading)])

        def way(t: float, total: float) -> Pose:
            bob = np.array([0.0, 0.015 * math.sin(2 * math.pi * step * t), 0.0])
            return origin + speed * t * course + bob, rotation(swing * math.sin(math.pi * t / total)) @ turn

        return way

    ways = [towards(heading) for heading in (0.0, 0.6, -0.6, 1.2, -1.2, math.pi, 2.2, -2.2)]
    free = [_free(place, way, total) for way in ways]
    return next((way for way, share in zip(ways, free, strict=True) if share >= 0.6), ways[int(np.argmax(free))])


def _orbit(place: Setting, start: Camera, rng: np.random.Generator) -> Way:
    """Around the point in the middle of the first picture, which stays there."""
    origin, turn = np.asarray(start.position), np.asarray(start.rotation)
    z = float(np.median(depth(place.scene, start.scaled(8, 8)).numpy()[3:5, 3:5]))
    middle = origin + turn[:, 2] * min(z, 8.0)
    angle = float(rng.choice([-1, 1]) * rng.uniform(0.25, 0.8))

    def way(t: float, total: float) -> Pose:
        around = rotation(angle * t / total)
        return middle + around @ (origin - middle), around @ turn

    return way


def _free(place: Setting, way: Way, total: float) -> float:
    """The share of a way that can be gone before anything is nearer than ``CLEAR_M`` (or than it was at the start)."""
    limit = min(CLEAR_M, place.stage.clearance(way(0.0, total)[0]))
    for k in range(1, 25):
        position = way(total * k / 24, total)[0]
        if position[1] > -0.25 or place.stage.clearance(position) < limit:
            return max(0.0, (k - 1.5) / 24)
    return 1.0


def _sway(seconds: float, phases: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A hand that holds still as well as it can, ``[6]``, -1 … 1: two sines of unrelated rates each."""
    rates = np.array([0.31, 0.53, 0.41, 0.67, 0.37, 0.59])
    slow = np.sin(2 * math.pi * rates * seconds + phases)
    quick = np.sin(2 * math.pi * 2.3 * rates * seconds + 2 * phases)
    swayed: npt.NDArray[np.float64] = 0.6 * slow + 0.4 * quick
    return swayed


def _smoothstep(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)
