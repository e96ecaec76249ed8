"""Stored pictures as a training step takes them: cropped, flipped, recoloured. Drawn by the host, done on the device.

Shape suffixes: B batch, P side of a stored picture, S side of the network's picture, H side of a picture in samples,
K taps of a kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, grid_sample, pad

Floats = npt.NDArray[np.float32]

_GREY = (0.299, 0.587, 0.114)  # of red, green and blue, in ITU-R BT.601
_MOST_BLUR = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What becomes of each picture of a batch, ``float32 [B]`` unless said otherwise.

    Attributes:
        zoom_x, zoom_y: of a centred crop, which lengthens the focal length and changes the aspect.
        mirror: -1 where left and right change places, else 1.
        blur: deviation of a Gaussian, in pixels of the network's picture; 0 for none.
        saturation: 0 is grey, 1 as it is.
        gamma, contrast, shift: of all channels.
        balance: of each channel, ``[B, 3]``.
        noise: deviation of white noise, the picture being in 0 … 1. It is the same for all of the batch, but for that.
        seed: of the noise.
    """

    zoom_x: Floats
    zoom_y: Floats
    mirror: Floats
    blur: Floats
    saturation: Floats
    gamma: Floats
    balance: Floats
    contrast: Floats
    shift: Floats
    noise: Floats
    seed: int

    @classmethod
    def none(cls, count: int) -> Changes:
        """Pictures as they are."""
        one, zero = np.ones(count, np.float32), np.zeros(count, np.float32)
        return cls(
            zoom_x=one,
            zoom_y=one,
            mirror=one,
            blur=zero,
            saturation=one,
            gamma=one,
            balance=np.ones((count, 3), np.float32),
            contrast=one,
            shift=zero,
            noise=zero,
            seed=0,
        )

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int) -> Changes:
        """Another lens, another camera, another light: what must not change the depth."""

        def some(share: float, drawn: npt.NDArray[Any], otherwise: float) -> Floats:
            return np.where(rng.random(count) < share, drawn, otherwise).astype(np.float32)

        def factor(deviation: float, *shape: int) -> Floats:
            return np.exp(rng.normal(0, deviation, (count, *shape))).astype(np.float32)

        zoom = some(0.6, rng.uniform(1.0, 1.6, count), 1.0)
        # Rarely: how far a picture was squeezed to a square decides its metres, and cameras have few aspects.
        stretch = some(0.1, rng.uniform(1.0, 1.25, count), 1.0)
        wider = rng.random(count) < 0.5
        return cls(
            zoom_x=np.where(wider, zoom * stretch, zoom),
            zoom_y=np.where(wider, zoom, zoom * stretch),
            mirror=some(0.5, np.full(count, -1.0), 1.0),
            blur=some(0.2, rng.uniform(0.3, _MOST_BLUR, count), 0.0),
            saturation=some(0.92, factor(0.3), 0.0),
            gamma=factor(0.2),
            balance=factor(0.08, 3),
            contrast=factor(0.15),
            shift=rng.normal(0, 0.04, count).astype(np.float32),
            noise=some(0.5, rng.uniform(0, 0.03, count), 0.0),
            seed=int(rng.integers(2**31)),
        )


@torch.no_grad()
def changed(image_BPP3: Tensor, inverse_BPP: Tensor, changes: Changes, size: int) -> tuple[Tensor, Tensor]:
    """``x_B3SS`` in -1 … 1, and inverse depth ``[B, S, S]``, float32, on the device of what is given.

    Args:
        image_BPP3: ``uint8``.
        inverse_BPP: inverse depth, ``float16``.
        changes: what becomes of them.
        size: S.
    """
    x_B3PP = image_BPP3.permute(0, 3, 1, 2).contiguous().float().div_(255)
    # Colours are averaged over what a pixel covers: first where crops may be shrunk by more than half.
    if (shrink := x_B3PP.shape[-1] // (2 * size)) > 1:
        x_B3PP = avg_pool2d(x_B3PP, shrink)
    samples = math.ceil(x_B3PP.shape[-1] / size)
    x_B3SS = _window(x_B3PP, changes, size * samples, mode="bilinear")
    if samples > 1:
        x_B3SS = avg_pool2d(x_B3SS, samples)
    # Depths are not: one between foreground and background would be the truth of nothing.
    inverse_BSS = _window(inverse_BPP[:, None].float(), changes, size, mode="nearest").squeeze(1)
    return _recoloured(_blurred(x_B3SS, changes.blur), changes).clamp_(0, 1).mul_(2).sub_(1), inverse_BSS


def _window(map_BCPP: Tensor, changes: Changes, side: int, *, mode: str) -> Tensor:
    places_H = (np.arange(side, dtype=np.float32) + 0.5) * 2 / side - 1  # -1 and 1 are the picture's edges
    x_BH, y_BH = (
        _to(np.outer(scale, places_H), map_BCPP.device)
        for scale in (changes.mirror / changes.zoom_x, 1 / changes.zoom_y)
    )
    shape = len(map_BCPP), side, side
    grid_BHH2 = torch.stack((x_BH[:, None].expand(shape), y_BH[:, :, None].expand(shape)), dim=-1)
    return grid_sample(map_BCPP, grid_BHH2, mode=mode, padding_mode="border", align_corners=False)


def _blurred(x_B3SS: Tensor, blur: Floats) -> Tensor:
    (chosen,) = np.nonzero(blur)
    if not len(chosen):
        return x_B3SS
    reach = math.ceil(3 * _MOST_BLUR)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / blur[chosen, None]) ** 2)
    taps = np.repeat(taps / taps.sum(1, keepdims=True), 3, axis=0).astype(np.float32)  # for each channel
    at, kernels_K = _to(chosen, x_B3SS.device), _to(taps, x_B3SS.device)[:, None]
    some_1CSS = x_B3SS[at].flatten(0, 1)[None]
    some_1CSS = pad(some_1CSS, (reach,) * 4, mode="reflect")
    some_1CSS = conv2d(some_1CSS, kernels_K[:, :, None], groups=len(kernels_K))
    some_1CSS = conv2d(some_1CSS, kernels_K[..., None], groups=len(kernels_K))
    return x_B3SS.index_copy(0, at, some_1CSS.reshape(len(chosen), *x_B3SS.shape[1:]))


def _recoloured(x_B3SS: Tensor, changes: Changes) -> Tensor:
    device = x_B3SS.device

    def each(values: Floats) -> Tensor:
        """To be multiplied with pictures: of all channels, or of each."""
        return _to(values.reshape(len(values), -1, 1, 1), device)

    red, green, blue = (weight * x_B3SS[:, channel, None] for channel, weight in enumerate(_GREY))
    x_B3SS = torch.lerp(red + green + blue, x_B3SS, each(changes.saturation)).clamp_(0, 1)
    x_B3SS.pow_(each(changes.gamma))
    # Balance, then contrast around the middle, then the shift: one factor and one sum for each channel.
    contrast_B1 = changes.contrast[:, None]
    x_B3SS.mul_(each(changes.balance * contrast_B1))
    x_B3SS.add_(each(0.5 - 0.5 * contrast_B1 + changes.shift[:, None]))
    if changes.noise.any():
        generator = torch.Generator(device).manual_seed(changes.seed)
        noise_3SS = torch.randn(x_B3SS.shape[1:], generator=generator, device=device)
        x_B3SS.addcmul_(each(changes.noise), noise_3SS)
    return x_B3SS


def _to(values: npt.NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device, non_blocking=True)
