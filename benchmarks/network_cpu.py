"""How fast the network is on a CPU: as it runs here, as it is trained, and as transformers implements it.

::

    python benchmarks/network_cpu.py [--rounds 15] [--frames 4] [--threads 2] [--json-to result.json]
    python benchmarks/network_cpu.py --threads 1 --cpu-time      # where other programs keep the machine busy

All have the same configuration (nano's), the same random weights, the same number type and the same picture. Each has a
process of its own, so that none profits from the memory that another has set free, and they take turns: in each round,
one after the other runs a few frames. So a machine that is busy with other things is busy with them for all.

- **transformers**: ``DepthProForDepthEstimation``;
- **transformers, memory kept**: the same with the allocator set as the estimator here sets it;
- **as trained**: ``DepthProNetwork``;
- **as it runs**: ``InferenceNetwork``, which the estimator uses, with its setting of the allocator.

``--cpu-time`` measures the time that a thread spent on a core, not what passed meanwhile: with one thread it says how
much work each does, whatever else runs. (With several it would say nothing: they also wait for each other on a core.)
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cyclopts
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))  # the oracle lives among the tests

from model.engine.host_memory import keep_freed_memory
from model.network import DepthProNetwork, InferenceNetwork
from model.network.config import PRESETS
from model.pixels.metres import metric_depth
from model.pixels.planes import host_tensor, network_input
from model.weights import state_dicts
from tests.support.tiny import random_frame
from tests.support.transformers_oracle import random_oracle

CONFIG = PRESETS["nano"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
THEIRS, THEIRS_KEPT, TRAINED, OURS = "transformers", "transformers, memory kept", "as trained", "as it runs"
STAGES = {
    "preprocess": "720p planes to the network's square",
    "pyramid": "three sizes, cut into patches",
    "tiles": "transformer of the 35 tiles",
    "image": "transformer of the whole picture",
    "upsampling": "tokens to the decoder's maps",
    "decoder": "fusion of the five maps",
    "head": "map to inverse depth",
    "fov": "field of view, its transformer included",
    "depth": "inverse depth to metres at 720p",
}

Network = Callable[[Tensor], tuple[Tensor, Tensor]]


def work(name: str, precision: str, threads: int, cpu_time: bool, pipe: Connection) -> None:
    """A contender's process: answers "times" and "stages" until the pipe is closed."""
    torch.set_num_threads(threads)
    clock = time.thread_time if cpu_time else time.perf_counter
    if name in (OURS, THEIRS_KEPT):
        keep_freed_memory()
    network, module = build(name, DTYPES[precision])
    x = picture().to(DTYPES[precision] if name in (THEIRS, THEIRS_KEPT) else torch.float32)
    with torch.inference_mode(), suppress(EOFError):
        for _ in range(3):
            result = network(x)
        pipe.send([t.float().numpy() for t in result])
        while True:
            wanted, frames = pipe.recv()
            pipe.send(times(network, x, frames, clock) if wanted == "times" else stages(module, frames, clock))


def build(name: str, dtype: torch.dtype) -> tuple[Network, nn.Module]:
    """The contender called ``name``, with everybody's weights."""
    oracle = random_oracle(CONFIG, seed=0)
    if name in (THEIRS, THEIRS_KEPT):
        theirs = oracle.to(dtype)

        def run(x: Tensor) -> tuple[Tensor, Tensor]:
            output = theirs(pixel_values=x)
            return output.predicted_depth, output.field_of_view

        return run, theirs
    network = DepthProNetwork(CONFIG).eval().requires_grad_(False)
    network.load_state_dict(state_dicts.from_transformers(oracle.state_dict()))
    ours = InferenceNetwork(network, dtype=dtype) if name == OURS else network.to(dtype)
    return ours, ours


def picture() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, CONFIG.input_size, CONFIG.input_size, generator=generator) * 2 - 1


def times(network: Network, x: Tensor, frames: int, clock: Callable[[], float]) -> list[float]:
    """Milliseconds of each of some frames, after one that is not counted: the caches were another contender's."""
    network(x)
    taken = []
    for _ in range(frames):
        start = clock()
        network(x)
        taken.append((clock() - start) * 1e3)
    return taken


