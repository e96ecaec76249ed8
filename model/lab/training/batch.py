"""From stored pictures to what a training step takes: drawn, cropped, flipped, recoloured.

Shape suffixes: B batch, S side of the network's picture; arrays before that are ``[H, W]`` and ``[H, W, 3]``.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.lab.training.pool import Pool

Floats = npt.NDArray[np.float32]

_NOISE = np.random.default_rng(0).standard_normal(2**22, np.float32)  # drawing it anew would take longest of all


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures with their truth.

    Attributes:
        x_B3SS: the network's input, RGB normalised with mean 0.5 and standard deviation 0.5, float32.
        target_BSS: canonical inverse depth, float32, 0 for the sky.
        fov_B: horizontal field of view in degrees, float32.
    """

    x_B3SS: Tensor
    target_BSS: Tensor
    fov_B: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(t.to(device, non_blocking=True) for t in (self.x_B3SS, self.target_BSS, self.fov_B)))


def held_back(pool: Pool) -> int:
    """How many pictures at the start of a pool are never trained on."""
    return min(64, math.ceil(pool.config.count / 20))


def validation(pool: Pool, size: int) -> Batch:
    """The pictures held back from training, as they are."""
    ready = np.flatnonzero(pool.ready[: held_back(pool)])
    squeezed = [_squeeze(pool.image[i], pool.inverse_depth[i], size) for i in ready]
    return collate(
        [
            (pixels.astype(np.float32) / np.float32(255), target, float(pool.focal[i]))
            for i, (pixels, target) in zip(ready, squeezed, strict=True)
        ]
    )


def draw(pool: Pool, rng: np.random.Generator, count: int, size: int) -> Batch:
    """``count`` pictures of the pool, as they are ready now, augmented and squeezed to ``size``."""
    ready = held_back(pool) + np.flatnonzero(pool.ready[held_back(pool) :])
    chosen = rng.choice(ready, count, replace=count > len(ready))
    return collate([augment(rng, pool.image[i], pool.inverse_depth[i], float(pool.focal[i]), size) for i in chosen])


def collate(pictures: list[tuple[Floats, Floats, float]]) -> Batch:
    """Pictures ``[S, S, 3]`` in 0 … 1, inverse depths ``[S, S]`` in 1/m and focal lengths in widths, as a batch."""
    images, inverse_depths, focals = zip(*pictures, strict=True)
    focal_B = torch.tensor(focals, dtype=torch.float32)
    return Batch(
        x_B3SS=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous() * 2 - 1,
        target_BSS=torch.from_numpy(np.stack(inverse_depths)) * focal_B[:, None, None],
        fov_B=torch.rad2deg(2 * torch.atan(0.5 / focal_B)),
    )


def augment(
    rng: np.random.Generator,
    image: npt.NDArray[np.uint8],
    inverse_depth: npt.NDArray[np.float16],
    focal: float,
    size: int,
) -> tuple[Floats, Floats, float]:
    """A centred crop, which lengthens the focal length and changes the aspect; a flip; other colours, blur, noise."""
    zoom = rng.uniform(1.0, 1.6) if rng.random() < 0.6 else 1.0
    stretch = rng.uniform(1.0, 1.25) if rng.random() < 0.4 else 1.0
    zoom_x, zoom_y = (zoom * stretch, zoom) if rng.random() < 0.5 else (zoom, zoom * stretch)
    height, width = (round(n / z) for n, z in zip(image.shape[:2], (zoom_y, zoom_x), strict=True))
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    window = (slice(top, top + height), slice(left, left + width))
    pixels, target = _squeeze(image[window], inverse_depth[window], size)
    if rng.random() < 0.5:
        pixels, target = cv2.flip(pixels, 1), cv2.flip(target, 1)
    return _recolour(rng, pixels), target.astype(np.float32, copy=False), focal * image.shape[1] / width


def _squeeze(
    image: npt.NDArray[np.uint8], inverse_depth: npt.NDArray[np.float16], size: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Both as squares of ``size``: averaged or interpolated colours, but no depth that was not there."""
    shrinks = min(image.shape[:2]) > size
    colors = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    depths = cv2.resize(inverse_depth.astype(np.float32), (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    return colors, depths


def _recolour(rng: np.random.Generator, pixels: npt.NDArray[Any]) -> Floats:
    """Another camera, another light: what must not change the depth."""
    if rng.random() < 0.2:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 1.2))
    saturation = 0.0 if rng.random() < 0.08 else float(np.exp(rng.normal(0, 0.3)))
    grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    pixels = cv2.addWeighted(pixels, saturation, grey, 1 - saturation, 0)
    # Gamma, white balance, contrast and brightness of each of the 256 values a channel can have, looked up.
    gamma, balance = np.exp(rng.normal(0, 0.2)), np.exp(rng.normal(0, 0.08, 3))
    contrast, shift = np.exp(rng.normal(0, 0.15)), rng.normal(0, 0.04)
    curves = np.linspace(0, 1, 256)[:, None] ** gamma * balance
    curves = 0.5 + (curves - 0.5) * contrast + shift
    color: npt.NDArray[Any] = cv2.LUT(pixels, curves[None].astype(np.float32))
    if rng.random() < 0.5:
        first = rng.integers(0, len(_NOISE) - color.size) if color.size < len(_NOISE) else 0
        noise = np.resize(_NOISE[first : first + color.size], color.shape)
        color = color + noise * np.float32(rng.uniform(0, 0.03))
    return color.clip(0, 1).astype(np.float32, copy=False)


def batches(pool: Pool, *, seed: int, start: int, count: int, size: int) -> Generator[Batch]:
    """Batches from ``start`` on, without end, prepared a few ahead on a thread. Close it to stop.

    Batch ``n`` is drawn from ``(seed, n)``, so that a resumed run goes on where it stopped.
    """

    def prepare(step: int) -> Batch:
        return draw(pool, np.random.default_rng((seed, step)), count, size)

    with ThreadPoolExecutor(1, thread_name_prefix="batches") as executor:
        pending = deque(executor.submit(prepare, step) for step in range(start, start + 3))
        for step in itertools.count(start + 3):
            yield pending.popleft().result()
            pending.append(executor.submit(prepare, step))
