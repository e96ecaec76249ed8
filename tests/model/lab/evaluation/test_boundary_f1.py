"""Boundary F1 and recall: small cases worked out by hand, and the definition as plain loops."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from model.lab.evaluation.boundary_f1 import THRESHOLDS, WEIGHTS, BoundaryScores, boundary_recall, boundary_scores

_FAR = 1e4
_DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # from the nearer pixel to the farther


def _depth(rows: object) -> npt.NDArray[np.float32]:
    return np.array(rows, np.float32)


def _box(far: float = 4.0) -> npt.NDArray[np.float32]:
    """Something 2 m away in the middle, with one pair of boundary pixels per side and row."""
    depth = np.full((5, 6), far, np.float32)
    depth[1:4, 2:4] = 2.0
    return depth


def _edges(depth: npt.NDArray[np.float32], step: tuple[int, int], threshold: float) -> dict[tuple[int, int], float]:
    """Ratios above the threshold, by the place of the nearer pixel."""
    found = {}
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            other = row + step[0], column + step[1]
            if 0 <= other[0] < depth.shape[0] and 0 <= other[1] < depth.shape[1]:
                near, far = (min(max(float(depth[place]), 1e-6), _FAR) for place in ((row, column), other))
                if far / near > threshold:
                    found[row, column] = far / near
    return found


def _naive_scores(predicted: npt.NDArray[np.float32], truth: npt.NDArray[np.float32]) -> BoundaryScores:
    f1s, precisions, recalls = [], [], []
    for threshold in THRESHOLDS:
        precision = recall = 0.0
        for step in _DIRECTIONS:
            mine, true = (_edges(d, step, threshold).keys() for d in (predicted, truth))
            mine = {(r, c) for r, c in mine if truth[r, c] > 0 and truth[r + step[0], c + step[1]] > 0}
            true = {(r, c) for r, c in true if truth[r, c] > 0 and truth[r + step[0], c + step[1]] > 0}
            precision += len(mine & true) / max(len(mine), 1) / 4
            recall += len(mine & true) / max(len(true), 1) / 4
        f1s.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
        precisions.append(precision)
        recalls.append(recall)
    f1, precision, recall = (float(np.average(x, weights=THRESHOLDS)) for x in (f1s, precisions, recalls))
    return BoundaryScores(f1=f1, precision=precision, recall=recall)


def _naive_recall(predicted: npt.NDArray[np.float32], matte: npt.NDArray[np.float32]) -> float:
    result = []
    inside = matte > 0.1
    for threshold in THRESHOLDS:
        recall = 0.0
        for step in _DIRECTIONS:
            found = _thinned(_edges(predicted, step, threshold), step)
            outline = {
                (r, c)
                for r, c in np.ndindex(*matte.shape)
                if 0 <= r + step[0] < matte.shape[0] and 0 <= c + step[1] < matte.shape[1]
                if inside[r, c] and not inside[r + step[0], c + step[1]]
            }
            recall += len(found & outline) / max(len(outline), 1) / 4
        result.append(recall)
    return float(np.average(result, weights=THRESHOLDS))


def _thinned(edges: dict[tuple[int, int], float], step: tuple[int, int]) -> set[tuple[int, int]]:
    """The first greatest of each run of neighbours along the row or column that the direction lies in."""
    kept = set()
    along = (abs(step[0]), abs(step[1]))
    for place in edges:
        if (place[0] - along[0], place[1] - along[1]) not in edges:
            run = [place]
            while (following := (run[-1][0] + along[0], run[-1][1] + along[1])) in edges:
                run.append(following)
            kept.add(max(run, key=lambda p: edges[p]))
    return kept


def test_thresholds_and_weights_are_the_published_ones() -> None:
    assert THRESHOLDS.tolist() == pytest.approx([1.05 + 0.2 / 9 * i for i in range(10)])
    assert pytest.approx(1.0) == WEIGHTS.sum()
    assert WEIGHTS[9] / WEIGHTS[0] == pytest.approx(1.25 / 1.05)


def test_the_truth_itself_scores_1_at_any_scale() -> None:
    for scale in (0.1, 1.0, 7.0):
        scores = boundary_scores(_box() * np.float32(scale), _box())
        assert scores == BoundaryScores(f1=pytest.approx(1), precision=pytest.approx(1), recall=pytest.approx(1))


def test_a_boundary_one_pixel_off_does_not_count() -> None:
    scores = boundary_scores(np.roll(_box(), 1, axis=1), _box())
    # Left and right sides miss; of the upper and lower sides, 1 of 2 pixels is right.
    assert scores == BoundaryScores(f1=pytest.approx(0.25), precision=pytest.approx(0.25), recall=pytest.approx(0.25))


def test_directions_without_a_boundary_count_as_missed_as_in_the_reference() -> None:
    step = _depth([[1, 1, 2, 2]])
    assert boundary_scores(step, step) == BoundaryScores(
        f1=pytest.approx(0.25), precision=pytest.approx(0.25), recall=pytest.approx(0.25)
    )


def test_which_side_is_nearer_matters() -> None:
    assert boundary_scores(_depth([[2, 2, 1, 1]]), _depth([[1, 1, 2, 2]])) == BoundaryScores(
        f1=0, precision=0, recall=0
    )


def test_a_faint_step_counts_at_the_thresholds_below_it() -> None:
    truth = _box()
    scores = boundary_scores(_box(far=2.0 * 1.12), truth)
    assert scores is not None
    share = float(WEIGHTS[THRESHOLDS < 1.12].sum())
    assert scores.recall == pytest.approx(share)
    assert scores.f1 == pytest.approx(share)


def test_pixels_without_truth_count_for_nothing() -> None:
    truth, predicted = _box(), _box()
    predicted[0, 0] = 0.1  # false boundaries, but where nobody knows
    for nothing in (math.nan, 0.0, -1.0):
        truth[0, 0] = nothing
        scores = boundary_scores(predicted, truth)
        assert scores is not None
        assert scores.f1 == pytest.approx(1)


def test_sky_is_beyond_everything_and_has_no_boundaries_within() -> None:
    truth = _box(far=math.inf)
    assert boundary_scores(_box(far=9000.0), truth) == boundary_scores(truth, truth)
    scores = boundary_scores(truth, truth)
    assert scores is not None
    assert scores.f1 == pytest.approx(1)


def test_a_truth_without_boundaries_has_no_score() -> None:
    assert boundary_scores(_box(), np.full((5, 6), 3, np.float32)) is None
    assert boundary_scores(_box(), np.full((5, 6), math.nan, np.float32)) is None


@pytest.mark.parametrize("seed", range(6))
def test_scores_are_those_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.exp(rng.normal(0, 0.12, (9, 11))).astype(np.float32)
    predicted = (truth * np.exp(rng.normal(0, 0.05, (9, 11)))).astype(np.float32)
    for value in (math.nan, 0.0, math.inf, math.inf):
        truth[rng.integers(9), rng.integers(11)] = value
    predicted[rng.integers(9), rng.integers(11)] = math.inf
    scores, naive = boundary_scores(predicted, truth), _naive_scores(predicted, truth)
    assert scores is not None
    assert (scores.f1, scores.precision, scores.recall) == pytest.approx((naive.f1, naive.precision, naive.recall))


def test_recall_of_a_matte_is_that_of_a_sharp_prediction() -> None:
    matte = (_box() < 3).astype(np.float32)
    assert boundary_recall(_box(), matte) == pytest.approx(1)
    assert boundary_recall(np.ones((5, 6), np.float32), matte) == 0


def test_a_blurred_ramp_counts_once() -> None:
    """Three steps in a row exceed every threshold; only the steepest counts, and it is not where the outline is."""
    ramp = _depth([[1, 1.3, 2.6, 3.4]])
    assert boundary_recall(ramp, _depth([[1, 0, 0, 0]])) == 0
    assert boundary_recall(ramp, _depth([[1, 1, 0, 0]])) == pytest.approx(0.25)


def test_what_a_matte_covers_by_a_tenth_is_not_object_yet() -> None:
    step = _depth([[1, 1, 2, 2]])
    assert boundary_recall(step, _depth([[1, 0.11, 0.09, 0]])) == pytest.approx(0.25)
    assert boundary_recall(step, _depth([[1, 0.09, 0.09, 0]])) == 0


def test_a_matte_without_outline_has_no_recall() -> None:
    assert boundary_recall(_box(), np.ones((5, 6), np.float32)) is None


@pytest.mark.parametrize("seed", range(6))
def test_recall_is_that_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = np.exp(rng.normal(0, 0.15, (9, 11))).astype(np.float32)
    predicted[4, 2:7] = 0.5  # equal ratios beside each other: the first counts
    predicted[rng.integers(9), rng.integers(11)] = math.inf
    matte = (rng.random((9, 11)) > 0.5).astype(np.float32)
    assert boundary_recall(predicted, matte) == pytest.approx(_naive_recall(predicted, matte))
