"""Rendered pictures on disk: a folder of arrays that several processes fill and training maps into memory.

A picture is stored as the network sees it, squeezed to a square. Depth is stored inverted, so that the sky is an
ordinary number (0) and half precision is as fine far away as nearby.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch

from model.lab import scenes
from stream.errors import ConfigError, ModelError

_ARRAYS = {"image": np.uint8, "inverse_depth": np.float16, "focal": np.float32, "ready": np.bool_}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """What a pool holds, and so what has to be rendered again when it changes.

    Attributes:
        count: pictures.
        size: side of the stored squares in pixels.
        first_seed: the pictures are the seeds from here on.
        samples: rays per pixel along each axis.
    """

    count: int = 20_000
    size: int = 256
    first_seed: int = 0
    samples: int = 2

    def __post_init__(self) -> None:
        for field, value, least in (
            ("count", self.count, 1),
            ("size", self.size, 32),
            ("first_seed", self.first_seed, 0),
            ("samples", self.samples, 1),
        ):
            if value < least:
                raise ConfigError(f"`{field}` must be at least {least}, not {value}")
        if self.first_seed + self.count > len(scenes.TRAIN_SEEDS):
            raise ConfigError(
                f"`first_seed` plus `count` must be at most {len(scenes.TRAIN_SEEDS)}: seeds beyond are held out"
            )

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one of the arrays."""
        square = (self.size, self.size)
        return (self.count, *{"image": (*square, 3), "inverse_depth": square}.get(name, ()))

    def picture_bytes(self) -> int:
        """What one picture takes on disk."""
        return sum(math.prod(self.shape(name)[1:]) * np.dtype(dtype).itemsize for name, dtype in _ARRAYS.items())


class Pool:
    """The arrays of a pool, memory-mapped.

    Attributes:
        image: ``uint8 [N, S, S, 3]``, RGB.
        inverse_depth: ``float16 [N, S, S]``, 1/m; 0 is the sky.
        focal: ``float32 [N]``, horizontal focal length as a share of the picture's width.
        ready: ``bool [N]``, which pictures have been rendered.
    """

    def __init__(self, folder: Path, config: PoolConfig, mode: Literal["r", "r+"]) -> None:
        self.config = config
        arrays: dict[str, Any] = {name: np.load(folder / f"{name}.npy", mmap_mode=mode) for name in _ARRAYS}
        self.image: npt.NDArray[np.uint8] = arrays["image"]
        self.inverse_depth: npt.NDArray[np.float16] = arrays["inverse_depth"]
        self.focal: npt.NDArray[np.float32] = arrays["focal"]
        self.ready: npt.NDArray[np.bool_] = arrays["ready"]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open for reading.

        Raises:
            ConfigError: there is no pool, a damaged one, or nothing in it yet.
        """
        if not (folder / "pool.json").is_file():
            raise ConfigError(
                f"`pool={folder}` is no pool of rendered pictures; "
                f"make one with: python -m model.lab.training render {folder}"
            )
        pool = cls._mapped(folder, None, "r")
        if not pool.ready.any():
            raise ConfigError(f"`pool={folder}` has no picture yet; render some first")
        return pool

    @classmethod
    def described(cls, folder: Path) -> PoolConfig:
        """What the pool in ``folder`` holds, whether or not it has pictures yet.

        Raises:
            ConfigError: it is damaged.
        """
        return cls._mapped(folder, None, "r").config

    @classmethod
    def _mapped(cls, folder: Path, config: PoolConfig | None, mode: Literal["r", "r+"]) -> Self:
        """The arrays that are there, which must be those of ``config`` (default: of what the folder says it holds)."""
        try:
            config = config or PoolConfig(**json.loads((folder / "pool.json").read_text()))
            pool = cls(folder, config, mode)
            if pool.ready.shape != (config.count,) or pool.image.shape != config.shape("image"):
                raise ValueError("the arrays are of another size")
        except (OSError, EOFError, TypeError, ValueError) as exc:
            raise ConfigError(f"the pool {folder} is damaged ({exc}); delete the folder and render it again") from exc
        return pool

    @classmethod
    def create(cls, folder: Path, config: PoolConfig) -> Self:
        """Make the arrays, or open those of an unfinished run for writing. A pool with fewer pictures grows.

        Raises:
            ConfigError: the folder holds another pool, a damaged one, cannot be written, or the disk is too small.
        """
        description = folder / "pool.json"
        if folder.is_file():
            raise ConfigError(f"{folder} is a file, and a pool is a folder; name another")
        before = 0
        if description.exists():
            found = cls._mapped(folder, None, "r").config  # for writing, a file that is cut short would be padded
            before = found.count
            given = asdict(replace(config, count=before))
            others = [f"`{name}={then}`" for name, then in asdict(found).items() if then != given[name]]
            if others:
                raise ConfigError(
                    f"{folder} holds a pool with {', '.join(others)}; render it so, or choose another folder"
                )
            if before > config.count:
                raise ConfigError(f"{folder} has {before} pictures already; `count={before}` or more keeps them")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Pages of a mapped file on a full disk are not written but kill the process.
            free, needed = shutil.disk_usage(folder).free, (config.count - before) * config.picture_bytes()
            if free < needed:
                raise ConfigError(
                    f"{folder} needs {needed / 1e9:.1f} GB more and its disk has {free / 1e9:.1f} GB free: "
                    "make room, or render fewer with `count`"
                )
            if before < config.count:
                for name, dtype in _ARRAYS.items():
                    file, larger = folder / f"{name}.npy", folder / f"{name}.tmp"
                    array = np.lib.format.open_memmap(larger, "w+", dtype, config.shape(name))
                    if before:
                        array[:before] = np.load(file, mmap_mode="r")
                    larger.replace(file)
                description.write_text(json.dumps(asdict(config)))
        except OSError as exc:
            raise ConfigError(f"no pool can be made in {folder}: {exc.strerror}") from exc
        return cls._mapped(folder, config, "r+")

    def missing(self) -> list[int]:
        """Indices that are not rendered yet."""
        return [int(i) for i in np.flatnonzero(~self.ready)]

    def put(self, index: int, image_SS3: npt.NDArray[np.uint8], depth_SS: npt.NDArray[np.float32], f_px: float) -> None:
        """Store a picture of the pool's size; ``depth_SS`` in metres, ``f_px`` in its pixels."""
        self.image[index] = image_SS3
        self.inverse_depth[index] = 1 / depth_SS
        self.focal[index] = f_px / self.config.size
        self.ready[index] = True


