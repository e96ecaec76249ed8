"""``python -m model.lab.training``: render pictures, then train on them."""

from __future__ import annotations

from stream.quiet_start import quiet_start

if __name__ == "__main__":  # importing torch takes seconds
    quiet_start()

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.progress import track

from model.engine import prepare_process
from model.engine.device import choose_device
from model.lab.training.config import TrainConfig
from model.lab.training.pool import Pool, PoolConfig, render
from model.lab.training.timed import SMALL_PICTURES_UNTIL, Renderer, by_the_clock, pools_for, write_page
from model.lab.training.trainer import Trainer, network_config
from stream.command_line import DONE, CommandLine

command_line = CommandLine(
    "python -m model.lab.training",
    summary="Train a Depth Pro network on rendered scenes, or fine-tune one.",
    epilogue="Exit status: 0 done; 1 something failed; 2 wrong command line; 130 Ctrl-C or SIGTERM.",
    interrupted="stopped; the same command goes on",
)
_log = logging.getLogger("training")


@command_line.app.command(name="render")
def render_pool(
    folder: Path,
    /,
    *,
    pool: Annotated[PoolConfig, Parameter(name="*")] = PoolConfig(),
    processes: int | None = None,
) -> int:
    """Render the pictures of a pool. Interrupted, it goes on with the same command.

    Parameters
    ----------
    folder
        Where the pool is kept. 256 pixels: about 330 KB a picture; 512 pixels: 1.3 MB.
    processes
        How many render side by side; one per processor core unless given.
    """
    _log_plainly()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the processes that render would outlive this one
    missing = Pool.create(folder, pool).missing()
    if not missing:
        _log.info("%s has all of its %d pictures", folder, pool.count)
        return DONE
    redrawn = 0
    for _, scenes in track(render(folder, pool, processes=processes), "rendering", total=len(missing)):
        redrawn += scenes
    if redrawn:
        _log.info("%d scenes had no room for a camera and were drawn again", redrawn)
    return DONE


@command_line.app.command
def fit(
    folder: Path,
    /,
    *,
    pool: Annotated[list[Path], Parameter(consume_multiple=False)],
    config: Annotated[TrainConfig, Parameter(name="*")] = TrainConfig(),
    start_from: str | None = None,
    device: str = "auto",
) -> int:
    """Train a network in FOLDER. Interrupted, it goes on from its last checkpoint with the same command.

    Parameters
    ----------
    folder
        Of the run: checkpoint.pt, history.jsonl, curves.png, and trained.safetensors, which --model takes.
    pool
        A folder of rendered pictures; repeat it for several sizes.
    start_from
        Fine-tune this network: depth-pro, nano or the path of a checkpoint.
    device
        auto, cpu, cuda or cuda:1.
    """
    _log_plainly()
    place = choose_device(device)
    prepare_process(place)
    trainer = Trainer(folder, [Pool.open(path) for path in pool], config, start_from=start_from, device=place)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: trainer.stop())
    trained = trainer.run()
    if trained is None:
        raise KeyboardInterrupt
    print(trained)
    return DONE


@command_line.app.command
def timed(
    folder: Path,
    /,
    *,
    minutes: float,
    config: Annotated[TrainConfig, Parameter(name="*")] = TrainConfig(),
    start_from: str | None = None,
    device: str = "auto",
    processes: int | None = None,
    pictures: int = 24,
) -> int:
    """Render and train side by side for so many minutes. Interrupted, the same command trains for what is left.

    Parameters
    ----------
    folder
        Of the run, as of fit; with the pools in small and large, and a page of pictures in page.
    minutes
        How long all stages take together, with a tenth for the first pictures and the page. Steps are not counted.
    start_from
        Go on from this network: depth-pro, nano or the path of a checkpoint.
    device
        auto, cpu, cuda or cuda:1.
    processes
        How many render side by side; one per processor core unless given.
    pictures
        Held-out scenes on the page.
    """
    _log_plainly()
    place = choose_device(device)
    config = by_the_clock(config, minutes, on_gpu=place.type == "cuda")
    prepare_process(place)
    processes = processes or os.cpu_count() or 1
    pools = pools_for(folder, network_config(config, start_from), minutes, processes)
    small, large = pools
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the trainer listens: rendering must be ended
    renderer = Renderer(pools, processes)
    later = threading.Timer(60 * minutes * SMALL_PICTURES_UNTIL, renderer.turn_to, [large])
    later.daemon = True
    try:
        renderer.wait_for_first(config.backbone.batch)
        later.start()
        trainer = Trainer(folder, [Pool.open(small), Pool.open(large)], config, start_from=start_from, device=place)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: trainer.stop())
        trained = trainer.run()
    finally:
        later.cancel()
        renderer.close()
    if trained is None:
        raise KeyboardInterrupt
    write_page(trained, folder / "page", pictures, device)
    print(trained)
    return DONE


def _log_plainly() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)


main = command_line.main

if __name__ == "__main__":
    command_line.run()
