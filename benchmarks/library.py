"""What sizes the conversion of a film library by ``--engine ray``: what the workers leave to one process.

::

    python benchmarks/library.py film.mp4 [--frames 60] [--workers 2]

Prints CPU milliseconds a frame, of all threads of this process together, which a busy machine hardly changes:

- **decoded**: the source alone;
- **all but the network**: the whole pipeline into each kind of output, with a network that answers at once;
- **with Ray**: the same, with nano on local workers; what it is more than the row before is Ray's share.

Then frames per second with one process, one worker and more of them, of one thread each, in this order.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cyclopts
import torch
from rich.console import Console
from rich.table import Table

from model.config import EngineConfig, RayConfig
from model.engine import Engine, prepare_process
from model.engine.device_streams import HostStreams
from model.engine.passage import Lane, Stage
from model.engine.precision import Precision
from model.engine.ray_engine import RayEngine
from model.estimator import DepthProEstimator
from model.weights import load
from sinks import open_sink
from stream.pipeline import Pipeline, Stream
from stream.ports import Event
from stream.sources import open_source
from stream.sources.excerpt import Excerpt, ExcerptConfig, parse_moment

OUTPUTS = {"nothing": ["null:"], "ffv1": ["mm.mkv?codec=ffv1"], "preview": ["view.mp4?view=side-by-side"]}


class Instant:
    """An engine whose network takes no time: depth is a slope, the field of view 60 degrees."""

    def __init__(self, config: EngineConfig) -> None:
        self.config, self.device, self.streams = config, torch.device("cpu"), HostStreams()
        self.label, self.precision, self.output_size = "instant", "fp32", 1536
        self._slope = torch.empty(0, 0)

    def stage(self) -> Stage:
        return self

    def prepare(self, **_ways: object) -> None:
        pass

    def allocate(self, size: int) -> object:
        return torch.empty(size, dtype=torch.uint8).numpy()

    def capacity(self, in_flight: int) -> int:
        return in_flight

    def compute(self, lanes: Sequence[Lane], precision: Precision, *, with_fov: bool, with_coarse: bool) -> Event:  # noqa: ARG002
        for lane in lanes:
            if self._slope.shape != (lane.height, lane.width):
                self._slope = torch.linspace(0.05, 1, lane.height)[:, None].expand(-1, lane.width).contiguous()
            lane.C_HW = self._slope
            lane.fov_and_finite[:] = torch.tensor([60.0, 1.0])
            if with_coarse:
                lane.keep_coarse(self._slope)
        return self.streams.mark("compute")

    def field_of_view(self, lane: Lane) -> Event:
        return self.compute([lane], "fp32", with_fov=True, with_coarse=False)


def main(film: Path, /, *, frames: int = 60, workers: int = 2) -> None:
    """Measure FILM and print."""
    torch.set_num_threads(1)
    prepare_process(torch.device("cpu"))
    part = ExcerptConfig(end=parse_moment(f"{frames}f"))

    def source() -> Excerpt:
        return Excerpt(open_source(str(film)), part)

    def run(engine: object, sinks: list[str], folder: Path) -> tuple[float, float]:
        """CPU milliseconds a frame of this process, and frames per second."""
        opened = [open_sink(uri if uri == "null:" else str(folder / uri), overwrite=True) for uri in sinks]
        estimator = DepthProEstimator(engine=engine)  # type: ignore[arg-type]
        began, spent = time.perf_counter(), time.process_time()
        (status,) = Pipeline(Stream(source=source(), estimator=estimator, sinks=opened)).run()
        spent = time.process_time() - spent
        return 1e3 * spent / status.processed, status.processed / (time.perf_counter() - began)

    console, config = Console(), EngineConfig(device="cpu")
    table = Table(title=f"{film.name}, CPU milliseconds a frame in the one process")
    for heading in ("", *OUTPUTS):
        table.add_column(heading)
    spent = time.process_time()
    with_source = source()
    count = sum(1 for _ in with_source)
    with_source.close()
    table.add_row("decoded", f"{1e3 * (time.process_time() - spent) / count:.1f}")
    rates = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        instant = Instant(config)
        run(instant, ["null:"], folder)
        table.add_row("all but the network", *(f"{run(instant, sinks, folder)[0]:.1f}" for sinks in OUTPUTS.values()))
        local = Engine(load("nano"), config)
        run(local, ["null:"], folder)
        rates["one process"] = run(local, ["null:"], folder)[1]
        for number in range(1, workers + 1):
            engine = RayEngine("nano", config, RayConfig(workers=number, worker_cpus=1))
            try:
                run(engine, ["null:"], folder)
                rates[f"workers: {number}"] = run(engine, ["null:"], folder)[1]
                if number == workers:
                    found = [f"{run(engine, sinks, folder)[0]:.1f}" for sinks in OUTPUTS.values()]
                    table.add_row("with Ray", *found)
            finally:
                engine.close()
    console.print(table)
    for label, rate in rates.items():
        console.print(f"{label}: {rate:.2f} frames/s, {rate / rates['one process']:.2f}")


if __name__ == "__main__":
    cyclopts.run(main)
