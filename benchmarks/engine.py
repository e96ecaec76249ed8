"""How fast inference is, what it could be at most, and what it costs in precision: beside ``transformers``.

::

    pip install -e '.[dev]'
    python benchmarks/engine.py [--model depth-pro] [--frames 30] [--rounds 5] [--json-to engine.json]
    python benchmarks/engine.py --only "eager, bf16" --only "graph, bf16"    # those whose names contain that
    python benchmarks/engine.py --levers                                     # minutes: each lever of the engine
    python benchmarks/engine.py --only 720p --trace trace.json --figure engine.png

**Network**: the network alone, on a picture that is on the device already. All contenders have the same random weights,
which speed does not depend on:

- *transformers*: ``DepthProForDepthEstimation``, eager or through ``torch.compile``;
- *as trained*: ``DepthProNetwork``, plain PyTorch;
- *ours*: ``InferenceNetwork``, launched as ``--launch`` eager, graph or compile says (the last two on a GPU); in
  batches, in less memory; and in fp8 and at a smaller input, both approximate.

Contenders come one after the other, because not all find room at once. In each round, *transformers, eager* of the
same number type does as many frames right before, and ratios are taken round by round. Memory is the contender's
weights and what it works with, without building it. Errors are of depth, beside ours in fp32, on a rendered picture:
with the random weights, and with those of ``nano``, which has been trained.

**Floor**: the trained network's operations for a frame, at the rate of a large matrix product in the same number type,
measured on the same device. It is the same work for all: what ours folds away, or a smaller input leaves out, counts as
done, so that 100 % is no limit to it.

**End to end**: the estimator, from decoded yuv420p frames in memory to depth in memory, and the pipeline around it,
with all its threads, into a sink that throws depth away. Both run in each round. Memory includes building.

On a CPU only ratios count, and those on a quiet machine. Compiling takes minutes for each of depth-pro's contenders;
``--only`` leaves them out.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))  # the benchmarks run from a checkout, installed or not

from benchmarks.engine_contenders import Contender, contenders
from benchmarks.engine_device import copy_rate, free, machine, product_rate, useful_flops
from benchmarks.engine_levers import measure_levers
from benchmarks.engine_network import NetworkBenchmark, NetworkRow
from benchmarks.engine_stages import MODES, SIZES, TRACED, Stage, StageRow, measure_stage, trace
from model.engine.device import choose_device
from model.engine.host_memory import keep_freed_memory
from model.engine.precision import Precision, choose
from model.weights import LoadedModel, load, untrained

SMALLER_INPUT = {"depth-pro": 1024}
_WIDTH = 150  # columns of a table that is not folded


@dataclass(slots=True, kw_only=True)
class Floor:
    """What a number type can do here."""

    flops_per_s: float
    frame_ms: float


@dataclass(slots=True, kw_only=True)
class Result:
    """All that was measured."""

    machine: dict[str, Any]
    model: str
    input_size: int
    frames: int
    rounds: int
    flops_per_frame: int
    copy_bytes_per_s: float
    floors: dict[Precision, Floor]
    network: list[NetworkRow]
    end_to_end: list[StageRow]

    def figures(self, row: NetworkRow) -> dict[str, float]:
        """What is told of a contender that did not fail."""
        ms = statistics.median(row.medians_ms)
        return {
            "median_ms": ms,
            "p99_ms": float(np.percentile([t for times in row.frames_ms for t in times], 99)),
            "frames_per_s": 1e3 / ms,
            "flops_per_s": self.flops_per_frame / ms * 1e3,
            "share_of_floor": self.floors[row.precision].frame_ms / ms,
        }

    def to_json(self) -> str:
        """Everything, with what the tables show of it."""
        written = asdict(self)
        for row, shown in zip(self.network, written["network"], strict=True):
            for error in ("error_random", "error_nano"):
                shown[error] = _finite(shown[error])
            if not row.failed:
                shown |= self.figures(row) | {"ratios": row.ratios}
        for stage, shown in zip(self.end_to_end, written["end_to_end"], strict=True):
            shown["ratios"] = stage.ratios
        return json.dumps(written, indent=2) + "\n"


def benchmark(
    model: LoadedModel,
    trained: LoadedModel | None,
    device: torch.device,
    *,
    chosen: Sequence[Contender],
    stages: Sequence[Stage],
    frames: int,
    rounds: int,
    console: Console,
) -> Result:
    """Measure ``chosen`` and ``stages``, reporting each to ``console``.

    Args:
        model: what is timed.
        trained: what errors are seen on as well.
    """
    flops = useful_flops(model.config)
    result = Result(
        machine=machine(device),
        model=model.name,
        input_size=model.config.input_size,
        frames=frames,
        rounds=rounds,
        flops_per_frame=flops,
        copy_bytes_per_s=copy_rate(device),
        floors={},
        network=[],
        end_to_end=[],
    )

    def find_floor(precision: Precision) -> None:
        if precision not in result.floors:
            rate = product_rate(precision, device)
            result.floors[precision] = Floor(flops_per_s=rate, frame_ms=flops / rate * 1e3)

    networks = NetworkBenchmark(model, trained, device, frames=frames, rounds=rounds) if chosen else None
    for contender in chosen:
        assert networks is not None
        row = networks.measure(contender)
        result.network.append(row)
        if not row.failed:
            find_floor(row.precision)
        told = row.failed or f"{statistics.median(row.medians_ms):.2f} ms"
        console.print(f"{row.name}: {told}", soft_wrap=True, highlight=False)
    del networks
    free(device)
    for stage in stages:
        measured = measure_stage(stage, model, device, frames=frames, rounds=rounds)
        result.end_to_end.append(measured)
        if measured.precision is not None:
            find_floor(measured.precision)
        told = measured.failed or f"{statistics.median(measured.estimator_per_s):.2f} frames/s"
        console.print(f"{measured.name}: {told}", soft_wrap=True, highlight=False)
    return result


# Results --------------------------------------------------------------------------------------------------------------


def _finite(number: float | None) -> float | None:
    """What JSON can say of it."""
    return number if number is not None and math.isfinite(number) else None


def print_tables(result: Result, console: Console) -> None:
    """The floors, the network's contenders, and the stages end to end."""
    caption = ""
    if result.machine["device"].endswith("threads"):
        caption = "On a CPU only ratios count, and those on a quiet machine."
    versions = ", ".join(f"{k} {result.machine[k]}" for k in ("torch", "transformers", "cuda", "driver"))
    console.print(f"\n{result.machine['device']}; {versions.replace('cuda None, driver None', 'no CUDA')}")
    console.print(
        f"{result.model}, {result.input_size} px: {result.flops_per_frame / 1e12:.3f} TFLOP a frame; memory is copied "
        f"at {result.copy_bytes_per_s / 1e9:.0f} GB/s (read and written)"
    )
    for precision, floor in result.floors.items():
        rate = f"{floor.flops_per_s / 1e12:.2f} TFLOP/s"
        console.print(f"floor in {precision}: {floor.frame_ms:.2f} ms a frame at {rate}, a large matrix product's")
    if result.network:
        console.print(network_table(result, caption))
    if result.end_to_end:
        console.print(end_to_end_table(result, caption))


