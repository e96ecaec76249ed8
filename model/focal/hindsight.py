"""Focal lengths of a whole film, each steadied by the frames after it as well as by those before.

A lens that holds still gets one focal length for the whole shot: the median of the network's estimates. It zooms where
medians of half a second leave that of the shot by more than a zoom's least, or by more than chance would let them. Then
each frame gets what a line through its neighbours says, half a second to both sides, which outliers have no say in:
locally weighted regression (Cleveland 1979, "Robust locally weighted regression and smoothing scatterplots").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from model.focal.tracker import FocalConfig, FocalTracker
from stream.frame import FocalEstimate

Array = npt.NDArray[np.float64]

_LEAST_ZOOM = 0.06  # of log focal: what networks' estimates wander by when only the picture changes
_SIGMAS = 4.0
_MEDIAN_STD = 1.2533  # of the median over that of the mean, of Gaussian estimates
_REACH_S, _REACH_FRAMES = 0.5, 8  # to each side of a frame, whichever is more
_ROUNDS = 3  # of regression, each with less weight for what was far off before


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """What is known of a frame's focal length by itself.

    Attributes:
        time_s: capture time in seconds.
        width: of the upright picture, pixels.
        raw_px: the network's estimate, pixels of the upright picture; ``None`` where it has none.
        metadata_px: by the file's metadata, likewise.
        scene_cut: it begins a new shot.
    """

    time_s: float
    width: int
    raw_px: float | None
    metadata_px: float | None = None
    scene_cut: bool = False


def focal_track(glimpses: Sequence[Glimpse], config: FocalConfig | None = None) -> list[FocalEstimate]:
    """The focal length to scale each frame's depth with.

    Args:
        glimpses: of all frames of a film, in order.
        config: what is expected of the estimates, and what is assumed where there are none.
    """
    config = config or FocalConfig()
    starts = [0, *(i for i, g in enumerate(glimpses) if g.scene_cut and i > 0), len(glimpses)]
    return [estimate for start, end in pairwise(starts) for estimate in _of_shot(glimpses[start:end], config)]


def _of_shot(shot: Sequence[Glimpse], config: FocalConfig) -> Iterator[FocalEstimate]:
    tracker = FocalTracker(config)  # says what counts as an estimate, and what holds where there is none
    alone = [tracker.update(time_s=g.time_s, raw_px=g.raw_px, width=g.width, metadata_px=g.metadata_px) for g in shot]
    told = [
        (g.time_s, math.log(e.raw_px / g.width))
        for g, e in zip(shot, alone, strict=True)
        if e.source != "metadata" and e.raw_px is not None
    ]
    times, values = np.array(told, dtype=np.float64).reshape(-1, 2).T
    curve = _Curve(times, values, config.noise) if told else None
    for glimpse, estimate in zip(shot, alone, strict=True):
        if curve is None or estimate.source == "metadata":
            yield estimate
            continue
        log_focal, log_std = curve.at(glimpse.time_s)
        yield FocalEstimate(
            smoothed_px=glimpse.width * math.exp(log_focal), raw_px=estimate.raw_px, log_std=log_std, source="estimated"
        )


class _Curve:
    """Log focal length over the time of a shot.

    Args:
        times, values: of the estimates, ``float64 [N]``.
        noise: relative jitter expected of one, for shots too short to tell it.
    """

    def __init__(self, times: Array, values: Array, noise: float) -> None:
        self._times, self._values = times, values
        self._still = float(np.median(values))
        # From one to the next, so that a zoom does not count as noise.
        self._noise = noise if len(values) < 3 else 1.4826 * float(np.median(np.abs(np.diff(values)))) / math.sqrt(2)
        self._zooms = any(
            abs(float(np.median(part)) - self._still) > max(_LEAST_ZOOM, _SIGMAS * self._std_of_median(len(part)))
            for part in self._parts()
        )
        self._trust = np.ones(len(values))
        if self._zooms:
            for _ in range(_ROUNDS):
                off = np.abs(values - [self.at(float(time))[0] for time in times])
                self._trust = np.clip(1 - (off / (6 * max(float(np.median(off)), 1e-9))) ** 2, 0, 1) ** 2

    def at(self, time_s: float) -> tuple[float, float]:
        """Log focal length and its standard deviation."""
        if not self._zooms:
            return self._still, self._std_of_median(len(self._values))
        gaps = np.abs(self._times - time_s)
        nearest = np.partition(gaps, min(2 * _REACH_FRAMES, len(gaps) - 1))[: 2 * _REACH_FRAMES + 1]
        reach = max(_REACH_S, float(nearest.max())) * 1.001
        first, last = np.searchsorted(self._times, (time_s - reach, time_s + reach))
        x, y = self._times[first:last] - time_s, self._values[first:last]
        weights = (1 - (np.abs(x) / reach) ** 3) ** 3 * self._trust[first:last] + 1e-9
        total = float(weights.sum())
        mean_x, mean_y = float(weights @ x) / total, float(weights @ y) / total
        slope = float(weights @ ((x - mean_x) * (y - mean_y))) / max(float(weights @ (x - mean_x) ** 2), 1e-9)
        return mean_y - slope * mean_x, self._noise * math.sqrt(float(weights @ weights)) / total

    def _parts(self) -> Iterator[Array]:
        """The estimates of half a second each, of enough frames."""
        start = 0
        for end in range(len(self._times)):
            if end - start >= _REACH_FRAMES and self._times[end] - self._times[start] >= _REACH_S:
                yield self._values[start:end]
                start = end
        if start == 0 or len(self._times) - start >= _REACH_FRAMES:
            yield self._values[start:]

    def _std_of_median(self, count: int) -> float:
        return _MEDIAN_STD * self._noise / math.sqrt(count)