def render(folder: Path, config: PoolConfig, *, processes: int | None = None) -> Iterator[tuple[int, int]]:
    """Render what is missing in the pool in ``folder``, which is made if need be.

    Yields for each picture its index, and how many scenes were drawn again for it because no camera found room in them.

    Args:
        folder: of the pool.
        config: what it holds.
        processes: how many render side by side; one per processor core unless given.

    Raises:
        ConfigError: the folder holds another pool or cannot be written, or ``processes`` is none.
        ModelError: a rendering process died.
    """
    if processes is not None and processes < 1:
        raise ConfigError(f"`processes` takes a number from 1 on, not {processes}")
    missing = Pool.create(folder, config).missing()
    chunks = [missing[start : start + 8] for start in range(0, len(missing), 8)]
    workers = processes or os.cpu_count() or 1
    # Spawned, not forked: torch's threads do not survive a fork.
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_prepare_process) as executor:
        try:
            for done in executor.map(_render_chunk, itertools.repeat(folder), itertools.repeat(config), chunks):
                yield from done
        except BrokenProcessPool as exc:
            raise ModelError(
                f"a process rendering into {folder} was killed, for want of memory or of room on the disk? The same "
                "command goes on; `processes` takes fewer"
            ) from exc


def _prepare_process() -> None:
    torch.set_num_threads(1)  # the processes share the cores
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them; the first one stops the others


def _render_chunk(folder: Path, config: PoolConfig, indices: list[int]) -> list[tuple[int, int]]:
    pool = Pool(folder, config, "r+")
    done = []
    for index in indices:
        seed = scenes.TRAIN_SEEDS[config.first_seed + index]
        still = scenes.still(seed, long_side=config.size, squeezed=True, samples=config.samples)
        pool.put(index, still.image, still.depth, still.f_px)
        done.append((index, still.redrawn))
    return done
