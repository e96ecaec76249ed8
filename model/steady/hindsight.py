"""What later frames tell of a frame's scale: a smoother with a fixed lag.

The filter of scale (:mod:`model.steady.filter`) knows the frames up to one; where some after it are at hand, as in a
file, they say as much. Going back through them is Rauch, Tung and Striebel's smoother ("Maximum likelihood estimates of
linear dynamic systems", AIAA Journal 3, 1965) of a level that wanders. From one frame back to the one before,

    shift(k) = covariance(k) / foretold(k + 1) · (gained(k + 1) + shift(k + 1)),

with what :class:`model.steady.filter.FilterStep` has of each; the last one's shift is 0. The correction of the first
one shifts by the same with its own covariance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from model.steady.steadier import FARTHEST, Steadied
from stream.frame import ScaleCorrection


def with_hindsight(frames: Sequence[Steadied]) -> ScaleCorrection:
    """The correction of the first of ``frames``, as far as all of them tell.

    Those from where the filter begins anew tell nothing of it. Alone, a frame keeps the filter's correction.

    Args:
        frames: in order, one at least.
    """
    first, *later = frames
    correction = first.correction
    if first.step is None or not (first.step.begins or correction.inliers):
        return correction  # the network is let through
    told = (frame.step for frame in later if frame.step is not None)
    steps = [first.step, *takewhile(lambda step: not step.begins, told)]
    moved, narrowed = 0.0, 0.0  # of the level that the next frame is foretold from, over its variance and its square
    shift, variance = 0.0, steps[-1].variance
    for step, after in zip(reversed(steps[:-1]), reversed(steps[1:]), strict=True):
        moved = (after.gained + shift) / after.foretold
        narrowed = (variance - after.foretold) / after.foretold**2
        shift = step.covariance * moved
        variance = step.variance + step.covariance**2 * narrowed
    log = correction.log + first.step.own_covariance * moved
    if len(steps) == 1 or not abs(log) < FARTHEST:
        return correction
    log_variance = first.step.deviation**2 + first.step.own_covariance**2 * narrowed
    return replace(correction, log=log, log_std=math.sqrt(max(log_variance, 0.0)))
