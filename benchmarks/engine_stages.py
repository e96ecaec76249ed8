"""The end-to-end measurements of ``engine.py``: the estimator, and the pipeline around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.engine_contenders import failing_on_warnings
from benchmarks.engine_device import allocated, free, reason
from benchmarks.pipeline import estimator_rate
from model.config import EngineConfig
from model.engine import Engine
from model.engine.precision import Precision
from model.estimator import DepthProEstimator
from model.weights import LoadedModel
from sinks.null import NullSink
from stream.frame import Capture, Frame, Geometry
from stream.pipeline import Pipeline, Stream
from stream.ports import SourceInfo

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
MODES: dict[str, dict[str, Any]] = {"eager": {"launch": "eager"}, "default": {}, "batch 4": {"batch": 4}}
TRACED = 6  # frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A case of the end-to-end measurements: keys of ``SIZES`` and ``MODES``."""

    size: str
    mode: str

    @property
    def name(self) -> str:
        """For people and ``--only``."""
        return f"{self.size}, {self.mode}"


@dataclass(slots=True, kw_only=True)
class StageRow:
    """Frames per second by round. Without them it failed, and ``failed`` says why."""

    name: str
    precision: Precision | None = None
    estimator_per_s: list[float] = field(default_factory=list)
    pipeline_per_s: list[float] = field(default_factory=list)
    peak_mib: float | None = None
    failed: str = ""

    @property
    def ratios(self) -> list[float]:
        """Of the pipeline to the bare estimator, round by round."""
        return [p / e for p, e in zip(self.pipeline_per_s, self.estimator_per_s, strict=False)]


class InMemory:
    """Frames that are decoded already, over and over."""

    def __init__(self, decoded: list[Frame], count: int) -> None:
        self._frames = islice(cycle(decoded), count)
        self.info = SourceInfo(name="memory", live=False, frame_count=count)

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def close(self) -> None:
        """Nothing to release."""


def decoded_frames(width: int, height: int, count: int = 8) -> list[Frame]:
    """A pattern that moves to the left, yuv420p; no cut between any two."""
    geometry = Geometry("yuv420p", width, height)
    frames = []
    for index in range(count):
        planes = []
        for rows, columns, _ in geometry.plane_shapes:
            y, x = np.mgrid[:rows, :columns] * (720 / rows)
            wave = 125 + 60 * np.sin((x + 4 * index) / 80) * np.cos(y / 60)
            planes.append(wave.astype(np.uint8)[..., None])
        frames.append(
            Frame(
                capture=Capture(
                    index=index, pts=index, time_base=Fraction(1, 30), time_ns=index * 33_333_333, clock="media"
                ),
                geometry=geometry,
                planes=tuple(planes),
            )
        )
    return frames


def make_engine(stage: Stage, model: LoadedModel, device: torch.device) -> Engine:
    """Ready to run: what an estimator asks of it later has been done."""
    with failing_on_warnings():
        engine = Engine(model, EngineConfig(device=str(device), **MODES[stage.mode]))
        engine.prepare(with_fov=(True,))
    return engine


def measure_stage(stage: Stage, model: LoadedModel, device: torch.device, *, frames: int, rounds: int) -> StageRow:
    """Estimator and pipeline in turns. What fails becomes a row that says why."""
    row = StageRow(name=stage.name)
    try:
        _measure_stage(stage, row, model, device, frames, rounds)
    except Exception as exc:  # noqa: BLE001 (as for the network's contenders: the others go on)
        row.failed = reason(exc)
    free(device)
    return row


def _measure_stage(
    stage: Stage, row: StageRow, model: LoadedModel, device: torch.device, frames: int, rounds: int
) -> None:
    decoded = decoded_frames(*SIZES[stage.size])
    before = allocated(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    engine = make_engine(stage, model, device)
    row.precision = engine.precision
    estimator = DepthProEstimator(engine=engine)
    estimator_rate(estimator, decoded, 2 * estimator.capacity)  # not counted: memory is taken at the first frames
    for _ in range(rounds):
        row.estimator_per_s.append(estimator_rate(estimator, decoded, frames))
        pipeline = Pipeline(
            Stream(source=InMemory(decoded, frames), estimator=DepthProEstimator(engine=engine), sinks=[NullSink()])
        )
        row.pipeline_per_s.append(pipeline.run()[0].fps)
    if device.type == "cuda":
        row.peak_mib = (torch.cuda.max_memory_allocated(device) - before) / 2**20
    estimator.close()


def trace(model: LoadedModel, device: torch.device, path: Path) -> None:
    """Write what CPU and device do during some frames of the estimator, as it runs by default, as a Chrome trace."""
    estimator = DepthProEstimator(engine=make_engine(Stage(size="720p", mode="default"), model, device))
    decoded = decoded_frames(*SIZES["720p"])
    estimator_rate(estimator, decoded, 2 * estimator.capacity)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        estimator_rate(estimator, decoded, TRACED)
    profiler.export_chrome_trace(str(path))
    estimator.close()
    free(device)
