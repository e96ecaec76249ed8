"""Gathers the figures of one sequence, frame by frame; keeps only the frame before."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from model.lab.evaluation.metrics import Depth, valid_truth
from model.lab.evaluation.predictor import Prediction
from model.lab.evaluation.sample import Sample
from model.lab.evaluation.temporal import PosedDepth, SequenceFigures, Shots, Steadiness, alignment_error, log_scale


@dataclass(slots=True)
class _Track:
    """Depth with one way to choose the focal length, along the sequence."""

    log_focal: Shots = field(default_factory=Shots)
    log_scale: Shots = field(default_factory=Shots)
    alignment: list[float] = field(default_factory=list)
    before: PosedDepth | None = None

    def align(self, now: PosedDepth | None, *, cut: bool) -> None:
        """Compare with the frame before, both ways."""
        if self.before is not None and now is not None and not cut:
            for one, other in ((self.before, now), (now, self.before)):
                if (error := alignment_error(one, other)) is not None:
                    self.alignment.append(error)
        self.before = now

    def alignment_error(self) -> float | None:
        return float(np.mean(self.alignment)) if self.alignment else None

    def figures(self) -> Steadiness:
        return Steadiness(
            log_focal_std=self.log_focal.std(),
            log_scale_step_std=self.log_scale.step_std(),
            alignment_error=self.alignment_error(),
        )


class SequenceRecorder:
    """Figures of one sequence. :meth:`add` its frames in order, then ask for :meth:`figures`."""

    def __init__(self, name: str, *, max_depth_m: float) -> None:
        self._name = name
        self._max_depth_m = max_depth_m
        self._frames = 0
        self._cuts = 0
        self._raw, self._smoothed, self._known, self._truth = _Track(), _Track(), _Track(), _Track()
        self._steadied = _Track()

    def add(
        self, sample: Sample, prediction: Prediction, *, smoothed_px: float, log_correction: float, cut: bool
    ) -> None:
        """Take one frame.

        Args:
            sample: the truth.
            prediction: what the network says.
            smoothed_px: focal length that the product scales depth with.
            log_correction: logarithm of what it multiplies that depth with, so that scale holds still.
            cut: the frame starts a new shot, and is compared with none before it.
        """
        cut = cut and self._frames > 0
        self._frames += 1
        self._cuts += cut
        tracks = (
            (self._raw, prediction.raw_f_px, 0.0),
            (self._smoothed, smoothed_px, 0.0),
            (self._steadied, smoothed_px, log_correction),
            (self._known, sample.f_px, 0.0),
        )
        depth_with = cache(prediction.depth)  # two are of the same focal length
        for track, f_px, log_factor in tracks:
            relative = None if f_px is None else math.log(f_px / (sample.f_px or sample.width))
            track.log_focal.add(relative, cut=cut)
            scale = posed = None
            if sample.depth is not None and f_px is not None:
                depth = depth_with(f_px) * np.float32(math.exp(log_factor))
                scale = log_scale(depth, sample.depth, max_depth_m=self._max_depth_m)
                posed = self._posed(sample, depth)
            track.log_scale.add(scale, cut=cut)
            track.align(posed, cut=cut)
        self._truth.align(None if sample.depth is None else self._posed(sample, sample.depth), cut=cut)

    def figures(self) -> SequenceFigures:
        """What was found so far."""
        known = self._known.figures()
        return SequenceFigures(
            name=self._name,
            frames=self._frames,
            cuts=self._cuts,
            raw=self._raw.figures(),
            smoothed=self._smoothed.figures(),
            steadied=self._steadied.figures(),
            known=None if known.log_focal_std is None else known,
            truth_alignment_error=self._truth.alignment_error(),
        )

    def _posed(self, sample: Sample, depth: Depth) -> PosedDepth | None:
        if sample.pose is None or sample.f_px is None or sample.depth is None:
            return None
        valid = valid_truth(sample.depth, self._max_depth_m) & np.isfinite(depth)
        return PosedDepth(depth, valid, sample.f_px, sample.pose)
