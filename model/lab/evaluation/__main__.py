"""``python -m model.lab.evaluation``: how good is a network's depth, on data whose depth is known."""

from __future__ import annotations

from stream.quiet_start import quiet_start

if __name__ == "__main__":  # importing torch takes seconds
    quiet_start()

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model.config import EngineConfig
from model.engine import Engine, prepare_process
from model.engine.device import choose_device
from model.lab.evaluation import MAX_DEPTH_M, Outcome, evaluate
from model.lab.evaluation.datasets import DataConfig, open_dataset
from model.lab.evaluation.html_page import Order, Page
from model.lab.evaluation.report import counted
from model.lab.evaluation.terminal_table import print_report
from model.weights import load, resolve_auto
from stream.command_line import DONE, FAILED, CommandLine
from stream.errors import ConfigError, SinkError

_EPILOGUE = """
Examples:

  python -m model.lab.evaluation seeds:200 --page report --json report.json

  python -m model.lab.evaluation shots/ --fx 525 --depth-scale 5000

  python -m model.lab.evaluation walk.mp4 --depth walk_truth.mkv --fx 910

  python -m model.lab.evaluation flights:3 --model checkpoints/nano.safetensors

Exit status: 0 evaluated; 1 something could not be read, run or written; 2 wrong command line; 130 Ctrl-C.
"""

command_line = CommandLine(
    "python -m model.lab.evaluation",
    summary="Compare a network's depth with the truth.",
    epilogue=_EPILOGUE,
    interrupted="stopped; nothing was summed up",
)
_log = logging.getLogger("evaluate")

_NETWORK = Group("Network", sort_key=1)
_DATA = Group("Data", sort_key=2)


# A class, not EngineConfig(precision="fp32"): cyclopts forgets the values of a default object as soon as one of its
# options is given, and --device cpu would change the number type.
@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedEngineConfig(EngineConfig):
    """The engine, in fp32 unless told otherwise. Pictures go through it one by one, each computed whole."""

    precision: Literal["auto", "fp32", "bf16", "fp16", "fp8"] = "fp32"
    """Number type of the network. auto: bf16 where the hardware computes it, else fp32. fp8: approximate."""

    batch: Annotated[int, Parameter(parse=False)] = 1
    reuse_tiles: Annotated[float | None, Parameter(parse=False)] = None


_ENGINE = EvaluatedEngineConfig()


@command_line.app.default
def run(
    data: str,
    /,
    *,
    json: Path | None = None,
    page: Path | None = None,
    order: Order = "worst",
    overwrite: bool = False,
    verbose: bool = False,
    max_depth: float = MAX_DEPTH_M,
    model: Annotated[str, Parameter(group=_NETWORK)] = "auto",
    network: Annotated[EvaluatedEngineConfig, Parameter(name="*", group=_NETWORK)] = _ENGINE,
    reading: Annotated[DataConfig, Parameter(name="*", group=_DATA)] = DataConfig(),
) -> int:
    """Evaluate a network on DATA and print what was found.

    Parameters
    ----------
    data
        seeds:200 or seeds:0-199, rendered scenes held out from training; flights:3, rendered videos with poses; a
        folder of pictures with depth (NAME.jpg with NAME.depth.png or .npy, folders color and depth, or color.png with
        depth.png); or a video, with --depth.
    json
        Write all figures to this file.
    page
        Write index.html with every picture, depth, truth and error into this folder.
    order
        Of the page. worst: greatest AbsRel first; given: as they come.
    overwrite
        Replace a JSON file, and write into a folder that is not empty.
    verbose
        Show where an unexpected error happened.
    max_depth
        Leave truth beyond this many metres out of depth errors.
    model
        auto, depth-pro, nano, or the path of a checkpoint. auto: depth-pro on a CUDA device, else nano.
    """
    console = Console(stderr=True)
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(message)s", stream=sys.stderr, force=True
    )
    if not max_depth > 0:
        raise ConfigError(f"`max_depth` must be metres above zero, not {max_depth}")
    if json is not None and json.exists() and not overwrite:
        raise ConfigError(f"{json} exists; name another file, or add `overwrite=True`")
    place = choose_device(network.device)
    prepare_process(place)
    dataset = open_dataset(data, reading, device=str(place))
    pictures = Page(page, overwrite=overwrite) if page is not None else None
    if model == "auto":
        model, reason = resolve_auto(cuda_available=place.type == "cuda")
        _log.info("model %s. %s", model, reason)
    engine = Engine(load(model), network)
    name = engine.label

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(dataset.name, total=dataset.count)

        def show(outcome: Outcome) -> None:
            if pictures is not None:
                pictures.add(outcome, max_depth_m=max_depth)
            progress.update(task, advance=1)

        report = evaluate(engine, dataset.samples, max_depth_m=max_depth, on_picture=show)
    if json is not None:
        about = {"data": data, "model": name, "precision": engine.precision, "device": str(place)}
        _write(json, report.to_json(**about))
    if pictures is not None:
        assert page is not None
        index = pictures.write(report, title=f"{name}, evaluated on {dataset.name}", order=order)
        _log.info("pictures: %s", index)
    output = Console()
    pictures_done = counted(report.total.pictures)
    output.print(
        f"{name}, evaluated on {dataset.name}: {pictures_done}, truth up to {max_depth:g} m", style="bold", markup=False
    )
    print_report(report, output)
    if report.broken_off is not None:
        return command_line.complain(f"broken off after {pictures_done}: {report.broken_off}", FAILED)
    return DONE


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")  # a full disk leaves no half of a file, nor half of an older one
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise SinkError(f"cannot write {path}: {exc.strerror}") from exc


main = command_line.main

if __name__ == "__main__":
    command_line.run()
