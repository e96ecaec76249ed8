"""Light on surfaces: ambient, suns and lamps with soft shadows, highlights, fog, and the sky.

Shadows and the darkening of corners are sampled one ray to a pixel, in a pattern that repeats every 3 × 3 pixels; the
mean over each pixel's 3 × 3 neighbours on the same surface then sees all nine directions. (Interleaved sampling, Keller
and Heidrich 2001.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.lab.scenes.renderer import textures
from model.lab.scenes.renderer.primitives import MISS
from model.lab.scenes.renderer.scene import MAX_LIGHTS, Scene
from model.lab.scenes.renderer.surface import Points, dot, length
from model.lab.scenes.renderer.trace import Rays, Solids, occluded

SHADOWING = 2
"""Lights that cast shadows."""

SUN_REACH = 1000.0
CORNER_REACH = (0.08, 1.5)
"""How far, in metres, a surface may be to darken a corner; between these it is 0.12 of the distance from the camera."""


@dataclass(frozen=True, slots=True)
class Lighting:
    """The lights of ``B`` scenes: ``lights`` ``[4, 8, B]`` relative to the cameras, black where there are fewer;
    ``count``: most lights of a scene; ``ambient`` ``[2, 3, B]``, ``sky`` ``[2, 3, B]``, ``clouds`` ``[B]``, ``fog``
    ``[4, B]``."""

    lights: Tensor
    count: int
    ambient: Tensor
    sky: Tensor
    clouds: Tensor
    fog: Tensor

    @classmethod
    def of(cls, scenes: Sequence[Scene], positions: Sequence[Tensor], device: torch.device) -> Lighting:
        lights = torch.zeros((MAX_LIGHTS, 8, len(scenes)), dtype=torch.float64)
        lights[:, 1] = -1
        for b, (scene, position) in enumerate(zip(scenes, positions, strict=True)):
            given = scene.lights.double()
            given[:, :3] -= given[:, 7:] * position
            lights[: len(given), :, b] = given
        return cls(
            lights=lights.float().to(device),
            count=max(len(s.lights) for s in scenes),
            ambient=torch.stack([s.ambient for s in scenes], -1).to(device),
            sky=torch.stack([s.sky for s in scenes], -1).to(device),
            clouds=torch.tensor([s.clouds for s in scenes], device=device),
            fog=torch.stack([s.fog for s in scenes], -1).to(device),
        )

    @property
    def casting(self) -> int:
        """How many lights cast shadows."""
        return min(SHADOWING, self.count)


def shade(lighting: Lighting, points: Points, scene: Tensor, clear: Tensor) -> Tensor:
    """Colour ``[3, n]`` that reaches the camera from points of scene number ``scene`` ``[n]``.

    ``clear`` ``[casting + 1, n]``: how much of each shadow-casting light is seen, and of the surroundings.
    """
    normal, open_sky = points.bumped, clear[-1]
    distance = length(points.position)
    to_camera = -points.position / distance
    above, below = _each(lighting.ambient, scene)
    light = torch.lerp(below, above, (0.5 - 0.5 * normal[1]).expand_as(normal)) * open_sky
    cosine = dot(normal, to_camera)
    fresnel = points.gloss * (0.04 + 0.96 * (1 - cosine).clamp_(0, 1).pow_(5))
    mirrored_y = 2 * cosine * normal[1] - to_camera[1]
    shine = torch.lerp(below, above, (0.5 - 1.2 * mirrored_y).clamp_(0, 1).expand_as(normal)) * (fresnel * open_sky)
    sharpness = 10 + 150 * points.gloss**2
    for k in range(lighting.count):
        row = _each(lighting.lights[k], scene)
        is_lamp = row[7]
        toward = row[:3] - points.position * is_lamp
        square = dot(toward, toward)
        toward = toward * square.rsqrt()
        facing = dot(normal, toward).clamp_(min=0)
        if k < lighting.casting:
            facing = facing * clear[k]
        # A lamp's light falls with the square of the distance, but does not grow without limit in front of its glass.
        strength = facing / torch.lerp(torch.ones_like(square), square.clamp(min=0.05), is_lamp.expand_as(square))
        half = toward + to_camera
        toward_half = dot(normal, half) * dot(half, half).clamp_(min=1e-9).rsqrt_()
        highlight = toward_half.clamp_(min=0).pow_(sharpness) * (points.gloss * (0.3 + 0.02 * sharpness))
        light.addcmul_(row[3:6].expand_as(light), strength.expand_as(light))
        shine.addcmul_(row[3:6].expand_as(light), (strength * highlight).expand_as(light))
    color = shine.addcmul_(points.albedo, light.add_(points.emission))
    fog = _each(lighting.fog, scene)
    return torch.lerp(fog[1:].expand_as(color), color, torch.exp(-fog[0] * distance).expand_as(color))


def sky(lighting: Lighting, direction: Tensor, scene: Tensor) -> Tensor:
    """Colour ``[3, n]`` of the sky along ``direction`` ``[3, n]`` (any length)."""
    zenith, horizon = _each(lighting.sky, scene)
    cover = _each(lighting.clouds, scene)
    x, y, z = (direction * dot(direction, direction).rsqrt_()).unbind(0)
    up = (-y).clamp_(min=0)
    color = torch.lerp(horizon, zenith, up.sqrt().expand_as(direction))
    plane = 2.2 / (up + 0.12)
    footprint = torch.full_like(x, 0.05)
    coarse, fine, _, _ = textures.noise(x * plane, z * plane, footprint)
    large, detail, _, _ = textures.noise(x * plane * 0.3 + 3.7, z * plane * 0.3 + 9.2, footprint)
    density = 0.8 * large + 0.5 * detail + 0.35 * coarse + 0.25 * fine + 1.6 * cover - 0.9
    cloud = (density * 1.6).clamp_(0, 1) * (up * 8).clamp_(0, 1) * (cover > 0)
    white = horizon.amax(0) * (1.15 - 0.35 * density.clamp(0, 1))
    color = torch.lerp(color, white.expand_as(color), (cloud * 0.9).expand_as(color))
    for k in range(lighting.count):
        row = _each(lighting.lights[k], scene)
        toward_sun = (row[0] * x + row[1] * y + row[2] * z).clamp_(0, 1) * (1 - row[7])
        color += row[3:6] * (0.15 * toward_sun.pow(40) + 0.6 * toward_sun.pow(1500)) * (1 - 0.8 * cloud)
    return color


def visibility(
    solids: Solids,
    lighting: Lighting,
    position: Tensor,
    normal: Tensor,
    scene: Tensor,
    phase: Tensor,
    groups: Tensor,
    size: tuple[int, int],
    first: Sequence[int],
) -> Tensor:
    """How much each point sees of the shadow-casting lights and, last, of its surroundings: 0 or 1, ``[casting + 1,
    n]``.

    ``phase`` ``[n]``: which of the nine directions; ``groups`` ``[n]``: the place of each point among ``size`` =
    tiles ×
    rays, so that neighbours share a tile; ``first``: see :class:`Rays`.
    """
    ball = _ball(phase.device).index_select(1, phase)
    away = length(position)
    origin = position + normal * (5e-4 + 2e-4 * away)
    seen = torch.ones((lighting.casting + 1, len(phase)), device=phase.device)
    for k in range(lighting.casting):
        row = _each(lighting.lights[k], scene)
        toward = row[:3] + ball * row[6] - origin * row[7]
        distance = length(toward)
        toward = toward / distance
        reach = torch.where(row[7] > 0, distance - 2 * row[6], SUN_REACH)
        lit = (dot(normal, toward) > 0) & (row[3:6].amax(0) > 0)
        blocked = occluded(
            solids, _gathered(origin, toward, torch.where(lit, reach, -1.0), groups, size, first), grounds=False
        )
        seen[k] -= blocked.flatten().float().index_select(0, groups)
    toward = normal + 0.95 * ball
    toward *= dot(toward, toward).rsqrt_()
    reach = (0.12 * away).clamp_(*CORNER_REACH)
    blocked = occluded(solids, _gathered(origin, toward, reach, groups, size, first), grounds=True)
    seen[-1] -= blocked.flatten().float().index_select(0, groups)
    return seen


def smooth(seen: Tensor, surface: Tensor) -> Tensor:
    """Mean of ``seen`` ``[K, B, H, W]`` over 3 × 3 neighbours on the same ``surface`` ``[B, H, W]``."""
    total, count = seen.clone(), torch.ones_like(seen[0])
    H, W = surface.shape[1:]
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy == dx == 0:
                continue
            here = (..., slice(max(0, -dy), H - max(0, dy)), slice(max(0, -dx), W - max(0, dx)))
            there = (..., slice(max(0, dy), H + min(0, dy)), slice(max(0, dx), W + min(0, dx)))
            same = (surface[here] == surface[there]).float()
            total[here] += seen[there] * same
            count[here] += same
    return total.div_(count)


def borrowed(seen: Tensor, surface: Tensor, scene: Tensor, row: Tensor, column: Tensor, code: Tensor) -> Tensor:
    """For things met only beside a pixel's centre: ``[K, n]``, the mean of ``seen`` ``[K, B, H, W]`` over those of
    the pixel's
    neighbours whose centre shows the same ``code`` ``[n]``; the pixel's own value where there are none."""
    H, W = surface.shape[1:]
    total, count = seen[:, scene, row, column] * 1e-3, torch.full((len(code),), 1e-3, device=seen.device)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            y, x = (row + dy).clamp_(0, H - 1), (column + dx).clamp_(0, W - 1)
            same = (surface[scene, y, x] == code).float()
            total += seen[:, scene, y, x] * same
            count += same
    return total / count


