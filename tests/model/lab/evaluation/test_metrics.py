"""Errors of depth and focal length, and steadiness over time, against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from model.lab.evaluation.metrics import DepthErrors, FocalErrors, depth_errors, focal_errors, mean, median_scale
from model.lab.evaluation.temporal import PosedDepth, Shots, alignment_error, log_scale


def _depth(rows: object) -> npt.NDArray[np.float32]:
    return np.array(rows, np.float32)


def test_errors_of_two_pixels() -> None:
    errors = depth_errors(_depth([[1.1, 8.0]]), _depth([[1.0, 4.0]]), max_depth_m=80)
    assert errors.abs_rel == pytest.approx((0.1 + 1.0) / 2)
    assert errors.delta1 == 0.5
    assert errors.rmse == pytest.approx(math.sqrt((0.1**2 + 4**2) / 2))
    assert errors.log10 == pytest.approx((math.log10(1.1) + math.log10(2)) / 2)


def test_a_perfect_prediction_has_no_error() -> None:
    truth = _depth([[1.5, 70.0]])
    assert depth_errors(truth, truth, max_depth_m=80) == DepthErrors(abs_rel=0, delta1=1, rmse=0, log10=0)


def test_too_near_is_as_wrong_as_too_far_for_delta1() -> None:
    truth = _depth([[4.0, 4.0, 4.0, 4.0]])
    assert depth_errors(_depth([[4.99, 5.0, 3.21, 3.19]]), truth, max_depth_m=80).delta1 == 0.5


def test_only_valid_truth_counts() -> None:
    truth = _depth([[2.0, 0.0, -1.0, math.nan, math.inf, 90.0]])
    predicted = _depth([[2.0, 5.0, 5.0, math.nan, 5.0, 5.0]])
    assert depth_errors(predicted, truth, max_depth_m=80).abs_rel == 0


def test_predictions_are_clamped_to_the_range_of_the_truth() -> None:
    errors = depth_errors(_depth([[math.inf, 0.0]]), _depth([[40.0, 1.0]]), max_depth_m=80)
    assert errors.abs_rel == pytest.approx((1.0 + 0.999) / 2)
    assert errors.log10 == pytest.approx((math.log10(2) + 3) / 2)


def test_truth_that_is_invalid_everywhere_is_refused() -> None:
    with pytest.raises(ValueError, match="no pixel has a true depth above 0 and up to 80 m"):
        depth_errors(_depth([[1.0]]), _depth([[90.0]]), max_depth_m=80)


def test_nan_is_no_prediction() -> None:
    with pytest.raises(ValueError, match="NaN"):
        depth_errors(_depth([[math.nan]]), _depth([[1.0]]), max_depth_m=80)


def test_median_scale_undoes_a_scale() -> None:
    truth = _depth([[1.0, 2.0, 7.0, math.inf]])
    predicted = truth / np.float32(1.6)
    scale = median_scale(predicted, truth, max_depth_m=80)
    assert scale == pytest.approx(1.6)
    assert depth_errors(predicted, truth, max_depth_m=80, scale=scale).abs_rel == pytest.approx(0, abs=1e-6)


def test_focal_errors() -> None:
    assert focal_errors([0.01, 0.09, 0.2, 0.5]) == FocalErrors(
        pictures=4, median=pytest.approx(0.145), within_10=0.5, within_25=0.75
    )
    assert focal_errors([]) is None


def test_means_are_taken_field_by_field() -> None:
    one = DepthErrors(abs_rel=0.1, delta1=1.0, rmse=2.0, log10=0.0)
    other = DepthErrors(abs_rel=0.3, delta1=0.5, rmse=4.0, log10=0.2)
    assert mean([one, other]) == DepthErrors(
        abs_rel=pytest.approx(0.2), delta1=0.75, rmse=3.0, log10=pytest.approx(0.1)
    )


def test_spread_and_steps_stay_within_shots() -> None:
    shots = Shots()
    for value, cut in ((1.0, True), (1.2, False), (1.0, False), (9.0, True), (9.2, False)):
        shots.add(value, cut=cut)
    assert shots.std() == pytest.approx(np.std([1.0 - 3.2 / 3, 1.2 - 3.2 / 3, 1.0 - 3.2 / 3, -0.1, 0.1]))
    assert shots.step_std() == pytest.approx(np.std([0.2, -0.2, 0.2]))


def test_one_frame_has_no_steps() -> None:
    shots = Shots()
    assert (shots.std(), shots.step_std()) == (None, None)
    shots.add(1.0, cut=False)
    assert (shots.std(), shots.step_std()) == (0.0, None)


def test_log_scale_is_the_median_over_pixels() -> None:
    truth = _depth([[1.0, 2.0, 4.0, math.inf]])
    assert log_scale(_depth([[1.2, 2.4, 40.0, 1.0]]), truth, max_depth_m=80) == pytest.approx(math.log(1.2))
    assert log_scale(truth, _depth([[0.0, 0.0, 0.0, 0.0]]), max_depth_m=80) is None


def _posed(depth: float, *, x: float = 0.0, z: float = 0.0, f_px: float = 20.0) -> PosedDepth:
    """A wall across the view of a camera at (x, 0, z)."""
    pose = np.eye(4)
    pose[:3, 3] = (x, 0, z)
    wall = np.full((9, 11), depth, np.float32)
    return PosedDepth(wall, np.ones((9, 11), np.bool_), f_px, pose)


def _only(view: PosedDepth, row: int, column: int) -> PosedDepth:
    valid = np.zeros_like(view.valid)
    valid[row, column] = True
    return PosedDepth(view.depth, valid, view.f_px, view.pose)


def test_a_true_wall_is_aligned_when_the_camera_walks_towards_it() -> None:
    assert alignment_error(_posed(2.0), _posed(1.0, z=1.0)) == pytest.approx(0, abs=1e-5)
    assert alignment_error(_posed(1.0, z=1.0), _posed(2.0)) == pytest.approx(0, abs=1e-5)


def test_depth_of_the_wrong_scale_does_not_fit_a_true_motion() -> None:
    error = alignment_error(_posed(2.2), _posed(1.1, z=1.0))
    assert error == pytest.approx(100 * 0.1 / 1.1, rel=1e-5)


def test_a_camera_that_moves_right_sees_things_move_left() -> None:
    first, second = _only(_posed(5.0), 4, 6), _posed(5.0, x=0.5)  # 20 px · 0.5 m / 5 m = 2 px
    assert alignment_error(first, _only(second, 4, 4)) == pytest.approx(0, abs=1e-5)
    for column in (3, 5, 6, 8):
        assert alignment_error(first, _only(second, 4, column)) is None


def test_a_zoom_moves_things_outwards() -> None:
    first, second = _only(_posed(5.0), 4, 7), _posed(5.0, f_px=40.0)
    assert alignment_error(first, _only(second, 4, 9)) == pytest.approx(0, abs=1e-5)
    assert alignment_error(first, _only(second, 4, 7)) is None


def test_the_nearest_point_hides_the_others() -> None:
    first = PosedDepth(_depth([[9, 9, 2, 1, 9]]), np.array([[False, False, True, True, False]]), 1.0, np.eye(4))
    pose = np.eye(4)
    pose[0, 3] = 2.0  # moves what is 2 m away by one pixel to the left, and what is 1 m away by two: onto the same
    second = PosedDepth(_depth([[9, 1, 9, 9, 9]]), np.ones((1, 5), np.bool_), 1.0, pose)
    assert alignment_error(first, second) == pytest.approx(0)


def test_points_behind_the_camera_are_not_seen() -> None:
    assert alignment_error(_posed(1.0), _posed(1.0, z=3.0)) is None