def network_table(result: Result, caption: str) -> Table:
    what = f"{result.model}, random weights: medians over {result.rounds} rounds of {result.frames} frames"
    table = Table(title=what, caption=caption)
    table.add_column("network", max_width=42)
    for heading in ("ms a frame (rounds)", "p99", "frames/s", "× transformers", "TFLOP/s", "of floor", "MiB"):
        table.add_column(heading, justify="right")
    table.add_column("depth off fp32: random, nano", justify="right", max_width=16)
    for row in result.network:
        if row.failed:
            table.add_row(f"{row.name}\nfailed: {row.failed}", *["–"] * 8)
            continue
        figures = result.figures(row)
        table.add_row(
            row.name + (" (approximate)" if row.approximate else ""),
            f"{figures['median_ms']:.2f} ({min(row.medians_ms):.2f} - {max(row.medians_ms):.2f})",
            f"{figures['p99_ms']:.2f}",
            f"{figures['frames_per_s']:.2f}",
            _ratio(row.ratios),
            f"{figures['flops_per_s'] / 1e12:.2f}",
            f"{figures['share_of_floor']:.0%}",
            _mib(row.peak_mib),
            f"{_error(row.error_random)}, {_error(row.error_nano)}",
        )
    return table


def end_to_end_table(result: Result, caption: str) -> Table:
    table = Table(title=f"{result.model}: from decoded frames to depth, {result.rounds} rounds", caption=caption)
    for heading in ("end to end", "", "frames/s (rounds)", "ms a frame", "of floor", "pipeline / estimator", "MiB"):
        table.add_column(heading, justify="left" if heading in ("end to end", "") else "right")
    for row in result.end_to_end:
        if row.failed or row.precision is None:
            table.add_row(f"{row.name}\nfailed: {row.failed}", *["–"] * 6)
            continue
        floor_ms = result.floors[row.precision].frame_ms
        for what, rates in (("estimator", row.estimator_per_s), ("pipeline", row.pipeline_per_s)):
            rate = statistics.median(rates)
            table.add_row(
                f"{row.name}, {row.precision}",
                what,
                f"{rate:.2f} ({min(rates):.2f} - {max(rates):.2f})",
                f"{1e3 / rate:.2f}",
                f"{floor_ms * rate / 1e3:.0%}",
                _ratio(row.ratios) if what == "pipeline" else "",
                _mib(row.peak_mib) if what == "estimator" else "",
            )
    return table


