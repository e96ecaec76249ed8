"""A long run's memory is flat: what is resident late is what was resident early."""

from __future__ import annotations

import gc
from pathlib import Path

import psutil
import pytest

from model.config import EngineConfig, EstimatorConfig
from model.engine import Engine
from model.estimator import DepthProEstimator
from model.weights import LoadedModel, load
from sinks import open_sink
from stream.frame import DepthFrame
from stream.pipeline import Pipeline, Stream
from tests.support.doubles import ScriptedSource
from tests.support.tiny import tiny_model


class Scale:
    """A sink that weighs the process at two frames of a run."""

    name = "scale"
    needs_image = True

    def __init__(self, early: int, late: int) -> None:
        self.resident: dict[int, int] = {}
        self._marks = {early - 1, late - 1}

    def write(self, frame: DepthFrame) -> None:
        if frame.capture.index in self._marks:
            gc.collect()
            self.resident[frame.capture.index] = psutil.Process().memory_info().rss

    def close(self) -> None:
        pass


def growth(model: LoadedModel, folder: Path, *, early: int, late: int) -> float:
    """Resident memory after ``late`` frames, as a multiple of that after ``early``."""
    uris = [folder / "view.mp4?view=side-by-side", folder / "mm.mkv?codec=ffv1", "zmq+tcp://127.0.0.1:*"]
    scale = Scale(early, late)
    Pipeline(
        Stream(
            source=ScriptedSource(late, width=lambda _i: 320),
            estimator=DepthProEstimator(
                engine=Engine(model, EngineConfig(device="cpu")), config=EstimatorConfig(output_size="320x240")
            ),
            sinks=[*(open_sink(str(uri)) for uri in uris), scale],
        )
    ).run()
    return scale.resident[late - 1] / scale.resident[early - 1]


def test_memory_is_flat_over_hundreds_of_frames(tmp_path: Path) -> None:
    assert growth(tiny_model(), tmp_path, early=60, late=300) < 1.05


@pytest.mark.slow
def test_memory_of_nano_is_flat_over_thousands_of_frames(tmp_path: Path) -> None:
    assert growth(load("nano"), tmp_path, early=200, late=2000) < 1.05


@pytest.mark.slow
def test_memory_is_flat_over_twenty_thousand_frames(tmp_path: Path) -> None:
    assert growth(tiny_model(), tmp_path, early=1000, late=20_000) < 1.05
