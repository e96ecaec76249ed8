"""From linear light to the 8-bit picture that a camera would have made of it.

Exposure, white balance, vignetting, softness, motion blur, noise, the sRGB curve, contrast and JPEG, each with a
strength
drawn from a seed: most pictures are mild, a few are dark, noisy or blurred as real ones are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stream.errors import ConfigError

Linear = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

REFERENCE_WIDTH = 512
"""Blurs are drawn in pixels of a picture this wide and scale with the width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """How a camera develops light.

    ``stops``: exposure beside the automatic one. ``balance``: factors on red, green and blue. ``vignetting``: how
    much darker
    the corners of a 90° view are, 0..1. ``softness``: blur's standard deviation, ``motion``: length of the blur's
    line, both in pixels of a
    picture ``REFERENCE_WIDTH`` wide; ``motion_angle`` in radians. ``shot`` and ``read``: noise that grows with the
    root of the light,
    and noise that does not; of white. ``contrast``: strength of the S-curve, negative flattens. ``saturation``: 1
    as it is.
    ``jpeg``: quality, 0 for none. ``seed`` decides the noise.
    """

    stops: float = 0.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    vignetting: float = 0.0
    softness: float = 0.0
    motion: float = 0.0
    motion_angle: float = 0.0
    shot: float = 0.0
    read: float = 0.0
    contrast: float = 0.0
    saturation: float = 1.0
    jpeg: int = 0
    seed: int = 0

    @classmethod
    def ideal(cls) -> Sensor:
        """Exposure and the sRGB curve, nothing else."""
        return cls()

    @classmethod
    def drawn(cls, seed: int) -> Sensor:
        """A camera's day, from its seed."""
        rng = np.random.default_rng([seed, 0x5E4507])
        rough = rng.beta(1.2, 4.0)  # mostly mild
        warmth, tint = rng.normal(0, 0.07), rng.normal(0, 0.025)
        return cls(
            stops=float(np.clip(rng.normal(0, 0.45), -1.5, 1.2)),
            balance=(math.exp(warmth), math.exp(tint), math.exp(-warmth)),
            vignetting=float(rng.beta(1.5, 4) * 0.7),
            softness=float(rng.uniform(0, 0.5) + (rng.uniform(0.3, 1.5) if rng.random() < 0.15 else 0)),
            motion=float(rng.uniform(1.5, 9) if rng.random() < 0.15 else 0),
            motion_angle=float(rng.uniform(0, math.pi)),
            shot=float(0.004 + 0.06 * rough),
            read=float(0.001 + 0.015 * rough * rng.random()),
            contrast=float(np.clip(rng.normal(0.15, 0.2), -0.3, 0.7)),
            saturation=float(np.clip(rng.normal(1.0, 0.15), 0.3 if rng.random() < 0.9 else 0.0, 1.5)),
            jpeg=int(rng.integers(35, 98)) if rng.random() < 0.6 else 0,
            seed=seed,
        )


def develop(
    image: Linear | Tensor,
    *,
    f_px: float,
    pixel_aspect: float = 1.0,
    seed: int | None = None,
    sensor: Sensor | None = None,
) -> Picture:
    """Linear light float32 ``[H, W, 3]`` to sRGB uint8 ``[H, W, 3]``.

    ``f_px`` and ``pixel_aspect`` are those of the camera, for the vignetting. The camera is ``sensor``, or the one
    drawn from ``seed``, or the ideal one. Raises ``ConfigError`` for an image of another shape or light that is not
    finite.
    """
    if sensor is None:
        sensor = Sensor.ideal() if seed is None else Sensor.drawn(seed)
    light = np.array(image.numpy(force=True) if isinstance(image, Tensor) else image, np.float32)
    if light.ndim != 3 or light.shape[2] != 3 or not light.size:
        raise ConfigError(f"a picture to develop is [H, W, 3], not {list(light.shape)}")
    if not np.isfinite(light).all():
        raise ConfigError("a picture to develop holds light that is not finite")
    light *= _exposure(light) * 2**sensor.stops
    light *= np.array(sensor.balance, np.float32)
    if sensor.vignetting:
        light *= _falloff(light.shape[1], light.shape[0], f_px, pixel_aspect, sensor.vignetting)
    light = _blurred(np.maximum(light, 0), sensor)
    if sensor.shot or sensor.read:
        light = _noisy(light, sensor)
    picture = _toned(_srgb(light), sensor)
    if sensor.jpeg:
        _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg])
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        picture = decoded[..., ::-1].astype(np.uint8)
    return np.ascontiguousarray(picture)


def _exposure(light: Linear) -> float:
    """What brings the middle brightness to a middle grey, while the brighter parts do not all burn out."""
    brightness = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    middle, bright = np.percentile(brightness, [50, 95])
    return float(min(0.2 / max(middle, 1e-6), 1.1 / max(bright, 1e-6)))


def _falloff(width: int, height: int, f_px: float, pixel_aspect: float, strength: float) -> Linear:
    """Natural vignetting, the fourth power of the cosine, ``[H, W, 1]``; ``strength`` mixes it in."""
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / f_px
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / (f_px * pixel_aspect)
    cosine_squared = 1 / (1 + x**2 + (y**2)[:, None])
    falloff: Linear = (1 - strength + strength * cosine_squared**2)[:, :, None].astype(np.float32)
    return falloff


def _blurred(light: Linear, sensor: Sensor) -> Linear:
    scale = light.shape[1] / REFERENCE_WIDTH
    softness, motion = sensor.softness * scale, sensor.motion * scale
    if softness > 0.15:
        light = cv2.GaussianBlur(light, (0, 0), softness).astype(np.float32, copy=False)
    if motion > 1:
        side = 2 * math.ceil(motion / 2) + 1
        line = np.zeros((side, side), np.float32)
        for t in np.linspace(-motion / 2, motion / 2, 8 * side):
            x, y = side // 2 + t * math.cos(sensor.motion_angle), side // 2 + t * math.sin(sensor.motion_angle)
            line[round(y), round(x)] += 1
        light = cv2.filter2D(light, -1, line / line.sum(), borderType=cv2.BORDER_REPLICATE).astype(
            np.float32, copy=False
        )
    return light


def _noisy(light: Linear, sensor: Sensor) -> Linear:
    generator = torch.Generator().manual_seed(sensor.seed)
    noise = torch.randn(light.shape, generator=generator).numpy()
    noisy: Linear = light + noise * np.sqrt(sensor.shot**2 * np.minimum(light, 1) + sensor.read**2)
    return noisy


def _srgb(light: Linear) -> Linear:
    """IEC 61966-2-1, with highlights rolled off above 0.8 instead of cut."""
    light = np.maximum(light, 0)
    light = np.where(light < 0.8, light, 0.8 + 0.2 * (1 - np.exp(-(light - 0.8) / 0.2)))
    curve: Linear = np.where(light < 0.0031308, 12.92 * light, 1.055 * np.power(light, 1 / 2.4) - 0.055)
    return curve


def _toned(signal: Linear, sensor: Sensor) -> Picture:
    if sensor.saturation != 1:
        grey = signal @ np.array([0.2126, 0.7152, 0.0722], np.float32)
        signal = grey[..., None] + sensor.saturation * (signal - grey[..., None])
    signal = np.clip(signal, 0, 1)
    if sensor.contrast:
        signal = signal + sensor.contrast * (signal * signal * (3 - 2 * signal) - signal)
    picture: Picture = (signal * 255 + 0.5).astype(np.uint8)
    return picture
