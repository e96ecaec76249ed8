"""From a seed to a scene, a camera in it, and a picture with its depth. The seed decides everything.

Cameras are proposed where people, phones, robots, cars and masts have them, and looked through with a coarse depth map
first: a proposal inside something, against a wall, or at nothing but sky is drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from model.lab.scenes.places.clutter import clutter
from model.lab.scenes.places.halls import corridor, hall
from model.lab.scenes.places.nature import open_ground
from model.lab.scenes.places.rooms import room
from model.lab.scenes.places.streets import street
from model.lab.scenes.places.tables import close_up, table_top
from model.lab.scenes.places.views import Eye, aim
from model.lab.scenes.renderer.camera import Camera, rotation
from model.lab.scenes.renderer.render import View, depth, render
from model.lab.scenes.renderer.scene import Scene
from model.lab.scenes.renderer.sensor import develop
from model.lab.scenes.stage import Stage
from stream.errors import ConfigError

TRAIN_SEEDS = range(2**31)
"""Scenes a network may learn from."""

HELD_OUT_SEEDS = range(2**31, 2**31 + 10_000)
"""Scenes no network has seen: for evaluation, demonstrations and tests of trained weights."""

KINDS: dict[str, tuple[float, Callable[[Stage], Eye], float]] = {
    "room": (0.28, room, 0.25),
    "corridor": (0.05, corridor, 0.25),
    "hall": (0.03, hall, 0.5),
    "street": (0.24, street, 0.6),
    "open": (0.14, open_ground, 0.5),
    "table": (0.08, table_top, 0.15),
    "close-up": (0.05, close_up, 0.12),
    "clutter": (0.13, clutter, 0.25),
}
"""Kinds of scenes: how often each is drawn, its generator, and how far in metres a camera keeps from everything."""

MIN_FOV_DEG, MAX_FOV_DEG = 25.0, 110.0
ASPECTS = (16 / 9, 3 / 2, 4 / 3, 1.0)
"""Width over height of landscape pictures; portrait ones are the same, turned."""

MAX_VERTICAL_FOV_DEG = 105.0
MIN_DEPTH_M = 0.1
"""No pixel shows anything nearer."""

ATTEMPTS = 10
REDRAWS = 20
"""Scenes that are drawn for a seed before it is given up: one in 40,000 has no room for a camera."""
COARSE = 24
"""Pixels on the longer side of the depth map that judges a proposed camera."""

DULL_SHARE = 0.1
"""How often a view is taken although there is little in it: bare walls and empty ground are photographed too."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """A finished scene, what kind it is, and where cameras may be in it."""

    kind: str
    scene: Scene
    stage: Stage
    eye: Eye


class NoFreePlaceError(ConfigError):
    """A scene that is so full that no camera finds room in it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """A picture that can be taken: a scene and a camera.

    ``rejected`` counts the cameras that were drawn again, ``redrawn`` the scenes that had no room for any.
    """

    seed: int
    kind: str
    scene: Scene
    camera: Camera
    rejected: int
    redrawn: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Still:
    """A picture with exact depth.

    ``image``: uint8 ``[H, W, 3]`` sRGB. ``depth``: float32 ``[H, W]``, metres along the optical axis, +inf for sky.
    ``f_px``: focal length in pixels of this picture.
    """

    image: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    f_px: float
    kind: str
    seed: int
    redrawn: int = 0