def _ratio(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})" if ratios else "–"


def _mib(peak: float | None) -> str:
    return "–" if peak is None else f"{peak:.0f}"


def _error(error: float | None) -> str:
    return "–" if error is None else f"{error:.1e}"


def main(
    *,
    model: Literal["depth-pro", "nano"] | None = None,
    device: str = "auto",
    frames: int = 30,
    rounds: int = 5,
    only: Annotated[tuple[str, ...], cyclopts.Parameter(consume_multiple=True)] = (),
    levers: bool = False,
    json_to: Path | None = None,
    figure: Path | None = None,
    trace_to: Annotated[Path | None, cyclopts.Parameter(name="--trace")] = None,
) -> None:
    """Measure the network alone and end to end, and print tables.

    Args:
        model: default: depth-pro on a GPU, nano on a CPU.
        frames: of each contender in each round.
        only: rows whose name contains one of these.
        levers: instead, the engine's levers one by one and together, with the network built once.
        json_to: write everything that was measured there, too.
        figure: draw frames per second there.
        trace_to: write a Chrome trace of some frames there.
    """
    console = Console()
    place = choose_device(device)
    if place.type == "cuda":
        if place.index is not None:
            torch.cuda.set_device(place)
        torch.backends.cudnn.allow_tf32 = False  # as the estimator does: fp32 is what errors are measured from
    else:
        keep_freed_memory()  # as the estimator does; everybody profits from it
    preset = model or ("depth-pro" if place.type == "cuda" else "nano")
    if levers:
        measured = measure_levers(
            untrained(preset),
            place,
            choose("auto", place),
            frames=frames,
            rounds=rounds,
            console=Console(width=max(console.width, _WIDTH)),
        )
        if json_to is not None:
            json_to.parent.mkdir(parents=True, exist_ok=True)
            json_to.write_text(json.dumps(measured, indent=2) + "\n")
        return
    chosen = contenders(place, input_size=SMALLER_INPUT.get(preset))
    stages = [Stage(size=size, mode=mode) for size in SIZES for mode in MODES]
    if only:
        names = [c.name for c in chosen] + [s.name for s in stages]
        chosen = [c for c in chosen if any(part in c.name for part in only)]
        stages = [s for s in stages if any(part in s.name for part in only)]
        if not chosen and not stages:
            raise SystemExit(f"--only {' '.join(only)} is in no name; they are: {'; '.join(names)}")
    loaded = untrained(preset)
    result = benchmark(
        loaded, load("nano"), place, chosen=chosen, stages=stages, frames=frames, rounds=rounds, console=console
    )
    print_tables(result, Console(width=max(console.width, _WIDTH)))
    if json_to is not None:
        json_to.write_text(result.to_json())
    if figure is not None:
        from benchmarks.engine_figure import draw  # needs matplotlib

        draw(result, figure)
    if trace_to is not None:
        trace(loaded, place, trace_to)
        console.print(
            f"{trace_to}: {TRACED} frames of the estimator; open https://ui.perfetto.dev and drop it there",
            soft_wrap=True,
        )


if __name__ == "__main__":
    cyclopts.run(main)
