"""Patterns on surfaces: pure functions of a position in metres on the surface, filtered by the pixel's footprint.

Every pattern is antialiased by itself: edges are as wide as the footprint, and what is finer than the footprint fades
into its mean. So a pixel needs one evaluation, however far away or slanted the surface is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.lab.scenes.renderer.materials import PATTERNS

LATTICE, TEXELS = 32, 512
"""The noise table repeats after ``LATTICE`` features; its sides have ``TEXELS`` values."""


@dataclass(frozen=True, slots=True)
class Surface:
    """``n`` points on surfaces. ``x`` and ``y``: position in cells; ``footprint``: the pixel's width in cells; ``gap``,
    ``jitter``: the material's; ``salt``: the material's number. All ``[n]`` float32."""

    x: Tensor
    y: Tensor
    footprint: Tensor
    gap: Tensor
    jitter: Tensor
    salt: Tensor


@dataclass(frozen=True, slots=True)
class Texel:
    """What a pattern says about ``n`` points: how much of the second and the third colour, a brightness factor, and the
    relief's slopes along x and y; ``[n]`` each, or None for none."""

    second: Tensor | None = None
    third: Tensor | None = None
    tone: Tensor | None = None
    slope: tuple[Tensor, Tensor] | None = None


@functools.cache
def _noise_table(device: torch.device) -> Tensor:
    """``[1, 4, TEXELS + 1, TEXELS + 1]``: two coarse octaves, two fine octaves, and the sum's slopes; about -1..1,
    tiles."""
    rng = np.random.default_rng(20240607)
    bands = []
    for octaves in ((1, 2), (4, 8)):
        band = np.zeros((TEXELS, TEXELS))
        for k in octaves:
            n = LATTICE * k
            spectrum = np.fft.fft2(rng.standard_normal((TEXELS, TEXELS)))
            f = np.hypot(*np.meshgrid(np.fft.fftfreq(TEXELS), np.fft.fftfreq(TEXELS))) * TEXELS / n
            ring = np.fft.ifft2(spectrum * np.exp(-((np.maximum(f, 1e-9) / 0.5 - 1) ** 2) * 2)).real
            band += ring / ring.std() * 0.35 / math.sqrt(k)
        bands.append(band)
    total = sum(bands)
    per_feature = TEXELS / LATTICE
    slope_y, slope_x = ((np.roll(total, -1, a) - np.roll(total, 1, a)) / 2 * per_feature for a in (0, 1))
    table = np.stack([*bands, slope_x, slope_y])
    table = np.pad(table, ((0, 0), (0, 1), (0, 1)), mode="wrap")
    return torch.tensor(table, dtype=torch.float32, device=device)[None]


@functools.cache
def _random_table(device: torch.device) -> Tensor:
    return torch.tensor(np.random.default_rng(7).random(4096), dtype=torch.float32, device=device)