def setting(seed: int, kind: str | None = None, *, again: int = 0) -> Setting:
    """The scene of a seed; ``kind`` (a key of ``KINDS``) overrules the one the seed would draw.

    ``again``: how often the seed's scene has been drawn before and was of no use.

    Raises:
        ConfigError: no such kind, or a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"seeds are not negative; {seed} is")
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"a scene is one of {', '.join(KINDS)}, not {kind!r}")
    rng = np.random.default_rng([seed, 0, again] if again else [seed, 0])
    shares = np.array([share for share, _, _ in KINDS.values()])
    drawn = list(KINDS)[int(rng.choice(len(KINDS), p=shares / shares.sum()))]
    stage = Stage(rng)
    eye = KINDS[kind or drawn][1](stage)
    return Setting(kind=kind or drawn, scene=stage.builder.build(), stage=stage, eye=eye)


def shot(seed: int, *, long_side: int = 512, kind: str | None = None) -> Shot:
    """The scene and camera of a seed, for a picture whose longer side has ``long_side`` pixels.

    The view is the same for every size. ``render_batch`` and :func:`finish` make pictures of many shots at once;
    :func:`still` does all of it for one seed.
    """
    for again in range(REDRAWS):
        try:
            return _shot(seed, setting(seed, kind, again=again), long_side=long_side, redrawn=again)
        except NoFreePlaceError:
            continue
    raise NoFreePlaceError(f"no free place for a camera in any of {REDRAWS} scenes of seed {seed}")


def _shot(seed: int, place: Setting, *, long_side: int, redrawn: int) -> Shot:
    rng = np.random.default_rng([seed, 1])
    fov = math.exp(rng.uniform(math.log(MIN_FOV_DEG), math.log(MAX_FOV_DEG)))
    aspect = _aspect(rng, fov)
    width, height = (
        (long_side, max(1, round(long_side / aspect)))
        if aspect >= 1
        else (max(1, round(long_side * aspect)), long_side)
    )
    camera, rejected = viewpoint(place, rng, fov_deg=fov, width=width, height=height)
    return Shot(seed=seed, kind=place.kind, scene=place.scene, camera=camera, rejected=rejected, redrawn=redrawn)


def finish(taken: Shot, view: View) -> Still:
    """What a sensor makes of a rendered view: colours as a camera gives them, exact depth beside them."""
    camera = taken.camera
    image = develop(view.image.cpu().numpy(), seed=taken.seed, f_px=camera.f_px, pixel_aspect=camera.pixel_aspect)
    return Still(
        image=image,
        depth=view.depth.cpu().numpy(),
        f_px=camera.f_px,
        kind=taken.kind,
        seed=taken.seed,
        redrawn=taken.redrawn,
    )


def still(
    seed: int,
    *,
    long_side: int = 512,
    squeezed: bool = False,
    samples: int = 2,
    device: torch.device | str = "cpu",
) -> Still:
    """The picture of a seed: its scene, camera, light and sensor, rendered with ``samples`` × ``samples`` per pixel.

    ``squeezed``: to a square, as the network takes it. A picture that is squeezed after it was made is softer along one
    side, which tells what the network must find out: how far it was squeezed.

    Raises:
        ConfigError: a negative seed or a size that is not positive.
    """
    taken = shot(seed, long_side=long_side)
    if squeezed:
        taken = replace(taken, camera=taken.camera.squeezed(long_side))
    return finish(taken, render(taken.scene, taken.camera, device=device, samples=samples))


def viewpoint(
    place: Setting, rng: np.random.Generator, *, fov_deg: float, width: int, height: int
) -> tuple[Camera, int]:
    """A camera in a scene that shows something, and how many proposals were rejected before it.

    Args:
        rng: decides where it stands and looks.
        fov_deg: horizontal field of view.
        width, height: of the picture, in pixels.
    """
    f_px = width / 2 / math.tan(math.radians(fov_deg) / 2)
    coarse = COARSE / max(width, height)
    margin = max(KINDS[place.kind][2], MIN_DEPTH_M * 1.1 * math.hypot(1.0, width / 2 / f_px, height / 2 / f_px))
    dull = rng.random() < DULL_SHARE
    best: tuple[float, Camera] | None = None
    rejected = 0
    for _ in range(ATTEMPTS * 10):
        position, target = place.eye(rng)
        yaw, pitch = aim(position, target)
        yaw += float(rng.normal(0, 0.05))
        pitch = min(max(pitch + float(rng.normal(0, 0.04)), -1.45), 0.8)
        roll = math.radians(float(rng.normal(0, 2.0)) if rng.random() < 0.93 else float(rng.uniform(-15, 15)))
        world = np.array([position[0], -position[1], position[2]])
        if position[1] < min(2 * margin, 0.25) or place.stage.clearance(world) < margin:
            rejected += 1
            continue
        camera = Camera(position=world, rotation=rotation(yaw, pitch, roll), f_px=f_px, width=width, height=height)
        small = camera.scaled(max(4, round(width * coarse)), max(4, round(height * coarse)))
        score = interest(depth(place.scene, small).numpy(), dull=dull)
        if best is None or score > best[0]:
            best = (score, camera)
        if score >= 1:
            break
        rejected += 1
        if rejected >= ATTEMPTS:
            break
    if best is None:
        raise NoFreePlaceError(f"no free place for a camera in this scene ({place.kind})")
    return best[1], rejected


def interest(z: npt.NDArray[np.float32], *, dull: bool = False) -> float:
    """How much a view shows, from its coarse depth map ``[h, w]``: 1 is enough, 0 nothing.

    It falls where sky fills the picture, where something close by does, and where there is little but planes, whose
    inverse depth is linear in the picture (so bends of it mark edges and bodies). ``dull`` asks for no bends.
    """
    sky = float(np.isinf(z).mean())
    near = float((z < 0.25).mean())
    inverse = 1 / z
    across = np.abs(inverse[1:-1, :-2] - 2 * inverse[1:-1, 1:-1] + inverse[1:-1, 2:])
    down = np.abs(inverse[:-2, 1:-1] - 2 * inverse[1:-1, 1:-1] + inverse[2:, 1:-1])
    bends = float((np.maximum(across, down) > 0.03 * inverse[1:-1, 1:-1] + 1e-4).mean())
    return min(1.0, (1 - sky) / 0.35, 0.35 / max(near, 1e-3), 1.0 if dull else bends / 0.2)


def _aspect(rng: np.random.Generator, fov_deg: float) -> float:
    """Width over height: landscape or portrait, as long as the vertical field of view stays one that lenses have."""
    half = math.tan(math.radians(fov_deg) / 2)
    tallest = math.tan(math.radians(MAX_VERTICAL_FOV_DEG) / 2) / half
    wide = ASPECTS[int(rng.choice(len(ASPECTS), p=[0.35, 0.2, 0.35, 0.1]))]
    portrait = rng.random() < 0.4
    return 1 / wide if portrait and wide <= tallest else wide
