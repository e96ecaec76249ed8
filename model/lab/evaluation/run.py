"""Samples in, a report out: predict, compare, sum up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from model.engine import Engine
from model.engine.passage import single_values
from model.focal import FocalConfig, FocalTracker
from model.focal.scene_cut import SceneCutDetector
from model.lab.evaluation.boundary_f1 import boundary_recall, boundary_scores
from model.lab.evaluation.metrics import Depth, depth_errors, median_scale, valid_truth
from model.lab.evaluation.predictor import Prediction, Predictor
from model.lab.evaluation.report import PictureFigures, Report, report
from model.lab.evaluation.sample import Sample
from model.lab.evaluation.sequence import SequenceRecorder
from model.lab.evaluation.temporal import SequenceFigures
from model.steady import SteadyStage
from stream.errors import DepthStreamError, SourceError, one_line
from stream.frame import CameraIntrinsics, FocalEstimate

MAX_DEPTH_M = 80.0
"""Truth farther than this is left out of depth errors: far beyond what sensors and stereo measure well."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One picture evaluated: the sample, depth as the product gives it (``float32 [H, W]`` metres), its figures."""

    sample: Sample
    depth: Depth
    figures: PictureFigures


def evaluate(
    engine: Engine,
    samples: Iterable[Sample],
    *,
    max_depth_m: float = MAX_DEPTH_M,
    on_picture: Callable[[Outcome], None] | None = None,
) -> Report:
    """Compare a network's depth with the truth.

    A still picture is scaled with the network's own focal length. Frames of a sequence are scaled with the filtered
    one, as in the product: one filter per sequence, reset at scene cuts. How steady they are is also measured with
    their scale steadied, as from a camera.

    Args:
        engine: runs the network, as in the product.
        samples: taken one by one; only the frame before is kept.
        max_depth_m: truth beyond this is left out of depth errors. Boundary scores use all of it.
        on_picture: called with every :class:`Outcome`, to draw it or to show progress.

    Raises:
        SourceError: no samples at all, or no depth up to ``max_depth_m`` in any.
        DepthStreamError: the first picture cannot be read or evaluated. A later one ends the report, which tells why.
    """
    predictor = Predictor(engine)
    pictures: list[PictureFigures] = []
    sequences: list[SequenceFigures] = []
    video: _Video | None = None
    broken_off: str | None = None
    try:
        for sample in samples:
            if video is None or not sample.sequence or video.name != sample.sequence:
                if video is not None and video.name:
                    sequences.append(video.figures())
                video = _Video(sample.sequence, max_depth_m)
            outcome = video.evaluate(sample, predictor)
            pictures.append(outcome.figures)
            if on_picture is not None:
                on_picture(outcome)
    except DepthStreamError as exc:
        if not pictures:
            raise
        broken_off = one_line(exc)  # minutes of work are not thrown away for one bad file
    if video is None:
        raise SourceError("there are no pictures to evaluate")
    if video.name:
        sequences.append(video.figures())
    if all(p.metric is None and p.matte_recall is None for p in pictures):
        raise SourceError(f"no picture has depth up to {max_depth_m:g} m: check the unit of depth and the limit")
    return report(pictures, sequences, max_depth_m=max_depth_m, broken_off=broken_off)


class _Video:
    """What goes on from frame to frame. A still picture is a video of its own, without a name and without filter."""

    def __init__(self, name: str, max_depth_m: float) -> None:
        self.name = name
        self._recorder = SequenceRecorder(name, max_depth_m=max_depth_m)
        self._steadying = SteadyStage()
        self._max_depth_m = max_depth_m
        self._cuts = SceneCutDetector()
        self._focal = FocalTracker(FocalConfig(mode="filter" if name else "off"))

    def evaluate(self, sample: Sample, predictor: Predictor) -> Outcome:
        frame = sample.frame
        detected = bool(self.name) and self._cuts.update(frame)
        prediction = predictor(frame)
        focal = self._focal.update(
            time_s=frame.capture.time_s, raw_px=prediction.raw_f_px, width=frame.width, scene_cut=detected
        )
        depth = prediction.depth(focal.smoothed_px)
        figures = _figures(sample, prediction, focal.smoothed_px, depth, self._max_depth_m)
        if self.name:
            cut = detected if sample.cut is None else sample.cut
            correction = self._steady(sample, prediction, focal, cut=detected)
            self._recorder.add(sample, prediction, smoothed_px=focal.smoothed_px, log_correction=correction, cut=cut)
        return Outcome(sample, depth, figures)

    def figures(self) -> SequenceFigures:
        """How steady it was, once it is over."""
        self._steadying.close()
        return self._recorder.figures()

    def _steady(self, sample: Sample, prediction: Prediction, focal: FocalEstimate, *, cut: bool) -> float:
        """By what log depth is corrected."""
        frame = sample.frame
        found = self._steadying.correct(
            self._steadying.follow(frame, None, scene_cut=cut),
            single_values(prediction.C_SS).cpu().numpy(),
            CameraIntrinsics.from_focal(focal.smoothed_px, frame.width, frame.height),
            focal,
            time_s=frame.capture.time_s,
            scene_cut=cut,
            unit=1.0,
        )
        return found.correction.log


def _figures(sample: Sample, prediction: Prediction, f_px: float, depth: Depth, max_depth_m: float) -> PictureFigures:
    metric = known_focal = median_scaled = boundary = None
    if (truth := sample.depth) is not None:
        if not (truth > 0).any():
            raise SourceError(f"the depth of {sample.name} is invalid everywhere: NaN, or not above 0")
        if valid_truth(truth, max_depth_m).any():
            metric = depth_errors(depth, truth, max_depth_m=max_depth_m)
            scale = median_scale(depth, truth, max_depth_m=max_depth_m)
            median_scaled = depth_errors(depth, truth, max_depth_m=max_depth_m, scale=scale)
            if sample.f_px is not None:
                known_focal = depth_errors(prediction.depth(sample.f_px), truth, max_depth_m=max_depth_m)
        boundary = boundary_scores(depth, truth)
    return PictureFigures(
        name=sample.name,
        kind=sample.kind,
        sequence=sample.sequence,
        width=sample.width,
        height=sample.height,
        true_f_px=sample.f_px,
        raw_f_px=prediction.raw_f_px,
        f_px=f_px,
        focal_error=None if sample.f_px is None else abs(f_px - sample.f_px) / sample.f_px,
        metric=metric,
        known_focal=known_focal,
        median_scaled=median_scaled,
        boundary=boundary,
        matte_recall=None if sample.matte is None else boundary_recall(depth, sample.matte),
    )
