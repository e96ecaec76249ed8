"""All parts together, in a drawn room whose depth is exact; the whole table is in docs/steady.md."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from benchmarks.steady import FOCAL_PX, HEIGHT, WIDTH, Shot, compare, errors, fly, measure_average, steady
from model.steady import MotionTracker, Steadier
from stream.frame import CameraIntrinsics


@pytest.fixture(scope="module")
def walk() -> list[Shot]:
    """Six seconds, five frames each."""
    return fly("walk", 6.0, rate=5)


@pytest.mark.parametrize("kind", ["white", "correlated", "all"])
@pytest.mark.parametrize("known_focal", [True, False])
def test_a_walk_is_steadied(walk: list[Shot], kind: str, known_focal: bool) -> None:
    figures = compare(steady(walk, kind, rate=5, known_focal=known_focal))
    assert figures.step[1] < 0.2 * figures.step[0]
    assert figures.abs_rel[1] < 1.01 * figures.abs_rel[0]
    assert figures.alignment[2] < figures.alignment[1]
    assert figures.steadied > 0.9


def test_a_network_that_is_off_by_factors_is_steadied_without_leaps(walk: list[Shot]) -> None:
    """All frames are corrected, or scale leaps where some are and some are not."""
    figures = compare(steady(walk, "wild", rate=5))
    corrected, own = (np.exp(np.abs(np.diff(scales)).max()) for scales in reversed(figures.scales))
    assert own > 2.5
    assert corrected < 1.6
    assert figures.step[1] < 0.4 * figures.step[0]
    assert figures.steadied == 1 - 1 / len(walk)


@pytest.mark.parametrize(("factor", "is_believed"), [(8, True), (1 / 8, True), (12, False), (1 / 12, False)])
def test_a_frame_that_is_off_by_more_than_a_factor_of_ten_is_let_through(
    walk: list[Shot], factor: float, is_believed: bool
) -> None:
    tracker, steadier = MotionTracker(), Steadier()
    camera = CameraIntrinsics.from_focal(FOCAL_PX, WIDTH, HEIGHT)
    for index, shot in enumerate(walk[:5]):
        depth = shot.depth * np.float32(factor if index == 3 else 1)
        told = steadier.update(tracker.update(shot.luma), depth, camera, time_s=index / 5).correction
        if index == 3:
            assert told.log == (pytest.approx(-math.log(factor), abs=0.05) if is_believed else 0)
            assert (told.inliers > 0) == is_believed
    assert abs(told.log) < 0.02  # the one behind it is not drawn along


def test_depth_that_is_right_stays_right(walk: list[Shot]) -> None:
    figures = compare(steady(walk, "none", rate=5))
    assert np.abs(figures.scales[1]).max() < 0.005


def test_a_bare_wall_lets_the_network_through() -> None:
    figures = compare(steady(fly("wall", 2.0, rate=5), "white", rate=5))
    assert np.array_equal(*figures.scales)
    assert figures.resets == 0
    assert figures.steadied == 0


def test_the_first_frame_after_a_cut_is_the_networks_own() -> None:
    figures = compare(steady(fly("cut", 3.0, rate=5), "white", rate=5))
    assert figures.cut_is_own
    assert figures.resets == 1


def test_the_networks_scale_can_be_had_back_and_what_is_unknown_stays_unknown(walk: list[Shot]) -> None:
    tracker, steadier = MotionTracker(), Steadier()
    camera = CameraIntrinsics.from_focal(FOCAL_PX, WIDTH, HEIGHT)
    told = []
    for index, (shot, factor) in enumerate(zip(walk[:6], errors("white", 6, walk[0].depth.shape, 5), strict=True)):
        depth = (shot.depth * factor).astype(np.float32)
        if index == 3:
            depth[:] = math.nan
        told.append(steadier.update(tracker.update(shot.luma), depth, camera, time_s=index / 5).correction)
    assert told[0].log == 0
    assert told[0].inliers == 0
    assert abs(told[3].log) < 0.05  # as is usual
    assert told[3].inliers == 0
    assert told[1].inliers > 50
    assert 0 < told[1].log_std < 0.04


def test_a_blurred_frame_is_corrected_as_is_usual_and_ends_nothing() -> None:
    """Depth of the first frame is half of what the network says of all others, which is no jitter of a frame's own."""
    tracker, steadier = MotionTracker(), Steadier()
    camera = CameraIntrinsics.from_focal(FOCAL_PX, WIDTH, HEIGHT)
    told, stretches = [], []
    for index, shot in enumerate(fly("handheld", 1.0, rate=15)):
        luma = cv2.GaussianBlur(shot.luma, (0, 0), 20) if index in (5, 6) else shot.luma
        depth = shot.depth * np.float32(1 if index == 0 else 1.5)
        steadied = steadier.update(tracker.update(luma), depth, camera, time_s=index / 15)
        told.append(steadied.correction)
        stretches.append(None if steadied.odometry is None else steadied.odometry.stretch)
    assert [correction.inliers > 0 for correction in told] == [False] + [index not in (5, 6) for index in range(1, 15)]
    assert told[4].log < -0.1
    assert told[5].log == told[6].log == pytest.approx(np.mean([t.log for t in told[1:5]]), abs=0.15)
    assert told[5].log < -0.1
    assert told[7].log == pytest.approx(told[4].log, abs=0.1)
    assert stretches == [0 if index not in (5, 6) else None for index in range(15)]


def test_pixels_are_averaged_along_the_way(walk: list[Shot]) -> None:
    figures = measure_average(walk, rate=5)
    assert figures.share > 0.85
    assert figures.flicker[1] < 0.7 * figures.flicker[0]
    assert figures.abs_rel[1] < 0.9 * figures.abs_rel[0]
    assert figures.alignment[1] < 0.6 * figures.alignment[0]
    assert figures.wrong[1] <= figures.wrong[0]
