"""How sharp depth is: scale-invariant boundary F1 and boundary recall of Depth Pro.

arXiv 2410.02073, "Evaluating boundaries in zero-shot models" (section 3.3). Two neighbouring pixels are an occlusion
boundary at threshold t where the farther is more than t times as far as the nearer. The order matters, so there are
four directions: the nearer pixel is the left, right, upper or lower one of a pair. A predicted boundary is right only
where truth has one between the same two pixels, in the same direction. Precision and recall are averaged over the
directions, F1 is made of those two, and ten thresholds from 1.05 to 1.25 are averaged with weights proportional to
themselves. All of it depends on ratios of depth alone, never on scale.

What the paper leaves open, decided here:

* Depth counts as at most 10 km, in truth and prediction, which is where the published network ends. So sky (+Inf) is
  farther than anything and its outline is a boundary, but there is none within it.
* Pairs with a pixel without truth (NaN, zero or less) count for nothing, neither for nor against.
* A picture without any true boundary has no score. The reference scores it 0 whatever is predicted.

Every pair is sorted once into how many thresholds it exceeds, predicted and true; the table of both gives the counts at
all thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.lab.evaluation.metrics import Depth, Mask

THRESHOLDS = np.linspace(1.05, 1.25, 10)
WEIGHTS = THRESHOLDS / THRESHOLDS.sum()
ALPHA_THRESHOLD = 0.1
"""What a matte covers more than this share of is object."""

_NEAREST_M, _FARTHEST_M = 1e-6, 1e4

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryScores:
    """Weighted means over the thresholds, 0..1, higher is better; ``f1`` is the paper's figure."""

    f1: float
    precision: float
    recall: float


def boundary_scores(predicted: Depth, truth: Depth) -> BoundaryScores | None:
    """Boundary F1 of ``predicted`` against ``truth``, both ``float32 [H, W]``; ``None`` without a true boundary."""
    with np.errstate(invalid="ignore"):
        known = truth > 0
    levels = len(THRESHOLDS) + 1
    precision, recall, total = np.zeros(levels - 1), np.zeros(levels - 1), 0
    directions = zip(_ratios(predicted), _ratios(truth), _pairs(known), strict=True)
    for predicted_ratio, true_ratio, pair_known in directions:
        p, t = _exceeded(predicted_ratio), _exceeded(true_ratio)
        some = pair_known & ((p > 0) | (t > 0))
        table = np.bincount(p[some] * levels + t[some], minlength=levels**2).reshape(levels, levels)
        # at_least[i, j]: pairs that exceed at least i thresholds as predicted and j in truth.
        at_least = table[::-1, ::-1].cumsum(0).cumsum(1)[::-1, ::-1]
        right = np.diagonal(at_least)[1:]
        precision += 0.25 * right / np.maximum(at_least[1:, 0], 1)
        recall += 0.25 * right / np.maximum(at_least[0, 1:], 1)
        total += int(at_least[0, 1])
    if total == 0:
        return None
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return BoundaryScores(f1=float(f1 @ WEIGHTS), precision=float(precision @ WEIGHTS), recall=float(recall @ WEIGHTS))


def boundary_recall(predicted: Depth, matte: npt.NDArray[np.float32]) -> float | None:
    """Share of the outline of a matted object that ``predicted`` finds, both ``float32 [H, W]``.

    For hair, fur and leaves, which no depth sensor sees. The object counts as in front of everything around it. Within
    every run of neighbouring pairs along the row (or column) that all exceed the threshold, only the steepest counts,
    so that a blurred ramp cannot pass for a sharp edge. ``None`` for a matte without an outline.
    """
    objects = matte > ALPHA_THRESHOLD
    left, right, up, down = _ratios(predicted)
    outlines = (
        objects[:, :-1] & ~objects[:, 1:],
        ~objects[:, :-1] & objects[:, 1:],
        objects[:-1] & ~objects[1:],
        ~objects[:-1] & objects[1:],
    )
    if not any(o.any() for o in outlines):
        return None
    # Thinning runs along rows; what compares rows is turned over.
    directions = ((left, outlines[0]), (right, outlines[1]), (up.T, outlines[2].T), (down.T, outlines[3].T))
    recall = 0.0
    for threshold, weight in zip(THRESHOLDS, WEIGHTS, strict=True):
        for ratio, outline in directions:
            found = int(np.count_nonzero(outline & _steepest(ratio, float(threshold))))
            recall += 0.25 * float(weight) * found / max(int(np.count_nonzero(outline)), 1)
    return recall


def _ratios(depth: Depth) -> tuple[_Array, _Array, _Array, _Array]:
    """How many times as far the other pixel of each pair is, where the left, right, upper, lower one is nearer."""
    d = np.clip(depth.astype(np.float64), _NEAREST_M, _FARTHEST_M)
    return d[:, 1:] / d[:, :-1], d[:, :-1] / d[:, 1:], d[1:] / d[:-1], d[:-1] / d[1:]


def _pairs(known: Mask) -> tuple[Mask, Mask, Mask, Mask]:
    across, along = known[:, 1:] & known[:, :-1], known[1:] & known[:-1]
    return across, across, along, along


def _exceeded(ratio: _Array) -> npt.NDArray[np.intp]:
    """How many thresholds each ratio exceeds; NaN exceeds none."""
    levels = np.zeros(ratio.shape, np.intp)
    some = ratio > THRESHOLDS[0]  # few pairs do: only they are sorted in
    levels[some] = np.searchsorted(THRESHOLDS, ratio[some], side="left")
    return levels


def _steepest(ratio: _Array, threshold: float) -> Mask:
    """The first greatest of each run along a row that exceeds ``threshold``."""
    kept = np.zeros(ratio.shape, np.bool_)
    at = np.flatnonzero(ratio > threshold)
    if at.size == 0:
        return kept
    starts_here = np.diff(at, prepend=-2) != 1
    starts_here |= at % ratio.shape[1] == 0  # a run does not go on in the next row
    starts = np.flatnonzero(starts_here)
    values = ratio.ravel()[at]
    run = np.cumsum(starts_here) - 1
    greatest = np.flatnonzero(values == np.maximum.reduceat(values, starts)[run])
    first = np.diff(run[greatest], prepend=-1) > 0
    kept.ravel()[at[greatest[first]]] = True
    return kept
