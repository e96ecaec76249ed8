"""Frames in, metric depth out: upload, network and download overlap, each on its own stream.

How a frame goes through, and where the host waits::

    submit(n)    host             look: shots, the given camera; a thread of its own follows motion into the frame
                 upload stream    copy planes from the ring slot          ── event ──► slot returns to the ring
                 compute stream   wait upload; once its batch is full: RGB, resize, rectify, network;
                                  field of view, "finite" and coarse depth to the host  ── event: computed
    wait(n)      host             WAITS for computed(n)
    collect(n)   host             judge: one step of the focal filter, one of the filter of scale
                 download stream  metres at the output size, averaged with the past, copy to host ── event: downloaded
                 host             WAITS for downloaded(n)

A batch that is not full is computed when its first frame is waited for.

The filters live on the host, so the host must see frame n's field of view before it can scale frame n. That wait does
not stall the GPU: the network of frame n+1 is queued before collect(n), and scaling runs on the download stream beside
it, not behind it.

With ``hindsight``, for files, frames after n tell of its scale as well: so many are judged before n is scaled, and keep
their lanes until then.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from model.config import EstimatorConfig
from model.engine.device import torch_errors
from model.engine.device_slot import DeviceSlot
from model.engine.engine import Engine
from model.engine.passage import Lane
from model.engine.precision import Precision, wider
from model.estimator.judge import Judge
from model.estimator.metres import MetreStage
from model.estimator.passing import Computed, Judged, Looked, Made, Queued, Reference
from model.focal import FocalConfig, GivenCamera, Lens
from model.scale import DepthScaler
from model.steady import DepthAverage, SteadyStage, with_hindsight
from stream.errors import ConfigError
from stream.frame import DepthFrame, FocalEstimate, Frame
from stream.ports import Lease

_log = logging.getLogger(__name__)


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
        config, focal, camera = config or EstimatorConfig(), focal or FocalConfig(), camera or GivenCamera()
        scaler = scaler or DepthScaler()
        scaler.begin(engine.label)
        if scaler.known is not None and focal.mode == "off" and not camera.is_given:
            raise ConfigError(
                "`scale_from` waits for a steady focal length; leave out `focal=off`, or tell it as `fov`"
            )
        if config.fov_every > 1 and focal.mode == "off":
            raise ConfigError("`fov_every` needs a focal length that is smoothed; leave out `focal=off`")
        self._engine, self._streams, self._stage = engine, engine.streams, engine.stage()
        self._output_size = config.size(network=engine.output_size)
        self._is_steadied = config.steady != "off"
        self._judge = Judge(
            camera=camera,
            focal=focal,
            foreseen=foreseen,
            scaler=scaler,
            steadying=SteadyStage() if self._is_steadied else None,
            fov_every=config.fov_every,
        )
        average = None
        if config.steady == "full":
            average = DepthAverage(
                strength=config.steady_strength,
                threshold=config.steady_threshold,
                persistence=config.steady_persistence,
            )
        self._metres, self._is_averaged = MetreStage(engine, average), average is not None
        self._hindsight = (config.steady_hindsight or 0) if self._is_steadied else 0
        if self._hindsight and scaler.may_change:  # it is measured in finished frames, before the next one is judged
            raise ConfigError(
                "`steady_hindsight` waits for later frames, and a distance may be measured in this run (`scale_from`, "
                "or `view:?calibrate=yes`), which needs each one finished first; leave out one of them"
            )
        self._capacity = self._stage.capacity(config.in_flight)
        with torch_errors():
            self._lanes = deque(Lane(engine.device) for _ in range(self._capacity + self._hindsight))
        self._queued: list[Queued] = []  # for their batch to be full
        self._computed: deque[Computed] = deque()
        self._judged: deque[Judged] = deque()
        self._reference: Reference | None = None
        self._behind: int | None = None  # the last frame that an earlier run has made, before the next one
        self._replayed = 0
        ways = (True,) if config.fov_every == 1 else (True, False)
        engine.prepare(with_fov=ways if self._judge.may_estimate else (False,))

    @property
    def capacity(self) -> int:
        """Frames that may be submitted and not yet collected, beside those that :attr:`hindsight` waits for."""
        return self._capacity

    @property
    def hindsight(self) -> int:
        """Frames that are to be submitted behind a frame before it is collected, if they come."""
        return self._hindsight

    @property
    def batch(self) -> int:
        """Frames that are computed together."""
        return self._engine.config.batch

    def allocate(self, size: int) -> npt.NDArray[np.uint8]:
        """See :meth:`stream.ports.Estimator.allocate`."""
        return self._engine.allocate(size)

    def device_slot(self) -> DeviceSlot:
        """See :class:`stream.ports.Estimator`."""
        return DeviceSlot(self._engine.device, self._streams)

    def submit(self, lease: Lease, *, with_image: bool) -> None:
        """Start work on a frame; see the module's picture.

        Raises:
            ModelError: the device failed or is out of memory.
        """
        if self._reference is not None:
            self._look_at_reference(self._reference)
        if self._behind is not None and self._is_averaged:
            _log.info("`steady=full`: pixels are averaged anew behind frame %d", self._behind)
        self._behind, frame = None, lease.frame
        looked = self._judge.look(frame)
        lane = self._lanes.popleft()
        with _on_device():
            with self._streams.on("upload"):
                self._upload(lane, frame, looked.lens)
                uploaded = self._streams.mark("upload")
            lease.release(after=uploaded)
            self._streams.wait("compute", uploaded)
            self._queued.append(Queued(frame, lane, looked, lease.dropped, with_image))
            if len(self._queued) == self.batch:
                self._compute_queued()

    def wait(self) -> None:
        """Wait until the network has finished with the oldest frame, and those that it is judged with.

        Raises:
            ModelError: the device failed or is out of memory.
        """
        missing = self._hindsight + 1 - len(self._judged)
        with _on_device():
            if self._queued and len(self._computed) < missing:
                self._compute_queued()
            for computed in islice(self._computed, max(missing, 0)):
                computed.done.synchronize()  # the first wait: field of view and finiteness are on the host

    def collect(self) -> DepthFrame:
        """Finish the oldest frame; see the module's picture.

        Raises:
            ConfigError: there is no usable depth where the user knows the distance.
            ModelError: the device failed or is out of memory.
        """
        self.wait()
        with _on_device():
            while self._computed and len(self._judged) <= self._hindsight:
                self._judged.append(self._judge.judge(self._finite(self._computed.popleft())))
            judged = self._judged.popleft()
            steady, odometry = None, None
            if judged.steadied is not None:
                later = [after.steadied for after in self._judged if after.steadied is not None]
                steady, odometry = with_hindsight([judged.steadied, *later]), judged.steadied.odometry
            job, queued, focal, scale = judged.computed, judged.computed.queued, judged.focal, judged.scale
            factor = (1.0 if scale is None else scale.factor) * (1.0 if steady is None else math.exp(steady.log))
            camera = judged.camera.resized(queued.lane.width, queued.lane.height)
            depth, image, averaged = self._metres.download(job, factor * focal.smoothed_px, camera, odometry)
        if steady is not None and averaged is not None:
            steady = replace(steady, averaged=averaged)
        self._lanes.append(queued.lane)
        self._judge.measure(judged, depth)
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
            scene_cut=queued.looked.scene_cut,
            model=self._engine.label,
            precision=job.precision,
            retried=job.retried,
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
        self._behind = frame.capture.index
        self._reference = self._judge.replay(frame, done, place=place) or self._reference

    def close(self) -> None:
        """Abandon the frames still in flight.

        Raises:
            ConfigError: the run was too short to measure the distance that the user knows.
        """
        for job in self._computed:
            job.done.synchronize()  # their memory must not be freed under the device's hands
        self._computed.clear()
        self._queued.clear()
        self._judged.clear()
        self._judge.close()

    def _look_at_reference(self, reference: Reference) -> None:
        """Compute once more what of the frames that were replayed those after them are followed from."""
        self._reference = None
        looked = Looked(False, False, None, reference.lens, self._judge.may_estimate, None)
        # Sums are rounded as they were only in a batch of as many, at the same place in it.
        batch = [
            Queued(reference.frame, lane, looked, dropped=0, with_image=False)
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
        self._judge.follow_from(reference, job.queued.lane.coarse)

    def _upload(self, lane: Lane, frame: Frame, lens: Lens | None) -> None:
        width, height = self._output_size or (frame.width, frame.height)
        lane.upload(frame, lens, width=width, height=height)

    def _compute_queued(self) -> None:
        self._computed += self._compute(self._queued, self._engine.precision)
        self._queued = []

    def _compute(self, batch: list[Queued], precision: Precision) -> list[Computed]:
        """Queue preprocessing and network for ``batch``."""
        done = self._stage.compute(
            [queued.lane for queued in batch],
            precision,
            with_fov=any(queued.looked.with_fov for queued in batch),
            with_coarse=self._is_steadied,
        )
        return [Computed(queued, precision, done) for queued in batch]

    def _finite(self, job: Computed) -> Computed:
        """``job``, or the same frame in the next wider type if it is not finite and there is one."""
        precision = wider(job.precision)
        if job.queued.lane.is_finite or precision is None:
            return job
        queued = job.queued  # whose planes are still in their lane
        index = queued.frame.capture.index
        _log.warning("frame %d is not finite in %s; trying %s", index, job.precision, precision)
        (again,) = self._compute([queued], precision)
        again.done.synchronize()  # rare enough that overlap does not matter
        return replace(again, retried=True)


@contextmanager
def _on_device() -> Iterator[None]:
    """Around all work on the device: no gradients, and torch's errors become ours."""
    with torch_errors(), torch.inference_mode():
        yield
