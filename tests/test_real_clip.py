"""A real clip through the real pipeline: no frame lost, doubled or out of order."""

from __future__ import annotations

import time
from pathlib import Path

import av

from sinks import MemorySink
from stream.pipeline import Pipeline, PipelineConfig, Stream
from stream.sources import open_source
from tests.support.doubles import ScriptedEstimator


def test_every_frame_of_a_file_comes_out_once_with_its_pts(street_walk: Path) -> None:
    with av.open(str(street_walk)) as container:
        expected = [(f.pts, f.time_base) for f in container.decode(video=0)]
    sink = MemorySink()
    estimator = ScriptedEstimator(uniform=False)
    (status,) = Pipeline(Stream(source=open_source(str(street_walk)), estimator=estimator, sinks=[sink])).run()
    assert len(sink.frames) == 195
    assert [f.capture.index for f in sink.frames] == list(range(195))
    assert [(f.capture.pts, f.capture.time_base) for f in sink.frames] == expected
    assert (status.produced, status.processed, status.dropped) == (195, 195, 0)


def test_newest_with_a_slow_estimator_skips_forward_and_counts(street_walk: Path) -> None:
    sink = MemorySink()
    estimator = ScriptedEstimator(uniform=False, on_collect=lambda _i: time.sleep(0.02))
    source = open_source(str(street_walk))
    config = PipelineConfig(policy="newest")
    (status,) = Pipeline(Stream(source=source, estimator=estimator, sinks=[sink]), config=config).run()
    indices = [f.capture.index for f in sink.frames]
    assert indices == sorted(set(indices))
    assert indices[-1] == 194
    assert status.dropped > 0
    assert status.processed + status.dropped == status.produced == 195
    assert [f.dropped for f in sink.frames] == sorted(f.dropped for f in sink.frames)