def noise(x: Tensor, y: Tensor, footprint: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Noise with features of size 1: coarse and fine part, both about -1..1, and the slopes along x and y; ``[n]``
    each.

    Parts finer than ``footprint`` are faded out.
    """
    grid = torch.stack([x, y], -1).div_(LATTICE)
    grid = grid.sub_(grid.floor()).mul_(2).sub_(1)
    table = _noise_table(x.device)
    sample = torch.nn.functional.grid_sample(table, grid[None, None], mode="bilinear", align_corners=True)
    coarse, fine, slope_x, slope_y = sample[0, :, 0].unbind(0)
    keep_coarse, keep_fine = (1.5 - footprint).clamp_(0, 1), (1.5 - 4 * footprint).clamp_(0, 1)
    return coarse * keep_coarse, fine * keep_fine, slope_x * keep_fine, slope_y * keep_fine


def random(column: Tensor, row: Tensor, salt: Tensor) -> Tensor:
    """A number 0..1 for each cell; ``column`` and ``row`` are whole numbers, float32 ``[n]``."""
    index = column.int().mul_(167) + row.int().mul_(2459) + salt.int().mul_(631)
    index ^= index >> 7
    return _random_table(column.device).index_select(0, index.bitwise_and_(4095))


def _line(x: Tensor, width: Tensor, footprint: Tensor) -> Tensor:
    """How much of a pixel is covered by lines of ``width`` around the whole numbers: the overlap of two intervals,
    and the
    lines' share of everything where pixels hold many."""
    pixel = footprint + 1e-4
    overlap = torch.minimum(torch.minimum(width, pixel), (width + pixel) / 2 - (x - x.round()).abs_())
    return torch.lerp(overlap.clamp_(min=0).div_(pixel), width, (2 * footprint - 0.8).clamp_(0, 1))


def _step(x: Tensor, edge: float, softness: Tensor | float) -> Tensor:
    return ((x - edge) / softness + 0.5).clamp_(0, 1)


def _keep(footprint: Tensor, feature: float = 1.0) -> Tensor:
    """1 where a feature is resolved, 0 where it is finer than the pixel."""
    return (1.6 - 1.2 / feature * footprint).clamp_(0, 1)


def _plain(s: Surface) -> Texel:
    coarse, fine, gx, gy = noise(s.x, s.y, s.footprint)
    return Texel(tone=1 + 0.5 * s.jitter * (coarse + fine), slope=(0.15 * gx, 0.15 * gy))


def _noise(s: Surface) -> Texel:
    coarse, fine, gx, gy = noise(s.x, s.y, s.footprint)
    more, _, _, _ = noise(s.x * 0.37 + 11.3, s.y * 0.37 + 5.9, s.footprint * 0.37)
    return Texel(second=_step(coarse + fine, 0.1, 1.8), third=_step(more, 0.6, 1.2) * 0.7, slope=(0.25 * gx, 0.25 * gy))


def _marble(s: Surface) -> Texel:
    coarse, fine, gx, gy = noise(s.x * 0.5, s.y * 0.5, s.footprint * 0.5)
    phase = s.x * 0.35 + s.y * 0.2 + 1.3 * coarse + 0.7 * fine
    vein = (1 - (phase - phase.round()).abs_() * 2).pow_(6) * _keep(s.footprint, 0.5)
    return Texel(second=vein, third=_step(coarse, 0.4, 0.8), slope=(0.03 * gx, 0.03 * gy))


def _grain(s: Surface, offset: Tensor | float = 0.0) -> Tensor:
    """Wood's grain along x, about -1..1."""
    coarse, fine, _, _ = noise(s.x * 0.12 + offset, s.y * 1.6 + offset, s.footprint)
    rings = torch.sin((s.y * 2.2 + 1.4 * coarse) * (2 * math.pi)) * _keep(s.footprint, 0.3)
    return 0.6 * rings + 0.8 * fine + 0.4 * coarse


def _wood(s: Surface) -> Texel:
    grain = _grain(s)
    return Texel(second=_step(grain, 0.3, 1.6), tone=1 + 0.3 * s.jitter * grain)


def _planks(s: Surface) -> Texel:
    row = s.y.floor()
    shifted = s.x + random(row, row, s.salt) * 3
    column = shifted.floor()
    r = random(column, row, s.salt)
    grain = _grain(s, r * 17)
    joint = torch.maximum(_line(s.y, s.gap, s.footprint), _line(shifted, s.gap * 0.2, s.footprint))
    tone = 1 + s.jitter * (2 * (r - 0.5) * _keep(s.footprint) + 0.5 * grain)
    return Texel(second=joint * 0.9, third=_step(grain, 0.4, 1.5) * 0.4, tone=tone)


def _cells(s: Surface, x: Tensor) -> Texel:
    """Tiles with joints: body, joints, and cells of differing brightness."""
    y = s.y
    across, along = _line(x, s.gap, s.footprint), _line(y, s.gap, s.footprint)
    r = random(x.floor(), y.floor(), s.salt)
    coarse, fine, gx, gy = noise(s.x * 2.3 + r * 9, y * 2.3, s.footprint * 2.3)
    tone = 1 + s.jitter * (2 * (r - 0.5) * _keep(s.footprint) + 0.5 * (coarse + fine))
    keep = _keep(s.footprint, 0.3)
    bevel_x = -torch.sign(x - x.round()) * across * (1 - across) * 4 * keep
    bevel_y = -torch.sign(y - y.round()) * along * (1 - along) * 4 * keep
    third = _step(r, 0.8, 0.05) * 0.6 * _keep(s.footprint)
    return Texel(torch.maximum(across, along), third, tone, (0.1 * gx - bevel_x, 0.1 * gy - bevel_y))


def _tiles(s: Surface) -> Texel:
    return _cells(s, s.x)


def _bricks(s: Surface) -> Texel:
    return _cells(s, s.x + 0.5 * torch.remainder(s.y.floor(), 2))


def _checks(s: Surface) -> Texel:
    x, y = (s.x - s.x.round()), (s.y - s.y.round())
    sharp = 1 / (s.footprint + 1e-4)
    side_x = (x * sharp).clamp_(-0.5, 0.5) * (1 - 2 * torch.remainder(s.x.round(), 2))
    side_y = (y * sharp).clamp_(-0.5, 0.5) * (1 - 2 * torch.remainder(s.y.round(), 2))
    r = random(s.x.floor(), s.y.floor(), s.salt)
    keep = _keep(s.footprint)
    return Texel(second=0.5 + 2 * side_x * side_y * keep, tone=1 + s.jitter * (r - 0.5) * keep)


def _stripes(s: Surface) -> Texel:
    half = torch.full_like(s.x, 0.5)
    thin = _line(s.x + 0.5, s.gap, s.footprint)
    r = random(s.x.round(), torch.zeros_like(s.x), s.salt)
    return Texel(second=_line(s.x, half, s.footprint), third=thin, tone=1 + s.jitter * (r - 0.5) * _keep(s.footprint))


def _speckle(s: Surface) -> Texel:
    x, y = s.x * 3, s.y * 3
    r = random(x.floor(), y.floor(), s.salt)
    px, py = x - x.floor() - 0.3 - 0.4 * r, y - y.floor() - 0.7 + 0.4 * r
    spot = _step(-(px * px + py * py), -0.09, 0.03 + s.footprint) * _keep(s.footprint, 0.4)
    _, fine, gx, gy = noise(x, y, s.footprint * 3)
    return Texel(
        second=spot * (r > 0.45), third=spot * (r < 0.25), tone=1 + s.jitter * fine, slope=(0.2 * gx, 0.2 * gy)
    )


def _gradient(s: Surface) -> Texel:
    coarse, fine, _, _ = noise(s.x * 4, s.y * 4, s.footprint * 4)
    blend = s.y.clamp(0, 1)
    return Texel(second=blend, tone=1 + 0.3 * s.jitter * (coarse + fine))


def _marks(s: Surface) -> Texel:
    row = s.y.floor()
    column = (s.x * 1.8).floor()
    letter_x, letter_y = (s.x * 1.8 - column) * 4, (s.y - row) * 7 - 1
    ink = random(column * 4 + letter_x.floor() + 3, row * 5 + letter_y.floor(), s.salt) > 0.42
    word = random((column * 0.22 + 0.5 * row).floor(), row, s.salt + 5) > 0.15
    space = random(column, row, s.salt + 9) > 0.14
    block = (letter_x < 3) & (letter_y >= 0) & (letter_y < 5)
    sharp = (ink & word & space & block).float()
    mean = 0.2 * word
    heading = _step(random(torch.zeros_like(row), row, s.salt + 3), 0.85, 0.01)
    second = torch.lerp(mean, sharp, (1.4 - 5 * s.footprint).clamp_(0, 1))
    return Texel(second=second * (1 - heading), third=second * heading)


def _panes(s: Surface) -> Texel:
    column, row = s.x.floor(), s.y.floor()
    r = random(column, row, s.salt)
    frame = torch.maximum(_line(s.x, s.gap, s.footprint), _line(s.y, s.gap, s.footprint))
    bars = torch.maximum(_line(s.x * 2 + 1, s.gap * 0.15, s.footprint * 2), frame)
    keep = _keep(s.footprint)
    pane = 1 - bars
    lit = (r > 0.88).float() * keep
    return Texel(pane * (1 - lit), pane * lit, 1 + pane * s.jitter * 3 * (r - 0.5) * keep)


def _dots(s: Surface) -> Texel:
    column, row = s.x.floor(), s.y.floor()
    r = random(column, row, s.salt)
    px, py = s.x - column - 0.5, s.y - row - 0.5
    radius = 0.3 * (1 - s.jitter * r)
    spot = ((radius - (px * px + py * py).sqrt_()) / (s.footprint + 1e-3) + 0.5).clamp_(0, 1)
    spot = torch.lerp(torch.full_like(spot, 0.25), spot, _keep(s.footprint))
    other = (r > 0.7).float()
    return Texel(spot * (1 - other), spot * other)


def _grass(s: Surface) -> Texel:
    _, blades, gx, gy = noise(s.x * 2.5, s.y * 1.2, s.footprint * 1.5)
    _, fine, fx, fy = noise(s.x * 9 + 3.1, s.y * 5 + 7.7, s.footprint * 6)
    patch, _, _, _ = noise(s.x * 0.06, s.y * 0.06, s.footprint * 0.06)
    tone = 1 + 0.8 * blades + 0.8 * fine
    slope = (0.3 * gx + 0.15 * fx, 0.3 * gy + 0.15 * fy)
    return Texel(_step(patch + 0.5 * blades, 0.0, 0.9), _step(fine + 0.4 * patch, 0.45, 0.3), tone, slope)


def _foliage(s: Surface) -> Texel:
    coarse, fine, gx, gy = noise(s.x, s.y, s.footprint)
    small, leaves, lx, ly = noise(s.x * 3.3 + 2.2, s.y * 3.3 + 8.1, s.footprint * 3.3)
    dark = _step(-(coarse + 0.7 * small), 0.1, 0.5)
    tone = 1 + 0.9 * leaves + 0.7 * fine + 0.4 * small
    return Texel(dark * 0.85, _step(small + leaves, 0.45, 0.3), tone, (0.4 * gx + 0.3 * lx, 0.4 * gy + 0.3 * ly))


def _asphalt(s: Surface) -> Texel:
    _, grit, gx, gy = noise(s.x * 5, s.y * 5, s.footprint * 5)
    patch, stain, _, _ = noise(s.x * 0.11, s.y * 0.11, s.footprint * 0.11)
    return Texel(
        _step(patch + stain, 0.35, 0.9) * 0.4, _step(grit, 0.3, 0.2) * 0.6, 1 + 0.6 * grit, (0.15 * gx, 0.15 * gy)
    )


_BY_NAME: dict[str, Callable[[Surface], Texel]] = {
    "plain": _plain,
    "noise": _noise,
    "marble": _marble,
    "wood": _wood,
    "planks": _planks,
    "tiles": _tiles,
    "bricks": _bricks,
    "checks": _checks,
    "stripes": _stripes,
    "speckle": _speckle,
    "gradient": _gradient,
    "marks": _marks,
    "panes": _panes,
    "dots": _dots,
    "grass": _grass,
    "foliage": _foliage,
    "asphalt": _asphalt,
}

FUNCTIONS = tuple(_BY_NAME[name] for name in PATTERNS)
