"""Frames in, metric depth out: upload, network and download overlap, each on its own stream.

How a frame goes through, and where the host waits::

    submit(n)    host             a small grey picture, in which a thread of its own follows motion
                 upload stream    copy planes from the ring slot          ── event ──► slot returns to the ring
                 compute stream   wait upload; once its batch is full: RGB, resize, rectify, network;
                                  field of view, "finite" and coarse depth to the host  ── event: computed
    wait(n)      host             WAITS for computed(n)
    collect(n)   host             one step of the focal filter, one of the filter of scale
                 download stream  metres at the output size, averaged with the past, copy to host ── event: downloaded
                 host             WAITS for downloaded(n)

A batch that is not full is computed when its first frame is waited for.

The focal filter lives on the host, so the host must see frame n's field of view before it can scale frame n. That wait
does not stall the GPU: the network of frame n+1 is queued before collect(n), and scaling runs on the download stream
beside it, not behind it.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.config import EstimatorConfig
from model.engine.device import torch_errors
from model.engine.engine import Engine
from model.engine.passage import Lane
from model.engine.precision import Precision, wider
from model.focal import FocalConfig, FocalTracker, GivenCamera, Lens, focal_or_none
from model.focal.scene_cut import SceneCutDetector
from model.pixels.metres import metric_depth
from model.pixels.planes import image_from_planes
from model.pixels.rectify import Grid, GridMemory
from model.scale import DepthScaler
from model.steady import DepthAverage, Steadied, SteadyStage, Tracks
from stream.errors import ConfigError, ModelError
from stream.frame import (
    CameraIntrinsics,
    Capture,
    DepthFrame,
    DepthScale,
    FocalEstimate,
    Frame,
    Odometry,
    ScaleCorrection,
)
from stream.ports import Event, Lease

_log = logging.getLogger(__name__)
_STEADY_STD = 0.01  # of log focal: so well known, it need not be estimated in every frame


@dataclass(frozen=True, slots=True)
class _Queued:
    """A frame whose planes are on their way to the device, before its network."""

    frame: Frame
    lane: Lane
    dropped: int
    scene_cut: bool
    given: CameraIntrinsics | None
    lens: Lens | None  # to be rectified
    with_fov: bool
    with_image: bool
    tracks: Future[Tracks] | None  # of motion, where scale is steadied


@dataclass(frozen=True, slots=True)
class _Computed:
    """A frame whose network runs or has run; ``done`` happens when what it found is in the frame's lane."""

    queued: _Queued
    precision: Precision
    done: Event


@dataclass(frozen=True, slots=True)
class _Reference:
    """A frame of an earlier run that later ones are followed from, until its depth has been computed again.

    ``place`` is that in its batch.
    """

    frame: Frame
    place: int
    lens: Lens | None
    camera: CameraIntrinsics
    replayed: tuple[Tracks, ScaleCorrection]


class Made(Protocol):
    """What an earlier run has found in a frame.

    Attributes:
        raw_px: the focal length the network saw in it, :attr:`stream.frame.FocalEstimate.raw_px`.
        ratio, ratio_std: those of its :class:`stream.frame.ScaleCorrection`.
        odometry: where the camera was, if later frames were followed from this one.
        scale: what its depth was multiplied with because a distance is known.
    """

    @property
    def raw_px(self) -> float | None: ...

    @property
    def ratio(self) -> float | None: ...

    @property
    def ratio_std(self) -> float: ...

    @property
    def odometry(self) -> Odometry | None: ...

    @property
    def scale(self) -> DepthScale | None: ...


