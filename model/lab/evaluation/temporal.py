"""How steady depth is over the frames of a video.

Three figures, each for the network's own focal length of every frame (raw), for the filtered one (smoothed), for that
with its scale steadied, as from a camera, which is what the product gives (steadied), and for the true focal length
(known): what is left with the last is the network's own flicker.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model.lab.evaluation.metrics import MIN_DEPTH_M, Depth, Mask, valid_truth

Pose = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steadiness:
    """Figures of one sequence; lower is steadier, ``None`` where nothing is known to compute one from.

    Attributes:
        log_focal_std: standard deviation of ``ln(f / f_true)`` around its mean over the shot (of ``ln(f / W)`` where
            the true focal length is unknown).
        log_scale_step_std: standard deviation of the change, from one frame of a shot to the next, of the log scale
            ``median(ln(d / t))``: how much depth as a whole flickers, 0.01 being 1 %.
        alignment_error: temporal alignment error in percent, see :func:`alignment_error`, mean over neighbouring frames
            of a shot and both directions.
    """

    log_focal_std: float | None
    log_scale_step_std: float | None
    alignment_error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceFigures:
    """How steady one sequence is.

    Attributes:
        name: of the sequence.
        frames: number of frames.
        cuts: shots after the first.
        raw, smoothed, steadied, known: of which depth; see the module.
        truth_alignment_error: what :func:`alignment_error` gives for the truth itself: pixels are not infinitely small
            and things move, so no prediction gets to 0. Percent.
    """

    name: str
    frames: int
    cuts: int
    raw: Steadiness
    smoothed: Steadiness
    steadied: Steadiness
    known: Steadiness | None
    truth_alignment_error: float | None


@dataclass(frozen=True, slots=True)
class PosedDepth:
    """Depth ``float32 [H, W]``, where it is valid, focal length in pixels (centred principal point), camera → world."""

    depth: Depth
    valid: Mask
    f_px: float
    pose: Pose


def alignment_error(first: PosedDepth, second: PosedDepth) -> float | None:
    """Mean relative difference, in percent, between ``second`` and ``first`` seen from where ``second`` was taken.

    Depth Any Video (arXiv 2410.10815, section 4.1): every pixel of ``first`` becomes a point in space by its depth and
    the true focal length, moves by the true poses, and lands on the nearest pixel of ``second``, whose depth it is
    compared with. Where several land on one pixel the nearest point hides the others. ``None`` where none lands.
    """
    height, width = first.depth.shape
    rows, columns = np.nonzero(first.valid)
    z = first.depth[rows, columns].astype(np.float64)
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    points = np.stack([(columns - centre_x) * z / first.f_px, (rows - centre_y) * z / first.f_px, z])
    motion = np.linalg.inv(second.pose) @ first.pose
    x, y, z = motion[:3, :3] @ points + motion[:3, 3:]

    in_front = z > MIN_DEPTH_M
    x, y, z = x[in_front], y[in_front], z[in_front]
    height, width = second.depth.shape
    column = np.rint(x * second.f_px / z + (width - 1) / 2)
    row = np.rint(y * second.f_px / z + (height - 1) / 2)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    nearest = np.full(height * width, np.inf)
    np.minimum.at(nearest, (row[inside] * width + column[inside]).astype(np.intp), z[inside])

    moved = nearest.reshape(height, width)
    both = second.valid & np.isfinite(moved)
    if not both.any():
        return None
    seen = second.depth[both].astype(np.float64)
    return 100 * float(np.mean(np.abs(seen - moved[both]) / seen))


def log_scale(predicted: Depth, truth: Depth, *, max_depth_m: float) -> float | None:
    """``median(ln(predicted / truth))`` over the pixels with valid truth; ``None`` where there are none."""
    valid = valid_truth(truth, max_depth_m)
    if not valid.any():
        return None
    ratio = np.clip(predicted[valid], MIN_DEPTH_M, None).astype(np.float64) / truth[valid]
    return float(np.median(np.log(ratio)))


@dataclass(slots=True)
class Shots:
    """A quantity along a sequence, shot by shot. Frames in which it is unknown are passed over."""

    shots: list[list[float]] = field(default_factory=lambda: [[]])

    def add(self, value: float | None, *, cut: bool) -> None:
        if cut:
            self.shots.append([])
        if value is not None:
            self.shots[-1].append(value)

    def std(self) -> float | None:
        """Standard deviation around each shot's own mean, over all shots."""
        return _root_mean_square([v - float(np.mean(shot)) for shot in self.shots for v in shot])

    def step_std(self) -> float | None:
        """Standard deviation of the change from one frame to the next within a shot."""
        steps = [float(s) for shot in self.shots for s in np.diff(shot)]
        middle = float(np.mean(steps)) if steps else 0.0
        return _root_mean_square([s - middle for s in steps])


def _root_mean_square(values: list[float]) -> float | None:
    return math.sqrt(sum(v * v for v in values) / len(values)) if values else None
