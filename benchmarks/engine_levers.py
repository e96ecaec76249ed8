"""What each lever of the engine gives by itself and together: the network is built once, and varied.

    python benchmarks/engine.py --levers --json-to benchmarks/results/my_card.json

Minutes on a GPU. The last row of the JSON, ``measured_ms``, is what ``model/engine/variants.py`` keeps of a card.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.engine_device import allocated, free, machine, milliseconds, reason
from benchmarks.engine_network import depth_error
from model.config import Launch
from model.engine.calibration import calibration_inputs
from model.engine.graphs import launched
from model.engine.precision import DTYPES, Precision
from model.engine.variants import MEASURED_MS, VARIANTS
from model.lab.demo import DemoSource
from model.network import InferenceNetwork
from model.network.inference.variant import PLAIN, Variant
from model.pixels.planes import host_tensor, network_input
from model.weights import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """A way to run the network."""

    name: str
    variant: Variant
    launch: Launch
    precision: Precision


@dataclass(slots=True, kw_only=True)
class LeverRow:
    """What one lever did. Without ``ms`` it failed, and ``failed`` says why."""

    name: str
    precision: Precision
    ms: float | None = None
    lowest_ms: float | None = None
    highest_ms: float | None = None
    before_ms: float | None = None
    """What this card needed when it was last measured."""
    ready_s: float | None = None
    """Recording and compiling."""
    peak_mib: float | None = None
    error: float | None = None
    """Median relative difference of depth from float32."""
    failed: str = ""


def levers(device: torch.device, precision: Precision) -> list[Lever]:
    """All that can be tried on ``device``: each variant, then with compiled stages, then in 8 bits."""
    launch: Launch = "graph" if device.type == "cuda" else "eager"
    found = [Lever(name=n, variant=v, launch=launch, precision=precision) for n, v in VARIANTS.items()]
    if device.type != "cuda":
        return found
    for name in ("plain", "streams, gelu", "fused"):
        found.append(Lever(name=f"{name}, compiled", variant=VARIANTS[name], launch="compile", precision=precision))
    for way in ("streams, gelu", "fused"):
        found.append(Lever(name=f"fp8, {way}", variant=VARIANTS[way], launch="graph", precision="fp8"))
        found.append(Lever(name=f"fp8, {way}, compiled", variant=VARIANTS[way], launch="compile", precision="fp8"))
    return found


@torch.inference_mode()
def measure_levers(
    model: LoadedModel, device: torch.device, precision: Precision, *, frames: int, rounds: int, console: Console
) -> dict[str, Any]:
    """Measure all levers and print the table. Returns what is written as JSON."""
    frame = next(iter(DemoSource(frame_count=1)))
    x = network_input([host_tensor(p) for p in frame.planes], frame, size=model.config.input_size).to(device)
    exact = _exact(model, x)
    about = machine(device)
    before = MEASURED_MS.get(about["device"], {}) if model.name == "depth-pro" else {}
    rows: list[LeverRow] = []
    network: InferenceNetwork | None = None
    for lever in levers(device, precision):
        row = LeverRow(name=lever.name, precision=lever.precision, before_ms=before.get(lever.name))
        try:
            if network is None or lever.precision != rows[-1].precision:
                network = None
                free(device)
                network = InferenceNetwork(
                    model.network, device=device, dtype=DTYPES[lever.precision], float8=lever.precision == "fp8"
                )
                network.calibrate(calibration_inputs(model.config.input_size, device))
            _measure(lever, row, network, x, exact, frames=frames, rounds=rounds)
        except Exception as exc:  # noqa: BLE001 (no compiler, no such type, out of memory: the others go on)
            row.failed = reason(exc)
        rows.append(row)
        said = row.failed or f"{row.ms:.1f} ms"
        console.print(f"{row.name} ({row.precision}): {said}", highlight=False)
        free(device)
    console.print(_table(rows, f"{model.name} on {about['device']}, batch 1"))
    measured = {r.name: round(r.ms, 1) for r in rows if r.ms is not None and r.precision == precision}
    return {"machine": about, "model": model.name, "levers": [asdict(r) for r in rows], "measured_ms": measured}


def _measure(
    lever: Lever, row: LeverRow, network: InferenceNetwork, x: Tensor, exact: Tensor | None, *, frames: int, rounds: int
) -> None:
    device = x.device
    held = allocated(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.monotonic()
    run = launched(network, lever.launch, lever.variant, batch=1, on_gpu=device.type == "cuda")
    C_BSS, _ = run(x)
    row.ready_s = time.monotonic() - start
    if exact is not None:
        row.error = depth_error(C_BSS.float().cpu(), exact)
    times = [statistics.median(milliseconds(run, x, frames)) for _ in range(rounds)]
    row.ms, row.lowest_ms, row.highest_ms = statistics.median(times), min(times), max(times)
    if device.type == "cuda":
        row.peak_mib = (torch.cuda.max_memory_allocated(device) - held) / 2**20


def _exact(model: LoadedModel, x: Tensor) -> Tensor | None:
    """Canonical inverse depth in float32; ``None`` where the device has no room for that."""
    try:
        C_BSS, _ = InferenceNetwork(model.network, device=x.device, dtype=torch.float32, variant=PLAIN)(x)
        return C_BSS.cpu()
    except torch.OutOfMemoryError:
        return None
    finally:
        free(x.device)


def _table(rows: list[LeverRow], title: str) -> Table:
    table = Table(title=title)
    for heading in ("lever", "type", "ms a frame", "lowest - highest", "before", "ready, s", "MiB", "off float32"):
        table.add_column(heading, justify="left" if heading in ("lever", "type") else "right")
    for row in rows:
        if row.ms is None:
            table.add_row(row.name, row.precision, f"failed: {row.failed}")
            continue
        table.add_row(
            row.name,
            row.precision,
            f"{row.ms:.1f}",
            f"{row.lowest_ms:.1f} - {row.highest_ms:.1f}",
            "" if row.before_ms is None else f"{row.before_ms:.1f}",
            f"{row.ready_s:.1f}",
            "" if row.peak_mib is None else f"{row.peak_mib:.0f}",
            "" if row.error is None else f"{row.error:.2%}",
        )
    return table
