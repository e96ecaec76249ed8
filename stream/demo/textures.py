"""Procedural textures. Detail smaller than a pixel fades to its mean instead of shimmering."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Color = tuple[float, float, float]
# (first, second surface coordinate in metres, metres one pixel covers there) → linear RGB, float32 [N, 3]
Texture = Callable[[Floats, Floats, Floats], Floats]

_NOISE = np.random.default_rng(7).random((256, 256)).astype(np.float32)
_NOISE = (_NOISE + np.roll(_NOISE, 1, 0) + np.roll(_NOISE, 1, 1) + np.roll(_NOISE, 1, (0, 1))) / np.float32(4)


def _color(c: Color) -> Floats:
    return np.array(c, np.float32)


def _noise(u: Floats, v: Floats, pixel: Floats, size: float) -> Floats:
    """-0.5 … 0.5 in cells of ``size`` metres; fades out where a pixel covers more than a cell."""
    cells = _NOISE[(v / size).astype(np.int32) & 255, (u / size).astype(np.int32) & 255]
    fade: Floats = (cells - 0.5) * np.clip(1.5 - pixel / size, 0, 1)
    return fade


def _lines(u: Floats, period: float, width: float, pixel: Floats) -> Floats:
    """Coverage 0 … 1 of lines of ``width`` every ``period`` metres, averaged over a pixel."""
    distance = np.abs(u - period * np.round(u / period))
    covered: Floats = np.clip((width / 2 - distance) / pixel + 0.5, 0, 1)
    covered *= np.clip(2 - 2 * pixel / period, width / period, 1)
    return covered


def blocks(light: Color, dark: Color, joint: Color, width: float, height: float, gap: float, grain: float) -> Texture:
    """Bricks, planks or tiles: ``width`` × ``height`` metres, rows set off by half, each with its own shade."""
    a, b, c = _color(light), _color(dark), _color(joint)

    def texture(u: Floats, v: Floats, pixel: Floats) -> Floats:
        row = np.floor(v / height)
        shifted = u + (row % 2) * (width / 2) + np.float32(0.37 * width) * (row % 3)
        shade = _NOISE[row.astype(np.int32) * 37 & 255, np.floor(shifted / width).astype(np.int32) * 91 & 255]
        shade = 0.5 + (shade - 0.5) * np.clip(2 - pixel / height, 0, 1) * 2.2
        shade += _noise(u, v * 6, pixel * 6, grain) * 0.9
        joints = np.maximum(_lines(shifted, width, gap, pixel), _lines(v, height, gap, pixel))[:, None]
        color: Floats = b + (a - b) * shade[:, None]
        return color + (c - color) * joints

    return texture


def stripes(first: Color, second: Color, period: float, *, both_ways: bool = False) -> Texture:
    """Stripes across the first coordinate, or a chequer."""
    a, b = _color(first), _color(second)

    def texture(u: Floats, v: Floats, pixel: Floats) -> Floats:
        sharp = period / np.maximum(pixel * 4, 1e-4)
        wave = np.sin(u * (math.pi / period))
        if both_ways:
            wave = wave * np.sin(v * (math.pi / period))
        mix = 0.5 + 0.5 * np.clip(wave * sharp, -1, 1) * np.clip(sharp - 0.4, 0, 1)
        mix += _noise(u, v, pixel, 0.02) * 0.25
        color: Floats = a + (b - a) * mix[:, None].astype(np.float32)
        return color

    return texture


def plaster(top: Color, bottom: Color, *, pictures: bool = False) -> Texture:
    """A painted wall, darker below a rail; ``pictures`` hangs framed ones on it."""
    a, b = _color(top), _color(bottom)

    def texture(u: Floats, v: Floats, pixel: Floats) -> Floats:
        mix = np.clip((v - 0.45) / pixel + 0.5, 0, 1)
        color: Floats = a + (b - a) * mix[:, None]
        color *= (1 + 0.25 * _noise(u, v, pixel, 0.012) - 0.5 * _lines(v - 0.45, 9, 0.05, pixel))[:, None]
        if pictures:
            x, y = u - 1.8 * np.round(u / 1.8), v + 0.35
            frame = np.maximum(np.abs(x) / 0.62, np.abs(y) / 0.44)
            color[frame < 1] = (0.05, 0.03, 0.02)
            inside = frame < 0.88
            hills = y[inside] - 0.1 + 0.12 * np.sin(5 * u[inside]) + 0.05 * np.sin(13 * u[inside])
            sky = np.stack((0.75 - y[inside], 0.6 - 0.3 * y[inside], 0.75 + y[inside]), -1)
            color[inside] = np.where(hills[:, None] > 0, _color((0.12, 0.3, 0.1)), sky)
        return color

    return texture


def ceiling(lamps: Floats) -> Texture:
    """White panels with square lamps at ``[N, 3]`` positions."""

    def texture(u: Floats, v: Floats, pixel: Floats) -> Floats:
        color = np.full((len(u), 3), 0.72, np.float32)
        color *= (1 - 0.35 * np.maximum(_lines(u, 1.3, 0.02, pixel), _lines(v, 1.3, 0.02, pixel)))[:, None]
        for x, _, z in lamps:
            color[(np.abs(u - z) < 0.45) & (np.abs(v - x) < 0.45)] = 3.0  # u runs along z there
        return color

    return texture