class DepthProEstimator:
    """The :class:`stream.ports.Estimator` that runs Depth Pro. Used by one thread.

    Args:
        engine: runs the network. It may serve several estimators in turn, and stays with whoever made it.
        camera: what the user knows of the camera; without a focal length it is estimated.
        focal: how estimates are smoothed.
        config: size of the depth, and frames in flight.
        scaler: finds what depth is multiplied with, of the same source.
        foreseen: the focal length of every frame, in order, where it was found before: none is estimated then.

    Raises:
        ConfigError: an impossible size, or something that needs a smoothed focal length without one.
        ModelError: the device failed or is out of memory.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        camera: GivenCamera | None = None,
        focal: FocalConfig | None = None,
        config: EstimatorConfig | None = None,
        scaler: DepthScaler | None = None,
        foreseen: Sequence[FocalEstimate] | None = None,
    ) -> None:
        config, focal = config or EstimatorConfig(), focal or FocalConfig()
        self._scaler = scaler or DepthScaler()
        self._scaler.begin(engine.label)
        if self._scaler.known is not None and focal.mode == "off" and not (camera and camera.is_given):
            raise ConfigError(
                "`scale_from` waits for a steady focal length; leave out `focal=off`, or tell it as `fov`"
            )
        if config.fov_every > 1 and focal.mode == "off":
            raise ConfigError("`fov_every` needs a focal length that is smoothed; leave out `focal=off`")
        self._engine, self._streams = engine, engine.streams
        self._camera = camera or GivenCamera()
        self._output_size = config.size(network=engine.output_size)
        self._focal = FocalTracker(focal)
        self._foreseen = None if foreseen is None else iter(foreseen)
        self._cuts = SceneCutDetector()
        self._steadying = None if config.steady == "off" else SteadyStage()
        self._average = None
        if config.steady == "full":
            self._average = DepthAverage(
                strength=config.steady_strength,
                threshold=config.steady_threshold,
                persistence=config.steady_persistence,
            )
        self._stage, self._output_grid = engine.stage(), GridMemory(engine.device)
        self._capacity = self._stage.capacity(config.in_flight)
        with torch_errors():
            self._lanes = deque(Lane(engine.device) for _ in range(self._capacity))
        self._queued: list[_Queued] = []  # for their batch to be full
        self._computed: deque[_Computed] = deque()
        self._reference: _Reference | None = None
        self._behind: int | None = None  # the last frame that an earlier run has made, before the next one
        self._replayed = 0
        self._fov_every = config.fov_every
        self._steady = False  # whether the focal length is well known
        self._without_fov = 0  # frames since it was last estimated
        ways = (True,) if config.fov_every == 1 else (True, False)
        engine.prepare(with_fov=(False,) if self._camera.is_given or foreseen is not None else ways)

    @property
    def capacity(self) -> int:
        """Frames that may be submitted and not yet collected."""
        return self._capacity

    @property
    def batch(self) -> int:
        """Frames that are computed together."""
        return self._engine.config.batch

    def allocate(self, size: int) -> npt.NDArray[np.uint8]:
        """See :meth:`stream.ports.Estimator.allocate`."""
        return self._engine.allocate(size)

    def submit(self, lease: Lease, *, with_image: bool) -> None:
        """Start work on a frame; see the module's picture.

        Raises:
            ModelError: the device failed or is out of memory.
        """
        if self._reference is not None:
            self._look_at_reference(self._reference)
        if self._behind is not None and self._average is not None:
            _log.info("`steady=full`: pixels are averaged anew behind frame %d", self._behind)
        self._behind, frame = None, lease.frame
        scene_cut = self._cuts.update(frame)
        given = self._camera.intrinsics(frame.width, frame.height, pixel_aspect=frame.capture.pixel_aspect)
        lens = self._camera.lens(frame.width, frame.height)
        tracks = None if self._steadying is None else self._steadying.follow(frame, lens, scene_cut=scene_cut)
        lane = self._lanes.popleft()
        with _on_device():
            with self._streams.on("upload"):
                self._upload(lane, frame, lens)
                uploaded = self._streams.mark("upload")
            lease.release(after=uploaded)
            self._streams.wait("compute", uploaded)
            with_fov = self._is_estimated(frame, given) and self._fov_is_due(scene_cut)
            self._queued.append(
                _Queued(frame, lane, lease.dropped, scene_cut, given, lens, with_fov, with_image, tracks)
            )
            if len(self._queued) == self.batch:
                self._compute_queued()

    def wait(self) -> None:
        """Wait until the network has finished with the oldest frame.

        Raises:
            ModelError: the device failed or is out of memory.
        """
        with _on_device():
            if not self._computed:
                self._compute_queued()
            self._computed[0].done.synchronize()  # the first wait: field of view and finiteness are on the host

    def collect(self) -> DepthFrame:
        """Finish the oldest frame; see the module's picture.

        Raises:
            ConfigError: there is no usable depth where the user knows the distance.
            ModelError: the device failed or is out of memory.
        """
        self.wait()
        first = self._computed.popleft()
        with _on_device():
            job = self._finite(first)
            focal, camera = self._camera_of(job)
            scale = self._scaler.scale
            unit = 1.0 if scale is None else scale.factor
            found = self._steadied(job, camera, focal, unit)
            steady, odometry = (None, None) if found is None else (found.correction, found.odometry)
            factor = unit * (1.0 if steady is None else math.exp(steady.log))
            queued = job.queued
            camera = camera.resized(queued.lane.width, queued.lane.height)
            depth, image, averaged = self._download(job, factor * focal.smoothed_px, camera, odometry)
        if steady is not None and averaged is not None:
            steady = replace(steady, averaged=float(averaged))
        self._lanes.append(queued.lane)
        try:
            self._look_at_known_distance(queued, depth, focal)
        except ConfigError as exc:
            if not self._scaler.answer(str(exc)):  # somebody who asked in mid-run may ask again
                raise
        return DepthFrame(
            capture=queued.frame.capture,
            depth=depth.numpy(),
            camera=camera,
            focal=focal,
            source_width=queued.frame.width,
            source_height=queued.frame.height,
            scale=scale,
            steady=steady,
            odometry=odometry,
            image=None if image is None else image.numpy(),
            scene_cut=queued.scene_cut,
            model=self._engine.label,
            precision=job.precision,
            retried=job is not first,
            dropped=queued.dropped,
        )

    def replay(self, frame: Frame, done: Made) -> None:
        """Take note of a frame whose depth an earlier run has made, before any other is submitted.

        Cuts, focal lengths, scales and their filters go on from there as if it had been computed here. So does what is
        computed, to the bit, where the batches that follow are those of a run that was not interrupted; but averages of
        pixels begin anew.

        Args:
            frame: as it would be submitted.
            done: what was found in it.
        """
        place, self._replayed = self._replayed % self.batch, self._replayed + 1
        scene_cut = self._cuts.update(frame)
        given = self._camera.intrinsics(frame.width, frame.height, pixel_aspect=frame.capture.pixel_aspect)
        lens = self._camera.lens(frame.width, frame.height)
        if self._is_estimated(frame, given):
            self._fov_is_due(scene_cut)
        focal = self._track(frame, raw_px=done.raw_px, scene_cut=scene_cut, given=given)
        self._steady = focal.log_std < _STEADY_STD
        if done.scale is not None:
            self._scaler.resume(done.scale)
        self._behind = frame.capture.index
        if self._steadying is None:
            return
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
        if replayed is not None:
            kept = replace(frame, planes=tuple(plane.copy() for plane in frame.planes))
            camera = self._intrinsics(frame, focal, given)
            self._reference = _Reference(kept, place, lens, camera, replayed)

    def close(self) -> None:
        """Abandon the frames still in flight.

        Raises:
            ConfigError: the run was too short to measure the distance that the user knows.
        """
        for job in self._computed:
            job.done.synchronize()  # their memory must not be freed under the device's hands
        self._computed.clear()
        self._queued.clear()
        if self._steadying is not None:
            self._steadying.close()
        self._scaler.close()

    # After frames that were replayed ----------------------------------------------------------------------------------

    def _look_at_reference(self, reference: _Reference) -> None:
        """Compute once more what of the frames that were replayed those after them are followed from."""
        assert self._steadying is not None
        self._reference = None
        with_fov = not (self._camera.is_given or self._foreseen is not None)
        # Sums are rounded as they were only in a batch of as many, at the same place in it.
        batch = [
            _Queued(reference.frame, lane, 0, False, None, reference.lens, with_fov, False, None)
            for lane in islice(self._lanes, self.batch)
        ]
        with _on_device():
            with self._streams.on("upload"):
                for queued in batch:
                    self._upload(queued.lane, reference.frame, reference.lens)
                uploaded = self._streams.mark("upload")
            self._streams.wait("compute", uploaded)
            job = self._compute(batch, self._engine.precision)[reference.place]
            job.done.synchronize()
            self._finite(job)
        self._steadying.follow_from(reference.replayed, job.queued.lane.coarse.numpy(), reference.camera)

    # Before the network -----------------------------------------------------------------------------------------------

    def _is_estimated(self, frame: Frame, given: CameraIntrinsics | None) -> bool:
        """Whether it is for the network to find this frame's focal length."""
        return given is None and frame.focal_px is None and self._foreseen is None

    def _fov_is_due(self, scene_cut: bool) -> bool:
        """Whether this frame's field of view is to be estimated."""
        self._steady &= not scene_cut
        self._without_fov += 1
        if self._steady and self._without_fov < self._fov_every:
            return False
        self._without_fov = 0
        return True

    def _compute_queued(self) -> None:
        self._computed += self._compute(self._queued, self._engine.precision)
        self._queued = []

    def _compute(self, batch: list[_Queued], precision: Precision) -> list[_Computed]:
        """Queue preprocessing and network for ``batch``."""
        done = self._stage.compute(
            [queued.lane for queued in batch],
            precision,
            with_fov=any(queued.with_fov for queued in batch),
            with_coarse=self._steadying is not None,
        )
        return [_Computed(queued, precision, done) for queued in batch]

    def _upload(self, lane: Lane, frame: Frame, lens: Lens | None) -> None:
        width, height = self._output_size or (frame.width, frame.height)
        lane.upload(frame, lens, width=width, height=height)

    # After the network ------------------------------------------------------------------------------------------------

    def _finite(self, job: _Computed) -> _Computed:
        """``job``, or the same frame in the next wider type if it is not finite and there is one."""
        precision = wider(job.precision)
        if job.queued.lane.is_finite or precision is None:
            return job
        queued = job.queued  # whose planes are still in their lane
        index = queued.frame.capture.index
        _log.warning("frame %d is not finite in %s; trying %s", index, job.precision, precision)
        (again,) = self._compute([queued], precision)
        again.done.synchronize()  # rare enough that overlap does not matter
        return again

    def _camera_of(self, job: _Computed) -> tuple[FocalEstimate, CameraIntrinsics]:
        """The focal length that scales this frame, and the camera it makes."""
        queued, frame = job.queued, job.queued.frame
        is_seen = queued.with_fov and queued.lane.is_finite
        raw_px = focal_or_none(queued.lane.fov_deg, frame.width) if is_seen else None
        focal = self._track(frame, raw_px=raw_px, scene_cut=queued.scene_cut, given=queued.given)
        cut_ahead = any(a.scene_cut for a in self._queued) or any(a.queued.scene_cut for a in self._computed)
        self._steady = focal.log_std < _STEADY_STD and not cut_ahead
        return focal, self._intrinsics(frame, focal, queued.given)

    def _intrinsics(self, frame: Frame, focal: FocalEstimate, given: CameraIntrinsics | None) -> CameraIntrinsics:
        return given or CameraIntrinsics.from_focal(
            focal.smoothed_px, frame.width, frame.height, pixel_aspect=frame.capture.pixel_aspect
        )

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

    def _steadied(self, job: _Computed, camera: CameraIntrinsics, focal: FocalEstimate, unit: float) -> Steadied | None:
        """What steadies the scale of this frame, and where the camera is; ``None`` where that is not wanted."""
        queued = job.queued
        if self._steadying is None or queued.tracks is None:
            return None
        return self._steadying.correct(
            queued.tracks,
            queued.lane.coarse.numpy(),
            camera,
            focal,
            time_s=_time_s(queued.frame.capture),
            scene_cut=queued.scene_cut,
            unit=unit,
        )

    def _look_at_known_distance(self, queued: _Queued, depth_HW: Tensor, focal: FocalEstimate) -> None:
        """Let the scaler see a frame, for those that come after it."""
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
            scene_cut=queued.scene_cut,
        )

    def _download(
        self, job: _Computed, focal_px: float, camera: CameraIntrinsics, pose: Odometry | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Depth ``float32 [H, W]``; if wanted, the picture ``uint8 [H, W, 3]``; and, if pixels are averaged, the share
        of those that are. All on the host."""
        queued, lane = job.queued, job.queued.lane
        width, height = lane.width, lane.height
        with self._streams.on("download"):
            self._streams.wait("download", job.done)
            ratio = focal_px / queued.frame.width
            depth_HW = metric_depth(lane.C_HW, focal_ratio=ratio, width=width, height=height)
            if not lane.is_finite:
                depth_HW.fill_(math.nan)
            grid = self._output_grid.grid(queued.lens, queued.frame, width=width, height=height)
            if grid is not None and grid.nothing_HW is not None:
                depth_HW.masked_fill_(grid.nothing_HW, math.nan)
            averaged = None
            if self._average is not None:
                depth_HW, share = self._average.update(depth_HW, camera, pose, scene_cut=queued.scene_cut)
                averaged = _to_host(share)
            depth = _to_host(depth_HW)
            image = _to_host(_image(queued, grid, width=width, height=height)) if queued.with_image else None
            downloaded = self._streams.mark("download")
        downloaded.synchronize()  # the second wait: the sinks read this memory
        return depth, image, averaged


def _time_s(capture: Capture) -> float:
    """When a frame was taken, as good as the distance to other frames needs it.

    A camera's own clock may take over in mid-stream; when frames arrived tells their distances all the same.
    """
    return capture.time_s if capture.clock == "media" else capture.received_ns * 1e-9


def _output_point(x: float, y: float, queued: _Queued, *, width: int, height: int) -> tuple[float, float]:
    """Where the depth shows what is at ``x``, ``y`` of the upright source picture; NaN for nowhere."""
    if queued.lens is not None:
        x, y = queued.lens.rectified_point(x, y)
    return (x + 0.5) * width / queued.frame.width - 0.5, (y + 0.5) * height / queued.frame.height - 0.5


def _image(queued: _Queued, grid: Grid | None, *, width: int, height: int) -> Tensor:
    """The picture that belongs to the depth; black where the source shows nothing of it."""
    places_HW2 = None if grid is None else grid.places_HW2
    image_HW3 = image_from_planes(queued.lane.planes, queued.frame, width=width, height=height, grid_HW2=places_HW2)
    if grid is not None and grid.nothing_HW is not None:
        image_HW3.masked_fill_(grid.nothing_HW[..., None], 0)
    return image_HW3


def _to_host(x: Tensor) -> Tensor:
    """Start copying ``x`` to page-locked memory, which torch recycles once the last sink has let go of it."""
    if x.device.type == "cpu":
        return x
    return torch.empty(x.shape, dtype=x.dtype, pin_memory=True).copy_(x, non_blocking=True)


@contextmanager
def _on_device() -> Iterator[None]:
    """Around all work on the device: no gradients, and torch's errors become ours."""
    with torch_errors(), torch.inference_mode():
        yield
