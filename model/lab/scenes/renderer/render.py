"""Pictures and exact depth of a scene, by casting rays.

Visibility is decided at every sample, light once for every surface in a pixel: a pixel's own surface is lit at its
centre, and
the few others that its samples meet are lit where they were met. Depth is z at pixel centres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.lab.scenes.renderer.camera import Camera
from model.lab.scenes.renderer.scene import Scene
from model.lab.scenes.renderer.shading import Lighting, borrowed, shade, sky, smooth, visibility
from model.lab.scenes.renderer.surface import Points, describe, length, table
from model.lab.scenes.renderer.trace import Rays, Solids, may_meet, nearest
from stream.errors import ConfigError

TILE = 8
"""Pixels on a side of a tile."""


@dataclass(frozen=True, slots=True)
class View:
    """A rendered picture: ``image`` float32 ``[H, W, 3]`` linear light, not yet exposed; ``depth`` float32 ``[H, W]``
    metres along the optical axis at pixel centres, +inf where there is only sky."""

    image: Tensor
    depth: Tensor


def render(
    scene: Scene, camera: Camera, *, device: torch.device | str | None = None, samples: int = 2, shadows: bool = True
) -> View:
    """One picture with its depth; ``samples`` × ``samples`` per pixel decide what is seen. Raises ``ConfigError``."""
    return render_batch([scene], [camera], device=device, samples=samples, shadows=shadows)[0]


def depth(scene: Scene, camera: Camera, *, device: torch.device | str | None = None) -> Tensor:
    """The depth of :func:`render` alone: float32 ``[H, W]``, +inf for sky."""
    with torch.inference_mode():
        at = torch.device(device or "cpu")
        solids, rays = Solids.of([scene], [_position(camera)], at), _rays([camera], at)
        z, _ = nearest(solids, rays, may_meet(solids, rays))
        return _untile(z, camera)


def render_batch(
    scenes: Sequence[Scene],
    cameras: Sequence[Camera],
    *,
    device: torch.device | str | None = None,
    samples: int = 2,
    shadows: bool = True,
) -> list[View]:
    """Pictures of one size, all at once: what :func:`render` gives for each, with a GPU kept busy by all of them."""
    with torch.inference_mode():
        at = torch.device(device or "cpu")
        _check(scenes, cameras, samples)
        positions = [_position(c) for c in cameras]
        solids = Solids.of(scenes, positions, at)
        coarse = _rays(cameras, at)
        candidates = may_meet(solids, coarse)
        z, surface = nearest(solids, coarse, candidates)
        seen = _seen(solids, cameras, coarse, candidates, z, surface, samples)
        image = _lit(solids, Lighting.of(scenes, positions, at), scenes, cameras, seen, surface, shadows)
        per_scene = len(z) // len(scenes)
        image = image.T.reshape(len(z), TILE**2, 3)
        parts = [slice(b * per_scene, (b + 1) * per_scene) for b in range(len(scenes))]
        return [View(_untile(image[p], c), _untile(z[p], c)) for p, c in zip(parts, cameras, strict=True)]


@dataclass(frozen=True, slots=True)
class _Seen:
    """``n`` things seen in pixels, each pixel's own one first and in order: number of the pixel, its share of the
    pixel, the
    ray's direction ``[3, n]``, its depth and its surface (-1: sky)."""

    pixel: Tensor
    share: Tensor
    direction: Tensor
    z: Tensor
    surface: Tensor


def _seen(
    solids: Solids,
    cameras: Sequence[Camera],
    coarse: Rays,
    candidates: Sequence[Tensor],
    z: Tensor,
    surface: Tensor,
    samples: int,
) -> _Seen:
    """The surface at each pixel's centre, and those that only other samples of the pixel meet."""
    pixel = torch.arange(z.numel(), device=z.device)
    own, share = surface.flatten(), torch.ones_like(z).flatten()
    direction = coarse.direction.transpose(0, 1).reshape(3, -1)
    whole = _Seen(pixel, share, direction, z.flatten(), own)
    if samples == 1:
        return whole
    mixed_tile = _mixed(solids, cameras, candidates, surface).nonzero()[:, 0]
    if not len(mixed_tile):
        return whole
    starts = torch.tensor(coarse.first, device=z.device)
    fine = _finer(coarse, cameras, mixed_tile, torch.searchsorted(mixed_tile, starts).tolist(), samples)
    rows = [mixed_tile[a:b] - start for a, b, start in zip(fine.first, fine.first[1:], coarse.first, strict=False)]
    z_fine, surface_fine = nearest(solids, fine, [mask[row] for mask, row in zip(candidates, rows, strict=True)])
    pixel_fine = (mixed_tile[:, None] * TILE**2 + torch.arange(TILE**2, device=z.device)).flatten()
    met = surface_fine.reshape(-1, samples**2)
    mixed = (met != own[pixel_fine, None]).any(1).nonzero()[:, 0]
    met, at = met[mixed], pixel_fine[mixed]
    share[at] = (met == own[at, None]).float().mean(1)
    equal = met[:, :, None] == met[:, None, :]
    is_first = (equal.tril().sum(2) == 1) & (met != own[at, None])
    row, sample = is_first.nonzero().unbind(1)
    ray = mixed[row] * samples**2 + sample
    return _Seen(
        pixel=torch.cat([pixel, at[row]]),
        share=torch.cat([share, equal.float().mean(2)[row, sample]]),
        direction=torch.cat([direction, fine.direction.transpose(0, 1).reshape(3, -1)[:, ray]], 1),
        z=torch.cat([whole.z, z_fine.flatten()[ray]]),
        surface=torch.cat([own, surface_fine.flatten()[ray]]),
    )


