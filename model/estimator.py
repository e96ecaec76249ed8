"""Frames in, metric depth out: upload, network and download overlap, each on its own stream.

How a frame goes through, and where the host waits::

    submit(n)    upload stream    copy planes from the ring slot          ── event ──► slot returns to the ring
                 compute stream   wait upload; once its batch is full: RGB, resize, network;
                                  field of view and "finite" to the host  ── event: computed
    collect(n)   host             WAITS for computed(n)
                 host             one step of the focal filter
                 download stream  metres at the output size, copy to host ── event: downloaded
                 host             WAITS for downloaded(n)

A batch that is not full is computed when its first frame is collected: nobody can tell whether more frames will come.

The focal filter lives on the host, so the host must see frame n's field of view before it can scale frame n. That wait
does not stall the GPU: with two frames in flight the network of frame n+1 was queued before the host began to wait for
frame n, and scaling runs on the download stream beside it, not behind it.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from model.engine.device import choose_device, torch_errors
from model.engine.device_streams import streams_for
from model.engine.engine import Engine
from model.engine.graphs import choose_fast
from model.engine.host_memory import keep_freed_memory
from model.engine.precision import Precision, choose, wider
from model.focal import FocalConfig, FocalTracker, GivenCamera, focal_from_fov
from model.focal.scene_cut import SceneCutDetector
from model.pixels.metres import metric_depth, parse_output_size
from model.pixels.planes import host_tensor, image_from_planes, network_input
from model.weights import LoadedModel
from model.weights.resample import at_input_size
from stream.errors import ConfigError
from stream.frame import CameraIntrinsics, DepthFrame, FocalEstimate, Frame, Geometry
from stream.ports import Event, Lease

_log = logging.getLogger(__name__)
_STEADY_STD = 0.01  # of log focal: so well known, it need not be estimated in every frame


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorConfig:
    """Where and how the network runs."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    precision: Literal["auto", "fp32", "bf16", "fp16", "fp8"] = "auto"
    """Number type of the network. auto: bf16 where the hardware computes it, else fp32. fp8: approximate."""

    fast: Literal["auto", "off", "graph", "compile"] = "auto"
    """How a GPU launches the network. graph: as one CUDA graph; compile: compiled by torch first; auto: graph."""

    output_size: str = "source"
    """Size of the depth: source, network or WxH."""

    in_flight: int = 2
    """Frames on a GPU at once. 2 hides transfers and the focal filter; 1 is slower, with a little less latency."""

    batch: int = 1
    """Frames that go through the network together, 64 at most. For files: frames wait for each other."""

    fov_every: int = 1
    """Once the focal length is steady (1 %), estimate it in every so many frames only."""

    low_memory: bool = False
    """Work through the picture a few tiles at a time: the same depth, slower, in less memory."""

    reuse_tiles: float | None = None
    """Do not compute a tile again that differs by at most so many grey levels of 255. 0: identical tiles, exact. Above
    0: approximate, for cameras that stand still; noise needs 2 or 3. Not with --batch or --fast."""

    input_size: int | None = None
    """Side of the network's input in pixels, a multiple of 512. Approximate: depth-pro was trained at 1536, nano at
    512."""

    def __post_init__(self) -> None:
        for option, value, most in (
            ("in-flight", self.in_flight, 64),
            ("batch", self.batch, 64),
            ("fov-every", self.fov_every, 1000),
        ):
            if not 1 <= value <= most:
                raise ConfigError(f"--{option} must be from 1 to {most}, not {value}")
        if self.reuse_tiles is None:
            return
        if not 0 <= self.reuse_tiles < 255:
            raise ConfigError(f"--reuse-tiles takes grey levels from 0 to below 255, not {self.reuse_tiles}")
        if self.batch > 1 or self.fast not in ("auto", "off"):
            raise ConfigError("--reuse-tiles looks at one frame after the other; leave out --batch and --fast")


class _Lane:
    """The device's side of one frame in flight: its planes, and a page-locked pair of numbers on the host."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._geometry: Geometry | None = None
        self.planes: list[Tensor] = []
        self.fov_and_finite = torch.zeros(2, dtype=torch.float32, pin_memory=device.type == "cuda")

    def upload(self, frame: Frame) -> None:
        """Copy the frame's planes here. Allocates once per geometry."""
        sources = [host_tensor(p) for p in frame.planes]
        if frame.geometry != self._geometry:
            self.planes = [torch.empty(s.shape, dtype=s.dtype, device=self._device) for s in sources]
            self._geometry = frame.geometry
        for mine, source in zip(self.planes, sources, strict=True):
            mine.copy_(source, non_blocking=True)


@dataclass(slots=True)
class _Job:
    """A frame in flight."""

    frame: Frame
    lane: _Lane
    dropped: int
    scene_cut: bool
    given: CameraIntrinsics | None
    with_fov: bool
    precision: Precision
    C_SS: Tensor
    computed: Event | None = None  # before that it waits for its batch


