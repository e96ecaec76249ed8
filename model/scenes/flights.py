"""Flights: cameras that move through a scene, with the exact depth, focal length and pose of every frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from model.scenes.camera import Camera, rotation
from model.scenes.generate import Setting, setting, viewpoint
from model.scenes.render import depth, render
from model.scenes.scene import Scene
from model.scenes.sensor import develop
from stream.errors import ConfigError

MOTIONS = ("walk", "orbit", "handheld", "zoom", "cut")
"""What a flight does: go forward; circle what it looks at; stand, in a hand; change the focal length; jump elsewhere."""

CLEAR_M = 0.3
"""A moving camera keeps this far from everything."""

DEMO_SEEDS = (2**31 + 7, 2**31 + 11)
DEMO_KINDS = ("room", "street")


@dataclass(frozen=True, kw_only=True, eq=False)
class FlightFrame:
    """One frame of a flight.

    ``image``: uint8 ``[H, W, 3]`` sRGB. ``depth``: float32 ``[H, W]``, metres along the optical axis, +inf for sky. ``f_px``:
    focal length in pixels. ``pose``: float64 ``[4, 4]``, camera axes to world axes, metres.
    """

    index: int
    image: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    f_px: float
    pose: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Take:
    """What lies between two cuts: one scene, a camera for each frame, and the seed of the sensor."""

    scene: Scene
    cameras: tuple[Camera, ...]
    seed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Flight:
    """A camera's way, described completely; frames are rendered when they are asked for.

    ``kind`` is its motion, one of ``MOTIONS``, or "demo".
    """

    kind: str
    takes: tuple[Take, ...]
    frame_rate: float

    def __len__(self) -> int:
        return sum(len(take.cameras) for take in self.takes)

    @property
    def cuts(self) -> tuple[int, ...]:
        """Indices of the first frames after each cut."""
        lengths = [len(take.cameras) for take in self.takes]
        return tuple(sum(lengths[: k + 1]) for k in range(len(lengths) - 1))

    def camera(self, index: int) -> Camera:
        """The camera of frame ``index``. Raises ``IndexError`` where there is no such frame."""
        take, within = self._find(index)
        return take.cameras[within]

    def scene(self, index: int) -> Scene:
        """What frame ``index`` shows. Raises ``IndexError`` where there is no such frame."""
        return self._find(index)[0].scene

    def render(self, index: int, *, samples: int = 1, device: torch.device | str = "cpu") -> FlightFrame:
        """Frame ``index``, rendered. Raises ``IndexError`` where there is no such frame."""
        take, within = self._find(index)
        camera = take.cameras[within]
        view = render(take.scene, camera, device=device, samples=samples)
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = camera.rotation, camera.position
        image = develop(view.image, seed=take.seed, f_px=camera.f_px)
        return FlightFrame(index=index, image=image, depth=view.depth.cpu().numpy(), f_px=camera.f_px, pose=pose)

    def _find(self, index: int) -> tuple[Take, int]:
        within = index
        for take in self.takes:
            if 0 <= within < len(take.cameras):
                return take, within
            within -= len(take.cameras)
        raise IndexError(f"frame {index} of a flight of {len(self)} frames")


def flight(
    seed: int, *, frames: int, width: int, height: int, frame_rate: float = 30.0, motion: str | None = None, kind: str | None = None
) -> Flight:
    """A flight of ``frames`` pictures of ``width`` × ``height`` pixels through the scene of ``seed``.

    ``motion`` (one of ``MOTIONS``) and ``kind`` (of scene) overrule what the seed would draw. Seeds are shared with stills: take
    them from ``HELD_OUT_SEEDS`` for evaluation.

    Raises:
        ConfigError: no such motion or kind; a size, rate or length that is not positive.
    """
    _check(frames, width, height, frame_rate)
    if motion is not None and motion not in MOTIONS:
        raise ConfigError(f"a flight is one of {', '.join(MOTIONS)}, not {motion!r}")
    rng = np.random.default_rng([seed, 2])
    drawn = MOTIONS[rng.integers(len(MOTIONS))]
    chosen = motion or drawn
    place = setting(seed, kind)
    takes = []
    lengths = [frames // 2, frames - frames // 2] if chosen == "cut" and frames > 1 else [frames]
    for k, length in enumerate(lengths):
        if k > 0 and kind is None and rng.random() < 0.5:
            place = setting(seed, "street" if place.kind in ("room", "table", "close-up") else "room")
        moving = chosen if chosen != "cut" else ("walk", "handheld")[rng.integers(2)]
        fov = math.exp(rng.uniform(math.log(40), math.log(85)))
        zoom = float(rng.choice([0.5, 0.65, 1.5, 2.0])) if moving == "zoom" else 1.0
        camera, _ = viewpoint(place, rng, fov_deg=fov, width=width, height=height)
        cameras = _fly(place, camera, rng, "handheld" if moving == "zoom" else moving, length, frame_rate, zoom)
        takes.append(Take(scene=place.scene, cameras=cameras, seed=seed))
    return Flight(kind=chosen, takes=tuple(takes), frame_rate=frame_rate)


def demo_flight(frames: int, width: int, height: int, frame_rate: float = 15.0) -> Flight:
    """The demonstration: a walk with a smooth 2× zoom in its middle, and a hard cut to another scene at two thirds.

    Both scenes are among ``HELD_OUT_SEEDS``.

    Raises:
        ConfigError: a size, rate or length that is not positive.
    """
    _check(frames, width, height, frame_rate)
    cut = -(-2 * frames // 3)
    takes = []
    for seed, kind, fov, zoom, length in zip(DEMO_SEEDS, DEMO_KINDS, (70.0, 65.0), (2.0, 1.0), (cut, frames - cut), strict=True):
        place, rng = setting(seed, kind), np.random.default_rng([seed, 3])
        camera, _ = viewpoint(place, rng, fov_deg=fov, width=width, height=height)
        if length:
            takes.append(Take(scene=place.scene, cameras=_fly(place, camera, rng, "walk", length, frame_rate, zoom), seed=seed))
    return Flight(kind="demo", takes=tuple(takes), frame_rate=frame_rate)


def _check(frames: int, width: int, height: int, frame_rate: float) -> None:
    if min(width, height, frames) < 1 or not 0 < frame_rate < math.inf:
        raise ConfigError(f"a flight needs a positive size, rate and length, not {width}x{height}, {frame_rate}/s, {frames}")


def _fly(
    place: Setting, start: Camera, rng: np.random.Generator, motion: str, frames: int, frame_rate: float, zoom: float
) -> tuple[Camera, ...]:
    """A camera per frame, from ``start`` on; over the middle third the focal length changes by the factor ``zoom``."""
    seconds = np.arange(frames) / frame_rate
    way = _orbit(place, start, rng) if motion == "orbit" else _walk(start, rng, 0.0 if motion == "handheld" else 1.0)
    total = max(float(seconds[-1]), 1 / frame_rate)
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


Pose = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
Way = Callable[[float, float], Pose]
"""Position ``[3]`` and rotation ``[3, 3]`` after some seconds of a take of so many."""


def _walk(start: Camera, rng: np.random.Generator, share: float) -> Way:
    """Forward, level, at up to walking speed, while the view swings to one side and back."""
    origin, turn = np.asarray(start.position), np.asarray(start.rotation)
    ahead = turn[:, 2] * np.array([1.0, 0.0, 1.0])
    ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-6)
    speed, swing = share * float(rng.uniform(0.5, 1.4)), float(rng.normal(0, 0.12))
    step = float(rng.uniform(1.6, 2.0))

    def way(t: float, total: float) -> Pose:
        bob = 0.015 * share * math.sin(2 * math.pi * step * t) * np.array([0.0, 1.0, 0.0])
        return origin + speed * t * ahead + bob, rotation(swing * share * math.sin(math.pi * t / total)) @ turn

    return way


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
    """A hand that holds still as well as it can, ``[6]``, -1 … 1: two sines each, of rates that do not repeat together."""
    rates = np.array([0.31, 0.53, 0.41, 0.67, 0.37, 0.59])
    slow = np.sin(2 * math.pi * rates * seconds + phases)
    quick = np.sin(2 * math.pi * 2.3 * rates * seconds + 2 * phases)
    swayed: npt.NDArray[np.float64] = 0.6 * slow + 0.4 * quick
    return swayed


def _smoothstep(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)
