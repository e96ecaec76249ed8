"""Temporal focal smoothing: one noisy focal length per frame in, a steady one that follows a real zoom out.

Depth is ``f_px / (W · C)``, so a focal length that jitters by 4 % makes all depth flicker by 4 %. A camera, though,
moves its lens in three ways only: it **holds** still, it **zooms** at a fairly steady rate, or it **steps** to another
lens. Each explanation of the frames so far ("still since 0:00", "still until 0:07, zooming since") is one Kalman filter
with state (log focal, rate); a few dozen of them run side by side, each frame weighs them by how well they foretold it,
and their weighted mean is the answer. This is Bayesian change-point detection (Adams & MacKay 2007, arXiv:0710.3742)
over a switching linear model (Bar-Shalom, Li & Kirubarajan 2001, ch. 11). There is no smoothing strength to set:
a still lens is averaged over seconds, and within half a second of a zoom the zooming explanations outweigh the rest.

Everything is done on ``x = ln(f_px / W)``, so the size of the picture does not matter. ``docs/focal.md`` has the
equations and the measurements.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from stream.errors import ConfigError
from stream.frame import FocalEstimate, FocalSource

Array = npt.NDArray[np.float64]

_PLAUSIBLE = (0.01, 100.0)  # f/W outside this (field of view 179° .. 0.6°) is a failure of the network, not a lens
_FOV_DEG = (0.1, 179.9)
_NOISE_FLOOR = 0.005  # a network that repeats itself exactly is not therefore exact
_NOISE_WINDOW = 64  # frames of residuals the noise is learned from: long against the first half second of a zoom
_NOISE_PRIOR = 10  # frames that the configured noise counts for
_CORRELATION_PRIOR = 15  # frames of no correlation: fewer, and the onset of a zoom is taken for correlated noise
_CORRELATION_LIMIT = 0.9
_ZOOM_LASTS_S = 1.0  # mean length of a stretch of steady zooming
_ZOOM_UNEVEN = 0.07  # how much the rate of a zoom wanders, 1/s per √s
_OUTLIER_DENSITY = 1 / math.log(16)  # outliers, and the first value after a step, lie anywhere within a factor of 4
_OUTLIER_STD = 0.5  # of log focal around a first value that was wrong
_KEPT = 32  # explanations kept; twice as many change no figure in docs/focal.md
_USUAL_STEP_S = 1 / 30  # time between frames until two usable timestamps have told it
_LONGEST_STEP_S = 0.5  # nobody knows whether a zoom went on through a longer gap, so it is not extrapolated further
_LONGEST_GAP_S = 3600.0  # beyond this an older estimate is worth so little that more makes no difference


@dataclass(frozen=True, slots=True, kw_only=True)
class FocalConfig:
    """How estimated focal lengths are steadied over time."""

    mode: Literal["off", "filter", "lock"] = "filter"
    """off: each frame's own estimate. filter: steady, follows zooms. lock: for a fixed lens, frozen once known."""
    noise: float = 0.04
    """Expected jitter of the estimate from frame to frame, relative (0.04 is 4 %); the true one is learned."""
    outliers: float = 0.1
    """Share of frames whose estimate may be plain wrong."""
    drift: float = 0.001
    """Relative wander of a lens that holds still, per square root of a second."""
    zoom_every_s: float = 300.0
    """Mean seconds a lens holds still before it zooms. Longer: steadier, and later to follow."""
    zoom_rate: float = 0.5
    """Typical speed of a zoom: change of log focal length per second (0.35 is a factor of 2 in 2 s)."""
    step_every_s: float = 36000.0
    """Mean seconds between sudden changes of lens within one shot. Longer: more agreeing frames needed."""
    lock_std: float = 0.01
    """lock: the estimate counts as known while its relative standard deviation is below this."""
    lock_after_s: float = 1.0
    """lock: freeze once it has been known, or let go once it has been contradicted, for this many seconds."""
    lock_release: float = 0.05
    """lock: relative difference from the frozen value that counts as a contradiction."""
    fallback_fov_deg: float = 60.0
    """Horizontal field of view, degrees, assumed until the first usable estimate."""

    def __post_init__(self) -> None:
        if self.mode not in ("off", "filter", "lock"):
            raise ConfigError(f"focal mode {self.mode!r} is not one of off, filter, lock")
        for name in ("noise", "drift", "zoom_every_s", "zoom_rate", "step_every_s", "lock_std", "lock_release"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"focal {name} must be a positive number, not {getattr(self, name)}")
        if not 0 < self.outliers < 1:
            raise ConfigError(f"focal outliers must be a share between 0 and 1, not {self.outliers}")
        if not 0 <= self.lock_after_s < math.inf:
            raise ConfigError(f"focal lock_after_s must be seconds, 0 or more, not {self.lock_after_s}")
        focal_from_fov(self.fallback_fov_deg, 1)


