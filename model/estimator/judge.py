"""What is found of each frame of one source, on the host: shots, focal length, scale, the camera's way.

Before the network, a frame is looked at; after it, judged. Both happen once for every frame, in order.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from model.estimator.passing import Computed, Judged, Looked, Made, Queued, Reference
from model.focal import FocalConfig, FocalTracker, GivenCamera, Lens, focal_or_none
from model.focal.scene_cut import SceneCutDetector
from model.scale import DepthScaler
from model.steady import Steadied, SteadyStage
from stream.errors import ConfigError, ModelError
from stream.frame import CameraIntrinsics, Capture, FocalEstimate, Frame

_STEADY_STD = 0.01  # of log focal: so well known, it need not be estimated in every frame


class Judge:
    """Finds what makes metres of one source's depth.

    Args:
        camera: what the user knows of the camera.
        focal: how estimates of the focal length are smoothed.
        foreseen: the focal length of every frame, in order, where it was found before.
        scaler: finds what depth is multiplied with.
        steadying: of its scale, where that is wanted.
        fov_every: once the focal length is well known, it is estimated in every so many frames.
    """

    def __init__(
        self,
        *,
        camera: GivenCamera,
        focal: FocalConfig,
        foreseen: Sequence[FocalEstimate] | None,
        scaler: DepthScaler,
        steadying: SteadyStage | None,
        fov_every: int,
    ) -> None:
        self._camera, self._scaler, self._steadying = camera, scaler, steadying
        self._focal, self._cuts = FocalTracker(focal), SceneCutDetector()
        self._foreseen = None if foreseen is None else iter(foreseen)
        self._ahead: deque[bool] = deque()  # of each frame that was looked at and not yet judged: whether it is a cut
        self._fov_every = fov_every
        self._is_steady = False  # whether the focal length is well known
        self._without_fov = 0  # frames since it was last estimated

    @property
    def may_estimate(self) -> bool:
        """Whether the network may have to find a focal length."""
        return not (self._camera.is_given or self._foreseen is not None)

    def look(self, frame: Frame) -> Looked:
        """Before the network. The frame's planes are read before this returns."""
        scene_cut, given, lens = self._seen(frame)
        tracks = None if self._steadying is None else self._steadying.follow(frame, lens, scene_cut=scene_cut)
        with_fov = self._is_estimated(frame, given) and self._fov_is_due(scene_cut)
        self._ahead.append(scene_cut)
        return Looked(scene_cut, self._cuts.is_blank, given, lens, with_fov, tracks)

    def judge(self, computed: Computed) -> Judged:
        """After the network.

        Raises:
            ModelError: there are more frames than were foreseen.
        """
        queued, frame, looked = computed.queued, computed.queued.frame, computed.queued.looked
        self._ahead.popleft()
        is_seen = looked.with_fov and queued.lane.is_finite and not looked.is_blank
        raw_px = focal_or_none(queued.lane.fov_deg, frame.width) if is_seen else None
        focal = self._track(frame, raw_px=raw_px, scene_cut=looked.scene_cut, given=looked.given)
        self._is_steady = focal.log_std < _STEADY_STD and not any(self._ahead)
        camera, scale = _intrinsics(frame, focal, looked.given), self._scaler.scale
        steadied: Steadied | None = None
        if self._steadying is not None and looked.tracks is not None:
            steadied = self._steadying.correct(
                looked.tracks,
                queued.lane.coarse.numpy(),
                camera,
                focal,
                time_s=_time_s(frame.capture),
                scene_cut=looked.scene_cut,
                unit=1.0 if scale is None else scale.factor,
            )
        return Judged(computed, focal, camera, scale, steadied)

    def replay(self, frame: Frame, done: Made, *, place: int) -> Reference | None:
        """Take note of a frame whose depth an earlier run has made, before any other is looked at.

        Args:
            frame: as it would be looked at.
            done: what was found in it.
            place: in its batch.

        Returns:
            If later frames are followed from it: what :meth:`follow_from` needs before the next :meth:`judge`.
        """
        scene_cut, given, lens = self._seen(frame)
        if self._is_estimated(frame, given):
            self._fov_is_due(scene_cut)
        focal = self._track(frame, raw_px=done.raw_px, scene_cut=scene_cut, given=given)
        self._is_steady = focal.log_std < _STEADY_STD
        if done.scale is not None:
            self._scaler.resume(done.scale)
        if self._steadying is None:
            return None
        tracks = self._steadying.follow(frame, lens, scene_cut=scene_cut)
        replayed = self._steadying.replay(
            tracks,
            ratio=done.ratio,
            ratio_std=done.ratio_std,
            odometry=done.odometry,
            time_s=_time_s(frame.capture),
            scene_cut=scene_cut,
            unit=1.0 if done.scale is None else done.scale.factor,
        )
        if replayed is None:
            return None
        down = frame.on_host()
        kept = replace(down, planes=tuple(plane.copy() for plane in down.planes))
        return Reference(kept, place, lens, _intrinsics(frame, focal, given), replayed)

    def follow_from(self, reference: Reference, coarse_hw: Tensor) -> None:
        """Take a replayed frame's depth for what is known of those after it.

        Args:
            reference: the frame.
            coarse_hw: its canonical inverse depth ``float32 [h, w]``, on the host.
        """
        assert self._steadying is not None
        self._steadying.follow_from(reference.replayed, coarse_hw.numpy(), reference.camera)

    def measure(self, judged: Judged, depth_HW: Tensor) -> None:
        """Let the scaler see a frame, for those that come after it.

        Raises:
            ConfigError: there is no usable depth where the user knows the distance.
        """
        try:
            self._look_at_known_distance(judged.computed.queued, depth_HW, judged.focal)
        except ConfigError as exc:
            if not self._scaler.answer(str(exc)):  # somebody who asked in mid-run may ask again
                raise

    def close(self) -> None:
        """Let go of the thread that follows motion.

        Raises:
            ConfigError: the run was too short to measure the distance that the user knows.
        """
        if self._steadying is not None:
            self._steadying.close()
        self._scaler.close()

    def _seen(self, frame: Frame) -> tuple[bool, CameraIntrinsics | None, Lens | None]:
        """Whether a shot begins with the frame, its camera and its lens, as far as they are given."""
        given = self._camera.intrinsics(frame.width, frame.height, pixel_aspect=frame.capture.pixel_aspect)
        return self._cuts.update(frame), given, self._camera.lens(frame.width, frame.height)

    def _is_estimated(self, frame: Frame, given: CameraIntrinsics | None) -> bool:
        """Whether it is for the network to find this frame's focal length."""
        return given is None and frame.focal_px is None and self._foreseen is None

    def _fov_is_due(self, scene_cut: bool) -> bool:
        """Whether this frame's field of view is to be estimated."""
        self._is_steady &= not scene_cut
        self._without_fov += 1
        if self._is_steady and self._without_fov < self._fov_every:
            return False
        self._without_fov = 0
        return True

    def _track(
        self, frame: Frame, *, raw_px: float | None, scene_cut: bool, given: CameraIntrinsics | None
    ) -> FocalEstimate:
        """One step of the focal filter, or what was foreseen.

        Raises:
            ModelError: there are more frames than were foreseen.
        """
        if self._foreseen is not None and given is None:
            if (foreseen := next(self._foreseen, None)) is None:
                raise ModelError(f"frame {frame.capture.index} was not there when the source was looked through before")
            return foreseen
        return self._focal.update(
            time_s=_time_s(frame.capture),
            raw_px=raw_px,
            width=frame.width,
            scene_cut=scene_cut,
            given_px=None if given is None else given.fx,
            metadata_px=frame.focal_px,
        )

    def _look_at_known_distance(self, queued: Queued, depth_HW: Tensor, focal: FocalEstimate) -> None:
        frame, known, at = queued.frame, self._scaler.known, (math.nan, math.nan)
        if known is not None:
            height, width = depth_HW.shape
            at = _output_point(known.x, known.y, queued, width=width, height=height)
            is_inside = known.x < frame.width and known.y < frame.height
            if not (is_inside and -0.5 <= at[0] < width and -0.5 <= at[1] < height):
                seen = "rectified picture" if is_inside else "picture"
                raise ConfigError(f"`scale_from={known}` is outside the {seen}, {frame.width}x{frame.height} pixels")
        self._scaler.update(
            depth_HW.numpy(),
            at=at,
            time_s=_time_s(frame.capture),
            focal_ratio=focal.smoothed_px / frame.width,
            steady=focal.log_std < _STEADY_STD,
            scene_cut=queued.looked.scene_cut,
        )


def _intrinsics(frame: Frame, focal: FocalEstimate, given: CameraIntrinsics | None) -> CameraIntrinsics:
    return given or CameraIntrinsics.from_focal(
        focal.smoothed_px, frame.width, frame.height, pixel_aspect=frame.capture.pixel_aspect
    )


def _time_s(capture: Capture) -> float:
    """When a frame was taken, as good as the distance to other frames needs it.

    A camera's own clock may take over in mid-stream; when frames arrived tells their distances all the same.
    """
    return capture.time_s if capture.clock == "media" else capture.received_ns * 1e-9


def _output_point(x: float, y: float, queued: Queued, *, width: int, height: int) -> tuple[float, float]:
    """Where the depth shows what is at ``x``, ``y`` of the upright source picture; NaN for nowhere."""
    if (lens := queued.looked.lens) is not None:
        x, y = lens.rectified_point(x, y)
    return (x + 0.5) * width / queued.frame.width - 0.5, (y + 0.5) * height / queued.frame.height - 0.5
