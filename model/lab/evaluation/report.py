"""What an evaluation found: per picture, per kind of scene, per sequence and in total. Frozen, and plain JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from model.lab.evaluation.boundary_f1 import BoundaryScores
from model.lab.evaluation.metrics import DepthErrors, FocalErrors, focal_errors, mean
from model.lab.evaluation.temporal import SequenceFigures

SCHEMA = 1
"""Version of the JSON; counts up when a field changes its meaning or goes away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFigures:
    """Figures of one picture; ``None`` where the truth for one is missing.

    Attributes:
        name, kind, sequence: those of the sample.
        width, height: of the picture, in pixels; errors are measured at this size.
        true_f_px: true focal length in pixels.
        raw_f_px: the network's estimate, ``None`` for an impossible field of view.
        f_px: what scaled the depth: ``raw_f_px``, smoothed in sequences.
        focal_error: ``|f_px - true_f_px| / true_f_px``.
        metric: errors of depth scaled with ``f_px``, as the product gives it where neither the user nor EXIF says what
            the focal length is.
        known_focal: errors of depth scaled with ``true_f_px``.
        median_scaled: errors after scaling by ``median(truth) / median(predicted)``.
        boundary: boundary scores, from true depth.
        matte_recall: boundary recall, from a matte.
    """

    name: str
    kind: str
    sequence: str
    width: int
    height: int
    true_f_px: float | None
    raw_f_px: float | None
    f_px: float
    focal_error: float | None
    metric: DepthErrors | None
    known_focal: DepthErrors | None
    median_scaled: DepthErrors | None
    boundary: BoundaryScores | None
    matte_recall: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Means over the pictures that have a figure, and the focal errors' median and shares."""

    pictures: int
    metric: DepthErrors | None
    known_focal: DepthErrors | None
    median_scaled: DepthErrors | None
    boundary: BoundaryScores | None
    matte_recall: float | None
    focal: FocalErrors | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of :func:`model.lab.evaluation.evaluate`.

    Attributes:
        total: over all pictures.
        kinds: per kind of scene, in order of name; empty where pictures have none.
        sequences: how steady each video is, in order.
        pictures: in the order they came.
        max_depth_m: truth beyond it was left out of depth errors.
        broken_off: why pictures after these were not evaluated, ``None`` where all were.
    """

    total: Summary
    kinds: dict[str, Summary]
    sequences: tuple[SequenceFigures, ...]
    pictures: tuple[PictureFigures, ...]
    max_depth_m: float
    broken_off: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: nested dictionaries named as the fields are, ``schema`` first."""
        fields: dict[str, Any] = _finite(asdict(self))
        return {"schema": SCHEMA, **fields}

    def to_json(self, **about: Any) -> str:
        """The report as JSON text, with ``about`` (what was evaluated, on what) beside it."""
        return json.dumps({**about, **self.to_dict()}, indent=1, allow_nan=False) + "\n"


def counted(pictures: int) -> str:
    """``1 picture`` or ``12 pictures``."""
    return f"{pictures} picture{'s' * (pictures != 1)}"


def summarise(pictures: Sequence[PictureFigures]) -> Summary:
    """Sum up pictures. Each figure is the mean over those that have it."""
    recalls = [p.matte_recall for p in pictures if p.matte_recall is not None]
    return Summary(
        pictures=len(pictures),
        metric=mean([p.metric for p in pictures if p.metric is not None]),
        known_focal=mean([p.known_focal for p in pictures if p.known_focal is not None]),
        median_scaled=mean([p.median_scaled for p in pictures if p.median_scaled is not None]),
        boundary=mean([p.boundary for p in pictures if p.boundary is not None]),
        matte_recall=sum(recalls) / len(recalls) if recalls else None,
        focal=focal_errors([p.focal_error for p in pictures if p.focal_error is not None]),
    )


def report(
    pictures: Sequence[PictureFigures],
    sequences: Sequence[SequenceFigures],
    *,
    max_depth_m: float,
    broken_off: str | None = None,
) -> Report:
    """Sum up a whole evaluation."""
    kinds = sorted({p.kind for p in pictures if p.kind})
    return Report(
        total=summarise(pictures),
        kinds={kind: summarise([p for p in pictures if p.kind == kind]) for kind in kinds},
        sequences=tuple(sequences),
        pictures=tuple(pictures),
        max_depth_m=max_depth_m,
        broken_off=broken_off,
    )


def _finite(value: Any) -> Any:
    """JSON knows neither NaN nor infinity: both become null."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