def focal_from_fov(fov_deg: float, width: int) -> float:
    """Focal length in pixels of a picture ``width`` pixels wide: ``0.5·W / tan(0.5·fov)`` (pinhole camera).

    Raises:
        ConfigError: the horizontal field of view is not between 0 and 180 degrees.
    """
    if not 1e-6 < fov_deg < 180:
        raise ConfigError(f"a horizontal field of view of {fov_deg} degrees is impossible; give one between 0 and 180")
    return 0.5 * width / math.tan(math.radians(0.5 * fov_deg))


def focal_or_none(fov_deg: float, width: int) -> float | None:
    """As :func:`focal_from_fov`, of what a network says: ``None`` where that is its failure, not a lens."""
    return focal_from_fov(fov_deg, width) if _FOV_DEG[0] < fov_deg < _FOV_DEG[1] else None


class FocalTracker:
    """Turns per-frame focal estimates of one source into steady ones. Call :meth:`update` once per frame, in order."""

    def __init__(self, config: FocalConfig | None = None) -> None:
        self._config = config or FocalConfig()
        self._explanations: _Explanations | None = None  # of this shot; None until its first usable estimate
        self._last: float | None = None  # the newest usable estimate of this shot, as log(f/W)
        self._time_s = math.nan
        self._step_s = _USUAL_STEP_S
        self._locked: float | None = None
        self._lock_timer_s = 0.0

    def update(
        self,
        *,
        time_s: float,
        raw_px: float | None,
        width: int,
        scene_cut: bool = False,
        given_px: float | None = None,
        metadata_px: float | None = None,
    ) -> FocalEstimate:
        """The focal length to scale this frame's depth with. Trusts the user most, then the file, then the network.

        An estimate that is not finite or not plausible (field of view beyond 0.6° .. 179°) counts as missing and is
        reported as ``None``; the answer then coasts on earlier frames of the shot, or is ``fallback_fov_deg`` with a
        ``log_std`` of 0.5 where there are none. The first usable estimate of a shot is passed on unchanged.

        Args:
            time_s: capture time in seconds. Gaps are honoured; where it repeats or runs backwards, the last regular
                step between frames is assumed.
            raw_px: the network's estimate for this frame, in pixels of the upright picture.
            width: of the upright picture, in pixels; may change from frame to frame.
            scene_cut: this frame starts a new shot; everything before it is forgotten.
            given_px: focal length given by the user, in pixels of this picture.
            metadata_px: focal length from the file's metadata, in pixels of this picture.
        """
        if scene_cut:
            self._explanations = self._last = self._locked = None
        raw_px = _usable(raw_px, width)
        gap_s = self._advance_clock(time_s)
        if given_px is not None:
            return FocalEstimate(smoothed_px=given_px, raw_px=raw_px, log_std=0.0, source="given")
        if (metadata_px := _usable(metadata_px, width)) is not None:
            return FocalEstimate(smoothed_px=metadata_px, raw_px=raw_px, log_std=0.0, source="metadata")

        first = self._last is None
        if raw_px is not None:
            self._last = math.log(raw_px / width)
        if self._last is None:
            fallback_px = focal_from_fov(self._config.fallback_fov_deg, width)
            return FocalEstimate(smoothed_px=fallback_px, raw_px=None, log_std=0.5, source="estimated")
        if raw_px is not None and (first or self._config.mode == "off"):
            if self._config.mode != "off":
                self._explanations = _Explanations(self._config, self._last)
                self._lock_timer_s = 0.0
            return FocalEstimate(smoothed_px=raw_px, raw_px=raw_px, log_std=self._config.noise, source="estimated")

        log_focal, log_std = self._last, self._config.noise
        if self._explanations is not None:
            self._explanations.predict(gap_s)
            if raw_px is not None:
                self._explanations.correct(self._last)
            log_focal, log_std = self._explanations.mean_std()
        source: FocalSource = "estimated"
        if self._config.mode == "lock":
            log_focal, source = self._lock(log_focal, log_std, gap_s)
        return FocalEstimate(smoothed_px=width * math.exp(log_focal), raw_px=raw_px, log_std=log_std, source=source)

    def _advance_clock(self, time_s: float) -> float:
        """Seconds since the frame before: as told where that is possible, else the last regular step."""
        gap_s = time_s - self._time_s
        self._time_s = time_s
        if not gap_s > 0:  # the first frame, a repeated, reversed or missing timestamp
            return self._step_s
        if gap_s <= _LONGEST_STEP_S:
            self._step_s = gap_s
        return min(gap_s, _LONGEST_GAP_S)

    def _lock(self, log_focal: float, log_std: float, gap_s: float) -> tuple[float, FocalSource]:
        """The frozen value where there is one; freezes and lets go after ``lock_after_s`` of the same evidence."""
        config = self._config
        if self._locked is None:
            evidence = log_std < config.lock_std
        else:
            evidence = abs(log_focal - self._locked) > max(config.lock_release, 3 * log_std)
        self._lock_timer_s = self._lock_timer_s + min(gap_s, _LONGEST_STEP_S) if evidence else 0.0
        if evidence and self._lock_timer_s >= config.lock_after_s:
            self._locked = log_focal if self._locked is None else None
            self._lock_timer_s = 0.0
        return (log_focal, "estimated") if self._locked is None else (self._locked, "locked")


