"""``python -m model.training``: render pictures, then train on them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from rich.progress import track

from model.device import choose_device
from model.training.config import TrainConfig
from model.training.pool import Pool, PoolConfig, render
from model.training.trainer import Trainer
from stream.errors import ConfigError, DepthStreamError, one_line

app = App(
    name="python -m model.training",
    help="Train a Depth Pro network on rendered scenes, or fine-tune one.",
    default_parameter=Parameter(negative=""),
)


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
    for _ in track(render(folder, pool, processes=processes), "rendering", total=pool.count):
        pass
    return 0


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
    print(trainer.run())
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run a command line; turns every error into one line. Returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return int(app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value") or 0)
    except (CycloptsError, DepthStreamError) as exc:
        print(f"python -m model.training: {one_line(exc)}", file=sys.stderr)
        return 2 if isinstance(exc, CycloptsError | ConfigError) else 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
