"""A whole film, from file to file: this program beside the script that is usually written, and where the time goes.

::

    python benchmarks/offline.py walk.mp4 [--model nano] [--device auto] [--rounds 5] [--frames 100]

In each round, one after the other on the same machine, with the same network:

- **script**: OpenCV reads a frame, the trained network as it is predicts it, depth is sized and coloured, OpenCV writes
  it; then the next frame. Number type and threads are those of ours.
- **ours**: ``open_source`` → ``Pipeline`` → a video sink.

Prints frames a second, medians over the rounds with their spread, the ratio of each round, and what the script spends a
frame's time on. Absolute figures on a CPU say little: compare ratios.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import cyclopts
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import interpolate

from model.config import EngineConfig
from model.engine import Engine, prepare_process
from model.engine.device import choose_device
from model.engine.precision import DTYPES
from model.estimator import DepthProEstimator
from model.weights import LoadedModel, load, untrained
from sinks import open_sink
from stream.pipeline import Pipeline, Stream
from stream.sources import open_source
from stream.sources.excerpt import Excerpt, ExcerptConfig, parse_moment


class Script:
    """The usual loop. ``spent`` has the seconds of each of its steps."""

    def __init__(self, model: LoadedModel, device: torch.device, dtype: torch.dtype) -> None:
        # A copy: the engine's network is made of the one that was loaded.
        self._network = model.network.__class__(model.config).eval()
        self._network.load_state_dict(model.network.state_dict())
        self._network.to(device, dtype)
        self._device, self._side = device, model.config.input_size
        self.spent: Counter[str] = Counter()

    def run(self, film: Path, output: Path, frames: int) -> float:
        """Frames per second."""
        start = time.perf_counter()
        reader = cv2.VideoCapture(str(film))
        size = tuple(int(reader.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        writer = cv2.VideoWriter(
            str(output), cv2.VideoWriter.fourcc(*"mp4v"), reader.get(cv2.CAP_PROP_FPS), (size[0], size[1])
        )
        done = 0
        while done < frames:
            with self._step("read"):
                there, picture = reader.read()
            if not there:
                break
            with self._step("network"), torch.inference_mode():
                rgb = torch.from_numpy(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).to(self._device)
                x_13HW = rgb.permute(2, 0, 1).unsqueeze(0).float() / 127.5 - 1
                x_13SS = interpolate(x_13HW, (self._side, self._side), mode="bilinear", align_corners=False)
                C_1SS, fov_1 = self._network(x_13SS)
                focal_px = 0.5 * size[0] / torch.tan(torch.deg2rad(fov_1.float()) / 2)
                C_HW = interpolate(C_1SS[None], (size[1], size[0]), mode="bilinear", align_corners=False)[0, 0]
                depth = (focal_px / size[0] / C_HW.clamp(1e-4, 1e4)).cpu().numpy()
            with self._step("colours"):
                near, far = np.log(0.5), np.log(50.0)
                grey = np.clip((far - np.log(depth)) / (far - near) * 255, 0, 255).astype(np.uint8)
                coloured = cv2.applyColorMap(grey, cv2.COLORMAP_TURBO)
            with self._step("write"):
                writer.write(coloured)
            done += 1
        writer.release()
        reader.release()
        return done / (time.perf_counter() - start)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.spent[name] += time.perf_counter() - start


def ours(engine: Engine, film: Path, output: Path, frames: int) -> float:
    """Frames per second of a whole run, without loading the network."""
    start = time.perf_counter()
    source = Excerpt(open_source(str(film)), ExcerptConfig(end=parse_moment(f"{frames}f")))
    sink = open_sink(str(output), overwrite=True)
    (status,) = Pipeline(Stream(source=source, estimator=DepthProEstimator(engine=engine), sinks=[sink])).run()
    return status.processed / (time.perf_counter() - start)


def main(
    film: Path,
    /,
    *,
    model: str = "nano",
    device: str = "auto",
    batch: int = 1,
    frames: int = 100,
    rounds: int = 5,
    random_weights: bool = False,
    json_to: Path | None = None,
) -> None:
    """Measure FILM and print; with --json-to, write it as JSON too.

    --random-weights needs no checkpoint: speed does not depend on what the weights are.
    """
    console = Console()
    chosen = choose_device(device)
    prepare_process(chosen)
    loaded = untrained(model) if random_weights else load(model)
    engine = Engine(loaded, EngineConfig(device=device, batch=batch))
    script = Script(loaded, chosen, DTYPES[engine.precision])
    rates: dict[str, list[float]] = {"script": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / f"{name}.mp4" for name in rates]
        script.run(film, outputs[0], 5)
        ours(engine, film, outputs[1], 5)
        script.spent.clear()
        for number in range(rounds):
            rates["script"].append(script.run(film, outputs[0], frames))
            rates["ours"].append(ours(engine, film, outputs[1], frames))
            latest = ", ".join(f"{name} {values[-1]:.2f}/s" for name, values in rates.items())
            console.print(f"round {number + 1} of {rounds}: {latest}")

    ratios = [a / b for a, b in zip(rates["ours"], rates["script"], strict=True)]
    table = Table(title=f"{film.name}, {model} in {engine.precision} on {chosen}: {rounds} rounds of {frames} frames")
    for heading in ("", "frames/s", "lowest - highest", "to the script"):
        table.add_column(heading)
    for name, values in rates.items():
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})" if name == "ours" else ""
        table.add_row(name, f"{statistics.median(values):.2f}", f"{min(values):.2f} - {max(values):.2f}", ratio)
    console.print(table)
    total = script.spent.total()
    shares = {name: seconds / total for name, seconds in script.spent.items()}
    console.print("The script's time: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    if json_to is not None:
        result = {"film": film.name, "model": model, "precision": engine.precision, "device": str(chosen)}
        json_to.write_text(json.dumps({**result, "rates": rates, "ratios": ratios, "script": shares}, indent=2) + "\n")


if __name__ == "__main__":
    cyclopts.run(main)