class DepthProEstimator:
    """The :class:`stream.ports.Estimator` that runs Depth Pro. Used by one thread.

    Args:
        model: network with weights, on the CPU, where it stays; what runs is an :class:`InferenceNetwork` made of it.
        camera: what the user knows of the camera; without a focal length it is estimated.
        focal: how estimates are smoothed.
        config: device, precision, output size.
        with_image: put the RGB picture into each :class:`DepthFrame`.

    Raises:
        ConfigError: no such device, an impossible precision or size, or ``fov_every`` without a smoothed focal length.
        ModelError: the network does not fit on the device, or gives no finite output in any precision.
    """

    def __init__(
        self,
        *,
        model: LoadedModel,
        camera: GivenCamera | None = None,
        focal: FocalConfig | None = None,
        config: EstimatorConfig | None = None,
        with_image: bool = False,
    ) -> None:
        self._config = config or EstimatorConfig()
        focal = focal or FocalConfig()
        if self._config.fov_every > 1 and focal.mode == "off":
            raise ConfigError("--fov-every needs a focal length that is smoothed; leave out --focal off")
        self._device = choose_device(self._config.device)
        if self._config.input_size is not None:
            trained, model = model, at_input_size(model, self._config.input_size)
            if model is not trained:
                _log.warning(
                    "%s: approximate depth, for it was trained at %d px", model.name, trained.config.input_size
                )
        self._label = _label(model, self._config)
        self._output_size = parse_output_size(self._config.output_size, model.config.output_size)
        self._camera = camera or GivenCamera()
        self._focal = FocalTracker(focal)
        self._cuts = SceneCutDetector()
        self._with_image = with_image
        self._streams = streams_for(self._device)
        self._capacity = self._config.batch * (self._config.in_flight if self._device.type == "cuda" else 1)
        self._lanes = deque(_Lane(self._device) for _ in range(self._capacity))
        self._jobs: deque[_Job] = deque()
        self._waiting: list[_Job] = []  # for their batch to be full
        self._steady = False  # whether the focal length is well known
        self._without_fov = 0  # frames since it was last estimated
        if self._device.type == "cpu":
            keep_freed_memory()
        with torch_errors(), torch.inference_mode(), self._streams.on("compute"):
            self._engine = self._make_engine(model)

    @property
    def capacity(self) -> int:
        """Frames that may be submitted and not yet collected."""
        return self._capacity

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def precision(self) -> Precision:
        """What the network runs in, after the probe at the start."""
        return self._engine.precision

    def submit(self, lease: Lease) -> None:
        """Start work on a frame; see the module's picture.

        Raises:
            ModelError: the device failed or is out of memory.
        """
        frame = lease.frame
        scene_cut = self._cuts.update(frame)
        given = self._camera.intrinsics(frame.width, frame.height)
        lane = self._lanes.popleft()
        with torch_errors(), torch.inference_mode():
            with self._streams.on("upload"):
                lane.upload(frame)
                uploaded = self._streams.mark("upload")
            lease.release(after=uploaded)
            self._streams.wait("compute", uploaded)
            job = _Job(
                frame=frame,
                lane=lane,
                dropped=lease.dropped,
                scene_cut=scene_cut,
                given=given,
                with_fov=given is None and frame.focal_px is None and self._fov_is_due(scene_cut),
                precision=self._engine.precision,
                C_SS=torch.empty(0),
            )
            self._jobs.append(job)
            self._waiting.append(job)
            if len(self._waiting) == self._config.batch:
                self._compute_waiting()

    def collect(self) -> DepthFrame:
        """Wait for the oldest frame and finish it; see the module's picture.

        Raises:
            ModelError: the device failed or is out of memory.
        """
        with torch_errors(), torch.inference_mode():
            if self._jobs[0].computed is None:
                self._compute_waiting()
            job = self._jobs.popleft()
            computed = _computed(job)
            computed.synchronize()  # the first wait: field of view and finiteness are on the host
            retried = not job.lane.fov_and_finite[1] and self._retry(job)
            finite = bool(job.lane.fov_and_finite[1])
            focal, camera = self._scale(job, finite=finite)
            width, height = self._output_size or (job.frame.width, job.frame.height)
            with self._streams.on("download"):
                self._streams.wait("download", _computed(job))
                ratio = focal.smoothed_px / job.frame.width
                depth_HW = metric_depth(job.C_SS, focal_ratio=ratio, width=width, height=height)
                if not finite:
                    depth_HW.fill_(math.nan)
                depth = self._to_host(depth_HW)
                image = None
                if self._with_image:
                    image = self._to_host(image_from_planes(job.lane.planes, job.frame, width=width, height=height))
                downloaded = self._streams.mark("download")
            downloaded.synchronize()  # the second wait: the sinks read this memory
        self._lanes.append(job.lane)
        return DepthFrame(
            index=job.frame.index,
            pts=job.frame.pts,
            time_base=job.frame.time_base,
            capture_time_ns=job.frame.capture_time_ns,
            clock=job.frame.clock,
            depth=depth.numpy(),
            camera=camera.resized(width, height),
            focal=focal,
            source_width=job.frame.width,
            source_height=job.frame.height,
            image=None if image is None else image.numpy(),
            scene_cut=job.scene_cut,
            model=self._label,
            precision=job.precision,
            retried=retried,
            dropped=job.dropped,
            rotation=job.frame.rotation,
            capture_uncertainty_ns=job.frame.capture_uncertainty_ns,
            received_ns=job.frame.received_ns,
        )

    def close(self) -> None:
        """Release the device. Frames still in flight are abandoned."""
        for job in self._jobs:
            if job.computed is not None:
                job.computed.synchronize()  # their memory must not be freed under the device's hands
        self._jobs.clear()
        self._waiting.clear()
        self._engine.close()

    def _make_engine(self, model: LoadedModel) -> Engine:
        config = self._config
        fast = choose_fast(config.fast, self._device)
        ways = (True,) if config.fov_every == 1 else (True, False)
        return Engine(
            model,
            device=self._device,
            precision=choose(config.precision, self._device),
            fast="off" if config.reuse_tiles is not None else fast,  # then what is launched depends on the picture
            batch=config.batch,
            with_fov=(False,) if self._camera.is_given else ways,
            low_memory=config.low_memory,
            reuse_tiles=config.reuse_tiles,
        )

    def _fov_is_due(self, scene_cut: bool) -> bool:
        """Whether this frame's field of view is to be estimated."""
        self._steady &= not scene_cut
        self._without_fov += 1
        if self._steady and self._without_fov < self._config.fov_every:
            return False
        self._without_fov = 0
        return True

    def _compute_waiting(self) -> None:
        self._compute(self._waiting)
        self._waiting = []

    def _compute(self, jobs: list[_Job]) -> None:
        """Queue preprocessing and network for ``jobs``, which have the same precision, as one batch."""
        size = self._engine.input_size
        with self._streams.on("compute"):
            x_B3SS = torch.cat([network_input(job.lane.planes, job.frame, size=size) for job in jobs])
            with_fov = any(job.with_fov for job in jobs)
            C_BSS, fov_B = self._engine.run(x_B3SS, jobs[0].precision, with_fov=with_fov)
            if fov_B is None:
                fov_B = C_BSS.new_zeros(len(jobs))
            finite_B = torch.isfinite(C_BSS).flatten(1).all(1) & torch.isfinite(fov_B)
            for job, C_SS, fov_and_finite in zip(
                jobs, C_BSS, torch.stack((fov_B, finite_B.to(fov_B.dtype)), dim=1), strict=True
            ):
                job.C_SS = C_SS
                job.lane.fov_and_finite.copy_(fov_and_finite, non_blocking=True)
            computed = self._streams.mark("compute")
            for job in jobs:
                job.computed = computed

    def _retry(self, job: _Job) -> bool:
        """Run a frame again in the next wider type, if there is one. Its planes are still in its lane."""
        precision = wider(job.precision)
        if precision is None:
            return False
        _log.warning("frame %d is not finite in %s; trying %s", job.frame.index, job.precision, precision)
        job.precision = precision
        self._compute([job])
        _computed(job).synchronize()  # rare enough that overlap does not matter
        return True

    def _scale(self, job: _Job, *, finite: bool) -> tuple[FocalEstimate, CameraIntrinsics]:
        """The focal length that scales this frame, and the camera it makes."""
        frame, fov_deg = job.frame, float(job.lane.fov_and_finite[0])
        focal = self._focal.update(
            # A camera's own clock may take over in mid-stream; when frames arrived tells their distances all the same.
            time_s=frame.time_s if frame.clock == "media" else frame.received_ns * 1e-9,
            raw_px=focal_from_fov(fov_deg, frame.width) if job.with_fov and finite and 0.1 < fov_deg < 179.9 else None,
            width=frame.width,
            scene_cut=job.scene_cut,
            given_px=None if job.given is None else job.given.fx,
            metadata_px=frame.focal_px,
        )
        cut_ahead = any(ahead.scene_cut for ahead in self._jobs)
        self._steady = focal.log_std < _STEADY_STD and not cut_ahead
        return focal, job.given or CameraIntrinsics.from_focal(focal.smoothed_px, frame.width, frame.height)

    def _to_host(self, x: Tensor) -> Tensor:
        """Start copying ``x`` to page-locked memory, which torch recycles once the last sink has let go of it."""
        if x.device.type == "cpu":
            return x
        return torch.empty(x.shape, dtype=x.dtype, pin_memory=True).copy_(x, non_blocking=True)


def _computed(job: _Job) -> Event:
    assert job.computed is not None
    return job.computed


def _label(model: LoadedModel, config: EstimatorConfig) -> str:
    """What outputs say of the model: whatever makes its depth another one than it was trained to give."""
    label = model.name
    if config.reuse_tiles:
        label += f", tiles reused within {config.reuse_tiles:g} grey levels"
    return label if model.trained else f"{label} (untrained)"
