"""The correction of a frame's scale: what geometry carries on from frame to frame, pulled slowly to the network's own.

Everything is a logarithm. The state is the level of the reference: how much larger its depth should be than it was
taken to be. A frame's *ratio* says by how much its depth must be multiplied to fit that of the reference; the network
itself says that nothing must be changed. A Kalman filter weighs the two.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

NOISE = 0.04
"""Jitter of the network's scale that is expected until it is known."""

_NOISE_FLOOR = 0.003  # a network that repeats itself exactly is not therefore exact
_NOISE_WINDOW = 64  # frames that the noise is learned from
_NOISE_PRIOR = 10  # frames that the expected noise counts for
_CORRELATION_PRIOR = 15
_CORRELATION_LIMIT = 0.9
_DRIFT = 0.005  # per square root of a second: what else the network's scale depends on
_PULL_S = 2.0  # in so many seconds, at the latest, the network has its way
_GATE = 2.5  # deviations: what is farther off counts the less, the farther
_CHANGED = 5  # frames in a row, all as far off on one side: not outliers, but a change
_LONGEST_GAP_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterStep:
    """What a frame has done to the filter, as hindsight needs it.

    Attributes:
        correction: of the frame.
        deviation: of ``correction``.
        gained: by how much the frame's own scale has moved the level.
        foretold: variance of the level before that.
        variance: of the level after it.
        covariance: of the level after it and the one that the next frame is foretold from.
        own_covariance: of ``correction`` and that.
        begins: the filter begins anew with it.
    """

    correction: float
    deviation: float
    gained: float
    foretold: float
    variance: float
    covariance: float
    own_covariance: float
    begins: bool = False


class ScaleFilter:
    """One shot's level. Call :meth:`update` once per frame of which geometry tells, in order."""

    def __init__(self) -> None:
        self._residuals: deque[float] = deque(maxlen=_NOISE_WINDOW)
        self.restart()

    def restart(self) -> FilterStep:
        """Begin with a frame that is as the network has it: of the past, only counts how much the network jitters."""
        _, alike_noise = self._noise()
        self._level = 0.0
        self._far = 0  # frames in a row beyond the gate: above it or, negative, below
        self._variance = alike_noise**2  # the first frame's own scale is as good as any other's
        return FilterStep(
            correction=0.0,
            deviation=alike_noise,
            gained=0.0,
            foretold=self._variance,
            variance=self._variance,
            covariance=self._variance,
            own_covariance=self._variance,
            begins=True,
        )

    def update(self, ratio: float, ratio_std: float, gap_s: float) -> FilterStep:
        """Correct a frame.

        Args:
            ratio: log of what the frame's depth must be multiplied with to fit the reference.
            ratio_std: deviation of ``ratio``.
            gap_s: seconds since the frame before.
        """
        noise, alike_noise = self._noise()
        gap_s = min(max(gap_s, 0.0), _LONGEST_GAP_S)
        self._variance += _DRIFT**2 * gap_s
        expected, geometry = self._variance, ratio_std**2
        innovation = -ratio - self._level  # the network would have a correction of 0
        gate = _GATE * math.sqrt(expected + geometry + noise**2)
        self._residuals.append(innovation)
        measured = alike_noise**2
        gated = innovation
        if abs(innovation) <= gate:
            self._far = 0
        else:
            side = 1 if innovation > 0 else -1
            self._far = self._far + side if self._far * side > 0 else side
            if abs(self._far) < _CHANGED:
                gated = gate**2 / innovation
            else:
                expected = self._variance = measured
        slowest = -math.expm1(-gap_s / _PULL_S)
        gain = max((expected + geometry) / (expected + geometry + measured), slowest)
        correction = ratio + self._level + gain * gated
        deviation = math.sqrt((1 - gain) * (expected + geometry))
        level_gain = max(expected / (expected + geometry + measured), slowest)
        self._level += level_gain * gated
        self._variance = (1 - level_gain) * expected
        return FilterStep(
            correction=correction,
            deviation=deviation,
            gained=level_gain * gated,
            foretold=expected,
            variance=self._variance,
            covariance=self._variance,
            own_covariance=self._variance * measured / (geometry + measured),
        )

    def rebase(self, step: FilterStep) -> FilterStep:
        """The frame just corrected is the reference of those after it: the level is how far its correction is off."""
        self._level = 0.0
        self._variance = max(self._variance, step.deviation**2)
        return replace(step, covariance=step.own_covariance, own_covariance=step.deviation**2)

    @property
    def noise(self) -> float:
        """Deviation of the network's scale from frame to frame, as it is known by now."""
        return self._noise()[0]

    def _noise(self) -> tuple[float, float]:
        """Deviation of one frame's scale, and the one that it counts with: larger where neighbouring frames err alike.

        Learned from how far the network was from what was foretold: the median, as outliers must not decide.
        """
        count = len(self._residuals)
        if count == 0:
            return NOISE, NOISE
        residuals = np.array(self._residuals)
        seen = 1.4826 * float(np.median(np.abs(residuals)))
        std = math.sqrt((_NOISE_PRIOR * NOISE**2 + count * seen**2) / (_NOISE_PRIOR + count))
        std = max(std, _NOISE_FLOOR)
        clipped = np.clip(residuals / std, -2, 2)
        alike = float(clipped[1:] @ clipped[:-1]) / (_CORRELATION_PRIOR + float(clipped @ clipped))
        alike = min(max(alike, 0.0), _CORRELATION_LIMIT)
        return std, std * math.sqrt((1 + alike) / (1 - alike))
