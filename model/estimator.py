"""Frames in, metric depth out: upload, network and download overlap, each on its own stream.

How a frame goes through, and where the host waits::

    submit(n)    upload stream    copy planes from the ring slot          ── event ──► slot returns to the ring
                 compute stream   wait upload; RGB, resize, network;
                                  field of view and "finite" to the host  ── event: computed
    collect(n)   host             WAITS for computed(n)
                 host             one step of the focal filter
                 download stream  metres at the output size, copy to host ── event: downloaded
                 host             WAITS for downloaded(n)

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

from model.device import choose_device, torch_errors
from model.focal import FocalConfig, FocalTracker, focal_from_fov
from model.geometry import metric_depth, parse_output_size
from model.host_memory import keep_freed_memory
from model.intrinsics import GivenCamera
from model.network import InferenceNetwork
from model.precision import DTYPES, Precision, choose, wider
from model.preprocess import host_tensor, image_from_planes, network_input
from model.scene_cut import SceneCutDetector
from model.streams import streams_for
from model.weights import LoadedModel
from stream.errors import ConfigError, ModelError
from stream.frame import CameraIntrinsics, DepthFrame, FocalEstimate, Frame, Geometry
from stream.ports import Event, Lease

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorConfig:
    """Where and how the network runs."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number type of the network. auto: bf16 where the hardware computes it, else fp32."""

    output_size: str = "source"
    """Size of the depth: source, network or WxH."""

    in_flight: int = 2
    """Frames on a GPU at once. 2 hides transfers and the focal filter; 1 is slower, with a little less latency."""

    def __post_init__(self) -> None:
        if not 1 <= self.in_flight <= 64:
            raise ConfigError(f"--in-flight must be from 1 to 64, not {self.in_flight}")


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
    C_SS: Tensor
    computed: Event
    precision: Precision


class DepthProEstimator:
    """The :class:`stream.ports.Estimator` that runs Depth Pro. Used by one thread.

    Args:
        model: network with weights, on the CPU, where it stays; what runs is an :class:`InferenceNetwork` made of it.
        camera: what the user knows of the camera; without a focal length it is estimated.
        focal: how estimates are smoothed.
        config: device, precision, output size.
        with_image: put the RGB picture into each :class:`DepthFrame`.

    Raises:
        ConfigError: no such device, an impossible precision or output size.
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
        self._output_size = parse_output_size(self._config.output_size, model.config.output_size)
        self._device = choose_device(self._config.device)
        self._model = model
        self._camera = camera or GivenCamera()
        self._focal = FocalTracker(focal or FocalConfig())
        self._cuts = SceneCutDetector()
        self._with_image = with_image
        self._streams = streams_for(self._device)
        self._capacity = self._config.in_flight if self._device.type == "cuda" else 1
        self._lanes = deque(_Lane(self._device) for _ in range(self._capacity))
        self._jobs: deque[_Job] = deque()
        self._networks: dict[Precision, InferenceNetwork] = {}
        if self._device.type == "cpu":
            keep_freed_memory()
        with torch_errors():
            self._precision = self._first_finite_precision()

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
        return self._precision

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
                with_fov=given is None and frame.focal_px is None,
                C_SS=torch.empty(0),
                computed=uploaded,
                precision=self._precision,
            )
            self._compute(job)
        self._jobs.append(job)

    def collect(self) -> DepthFrame:
        """Wait for the oldest frame and finish it; see the module's picture.

        Raises:
            ModelError: the device failed or is out of memory.
        """
        job = self._jobs.popleft()
        with torch_errors(), torch.inference_mode():
            job.computed.synchronize()  # the first wait: field of view and finiteness are on the host
            retried = not job.lane.fov_and_finite[1] and self._retry(job)
            finite = bool(job.lane.fov_and_finite[1])
            focal, camera = self._scale(job, finite=finite)
            width, height = self._output_size or (job.frame.width, job.frame.height)
            with self._streams.on("download"):
                self._streams.wait("download", job.computed)
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
            model=self._model.name if self._model.trained else f"{self._model.name} (untrained)",
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
            job.computed.synchronize()  # their memory must not be freed under the device's hands
        self._jobs.clear()
        self._networks.clear()

    def _compute(self, job: _Job) -> None:
        """Queue preprocessing and network for ``job`` in its precision."""
        network = self._network(job.precision)
        with self._streams.on("compute"):
            x_13SS = network_input(job.lane.planes, job.frame, size=self._model.config.input_size)
            C_1SS, fov_1 = network(x_13SS, with_fov=job.with_fov)
            job.C_SS = C_1SS[0]
            fov = fov_1[0] if fov_1 is not None else C_1SS.new_zeros(())
            finite = torch.isfinite(job.C_SS).all() & torch.isfinite(fov)
            job.lane.fov_and_finite.copy_(torch.stack((fov, finite.to(fov.dtype))), non_blocking=True)
            job.computed = self._streams.mark("compute")

    def _retry(self, job: _Job) -> bool:
        """Run a frame again in the next wider type, if there is one. Its planes are still in its lane."""
        precision = wider(job.precision)
        if precision is None:
            return False
        _log.warning("frame %d is not finite in %s; trying %s", job.frame.index, job.precision, precision)
        job.precision = precision
        self._compute(job)
        job.computed.synchronize()  # rare enough that overlap does not matter
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
        return focal, job.given or CameraIntrinsics.from_focal(focal.smoothed_px, frame.width, frame.height)

    def _network(self, precision: Precision) -> InferenceNetwork:
        """The network in ``precision`` on the device; made when first needed."""
        if precision not in self._networks:
            # Always from the weights as they were loaded: a retry in fp32 must not start from rounded ones.
            self._networks[precision] = InferenceNetwork(
                self._model.network, device=self._device, dtype=DTYPES[precision]
            )
        return self._networks[precision]

    def _first_finite_precision(self) -> Precision:
        """The wanted precision, or the next wider one that gives a finite output for a picture of noise."""
        precision: Precision | None = choose(self._config.precision, self._device)
        size = self._model.config.input_size
        probe = torch.rand((1, 3, size, size), generator=torch.Generator().manual_seed(0)) * 2 - 1
        while precision is not None:
            with torch.inference_mode(), self._streams.on("compute"):
                C_1SS, fov_1 = self._network(precision)(probe.to(self._device))
                if bool(torch.isfinite(C_1SS).all() & torch.isfinite(fov_1).all()):
                    return precision
            del self._networks[precision]
            _log.warning("%s gives no finite output in %s on %s", self._model.name, precision, self._device)
            precision = wider(precision)
        raise ModelError(f"{self._model.name} gives no finite output even in fp32: its weights are damaged")

    def _to_host(self, x: Tensor) -> Tensor:
        """Start copying ``x`` to page-locked memory, which torch recycles once the last sink has let go of it."""
        if x.device.type == "cpu":
            return x
        return torch.empty(x.shape, dtype=x.dtype, pin_memory=True).copy_(x, non_blocking=True)
