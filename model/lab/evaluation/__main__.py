"""``python -m model.lab.evaluation``: how good is a network's depth, on data whose depth is known."""

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
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Group, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model.engine.device import choose_device
from model.engine.precision import choose
from model.lab.evaluation import MAX_DEPTH_M, Outcome, evaluate
from model.lab.evaluation.datasets import DataConfig, open_dataset
from model.lab.evaluation.page import Order, Page
from model.lab.evaluation.report import counted
from model.lab.evaluation.table import print_report
from model.weights import load, resolve_auto
from stream.errors import ConfigError, DepthStreamError, SinkError, one_line

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

_EPILOGUE = """
Examples:

  python -m model.lab.evaluation seeds:200 --page report --json report.json

  python -m model.lab.evaluation shots/ --fx 525 --depth-scale 5000

  python -m model.lab.evaluation walk.mp4 --depth walk_truth.mkv --fx 910

  python -m model.lab.evaluation flights:3 --model checkpoints/nano.safetensors

Exit status: 0 evaluated; 1 something could not be read, run or written; 2 wrong command line; 130 Ctrl-C.
"""

app = App(
    name="python -m model.lab.evaluation",
    help="Compare a network's depth with the truth.",
    help_epilogue=_EPILOGUE,
    version=lambda: version("depth-pro-stream"),
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=""),
)
_log = logging.getLogger("evaluate")

_NETWORK = Group("Network", sort_key=1)
_DATA = Group("Data", sort_key=2)


@app.default
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
    device: Annotated[str, Parameter(group=_NETWORK)] = "auto",
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], Parameter(group=_NETWORK)] = "fp32",
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
    device
        auto, cpu, cuda or cuda:N.
    precision
        Number type of the network.
    """
    console = Console(stderr=True)
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(message)s", stream=sys.stderr, force=True
    )
    if not max_depth > 0:
        raise ConfigError(f"--max-depth must be metres above zero, not {max_depth}")
    if json is not None and json.exists() and not overwrite:
        raise ConfigError(f"{json} exists; name another file, or add --overwrite")
    place = choose_device(device)
    number_type = choose(precision, place)
    dataset = open_dataset(data, reading, device=str(place))
    pictures = Page(page, overwrite=overwrite) if page is not None else None
    if model == "auto":
        model, reason = resolve_auto(cuda_available=place.type == "cuda")
        _log.info("model %s. %s", model, reason)
    loaded = load(model)
    name = loaded.name if loaded.trained else f"{loaded.name} (untrained)"

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(dataset.name, total=dataset.count)

        def show(outcome: Outcome) -> None:
            if pictures is not None:
                pictures.add(outcome, max_depth_m=max_depth)
            progress.update(task, advance=1)

        report = evaluate(loaded, dataset.samples, place, max_depth_m=max_depth, precision=number_type, on_picture=show)
    if json is not None:
        about = {"data": data, "model": name, "precision": number_type, "device": str(place)}
        _write(json, report.to_json(**about))
    if pictures is not None:
        assert page is not None
        index = pictures.write(report, title=f"{name}, evaluated on {dataset.name}", order=order)
        _log.info("pictures: %s", index)
    output = Console()
    pictures_done = counted(report.total.pictures)
    output.print(f"{name}, evaluated on {dataset.name}: {pictures_done}, truth up to {max_depth:g} m", style="bold")
    print_report(report, output)
    if report.broken_off is not None:
        return _complain(f"broken off after {pictures_done}: {report.broken_off}", FAILED)
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


def main(arguments: Sequence[str]) -> int:
    """Run a command line; turns every error into one line. Returns the exit status."""
    try:
        return int(app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value") or DONE)
    except (CycloptsError, ConfigError) as exc:
        return _complain(exc, USAGE)
    except DepthStreamError as exc:
        return _complain(exc, FAILED)
    except KeyboardInterrupt:
        return _complain("stopped; nothing was summed up", INTERRUPTED)
    except Exception as exc:  # noqa: BLE001 (the last line of defence: a person wants a sentence, not a traceback)
        _log.debug("where it failed:", exc_info=True)
        return _complain(f"unexpected {type(exc).__name__}: {exc}; --verbose shows where", FAILED)


def _complain(error: object, status: int) -> int:
    print(f"evaluate: {one_line(error)}", file=sys.stderr)
    return status


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
