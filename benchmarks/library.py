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
from model.pixels.metres import resized
from model.weights import load
from sinks import open_sink
from stream.frame import Frame
from stream.pipeline import Pipeline, Stream
from stream.ports import Event
from stream.sources import open_source
from stream.sources.excerpt import Excerpt, ExcerptConfig, parse_moment

OUTPUTS = {"nothing": ["null:"], "ffv1": ["mm.mkv?codec=ffv1"], "preview": ["view.mp4?view=side-by-side"]}


class Instant:
    """An engine whose network takes no time: all frames have the inverse depth of one, and 60 degrees of view.

    Args:
        engine: computes it.
        frame: the one.
    """

    def __init__(self, engine: Engine, frame: Frame) -> None:
        config = engine.config
        lane = Lane(engine.device)
        lane.upload(frame, None, width=frame.width, height=frame.height)
        with torch.inference_mode():
            engine.stage().compute([lane], engine.precision, with_fov=True, with_coarse=False).synchronize()
            self._C_HW = resized(lane.C_HW, width=lane.width, height=lane.height)
        self.config, self.device, self.streams = config, torch.device("cpu"), HostStreams()
        self.label, self.precision, self.output_size = "instant", "fp32", 1536

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
            lane.C_HW = self._C_HW
            lane.fov_and_finite[:] = torch.tensor([60.0, 1.0])
            if with_coarse:
                lane.keep_coarse(self._C_HW)
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
    table = Table(title=f"{film.name}, {frames} frames, CPU milliseconds of the one process (milliseconds) a frame")
    for heading in ("", *OUTPUTS):
        table.add_column(heading)
    spent, began = time.process_time(), time.perf_counter()
    decoding = source()
    count = sum(1 for _ in decoding)
    decoding.close()
    spent, taken = time.process_time() - spent, time.perf_counter() - began
    table.add_row("decoded", f"{1e3 * spent / count:.1f} ({1e3 * taken / count:.1f})")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def row(label: str, engine: object) -> None:
            found = [run(engine, sinks, folder) for sinks in OUTPUTS.values()]
            table.add_row(label, *(f"{cpu_ms:.1f} ({1e3 / rate:.1f})" for cpu_ms, rate in found))

        local = Engine(load("nano"), config)
        first = source()
        instant = Instant(local, next(iter(first)))
        first.close()
        run(instant, ["null:"], folder)
        row("all but the network", instant)
        run(local, ["null:"], folder)
        rates = {"one process": run(local, ["null:"], folder)[1]}
        for number in range(1, workers + 1):
            engine = RayEngine("nano", config, RayConfig(workers=number, worker_cpus=1))
            try:
                run(engine, ["null:"], folder)
                rates[f"workers: {number}"] = run(engine, ["null:"], folder)[1]
                if number == workers:
                    row("with Ray", engine)
            finally:
                engine.close()
    console.print(table)
    for label, rate in rates.items():
        console.print(f"{label}: {rate:.2f} frames/s, {rate / rates['one process']:.2f}")


if __name__ == "__main__":
    cyclopts.run(main)
