"""One frame's depth and the tracks into it → the correction of its scale, and where the camera is.

A state machine: numbers in, numbers out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from model.steady.filter import FilterStep, ScaleFilter
from model.steady.motion import Tracks
from model.steady.odometry import Odometer
from model.steady.pose import Array, CameraMotion, camera_motion
from stream.frame import CameraIntrinsics, Odometry, ScaleCorrection

DepthGrid = npt.NDArray[np.float32]
"""Depth ``float32 [h, w]``, metres, of any size; it shows the whole picture."""

_EDGE = 1.15  # farthest over nearest of the nine values around a point: beyond, it lies on an edge
_ROUGHEST = 0.25  # of the points, where all depth is rough
_FEWEST = 25
_ALIKE = 4.0  # neighbouring points err alike: so many count as one
_PIXELS_ALIKE, _DEPTHS_ALIKE = 4.0, 10.0  # the same of a pose, whose errors are also alike from reference to reference
FARTHEST = math.log(10)
"""A larger correction is not believed."""
_ZOOM_STD = 0.01  # of log focal length from the reference on, where it is only estimated
_USUAL_STEP_S = 1 / 30
_LONGEST_STEP_S = 0.5
_FARTHEST_M = 1000.0
_USUAL = 5  # frames that tell the usual correction
_DOWN, _RIGHT = np.indices((3, 3)).reshape(2, 9) - 1


@dataclass(frozen=True, slots=True)
class Steadied:
    """What is found in a frame.

    Attributes:
        correction: of its scale, as far as this frame and those before it tell.
        odometry: where the camera is, ``None`` where nothing tells.
        step: of the filter; ``None`` where nothing told of the frame, and the filter rests.
    """

    correction: ScaleCorrection
    odometry: Odometry | None
    step: FilterStep | None


@dataclass(frozen=True, slots=True)
class _Told:
    """What geometry tells of a frame: see :class:`stream.frame.ScaleCorrection`."""

    ratio: float
    ratio_std: float
    inliers: int
    motion: CameraMotion | None  # of a frame that is replayed: None


class Steadier:
    """Corrects the scale of one source's depth. Call :meth:`update` once per frame, in order."""

    def __init__(self) -> None:
        self._filter = ScaleFilter()
        self._odometer = Odometer()
        self._reference: DepthGrid | None = None  # its depth, corrected
        self._camera: CameraIntrinsics | None = None
        self._has_begun = False
        self._told = 0  # frames of which geometry told since the filter began anew
        self._usual = 0.0  # their correction: what one gets of which nothing tells
        self._resets = 0
        self._time_s = math.nan
        self._step_s = _USUAL_STEP_S

    def update(
        self,
        tracks: Tracks,
        depth_hw: DepthGrid,
        camera: CameraIntrinsics,
        *,
        time_s: float,
        scene_cut: bool = False,
        zooms: bool = True,
        unit: float = 1.0,
    ) -> Steadied:
        """The correction of a frame. The first of a shot has none, nor has one where the way is lost.

        One that shows nothing of what those before it did, such as a blurred one, has their usual correction.

        Args:
            tracks: points followed into this frame.
            depth_hw: the network's depth; not finite: unknown there.
            camera: of the frame, for pictures of any size.
            time_s: capture time in seconds; where it repeats or runs backwards, the last step is assumed.
            scene_cut: the frame starts a new shot.
            zooms: the focal length is estimated, and may have changed without being noticed.
            unit: metres that a unit of depth is.
        """
        camera = camera.resized(tracks.width, tracks.height)
        told = None
        if self._has_begun and not scene_cut:
            told = self._told_by(tracks, depth_hw, camera, zooms=zooms)
        correction, is_reference, begins, step = self._step(told, tracks, time_s=time_s, scene_cut=scene_cut)
        motion, log_scale = None, 0.0
        if told is not None and correction.inliers:
            motion, log_scale = told.motion, correction.log - told.ratio
        odometry = self._odometer.update(
            motion,
            log_scale=log_scale,
            log_std=correction.log_std,
            begins=begins,
            is_reference=is_reference,
            unit=unit,
        )
        if is_reference:
            self.follow_from(depth_hw, camera, correction)
        return Steadied(correction, odometry, step)

    def replay(
        self,
        tracks: Tracks,
        *,
        ratio: float | None,
        ratio_std: float,
        odometry: Odometry | None = None,
        time_s: float,
        scene_cut: bool = False,
        unit: float = 1.0,
    ) -> ScaleCorrection | None:
        """Take note of a frame that was corrected before, without its depth.

        Args:
            tracks, time_s, scene_cut, unit: as for :meth:`update`.
            ratio, ratio_std: those of :class:`stream.frame.ScaleCorrection`.
            odometry: where the camera was, if later frames are followed from this one.

        Returns:
            Its correction, if later frames are followed from this one: :meth:`follow_from` must then be told its depth
            before the next :meth:`update`. Else ``None``.
        """
        told = None if ratio is None else _Told(ratio, ratio_std, 1, None)
        correction, is_reference, begins, _ = self._step(told, tracks, time_s=time_s, scene_cut=scene_cut)
        self._odometer.replay(
            odometry, is_known=correction.inliers > 0, begins=begins, is_reference=is_reference, unit=unit
        )
        return correction if is_reference else None

    def follow_from(self, depth_hw: DepthGrid, camera: CameraIntrinsics, correction: ScaleCorrection) -> None:
        """Take the depth of a frame, corrected, for what is known of those after it."""
        self._reference = depth_hw * np.float32(math.exp(correction.log))
        self._camera = camera

    def _step(
        self, told: _Told | None, tracks: Tracks, *, time_s: float, scene_cut: bool
    ) -> tuple[ScaleCorrection, bool, bool, FilterStep | None]:
        """The correction of a frame by what geometry has told, whether the frame is the next reference, whether a shot
        begins with it, or would be lost with it what was known, and what it has done to the filter."""
        gap_s = self._advance_clock(time_s)
        is_reference = tracks.renewed or not self._has_begun or scene_cut
        # One that shows nothing, between others that do, is most likely off as they are.
        correction = 0.0 if is_reference or told is not None else self._usual
        log_std, inliers = self._filter.noise, 0
        ratio, ratio_std, step = None, 0.0, None
        found = told is not None
        if told is not None:
            ratio, ratio_std, inliers = told.ratio, told.ratio_std, told.inliers
            step = self._filter.update(ratio, ratio_std, gap_s)
            correction, log_std = step.correction, step.deviation
            if not abs(correction) < FARTHEST:
                found, correction, log_std, inliers = False, 0.0, self._filter.noise, 0
        begins = not self._has_begun or scene_cut or self._told > 0
        if found:
            self._told += 1
            self._usual += (correction - self._usual) / min(self._told, _USUAL)
        if is_reference:
            if found and step is not None:
                step = self._filter.rebase(step)
            else:
                step = self._filter.restart()
                self._resets += scene_cut or self._told > 0
                self._told, self._usual = 0, 0.0
        self._has_begun = True
        made = ScaleCorrection(
            log=correction, log_std=log_std, inliers=inliers, resets=self._resets, ratio=ratio, ratio_std=ratio_std
        )
        return made, is_reference, begins, step

    def _told_by(self, tracks: Tracks, depth_hw: DepthGrid, camera: CameraIntrinsics, *, zooms: bool) -> _Told | None:
        """What the points that were followed into this frame tell of it."""
        assert self._reference is not None
        assert self._camera is not None
        size = tracks.width, tracks.height
        before_N2, now_N2 = tracks.before_N2.astype(np.float64), tracks.now_N2.astype(np.float64)
        depth_N, clear_N = _sampled(self._reference, before_N2, *size)
        seen_N, seen_clear_N = _sampled(depth_hw, now_N2, *size)
        usable = clear_N & seen_clear_N
        before_N2, now_N2, depth_N, seen_N = before_N2[usable], now_N2[usable], depth_N[usable], seen_N[usable]
        motion = camera_motion(
            before_N2, now_N2, depth_N, before=self._camera, now=camera, zoom_std=_ZOOM_STD if zooms else 0.0
        )
        if motion is None:
            return None
        ratios = np.log(motion.depth_N[motion.inlier_N] / seen_N[motion.inlier_N])
        ratio = float(np.median(ratios))
        scatter = 1.4826 * float(np.median(np.abs(ratios - ratio)))
        std = math.hypot(motion.log_std, scatter * math.sqrt(_ALIKE / len(ratios)))
        covariance = _PIXELS_ALIKE * motion.covariance + _DEPTHS_ALIKE * scatter**2 * motion.depth_covariance
        return _Told(ratio, std, len(ratios), replace(motion, covariance=covariance))

    def _advance_clock(self, time_s: float) -> float:
        """Seconds since the frame before: as told where that is possible, else the last regular step."""
        gap_s, self._time_s = time_s - self._time_s, time_s
        if not gap_s > 0:
            return self._step_s
        if gap_s <= _LONGEST_STEP_S:
            self._step_s = gap_s
        return gap_s