def _mixed(solids: Solids, cameras: Sequence[Camera], candidates: Sequence[Tensor], surface: Tensor) -> Tensor:
    """Bool ``[T]``: tiles that show more than one surface, also just outside, or may hold something thinner than
    pixels."""
    flat = _flat(surface, cameras)[:, None].float()
    padded = torch.nn.functional.pad(flat, (1, 1, 1, 1), mode="replicate")
    window = torch.nn.functional.max_pool2d
    high, low = window(padded, TILE + 2, TILE), -window(-padded, TILE + 2, TILE)
    mixed = (high != low).flatten()
    thin = []
    for b, (mask, camera) in enumerate(zip(candidates, cameras, strict=True)):
        own = slice(*solids.first[b : b + 2])
        thickness = solids.half[own].masked_fill(solids.half[own] == 0, math.inf).amin(1) * 2
        pixels = thickness * min(camera.f_px, camera.fy_px) / length(solids.center[own].T)
        thin.append((mask & (pixels < 2)).any(1))
    return mixed | torch.cat(thin)


def _lit(
    solids: Solids,
    lighting: Lighting,
    scenes: Sequence[Scene],
    cameras: Sequence[Camera],
    seen: _Seen,
    surface: Tensor,
    shadows: bool,
) -> Tensor:
    """Colour of every pixel, ``[3, T * TILE²]``."""
    image = torch.zeros((3, surface.numel()), device=surface.device)
    per_scene = surface.numel() // len(scenes)
    up = (seen.surface < 0).nonzero()[:, 0]
    scene = seen.pixel[up] // per_scene
    color = sky(lighting, seen.direction[:, up], scene) * seen.share[up]
    image.index_add_(1, seen.pixel[up], color)
    hit = (seen.surface >= 0).nonzero()[:, 0]
    pixel, code = seen.pixel[hit], seen.surface[hit]
    scene = pixel // per_scene
    angle = torch.tensor([1 / math.sqrt(c.f_px * c.fy_px) for c in cameras], device=surface.device)[scene]
    points = describe(solids, table(solids, scenes), seen.direction[:, hit], seen.z[hit], code, angle)
    clear = torch.ones((lighting.casting + 1, len(hit)), device=surface.device)
    if shadows:
        clear = _clear(solids, lighting, points, scene, seen, hit, surface, cameras)
    color = shade(lighting, points, scene, clear) * seen.share[hit]
    return image.index_add_(1, pixel, color)


