"""``python -m model.lab.training``: render pictures, then train on them."""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":  # importing torch takes seconds; Ctrl-C in them is no reason for a traceback
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from rich.progress import track

from model.engine.device import choose_device
from model.lab.training.config import TrainConfig
from model.lab.training.pool import Pool, PoolConfig, render
from model.lab.training.trainer import Trainer
from stream.errors import ConfigError, DepthStreamError, one_line

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

app = App(
    name="python -m model.lab.training",
    help="Train a Depth Pro network on rendered scenes, or fine-tune one.",
    help_epilogue="Exit status: 0 done; 1 something failed; 2 wrong command line; 130 Ctrl-C or SIGTERM.",
    version=lambda: version("depth-pro-stream"),
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=""),
)
_log = logging.getLogger("training")


@app.command(name="render")
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
    missing = Pool.create(folder, pool).missing()
    if not missing:
        _log.info("%s has all of its %d pictures", folder, pool.count)
        return DONE
    for _ in track(render(folder, pool, processes=processes), "rendering", total=len(missing)):
        pass
    return DONE


@app.command
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
    trainer = Trainer(
        folder, [Pool.open(path) for path in pool], config, start_from=start_from, device=choose_device(device)
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: trainer.stop())
    trained = trainer.run()
    if trained is None:
        raise KeyboardInterrupt
    print(trained)
    return DONE


def main(arguments: Sequence[str]) -> int:
    """Run a command line; turns every error into one line. Returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return int(app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value") or DONE)
    except (CycloptsError, ConfigError) as exc:
        return _complain(exc, USAGE)
    except DepthStreamError as exc:
        return _complain(exc, FAILED)
    except KeyboardInterrupt:
        return _complain("stopped; the same command goes on", INTERRUPTED)


def _complain(error: object, status: int) -> int:
    print(f"training: {one_line(error)}", file=sys.stderr)
    return status


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
