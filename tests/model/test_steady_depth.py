"""The estimator with its scale steadied: what comes out, and what is said of it."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from model.focal import CameraConfig, GivenCamera
from model.scale import DepthScaler
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


def test_an_unknown_way_of_steadying_is_refused() -> None:
    with pytest.raises(ConfigError, match="`steady` is off or scale, not 'full'"):
        make_estimator(tiny_model(), steady="full")
