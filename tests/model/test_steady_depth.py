"""The estimator with its scale steadied: what comes out, and what is said of it."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest

from model.focal import CameraConfig, GivenCamera
from model.scale import DepthScaler, ScaleConfig
from sinks.files.journal import Record
from stream.errors import ConfigError
from stream.frame import Capture, DepthFrame, DepthScale, Frame, Geometry
from tests.support.tiny import collect_all, make_estimator, tiny_model


def passing(count: int, *, seed: int = 0, first: int = 0) -> list[Frame]:
    """A pattern that moves by three pixels a frame."""
    noise = np.random.default_rng(seed).standard_normal((180, 420)).astype(np.float32)
    soft = np.asarray(cv2.GaussianBlur(noise, (0, 0), 3))
    picture = np.clip(120 + 40 * soft / soft.std(), 0, 255).astype(np.uint8)[..., None]
    return [
        Frame(
            capture=Capture(
                index=first + k, pts=None, time_base=Fraction(1, 30), time_ns=(first + k) * 33_000_000, clock="media"
            ),
            geometry=Geometry("gray", 320, 180),
            planes=(np.ascontiguousarray(picture[:, 3 * k : 3 * k + 320]),),
        )
        for k in range(count)
    ]


def depths(frames: list[Frame], **options: object) -> list[DepthFrame]:
    estimator = make_estimator(tiny_model(), camera=GivenCamera(CameraConfig(fov=60)), **options)
    made = collect_all(estimator, frames)
    estimator.close()
    return made


@pytest.mark.parametrize("batch", [1, 3])
def test_the_networks_own_depth_can_be_had_back(batch: int) -> None:
    frames = [*passing(6), *passing(4, seed=9, first=6)]
    steady, raw = depths(frames, steady="scale", batch=batch), depths(frames, steady="off", batch=batch)
    assert [frame.steady for frame in raw] == [None] * 10
    assert [frame.scene_cut for frame in steady] == [k == 6 for k in range(10)]
    for own, corrected in zip(raw, steady, strict=True):
        told = corrected.steady
        assert told is not None
        assert np.allclose(corrected.depth / np.exp(told.log), own.depth, rtol=1e-5)
        if corrected.scene_cut or corrected.capture.index == 0:
            assert told.log == told.inliers == 0
            assert np.array_equal(corrected.depth, own.depth)
    assert [frame.steady.resets for frame in steady if frame.steady] == [0] * 6 + [1] * 4
    assert sum(frame.steady.inliers > 25 for frame in steady if frame.steady) >= 4


@pytest.mark.parametrize("batch", [1, 3])
def test_later_frames_tell_of_the_scale_and_of_nothing_else(batch: int) -> None:
    frames = [*passing(6), *passing(4, seed=9, first=6)]
    raw, causal = depths(frames, steady="off", batch=batch), depths(frames, steady="scale", batch=batch)
    seen = depths(frames, steady="scale", batch=batch, steady_hindsight=3)
    assert [frame.capture.index for frame in seen] == list(range(10))
    for own, before, after in zip(raw, causal, seen, strict=True):
        assert before.steady is not None
        assert after.steady is not None
        assert np.allclose(after.depth / np.exp(after.steady.log), own.depth, rtol=1e-5)
        assert replace(after.steady, log=0, log_std=0) == replace(before.steady, log=0, log_std=0)
        assert (after.odometry, after.focal) == (before.odometry, before.focal)
        if after.capture.index in (5, 9):  # nothing of its shot comes after it
            assert after.steady == before.steady
            assert np.array_equal(after.depth, before.depth)
        else:
            assert after.steady.log != before.steady.log
            assert after.steady.log_std < before.steady.log_std


@pytest.mark.parametrize("batch", [1, 3])
def test_as_many_later_frames_count_as_were_asked_for(batch: int) -> None:
    frames = passing(8)
    whole = depths(frames, steady="scale", batch=batch, steady_hindsight=3)
    for count, same in ((6, True), (5, False)):  # with and without the third frame behind frame 2
        part = depths(frames[:count], steady="scale", batch=batch, steady_hindsight=3)
        assert (part[2].steady == whole[2].steady) == same


def test_where_a_distance_is_measured_no_frame_may_wait() -> None:
    assert hindsight(scaler=DepthScaler(), steady="scale") == 5
    scaler = DepthScaler(ScaleConfig(scale_from="80,60=2"))
    assert hindsight(scaler=scaler, steady="off") == 0
    with pytest.raises(ConfigError, match="`steady_hindsight` waits for later frames, and a distance may be measured"):
        hindsight(scaler=scaler, steady="scale")


def hindsight(**options: object) -> int:
    camera = GivenCamera(CameraConfig(fov=60))
    return make_estimator(tiny_model(), camera=camera, steady_hindsight=5, **options).hindsight


def test_where_the_camera_is_begins_anew_at_a_cut_and_is_known_only_where_the_scale_is_steadied() -> None:
    frames = [*passing(4), *passing(4, seed=9, first=4)]
    assert {frame.odometry for frame in depths(frames, steady="off")} == {None}
    told = [frame.odometry for frame in depths(frames, steady="scale")]
    for k in (0, 4):
        begun = told[k]
        assert begun is not None
        assert (begun.stretch, begun.position, begun.orientation) == (k // 4, (0, 0, 0), (0, 0, 0, 1))
        assert begun.is_reference
    assert [pose.stretch for pose in told[:4] if pose][-1] == 0
    moved = next(pose for pose in reversed(told[:4]) if pose)
    assert moved.position[0] > 0 or moved.orientation[1] > 0  # the pattern goes to the left, so the camera to the right


def test_positions_are_in_the_unit_of_depth() -> None:
    """Where a distance is known, they are as much larger as depth is."""
    frames, scaler = passing(4), DepthScaler()
    scaler.resume(DepthScale(factor=3.0, date="2026-01-02T03:04:05+00:00", source="measured"))
    own, scaled = depths(frames, steady="scale"), depths(frames, steady="scale", scaler=scaler)
    assert np.allclose(scaled[0].depth, 3 * own[0].depth)
    ways = [(a.odometry, b.odometry) for a, b in zip(own, scaled, strict=True) if a.odometry and b.odometry]
    assert len(ways) > 1
    for a, b in ways:
        assert np.allclose(np.multiply(3, a.position), b.position)
        assert a.orientation == b.orientation
    assert np.abs([b.position for _, b in ways]).max() > 0


def test_each_pixel_is_averaged_with_its_past_and_a_cut_begins_anew() -> None:
    """A pattern that stands still, with noise: depth of the network differs, and the pose does not."""
    rng, (still, *_) = np.random.default_rng(0), passing(1)

    def noisy(index: int, seed: int) -> Frame:
        plane = passing(1, seed=seed)[0].planes[0]
        grain = rng.integers(-3, 4, plane.shape)
        capture = replace(still.capture, index=index, time_ns=index * 33_000_000)
        return replace(still, capture=capture, planes=(np.clip(plane + grain, 0, 255).astype(np.uint8),))

    frames = [noisy(index, seed=0 if index < 12 else 9) for index in range(16)]
    scale, full = depths(frames, steady="scale"), depths(frames, steady="full", steady_threshold=0.5)
    assert [frame.scene_cut for frame in full] == [k == 12 for k in range(16)]
    for own, averaged in zip(scale, full, strict=True):
        assert own.steady is not None
        assert averaged.steady is not None
        assert own.steady.averaged == 0
        assert (averaged.steady.averaged > 0.9) == (averaged.capture.index not in (0, 12))
        if averaged.capture.index in (0, 12):
            assert np.array_equal(own.depth, averaged.depth)
    steps = [
        np.mean([np.abs(np.log(b.depth / a.depth)).mean() for a, b in pairwise(made[6:12])]) for made in (scale, full)
    ]
    assert steps[1] < 0.5 * steps[0]


@pytest.mark.parametrize(("steady", "later"), [("scale", 0), ("scale", 2), ("full", 0), ("full", 2)])
def test_a_run_that_goes_on_knows_the_way_and_says_that_the_average_begins_anew(
    steady: str, later: int, caplog: pytest.LogCaptureFixture
) -> None:
    frames, options = passing(8), {"steady": steady, "steady_hindsight": later}
    whole = depths(frames, **options)
    estimator = make_estimator(tiny_model(), camera=GivenCamera(CameraConfig(fov=60)), **options)
    for frame, made in zip(frames[:5], whole[:5], strict=True):
        estimator.replay(frame, Record.read(Record.of(made).line()))
    with caplog.at_level("INFO"):
        rest = collect_all(estimator, frames[5:])
    logged = [record.getMessage() for record in caplog.records if "average" in record.getMessage()]
    assert logged == ["`steady=full`: pixels are averaged anew behind frame 4"] * (steady == "full")
    estimator.close()
    assert [frame.odometry for frame in rest] == [frame.odometry for frame in whole[5:]]
    assert rest[0].steady is not None
    assert rest[0].steady.averaged == 0
    told = [[replace(f.steady, averaged=0) for f in made if f.steady] for made in (rest, whole[5:])]
    assert told[0] == told[1]
    assert len(told[0]) == 3
    if steady == "scale":
        assert all(np.array_equal(a.depth, b.depth) for a, b in zip(rest, whole[5:], strict=True))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"steady": "half"}, "`steady` is off, scale or full, not 'half'"),
        ({"steady_hindsight": 251}, "`steady_hindsight` must be from 0 to 250 frames, not 251"),
        ({"steady_strength": 1.0}, "`steady_strength` must be from 0 to below 1, not 1.0"),
        ({"steady_threshold": 0.0}, "`steady_threshold` must be above 0 and at most 1, not 0.0"),
        ({"steady_persistence": -1}, "`steady_persistence` must be from 0 to 1000, not -1"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        make_estimator(tiny_model(), **options)
