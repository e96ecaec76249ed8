"""What the pipeline costs: frames per second of the bare network, of the estimator, and of everything together.

::

    python benchmarks/pipeline.py [--source clip.mp4] [--model nano] [--device auto] [--frames 60] [--rounds 5]
    python benchmarks/pipeline.py --model depth-pro --random-weights      # on a GPU

In each round, one after the other on the same machine:

- **network**: the network alone on an input that is already on the device;
- **estimator**: upload, preprocessing, network, focal filter, metres at the frame's size, download;
- **pipeline**: decoding, ring, estimator and a video sink, all threads running;
- **unsteadied**: the same with ``--steady off``, so that the row before shows what steadying costs.

Prints medians over the rounds with their spread, and ratios; what steadying leaves of the rate is a ratio of each
round. Absolute figures on a CPU say little: compare ratios.
"""

from __future__ import annotations

import functools
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import cyclopts
import torch
from rich.console import Console
from rich.table import Table

from model.config import EngineConfig, EstimatorConfig
from model.engine import Engine, prepare_process
from model.engine.device import choose_device
from model.estimator import DepthProEstimator
from model.lab.demo import DemoSource
from model.weights import load, untrained
from sinks import open_sink
from stream.frame import Frame
from stream.pipeline import Pipeline, Stream
from stream.ports import Source, SourceInfo
from stream.ring import Ring
from stream.sources import open_source


class Rendered:
    """A few frames of the demo, in memory: rendering them anew would be what is measured."""

    def __init__(self) -> None:
        self._frames = _rendered()
        self.info = SourceInfo(name="demo", live=False, frame_rate=None, frame_count=len(self._frames))

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    def close(self) -> None:
        """Nothing to release."""


@functools.cache
def _rendered() -> list[Frame]:
    return list(DemoSource(frame_count=12))


def _open(uri: str) -> Source:
    return Rendered() if uri == "demo" else open_source(uri)


class Looped:
    """The first ``count`` frames of a clip, started again from the beginning where it is shorter."""

    def __init__(self, uri: str, count: int) -> None:
        self._uri, self._count = uri, count
        self._source: Source = _open(uri)
        self.info = SourceInfo(name=uri, live=False, frame_rate=self._source.info.frame_rate, frame_count=count)

    def __iter__(self) -> Iterator[Frame]:
        done = 0
        while done < self._count:
            for frame in islice(self._source, self._count - done):
                done += 1
                yield frame
            self._source.close()
            self._source = _open(self._uri)

    def close(self) -> None:
        self._source.close()


def network_rate(engine: Engine, frames: int) -> float:
    """Frames per second of the network alone."""
    x = (torch.rand(1, 3, engine.input_size, engine.input_size) * 2 - 1).to(engine.device)
    with torch.inference_mode():
        engine.run(x, engine.precision, with_fov=True)
        wait(engine.device)
        start = time.perf_counter()
        for _ in range(frames):
            engine.run(x, engine.precision, with_fov=True)
        wait(engine.device)
    return frames / (time.perf_counter() - start)


def estimator_rate(estimator: DepthProEstimator, decoded: list[Frame], frames: int) -> float:
    """Frames per second of the inference stage, fed with frames that are already decoded."""
    ring = Ring(slots=len(decoded) + 1, policy="block", allocate=estimator.allocate)
    start, in_flight = time.perf_counter(), 0
    for frame in islice(cycle(decoded), frames):
        ring.put(frame)
        lease = ring.take()
        assert lease is not None
        if in_flight == estimator.capacity:
            estimator.collect()
            in_flight -= 1
        estimator.submit(lease, with_image=False)
        in_flight += 1
    for _ in range(in_flight):
        estimator.collect()
    return frames / (time.perf_counter() - start)


def pipeline_rate(engine: Engine, uri: str, frames: int, folder: Path, config: EstimatorConfig | None = None) -> float:
    """Frames per second of a whole run into a video, start and end included except for loading the network."""
    estimator = DepthProEstimator(engine=engine, config=config)
    sink = open_sink(str(folder / "depth.mp4"), overwrite=True)
    return Pipeline(Stream(source=Looped(uri, frames), estimator=estimator, sinks=[sink])).run()[0].fps


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def main(
    *,
    source: str = "demo",
    model: str = "nano",
    device: str = "auto",
    precision: Annotated[str, cyclopts.Parameter(help="auto, fp32, bf16 or fp16")] = "auto",
    frames: int = 60,
    rounds: int = 5,
    random_weights: bool = False,
    json_to: Path | None = None,
) -> None:
    """Measure and print one table; with --json-to, write it as JSON too.

    --random-weights needs no checkpoint: speed does not depend on what the weights are.
    """
    console = Console()
    loaded = untrained(model) if random_weights else load(model)
    prepare_process(choose_device(device))
    engine = Engine(loaded, EngineConfig(device=device, precision=precision))  # type: ignore[arg-type]
    estimator = DepthProEstimator(engine=engine)
    with closing(Looped(source, 8)) as clip:
        decoded = [replace(frame, planes=tuple(p.copy() for p in frame.planes)) for frame in clip]

    rates: dict[str, list[float]] = {"network": [], "estimator": [], "pipeline": [], "unsteadied": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            rates["network"].append(network_rate(engine, frames))
            rates["estimator"].append(estimator_rate(estimator, decoded, frames))
            in_turn = {"pipeline": None, "unsteadied": EstimatorConfig(steady="off")}
            for stage in sorted(in_turn, reverse=bool(number % 2)):  # neither is always the first
                rates[stage].append(pipeline_rate(engine, source, frames, Path(folder), in_turn[stage]))
            latest = ", ".join(f"{stage} {values[-1]:.1f}/s" for stage, values in rates.items())
            console.print(f"round {number + 1} of {rounds}: {latest}")

    name = device_name(engine.device)
    size = f"{decoded[0].width}x{decoded[0].height}"
    what = f"{model}, {engine.precision}, {size} on {name}"
    table = Table(title=f"{what}: median of {rounds} rounds, {frames} frames each")
    for heading in ("stage", "frames/s", "lowest - highest", "share of the bare network"):
        table.add_column(heading)
    bare = statistics.median(rates["network"])
    ratios = {k: statistics.median(v) / bare for k, v in rates.items()}
    for stage, values in rates.items():
        spread = f"{min(values):.2f} - {max(values):.2f}"
        table.add_row(stage, f"{statistics.median(values):.2f}", spread, f"{ratios[stage]:.3f}")
    console.print(table)
    kept = [a / b for a, b in zip(rates["pipeline"], rates["unsteadied"], strict=True)]
    console.print(f"steadied: {statistics.median(kept):.3f} of the rate, {min(kept):.3f} - {max(kept):.3f}")
    if json_to is not None:
        result = {"device": name, "model": model, "precision": engine.precision, "frame": size, "rates": rates}
        json_to.write_text(json.dumps({**result, "ratios": ratios}, indent=2) + "\n")


if __name__ == "__main__":
    cyclopts.run(main)