def _sampled(depth_hw: DepthGrid, points_N2: Array, width: int, height: int) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Depth at pixels of a picture of ``width`` × ``height``, and whether it is known and smooth there."""
    rows, columns = depth_hw.shape
    x = np.clip((points_N2[:, 0] + 0.5) * (columns / width) - 0.5, 0, columns - 1)
    y = np.clip((points_N2[:, 1] + 0.5) * (rows / height) - 0.5, 0, rows - 1)
    row_N = np.clip(np.rint(y).astype(int), 1, rows - 2)
    column_N = np.clip(np.rint(x).astype(int), 1, columns - 2)
    around_9N = depth_hw[row_N + _DOWN[:, None], column_N + _RIGHT[:, None]]
    known = (np.isfinite(around_9N) & (around_9N > 0) & (around_9N < _FARTHEST_M)).all(axis=0)
    range_N = np.where(known, around_9N.max(axis=0), np.inf) / np.where(known, around_9N.min(axis=0), 1.0)
    clear = known & (range_N < max(_EDGE, np.quantile(range_N, 1 - _ROUGHEST, method="lower") if len(x) else 0.0))
    if not len(x):
        return np.zeros(0), clear
    place = x.astype(np.float32)[:, None], y.astype(np.float32)[:, None]
    return np.asarray(cv2.remap(depth_hw, *place, cv2.INTER_LINEAR), np.float64).ravel(), clear
