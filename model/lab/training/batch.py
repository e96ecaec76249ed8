"""From a pool to what a training step takes.

Shape suffixes: B batch, S side of the network's picture, P side of a stored picture.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.lab.training.augment import Changes, changed
from model.lab.training.pool import Pool

Indices = npt.NDArray[np.intp]

_DEVICE_SHARE = 0.5  # of the device's free memory, for pictures
_LOOK_AGAIN_S = 1.0  # for pictures that have been rendered meanwhile
_AT_ONCE = 256  # pictures copied to the device


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


def held_back(pool: Pool) -> int:
    """How many pictures at the start of a pool are never trained on."""
    return min(64, math.ceil(pool.config.count / 20))


class Pictures:
    """The pictures of a pool, where they are drawn from.

    On a GPU whose memory has room for all of the pool, they are kept there, those that are rendered meanwhile too; else
    they are read from the pool's files whenever they are drawn.

    Args:
        pool: the pictures.
        device: where batches are wanted.
    """

    def __init__(self, pool: Pool, device: torch.device) -> None:
        self.pool = pool
        self._device = device
        self._kept: tuple[Tensor, Tensor] | None = None
        self._is_there = np.zeros(pool.config.count, np.bool_)  # on the device
        self._looked_s = -math.inf
        if device.type == "cuda" and self._has_room():
            config = pool.config
            self._kept = (
                torch.empty(config.shape("image"), dtype=torch.uint8, device=device),
                torch.empty(config.shape("inverse_depth"), dtype=torch.float16, device=device),
            )

    def ready(self) -> npt.NDArray[np.bool_]:
        """``[N]``, which pictures can be taken."""
        if self._kept is None:
            return self.pool.ready
        if time.monotonic() - self._looked_s > _LOOK_AGAIN_S:
            self._keep(self._kept, np.flatnonzero(self.pool.ready & ~self._is_there))
            self._looked_s = time.monotonic()
        return self._is_there

    def take(self, indices: Indices, changes: Changes, size: int) -> Batch:
        """These pictures, changed, on the device."""
        if self._kept is not None:
            at = torch.from_numpy(indices).to(self._device, non_blocking=True)
            image_NPP3, inverse_NPP = self._kept
            image_BPP3, inverse_BPP = image_NPP3[at], inverse_NPP[at]
        else:
            image_BPP3 = torch.from_numpy(self.pool.image[indices]).to(self._device, non_blocking=True)
            inverse_BPP = torch.from_numpy(self.pool.inverse_depth[indices]).to(self._device, non_blocking=True)
        x_B3SS, inverse_BSS = changed(image_BPP3, inverse_BPP, changes, size)
        focal_B = torch.from_numpy(self.pool.focal[indices] * changes.zoom_x)
        fov_B = torch.rad2deg(2 * torch.atan(0.5 / focal_B))
        target_BSS = inverse_BSS * focal_B.to(self._device, non_blocking=True)[:, None, None]
        return Batch(x_B3SS, target_BSS, fov_B.to(self._device, non_blocking=True))

    def _has_room(self) -> bool:
        free, _ = torch.cuda.mem_get_info(self._device)
        return self.pool.config.count * self.pool.config.picture_bytes() < _DEVICE_SHARE * free

    def _keep(self, kept: tuple[Tensor, Tensor], indices: Indices) -> None:
        for start in range(0, len(indices), _AT_ONCE):
            some = indices[start : start + _AT_ONCE]
            at = torch.from_numpy(some).to(self._device)
            kept[0][at] = torch.from_numpy(self.pool.image[some]).to(self._device)
            kept[1][at] = torch.from_numpy(self.pool.inverse_depth[some]).to(self._device)
            self._is_there[some] = True


def validation(pictures: Pictures, size: int) -> Batch:
    """The pictures held back from training, as they are."""
    ready = np.flatnonzero(pictures.ready()[: held_back(pictures.pool)])
    return pictures.take(ready, Changes.none(len(ready)), size)


def draw(pictures: Pictures, rng: np.random.Generator, count: int, size: int) -> Batch:
    """``count`` pictures of the pool, as they are ready now, changed and squeezed to ``size``."""
    first = held_back(pictures.pool)
    ready = first + np.flatnonzero(pictures.ready()[first:])
    chosen = rng.choice(ready, count, replace=count > len(ready))
    return pictures.take(chosen, Changes.draw(rng, count), size)


def batches(pictures: Pictures, *, seed: int, start: int, count: int, size: int) -> Generator[Batch]:
    """Batches from ``start`` on, without end, prepared a few ahead on a thread. Close it to stop.

    Batch ``n`` is drawn from ``(seed, n)``, so that a resumed run goes on where it stopped.
    """

    def prepare(step: int) -> Batch:
        return draw(pictures, np.random.default_rng((seed, step)), count, size)

    with ThreadPoolExecutor(1, thread_name_prefix="batches") as executor:
        pending = deque(executor.submit(prepare, step) for step in range(start, start + 3))
        for step in itertools.count(start + 3):
            yield pending.popleft().result()
            pending.append(executor.submit(prepare, step))