def _usable(focal_px: float | None, width: int) -> float | None:
    return focal_px if focal_px is not None and _PLAUSIBLE[0] <= focal_px / width <= _PLAUSIBLE[1] else None


class _Explanations:
    """Weighted Kalman filters of one shot, one column each.

    Rows: ``x`` log focal, ``v`` its rate per second, their covariance ``xx xv vv``, weight, 1 where it zooms.
    """

    def __init__(self, config: FocalConfig, first: float) -> None:
        self._config = config
        self._residuals: deque[float] = deque(maxlen=_NOISE_WINDOW)
        self._step_share = 0.0  # probability that the lens stepped since the frame before
        # Nothing vouches for the first value either: a second explanation says that it is just wrong.
        right, wrong = (
            [first, 0.0, variance, 0.0, 0.0, share, 0.0]
            for variance, share in ((config.noise**2, 1 - config.outliers), (_OUTLIER_STD**2, config.outliers))
        )
        self._columns: Array = np.array([right, wrong]).T

    def predict(self, gap_s: float) -> None:
        """Let every explanation go on, and start new ones in which a zoom began or ended just now."""
        config, step_s = self._config, min(gap_s, _LONGEST_STEP_S)
        self._keep(self._columns)
        x, _, xx, _, _, weight, zooms = self._columns
        begins = -math.expm1(-step_s / config.zoom_every_s)
        ends = -math.expm1(-gap_s / _ZOOM_LASTS_S)
        born = []
        for was_zooming, share, rate_variance in ((0.0, begins, config.zoom_rate**2), (1.0, ends, 0.0)):
            part = weight * (zooms == was_zooming)
            if (total := float(part.sum())) > 1e-12:  # all parents together become one child: same mean, same variance
                mean = float(part @ x) / total
                variance = float(part @ (xx + (x - mean) ** 2)) / total
                born.append([mean, 0.0, variance, 0.0, rate_variance, share * total, 1.0 - was_zooming])
        columns = np.concatenate([self._columns, np.array(born).T], axis=1)
        columns[5, : len(weight)] *= np.where(zooms == 1.0, 1.0 - ends, 1.0 - begins)

        # Constant velocity with white noise acceleration (Bar-Shalom et al., section 6.2.2); v = vv = 0 where it holds.
        x, v, xx, xv, vv, _, zooms = columns
        uneven = _ZOOM_UNEVEN**2 * zooms
        x += v * step_s
        xx += 2 * xv * step_s + vv * step_s**2 + uneven * step_s**3 / 3 + config.drift**2 * gap_s
        xv += vv * step_s + uneven * step_s**2 / 2
        vv += uneven * step_s
        self._columns = columns
        self._step_share = -math.expm1(-gap_s / config.step_every_s)

    def correct(self, measured: float) -> None:
        """Weigh every explanation by how well it foretold ``measured``, and let each learn from it."""
        noise = self._noise()
        x, v, xx, xv, vv, weight, _ = self._columns
        residual = measured - x
        variance = xx + noise**2
        wrong = self._config.outliers * _OUTLIER_DENSITY
        right = (1 - self._config.outliers) * np.exp(-0.5 * residual**2 / variance) / np.sqrt(2 * np.pi * variance)
        # With probability `trust` the value is a measurement, else it tells nothing: the mixture is collapsed to its
        # mean and variance, hence the `spread` (as in probabilistic data association).
        trust = right / (right + wrong)
        if float(weight @ trust) > 0.5:  # what is probably an outlier, or a step, says nothing about the noise
            self._residuals.append(measured - self.mean_std()[0])
        gain_x, gain_v = xx / variance, xv / variance
        spread = trust * (1 - trust) * residual**2
        stepped = [measured, 0.0, noise**2, 0.0, 0.0, self._step_share * float(weight.sum()) * _OUTLIER_DENSITY, 0.0]
        x += trust * gain_x * residual
        v += trust * gain_v * residual
        vv += (spread * gain_v - trust * xv) * gain_v
        xv += (spread * gain_v - trust * xv) * gain_x
        xx += (spread * gain_x - trust * xx) * gain_x
        weight *= right + wrong
        self._keep(np.concatenate([self._columns, np.array([stepped]).T], axis=1))

    def mean_std(self) -> tuple[float, float]:
        """Mean and standard deviation of log focal over all explanations."""
        x, _, xx, _, _, weight, _ = self._columns
        mean = float(weight @ x)
        return mean, math.sqrt(float(weight @ (xx + (x - mean) ** 2)))

    def _noise(self) -> float:
        """Standard deviation that one frame's estimate counts with, learned from how far off the forecasts were.

        Median absolute residual (the configured value at first), times ``√((1 + ρ) / (1 - ρ))``: where neighbouring
        frames err alike, with correlation ρ, so many more of them are needed for the same certainty.
        """
        count = len(self._residuals)
        if count == 0:
            return self._config.noise
        residuals = np.array(self._residuals)
        measured = 1.4826 * float(np.median(np.abs(residuals)))  # 1.4826: to a standard deviation, if it were Gaussian
        variance = (_NOISE_PRIOR * self._config.noise**2 + count * measured**2) / (_NOISE_PRIOR + count)
        clipped = np.clip(residuals / math.sqrt(variance), -2, 2)  # one outlier must not decide
        alike = float(clipped[1:] @ clipped[:-1]) / (_CORRELATION_PRIOR + float(clipped @ clipped))
        alike = min(max(alike, 0.0), _CORRELATION_LIMIT)
        return max(_NOISE_FLOOR, math.sqrt(variance * (1 + alike) / (1 - alike)))

    def _keep(self, columns: Array) -> None:
        """Drop the least likely explanations and make the weights sum to 1."""
        if columns.shape[1] > _KEPT:
            columns = columns[:, np.argsort(-columns[5], kind="stable")[:_KEPT]]
        columns[5] /= columns[5].sum()
        self._columns = columns
