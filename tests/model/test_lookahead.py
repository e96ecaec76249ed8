"""The look ahead sees what the whole network sees, and what it foresees scales depth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import EngineConfig
from model.engine import Engine
from model.estimator import DepthProEstimator
from model.focal.hindsight import focal_track
from model.lookahead import look_ahead
from model.network import InferenceNetwork
from model.weights import load
from sinks import MemorySink
from stream.errors import ModelError, SourceError
from stream.frame import DepthFrame, FocalEstimate
from stream.pipeline import Pipeline, Stream
from stream.sources import open_source
from tests.support.media import noisy_video, numbered_video, truncate


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load("nano"), EngineConfig(device="cpu", precision="fp32"))


def depth_of(path: Path, engine: Engine, foreseen: list[FocalEstimate] | None = None) -> list[DepthFrame]:
    sink = MemorySink()
    estimator = DepthProEstimator(engine=engine, foreseen=foreseen)
    Pipeline(Stream(source=open_source(str(path)), estimator=estimator, sinks=[sink])).run()
    return sink.frames


@pytest.mark.parametrize("batch", [1, 2])
def test_a_part_of_the_network_gives_the_field_of_view_of_the_whole(batch: int) -> None:
    network = InferenceNetwork(load("nano").network.float())
    x_B3SS = torch.rand((batch, 3, 512, 512), generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        _, whole_B = network(x_B3SS)
        torch.testing.assert_close(network.field_of_view(x_B3SS), whole_B, rtol=1e-4, atol=1e-3)


def test_it_sees_what_the_run_would_see_and_scales_depth(tmp_path: Path, engine: Engine) -> None:
    film = noisy_video(tmp_path / "film.mp4", 5)
    plain = depth_of(film, engine)
    counted: list[int] = []
    glimpses = look_ahead(open_source(str(film)), engine, progress=counted.append)
    assert counted == [1, 2, 3, 4, 5]
    assert [g.raw_px for g in glimpses] == pytest.approx([f.focal.raw_px for f in plain], rel=1e-3)
    assert [g.scene_cut for g in glimpses] == [f.scene_cut for f in plain]
    track = focal_track(glimpses)
    ahead = depth_of(film, engine, track)
    assert [f.focal for f in ahead] == track
    assert len({f.focal.smoothed_px for f in ahead}) == 1
    for a, b in zip(ahead, plain, strict=True):
        ratio = a.focal.smoothed_px / b.focal.smoothed_px
        np.testing.assert_allclose(a.depth, b.depth * ratio, rtol=1e-4)


def test_blank_frames_tell_nothing(tmp_path: Path, engine: Engine) -> None:
    film = numbered_video(tmp_path / "film.mp4", 3)  # each of one grey level
    told = [glimpse.raw_px for glimpse in look_ahead(open_source(str(film)), engine)]
    assert told == [frame.focal.raw_px for frame in depth_of(film, engine)] == [None] * 3


def test_a_film_that_breaks_off_is_looked_at_as_far_as_it_goes(tmp_path: Path, engine: Engine) -> None:
    film = noisy_video(tmp_path / "film.mkv", 30)
    truncate(film, 0.7)
    assert 0 < len(look_ahead(open_source(str(film)), engine)) < 30


class Broken:
    info = None

    def __iter__(self) -> Iterator[None]:
        raise SourceError("not one frame could be decoded")

    def close(self) -> None:
        self.is_closed = True


def test_a_film_without_a_frame_says_so_and_is_closed(engine: Engine) -> None:
    broken = Broken()
    with pytest.raises(SourceError, match="not one frame"):
        look_ahead(broken, engine)  # type: ignore[arg-type]
    assert broken.is_closed


def test_more_frames_than_were_foreseen_is_an_error(tmp_path: Path, engine: Engine) -> None:
    film = numbered_video(tmp_path / "film.mp4", 3)
    track = focal_track(look_ahead(open_source(str(film)), engine))
    with pytest.raises(ModelError, match="frame 2 was not there"):
        depth_of(film, engine, track[:2])
