"""Pictures that a card decoded: depth, cuts and the camera's way are, to the bit, those of the host's.

All of it but the card: FFmpeg decodes on the CPU, and its planes go the way of a card's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from model.engine import Engine
from model.engine.device_slot import DeviceSlot
from model.estimator import DepthProEstimator
from model.focal import FocalConfig
from model.lookahead import foresee
from sinks import MemorySink
from sinks.files.journal import Record
from stream.frame import DepthFrame, Frame
from stream.pipeline import Pipeline, Stream
from stream.sources import open_source
from tests.support import media
from tests.support.card import Card
from tests.support.tiny import collect_all, make_engine, make_estimator

COUNT, CUT = 7, 4


def passing(path: Path, width: int, height: int) -> Path:
    """A pattern that moves by four pixels a frame, and another one from ``CUT`` on."""
    pictures = []
    for index in range(COUNT):
        noise = np.random.default_rng(index >= CUT).standard_normal((height, width + 4 * COUNT, 3)).astype(np.float32)
        soft = np.asarray(cv2.GaussianBlur(noise, (0, 0), 4))
        picture = np.clip(120 + 40 * soft / soft.std(), 0, 255).astype(np.uint8)
        pictures.append(picture[:, 4 * index : 4 * index + width])
    return media.write_video(path, pictures, options={"crf": "10"})


@pytest.fixture(scope="module")
def engine() -> Engine:
    return make_engine()


def estimator_of(engine: Engine) -> DepthProEstimator:
    return make_estimator(engine=engine, steady="scale", steady_hindsight=2, output_size="160x90")


def depths(path: Path, engine: Engine) -> list[DepthFrame]:
    sink, estimator = MemorySink(needs_image=True), estimator_of(engine)
    Pipeline(Stream(source=open_source(str(path)), estimator=estimator, sinks=[sink])).run()
    return list(sink.frames)


def assert_alike(ours: Sequence[DepthFrame], theirs: Sequence[DepthFrame]) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert (a.capture.index, a.focal, a.scene_cut) == (b.capture.index, b.focal, b.scene_cut)
        assert (a.steady, a.odometry) == (b.steady, b.odometry)
        np.testing.assert_array_equal(a.depth, b.depth)
        assert (a.image is None) == (b.image is None)
        if a.image is not None and b.image is not None:
            np.testing.assert_array_equal(a.image, b.image)


@pytest.fixture
def fills(monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """Frames that were copied on the device."""
    filled: list[Frame] = []
    fill = DeviceSlot.fill

    def noted(slot: DeviceSlot, frame: Frame) -> Frame:
        filled.append(frame)
        return fill(slot, frame)

    monkeypatch.setattr(DeviceSlot, "fill", noted)
    return filled


@pytest.mark.parametrize(("layout", "width", "height"), [("nv12", 320, 180), ("p010le", 320, 180), ("nv12", 640, 1080)])
def test_depth_cuts_and_motion_are_those_of_pictures_on_the_host(
    tmp_path: Path,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    fills: list[Frame],
    caplog: pytest.LogCaptureFixture,
    layout: str,
    width: int,
    height: int,
) -> None:
    path = passing(tmp_path / "a.mp4", width, height)
    with monkeypatch.context() as here:
        Card(here, layout=layout, holds=False)
        expected = depths(path, engine)
    assert not fills
    card = Card(monkeypatch, layout=layout)
    found = depths(path, engine)
    assert (len(fills), card.downloads) == (COUNT, 0)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert_alike(found, expected)
    assert all(frame.image is not None for frame in found)
    assert [frame.scene_cut for frame in found] == [index == CUT for index in range(COUNT)]
    assert sum(frame.steady.inliers > 25 for frame in found if frame.steady) >= 3  # motion was followed


def test_where_handing_over_fails_pictures_come_down_and_depth_is_the_same(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = passing(tmp_path / "a.mp4", 320, 180)
    with monkeypatch.context() as here:
        Card(here, holds=False)
        expected = depths(path, engine)
    card, fill = Card(monkeypatch), DeviceSlot.fill

    def fails(slot: DeviceSlot, frame: Frame) -> Frame:
        if frame.capture.index == 3:
            raise RuntimeError("CUDA error: an illegal address")
        return fill(slot, frame)

    monkeypatch.setattr(DeviceSlot, "fill", fails)
    with caplog.at_level(logging.WARNING):
        assert_alike(depths(path, engine), expected)
    assert card.downloads == COUNT - 3
    assert caplog.text.count("decoded pictures cannot stay on the device (CUDA error: an illegal address)") == 1


def test_a_run_that_goes_on_replays_what_a_card_decodes(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = passing(tmp_path / "a.mp4", 320, 180)
    Card(monkeypatch)
    whole = depths(path, engine)
    estimator, frames = estimator_of(engine), list(open_source(str(path)))
    for frame, made in zip(frames[:3], whole[:3], strict=True):
        assert frame.on_device is not None
        estimator.replay(frame, Record.read(Record.of(made).line()))
    rest = collect_all(estimator, [frame.on_host() for frame in frames[3:]])
    estimator.close()
    assert_alike(rest, [replace(frame, image=None) for frame in whole[3:]])


def test_a_look_ahead_takes_what_a_card_decodes(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = passing(tmp_path / "a.mp4", 320, 180), []
    for holds in (False, True):
        with monkeypatch.context() as here:
            Card(here, holds=holds)
            seen.append(foresee(open_source(str(path)), engine, FocalConfig()))
    assert len(seen[0]) == COUNT
    assert seen[0] == seen[1]