def _clear(
    solids: Solids,
    lighting: Lighting,
    points: Points,
    scene: Tensor,
    seen: _Seen,
    hit: Tensor,
    surface: Tensor,
    cameras: Sequence[Camera],
) -> Tensor:
    """How much each point sees of the lights and its surroundings, ``[casting + 1, n]``."""
    T, R = surface.shape
    tiles = range(0, T + 1, T // len(cameras))
    own = hit[hit < T * R]
    column, row = _place(own, cameras[0], T // len(cameras))
    position, normal = points.position[:, : len(own)], points.normal[:, : len(own)]
    first = visibility(
        solids, lighting, position, normal, scene[: len(own)], column % 3 + 3 * (row % 3), own, (T, R), tiles
    )
    plane = torch.ones((len(first), T * R), device=surface.device).scatter_(1, own.expand(len(first), -1), first)
    plane = torch.stack([_flat(p.reshape(T, R), cameras) for p in plane])
    codes = _flat(surface, cameras)
    plane = smooth(plane, codes)
    column, row = _place(seen.pixel[hit], cameras[0], T // len(cameras))
    clear = plane[:, scene, row, column]
    clear[:, len(own) :] = borrowed(
        plane, codes, scene[len(own) :], row[len(own) :], column[len(own) :], code=seen.surface[hit[len(own) :]]
    )
    return clear


def _place(pixel: Tensor, camera: Camera, per_scene: int) -> tuple[Tensor, Tensor]:
    """Column and row of pixels that are numbered tile by tile, ``[n]`` each."""
    across = -(-camera.width // TILE)
    tile, within = pixel // TILE**2 % per_scene, pixel % TILE**2
    return tile % across * TILE + within % TILE, tile // across * TILE + within // TILE


def _flat(tiles: Tensor, cameras: Sequence[Camera]) -> Tensor:
    """``[T, TILE²]`` of all cameras to ``[B, rows, columns]``, the padding included."""
    down, across = -(-cameras[0].height // TILE), -(-cameras[0].width // TILE)
    return tiles.reshape(len(cameras), down, across, TILE, TILE).transpose(2, 3).reshape(len(cameras), down * TILE, -1)


def _check(scenes: Sequence[Scene], cameras: Sequence[Camera], samples: int) -> None:
    if not scenes or len(scenes) != len(cameras):
        raise ConfigError(
            f"a batch has as many cameras as scenes and at least one, not {len(cameras)} and {len(scenes)}"
        )
    if len({(c.width, c.height) for c in cameras}) > 1:
        raise ConfigError("the pictures of a batch have one size")
    if not 1 <= samples <= 8:
        raise ConfigError(f"samples is 1 to 8 per side of a pixel, not {samples!r}")


def _position(camera: Camera) -> Tensor:
    return torch.as_tensor(camera.position, dtype=torch.float64)


def _rays(cameras: Sequence[Camera], device: torch.device) -> Rays:
    """Tiles of all cameras' rays in the world's axes, with z = 1 along the optical axis: the ray parameter is the
    depth.

    Within a tile rays go row by row. The bounds leave room for samples anywhere in the pixels.
    """
    directions, margins = [], []
    for camera in cameras:
        across, down = -(-camera.width // TILE), -(-camera.height // TILE)
        x = torch.arange(across * TILE, device=device) - (camera.width - 1) / 2
        y = torch.arange(down * TILE, device=device) - (camera.height - 1) / 2
        shape = (down, across, TILE, TILE)
        u = (x / camera.f_px).reshape(1, across, 1, TILE).expand(shape).reshape(down * across, 1, -1)
        v = (y / camera.fy_px).reshape(down, 1, TILE, 1).expand(shape).reshape(down * across, 1, -1)
        right, below, ahead = _axes(camera, device)
        directions.append(u * right + v * below + ahead)
        margins += [0.501 * math.hypot(1 / camera.f_px, 1 / camera.fy_px)] * (down * across)
    direction = torch.cat(directions)
    low, high = direction.amin(2), direction.amax(2)
    heading = (low + high) / 2
    nowhere = torch.zeros_like(heading)
    return Rays(
        origin=nowhere[:, :, None],
        direction=direction,
        reach=None,
        start=nowhere,
        heading=heading,
        spread_start=nowhere[:, 0],
        spread_heading=length((high - heading).T) + torch.tensor(margins, device=device),
        first=range(0, len(direction) + 1, len(direction) // len(cameras)),
    )


def _finer(coarse: Rays, cameras: Sequence[Camera], tiles: Tensor, first: Sequence[int], samples: int) -> Rays:
    """The rays of some tiles, ``samples`` × ``samples`` for each pixel; within a pixel row by row."""
    offset = (torch.arange(samples, device=tiles.device) + 0.5) / samples - 0.5
    x, y = offset.repeat(samples), offset.repeat_interleave(samples)
    directions = []
    for camera, a, b in zip(cameras, first, first[1:], strict=False):
        right, below, _ = _axes(camera, tiles.device)
        step = x * right / camera.f_px + y * below / camera.fy_px
        center = coarse.direction.index_select(0, tiles[a:b])
        directions.append((center[:, :, :, None] + step[:, None]).flatten(2))
    nowhere = torch.zeros((len(tiles), 3, 1), device=tiles.device)
    unused = nowhere[:, :, 0]
    return Rays(nowhere, torch.cat(directions), None, unused, unused, unused[:, 0], unused[:, 0], first)


def _axes(camera: Camera, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The camera's axes in the world, ``[3, 1]`` each."""
    right, below, ahead = torch.as_tensor(camera.rotation, dtype=torch.float32).to(device).T[:, :, None]
    return right, below, ahead


def _untile(value: Tensor, camera: Camera) -> Tensor:
    """``[T, TILE², ...]`` of one camera to ``[H, W, ...]``."""
    across, down = -(-camera.width // TILE), -(-camera.height // TILE)
    rest = value.shape[2:]
    rows = value.reshape(down, across, TILE, TILE, *rest).transpose(1, 2)
    return rows.reshape(down * TILE, across * TILE, *rest)[: camera.height, : camera.width].contiguous()
