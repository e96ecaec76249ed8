"""Flights: cameras that move through a scene, with the exact depth, focal length and pose of every frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from model.lab.scenes.generate import setting, viewpoint
from model.lab.scenes.motion import fly
from model.lab.scenes.renderer.camera import Camera
from model.lab.scenes.renderer.render import render
from model.lab.scenes.renderer.scene import Scene
from model.lab.scenes.renderer.sensor import Sensor, develop
from stream.errors import ConfigError

MOTIONS = ("walk", "orbit", "handheld", "zoom", "cut")
"""What a flight does: go forward, circle what it looks at, stand in a hand, change the focal length, jump elsewhere."""

DEMO_SEEDS = (2**31 + 22, 2**31 + 8)
DEMO_KINDS = ("room", "street")


@dataclass(frozen=True, kw_only=True, eq=False)
class FlightFrame:
    """One frame of a flight.

    ``image``: uint8 ``[H, W, 3]`` sRGB. ``depth``: float32 ``[H, W]``, metres along the optical axis, +inf for sky.
    ``f_px``: focal length in pixels. ``pose``: float64 ``[4, 4]``, camera axes to world axes, metres.
    """

    index: int
    image: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    f_px: float
    pose: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Take:
    """What lies between two cuts: one scene, a camera for each frame, and the sensor that sees it."""

    scene: Scene
    cameras: tuple[Camera, ...]
    sensor: Sensor


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
        sensor = replace(take.sensor, seed=take.sensor.seed + index)  # the noise changes from frame to frame
        image = develop(view.image.cpu().numpy(), sensor=sensor, f_px=camera.f_px)
        return FlightFrame(index=index, image=image, depth=view.depth.cpu().numpy(), f_px=camera.f_px, pose=pose)

    def _find(self, index: int) -> tuple[Take, int]:
        within = index
        for take in self.takes:
            if 0 <= within < len(take.cameras):
                return take, within
            within -= len(take.cameras)
        raise IndexError(f"frame {index} of a flight of {len(self)} frames")


def flight(
    seed: int,
    *,
    frames: int,
    width: int,
    height: int,
    frame_rate: float = 30.0,
    motion: str | None = None,
    kind: str | None = None,
) -> Flight:
    """A flight of ``frames`` pictures of ``width`` × ``height`` pixels through the scene of ``seed``.

    ``motion`` (one of ``MOTIONS``) and ``kind`` (of scene) overrule what the seed would draw. Seeds are shared with
    stills: take them from ``HELD_OUT_SEEDS`` for evaluation.

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
        cameras = fly(place, camera, rng, "handheld" if moving == "zoom" else moving, length, frame_rate, zoom)
        takes.append(Take(scene=place.scene, cameras=cameras, sensor=Sensor.drawn(seed)))
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
    for seed, kind, fov, zoom, length in zip(
        DEMO_SEEDS, DEMO_KINDS, (70.0, 65.0), (2.0, 1.0), (cut, frames - cut), strict=True
    ):
        place, rng = setting(seed, kind), np.random.default_rng([seed, 3])
        camera, _ = viewpoint(place, rng, fov_deg=fov, width=width, height=height)
        if length:
            cameras = fly(place, camera, rng, "walk", length, frame_rate, zoom)
            takes.append(Take(scene=place.scene, cameras=cameras, sensor=Sensor.ideal()))
    return Flight(kind="demo", takes=tuple(takes), frame_rate=frame_rate)


def _check(frames: int, width: int, height: int, frame_rate: float) -> None:
    if min(width, height, frames) < 1 or not 0 < frame_rate < math.inf:
        raise ConfigError(
            f"a flight needs a positive size, rate and length, not {width}x{height}, {frame_rate}/s, {frames}"
        )
