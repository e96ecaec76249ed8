"""The customary errors of metric depth and of focal length. Pure numpy.

Definitions as in Eigen et al. 2014 (arXiv 1406.2283, section 4.2) and in the Depth Pro paper (arXiv 2410.02073,
appendix): d is predicted and t true depth, N the number of pixels whose truth is valid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

MIN_DEPTH_M = 1e-3
"""Predictions count as at least this far, so that log10 stays finite."""

Depth = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
_Figures = TypeVar("_Figures")


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthErrors:
    """Errors of one picture's depth, or their mean over pictures.

    Attributes:
        abs_rel: ``mean(|d - t| / t)``.
        delta1: share of pixels with ``max(d / t, t / d) < 1.25``; higher is better.
        rmse: ``sqrt(mean((d - t)²))``, metres.
        log10: ``mean(|log10 d - log10 t|)``.
    """

    abs_rel: float
    delta1: float
    rmse: float
    log10: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FocalErrors:
    """Relative errors ``|f - f_true| / f_true`` over ``pictures`` whose focal length is known: their median, and the
    shares below 10 % and 25 %."""

    pictures: int
    median: float
    within_10: float
    within_25: float


def valid_truth(truth: Depth, max_depth_m: float) -> Mask:
    """Where there is truth to compare metres with, ``bool [H, W]``: finite, above zero, at most ``max_depth_m``."""
    with np.errstate(invalid="ignore"):
        return np.isfinite(truth) & (truth > 0) & (truth <= max_depth_m)


def depth_errors(predicted: Depth, truth: Depth, *, max_depth_m: float, scale: float = 1.0) -> DepthErrors:
    """Errors of ``scale · predicted`` against ``truth``, both ``float32 [H, W]`` in metres.

    The scaled prediction is clamped to ``MIN_DEPTH_M .. max_depth_m``, the range that truth is taken from.

    Raises:
        ValueError: no pixel has valid truth, or a prediction is NaN where one has.
    """
    valid = valid_truth(truth, max_depth_m)
    if not valid.any():
        raise ValueError(f"no pixel has a true depth above 0 and up to {max_depth_m:g} m")
    t = truth[valid].astype(np.float64)
    d = np.clip(predicted[valid].astype(np.float64) * scale, MIN_DEPTH_M, max_depth_m)
    if np.isnan(d).any():
        raise ValueError("predicted depth is NaN")
    ratio = d / t
    return DepthErrors(
        abs_rel=float(np.mean(np.abs(ratio - 1))),
        delta1=float(np.mean(np.maximum(ratio, 1 / ratio) < 1.25)),
        rmse=math.sqrt(float(np.mean((d - t) ** 2))),
        log10=float(np.mean(np.abs(np.log10(ratio)))),
    )


def median_scale(predicted: Depth, truth: Depth, *, max_depth_m: float) -> float:
    """``median(truth) / median(predicted)`` over valid pixels: the factor of "median-scaled" errors.

    As in Zhou et al. 2017 (arXiv 1704.07813, section 4.1). It removes the scale that focal length contributes.
    """
    valid = valid_truth(truth, max_depth_m)
    middle = float(np.median(np.clip(predicted[valid], MIN_DEPTH_M, None)))
    return float(np.median(truth[valid])) / middle if math.isfinite(middle) else 1.0


def focal_errors(relative: Sequence[float]) -> FocalErrors | None:
    """Sum up the relative focal length errors of many pictures; ``None`` for none."""
    if not relative:
        return None
    errors = np.asarray(relative, np.float64)
    return FocalErrors(
        pictures=len(errors),
        median=float(np.median(errors)),
        within_10=float(np.mean(errors < 0.10)),
        within_25=float(np.mean(errors < 0.25)),
    )


def mean(figures: Sequence[_Figures]) -> _Figures | None:
    """Field-by-field mean of dataclasses of numbers; ``None`` for none."""
    if not figures:
        return None
    first: Any = figures[0]
    values = {f.name: float(np.mean([getattr(one, f.name) for one in figures])) for f in fields(first)}
    return type(figures[0])(**values)