def stages(network: nn.Module, frames: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Milliseconds of each stage, for each of some frames: from the planes of a 720p frame to metres of its size."""
    taken: dict[str, list[float]] = defaultdict(list)
    started: dict[str, float] = {}

    def start(name: str) -> None:
        started[name] = clock()

    def stop(name: str) -> None:
        taken[name].append((clock() - started[name]) * 1e3)

    hooks = []
    for name, child in network.named_children():
        hooks.append(child.register_forward_pre_hook(lambda *_, name=name: start(name)))
        hooks.append(child.register_forward_hook(lambda *_, name=name: stop(name)))
    frame = random_frame(0, width=1280, height=720)
    for _ in range(frames):
        start("preprocess")
        x = network_input([host_tensor(p) for p in frame.planes], frame, size=CONFIG.input_size)
        stop("preprocess")
        C_1SS, _ = network(x)
        start("depth")
        metric_depth(C_1SS[0], focal_ratio=0.8, width=frame.width, height=frame.height)
        stop("depth")
    for hook in hooks:
        hook.remove()
    return dict(taken)


def measure(precision: str, rounds: int, frames: int, threads: int, cpu_time: bool, console: Console) -> dict[str, Any]:
    """Run all contenders in one number type."""
    spawn = multiprocessing.get_context("spawn")
    pipes, outputs, workers = {}, {}, []
    for name in (THEIRS, THEIRS_KEPT, TRAINED, OURS):
        pipes[name], theirs = spawn.Pipe()
        workers.append(spawn.Process(target=work, args=(name, precision, threads, cpu_time, theirs), daemon=True))
        workers[-1].start()
        theirs.close()
        outputs[name] = pipes[name].recv()
    results: dict[str, list[list[float]]] = {name: [] for name in pipes}
    stage_times: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for name, pipe in pipes.items():
            pipe.send(("times", frames))
            results[name].append(pipe.recv())
        pipes[OURS].send(("stages", frames))
        for stage, taken in pipes[OURS].recv().items():
            stage_times[stage] += taken
        latest = ", ".join(f"{name} {min(values[-1]):.0f} ms" for name, values in results.items())
        console.print(f"{precision}, round {number + 1} of {rounds}: {latest}")
    for pipe, worker in zip(pipes.values(), workers, strict=True):
        pipe.close()
        worker.join()
    return {"frames_ms": results, "stages_ms": dict(stage_times), "outputs": outputs}


def summarise(measured: dict[str, Any], exact: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """Per contender: milliseconds, ratios to transformers, distance from float32."""
    rows = {}
    theirs = [statistics.median(r) for r in measured["frames_ms"][THEIRS]]
    theirs_fastest = min(t for r in measured["frames_ms"][THEIRS] for t in r)
    for name, rounds in measured["frames_ms"].items():
        mine = [statistics.median(r) for r in rounds]
        fastest = min(t for r in rounds for t in r)
        low, ratio, high = statistics.quantiles([t / m for t, m in zip(theirs, mine, strict=True)], n=4)
        C, fov = measured["outputs"][name]
        rows[name] = {
            "ratio": ratio,
            "ratio_low": low,
            "ratio_high": high,
            "ratio_fastest": theirs_fastest / fastest,
            "median_ms": statistics.median(mine),
            "lowest_ms": min(mine),
            "highest_ms": max(mine),
            "fastest_ms": fastest,
            "difference_C": float(np.abs(C - exact[0]).mean() / np.abs(exact[0]).mean()),
            "difference_fov_deg": float(np.abs(fov - exact[1]).max()),
        }
    return rows


def print_tables(precision: str, rows: dict[str, dict[str, float]], stage_ms: dict[str, list[float]]) -> None:
    console = Console()
    table = Table(title=f"nano, {precision}: frames per second relative to transformers")
    headings = ("", "ratio (quartiles)", "of fastest frames", "ms: median (rounds)", "fastest", "off fp32: C, fov")
    for heading in headings:
        table.add_column(heading)
    for name, row in rows.items():
        table.add_row(
            name,
            f"{row['ratio']:.2f} ({row['ratio_low']:.2f} - {row['ratio_high']:.2f})",
            f"{row['ratio_fastest']:.2f}",
            f"{row['median_ms']:.1f} ({row['lowest_ms']:.1f} - {row['highest_ms']:.1f})",
            f"{row['fastest_ms']:.1f}",
            f"{row['difference_C']:.1e}, {row['difference_fov_deg']:.1e}°",
        )
    console.print(table)
    table = Table(title=f"nano, {precision}, as it runs: milliseconds per stage")
    for heading in ("stage", "what", "median", "fastest"):
        table.add_column(heading)
    for stage, what in STAGES.items():
        table.add_row(stage, what, f"{statistics.median(stage_ms[stage]):.2f}", f"{min(stage_ms[stage]):.2f}")
    console.print(table)


def main(
    *, rounds: int = 15, frames: int = 4, threads: int = 2, cpu_time: bool = False, json_to: Path | None = None
) -> None:
    """Measure in float32 and, where the CPU has it, in bfloat16; print tables; with --json-to, write JSON too."""
    if cpu_time and threads != 1:
        raise SystemExit("--cpu-time needs --threads 1")
    console = Console(stderr=True)
    bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported() if torch.backends.mkldnn.is_available() else False
    exact: list[np.ndarray] = []
    written: dict[str, Any] = {
        "threads": threads,
        "cpu_time": cpu_time,
        "capability": torch.backends.cpu.get_cpu_capability(),
    }
    for precision in ("fp32", "bf16") if bf16 else ("fp32",):
        measured = measure(precision, rounds, frames, threads, cpu_time, console)
        exact = exact or measured["outputs"][TRAINED]
        rows = summarise(measured, exact)
        print_tables(precision, rows, measured["stages_ms"])
        written[precision] = {"summary": rows, "frames_ms": measured["frames_ms"], "stages_ms": measured["stages_ms"]}
    if json_to is not None:
        json_to.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    cyclopts.run(main)
