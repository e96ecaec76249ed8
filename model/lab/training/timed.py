"""A whole training by the clock: pictures are rendered on all cores while the network trains on those that are there.

For a machine rented by the minute. Rendering fills the pool at tile size while the first stage trains, and then the
pool of whole pictures.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from model.lab.training.batch import held_back
from model.lab.training.config import STAGES, StageName, TrainConfig
from model.lab.training.pool import Pool, PoolConfig
from model.network.config import NetworkConfig
from stream.errors import ConfigError, ModelError

SHARES: dict[StageName, float] = {"backbone": 0.43, "tiles": 0.25, "depth": 0.1, "boundaries": 0.05, "fov": 0.08}
"""Of the time. What is left is for the first pictures, the validations and the page."""
SMALL_PICTURES_UNTIL = 0.3
"""Share of the time after which rendering turns to whole pictures; the stages that need those begin at 0.43."""
GPU_BATCHES: dict[StageName, int] = {"backbone": 256, "tiles": 32, "depth": 64, "boundaries": 64, "fov": 256}
"""Pictures a step that keep a GPU busy. The configuration has those for a processor."""
FIRST_LARGE_SEED = 1_000_000_000
_FASTEST = 100  # pictures a second and core that no renderer reaches: how large a pool is made
_FREE_SHARE = 0.4  # of the disk, for each of the two pools at most


def by_the_clock(config: TrainConfig, minutes: float, *, on_gpu: bool = False) -> TrainConfig:
    """``config`` with stages that take their share of ``minutes``.

    ``on_gpu``: and with a GPU's batches, where it has the usual ones.

    Raises:
        ConfigError: ``minutes`` is not above zero.
    """
    if not 0 < minutes < float("inf"):
        raise ConfigError(f"`minutes` must be above 0, not {minutes}")
    stages = {}
    for name in STAGES:
        stage = config.stage(name)
        is_usual = stage.batch == type(stage)().batch
        batch = GPU_BATCHES[name] if on_gpu and is_usual else stage.batch
        stages[name] = replace(stage, seconds=60 * minutes * SHARES[name], batch=batch)
    return replace(config, **stages)  # type: ignore[arg-type]


def pools_for(folder: Path, network: NetworkConfig, minutes: float, processes: int) -> dict[Path, PoolConfig]:
    """The pools at tile size and at the network's full size in ``folder``, larger than can be rendered in the time.

    A pool that is there already keeps its size.

    Raises:
        ConfigError: the disk has no room for a few hundred pictures, or a pool there is damaged.
    """
    made = {}
    sizes = {"small": (network.tile_size, 0), "large": (network.input_size, FIRST_LARGE_SEED)}
    for name, (size, first_seed) in sizes.items():
        place = folder / name
        if (place / "pool.json").exists():
            made[place] = Pool.described(place)
            continue
        config = PoolConfig(size=size, first_seed=first_seed, samples=1)
        folder.mkdir(parents=True, exist_ok=True)
        room = int(_FREE_SHARE * shutil.disk_usage(folder).free / config.picture_bytes())
        if room < 200:
            raise ConfigError(f"the disk of {folder} has no room for pictures of {size} pixels; make some")
        made[place] = replace(config, count=min(room, max(int(60 * minutes * processes * _FASTEST), 200)))
    return made


class Renderer:
    """Renders pools one after the other in a process of its own, which gives way to training.

    Args:
        pools: first the one at tile size, then the one of whole pictures.
        processes: how many render side by side.
    """

    def __init__(self, pools: dict[Path, PoolConfig], processes: int) -> None:
        self._pools = pools
        self._processes = processes
        self._running: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def wait_for_first(self, pictures: int) -> None:
        """Render until each pool has what validation needs and ``pictures`` to train on.

        Raises:
            ModelError: rendering failed; what it said stands above.
        """
        for folder, config in reversed(self._pools.items()):  # so that the small one is being rendered at the end
            self.turn_to(folder)
            while not self._has_first(folder, config, pictures):
                if self._running is None or self._running.poll() not in (None, 0):
                    raise ModelError(f"the pictures in {folder} could not be rendered; what was wrong stands above")
                time.sleep(0.1)

    @staticmethod
    def _has_first(folder: Path, config: PoolConfig, pictures: int) -> bool:
        try:
            pool = Pool.open(folder)
        except ConfigError:  # not made yet, or no picture in it
            return False
        held, ready = held_back(pool), pool.ready
        return bool(ready[:held].all() and ready[held:].sum() >= min(pictures, config.count - held))

    def turn_to(self, folder: Path) -> None:
        """Render this pool from now on, and no other."""
        with self._lock:
            self._end()
            if self._closed:
                return
            config = self._pools[folder]
            told = {"count": config.count, "size": config.size, "first-seed": config.first_seed}
            options = [f"--{name}={value}" for name, value in (told | {"samples": config.samples}).items()]
            command = [sys.executable, "-m", "model.lab.training", "render", str(folder), *options]
            # A session of its own: Ctrl-C is for the training, which ends this in order.
            self._running = subprocess.Popen(
                [*command, f"--processes={self._processes}"], stdout=subprocess.DEVNULL, start_new_session=True
            )
            if hasattr(os, "setpriority"):
                with suppress(OSError):  # it has ended already, and says why
                    os.setpriority(os.PRIO_PROCESS, self._running.pid, 10)

    def close(self) -> None:
        """End rendering. A picture that is half done is not stored."""
        with self._lock:
            self._closed = True
            self._end()

    def _end(self) -> None:
        if self._running is not None:
            self._running.terminate()
            self._running.wait()
            if hasattr(os, "killpg"):
                # One that was told to end while it started its processes may have left them behind.
                with suppress(ProcessLookupError):
                    os.killpg(self._running.pid, signal.SIGKILL)
            self._running = None


def write_page(trained: Path, page: Path, pictures: int, device: str) -> None:
    """A page with the first held-out scenes as the trained network sees them.

    Raises:
        ModelError: the evaluation failed; what it said stands above.
    """
    command = [sys.executable, "-m", "model.lab.evaluation", f"seeds:{pictures}", "--model", str(trained)]
    result = subprocess.run([*command, "--page", str(page), "--overwrite", "--device", device], check=False)
    if result.returncode:
        raise ModelError(f"{trained} is trained, but {page} could not be written; what was wrong stands above")
