"""Steadying within the estimator: motion is followed by a thread of its own, beside the network and not after it."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from model.focal.lens import Lens
from model.steady.luma import LumaMaker
from model.steady.motion import MotionTracker, Tracks
from model.steady.steadier import Steadied, Steadier
from stream.frame import CameraIntrinsics, FocalEstimate, Frame, Odometry, ScaleCorrection


class SteadyStage:
    """Corrects the scale of one source's depth. For every frame, in order: :meth:`follow`, later :meth:`correct`."""

    def __init__(self) -> None:
        self._luma = LumaMaker()
        self._tracker = MotionTracker()
        self._steadier = Steadier()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="motion")

    def follow(self, frame: Frame, lens: Lens | None, *, scene_cut: bool) -> Future[Tracks]:
        """Start to follow motion into ``frame``, whose planes are read before this returns."""
        return self._worker.submit(self._tracker.update, self._luma(frame, lens), scene_cut=scene_cut)

    def correct(
        self,
        tracks: Future[Tracks],
        canonical_hw: npt.NDArray[np.float32],
        camera: CameraIntrinsics,
        focal: FocalEstimate,
        *,
        time_s: float,
        scene_cut: bool,
        unit: float,
    ) -> Steadied:
        """The correction of a frame, and where the camera is; see :meth:`Steadier.update`.

        Args:
            tracks: of this frame.
            canonical_hw: canonical inverse depth ``float32 [h, w]`` of the whole picture, as coarse as may be.
            camera: of the picture.
            focal: how its focal length is known.
            time_s: capture time in seconds.
            scene_cut: the frame starts a new shot.
            unit: what depth is multiplied with because a distance is known.
        """
        return self._steadier.update(
            tracks.result(),
            _metres(canonical_hw, camera),
            camera,
            time_s=time_s,
            scene_cut=scene_cut,
            zooms=focal.source == "estimated",
            unit=unit,
        )

    def replay(
        self,
        tracks: Future[Tracks],
        *,
        ratio: float | None,
        ratio_std: float,
        odometry: Odometry | None,
        time_s: float,
        scene_cut: bool,
        unit: float,
    ) -> tuple[Tracks, ScaleCorrection] | None:
        """Take note of a frame that was corrected before; see :meth:`Steadier.replay`.

        Returns:
            What :meth:`follow_from` must be told before the next :meth:`correct`, if later frames are followed from it.
        """
        seen = tracks.result()
        correction = self._steadier.replay(
            seen,
            ratio=ratio,
            ratio_std=ratio_std,
            odometry=odometry,
            time_s=time_s,
            scene_cut=scene_cut,
            unit=unit,
        )
        return None if correction is None else (seen, correction)

    def follow_from(
        self,
        replayed: tuple[Tracks, ScaleCorrection],
        canonical_hw: npt.NDArray[np.float32],
        camera: CameraIntrinsics,
    ) -> None:
        """Take a replayed frame's depth for what is known of those after it; arguments as for :meth:`correct`."""
        tracks, correction = replayed
        resized = camera.resized(tracks.width, tracks.height)
        self._steadier.follow_from(_metres(canonical_hw, camera), resized, correction)

    def close(self) -> None:
        """Let go of the thread."""
        self._worker.shutdown(wait=False, cancel_futures=True)


def _metres(canonical_hw: npt.NDArray[np.float32], camera: CameraIntrinsics) -> npt.NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.float32(camera.fx / camera.width) / canonical_hw, np.float32)