def _gathered(
    origin: Tensor, direction: Tensor, reach: Tensor, groups: Tensor, size: tuple[int, int], first: Sequence[int]
) -> Rays:
    """Rays ``[3, n]`` in tiles, with their bounds."""
    T, R = size
    present = torch.full((T * R,), -1.0, device=reach.device).scatter_(0, groups, reach).reshape(T, R)
    absent = (present <= 0).float().mul_(MISS)
    some = present.amax(1) > 0
    tiles, middles, spreads = [], [], []
    for given in (origin, direction):
        packed = torch.zeros((3, T * R), device=reach.device)
        packed.scatter_(1, groups.expand(3, -1), given)
        packed = packed.reshape(3, T, R)
        low, high = (packed + absent).amin(2), (packed - absent).amax(2)
        middle = torch.where(some, (low + high) / 2, 0.0)
        tiles.append(packed.transpose(0, 1).contiguous())
        middles.append(middle.T.contiguous())
        spreads.append(torch.where(some, length(high - middle), 0.0))
    return Rays(
        origin=tiles[0],
        direction=tiles[1],
        reach=present,
        start=middles[0],
        heading=middles[1],
        spread_start=spreads[0],
        spread_heading=spreads[1],
        first=first,
    )


def _each(values: Tensor, scene: Tensor) -> Tensor:
    """``[..., B]`` to ``[..., n]``, or to ``[..., 1]`` where there is only one scene."""
    return values if values.shape[-1] == 1 else values[..., scene]


def _ball(device: torch.device) -> Tensor:
    """Nine points spread over the unit sphere (a Fibonacci lattice), shuffled so that neighbours differ: ``[3, 9]``."""
    k = torch.tensor([0.0, 5, 7, 4, 8, 1, 6, 2, 3], device=device)
    y = 1 - (2 * k + 1) / 9
    angle = k * (math.pi * (3 - math.sqrt(5)))
    ring = (1 - y * y).sqrt()
    return torch.stack([ring * angle.cos(), y, ring * angle.sin()])
