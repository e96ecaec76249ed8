"""A frame's passage through the network, wherever that runs: decoded planes in, inverse depth and field of view out.

A :class:`Lane` is one frame in flight. An estimator uploads a frame into it and hands it to a :class:`Stage`; when the
event that the stage returns has happened, the lane holds what the network found. :class:`LocalStage` computes on the
engine's device; the one of :mod:`model.engine.ray_engine` has other processes compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from model.engine.device_slot import HeldPicture
from model.engine.precision import Precision
from model.focal.lens import Lens
from model.pixels.planes import host_tensor, network_input
from model.pixels.rectify import GridMemory
from stream.frame import Frame, Geometry
from stream.ports import Event

if TYPE_CHECKING:
    from model.engine.engine import Engine

_COARSE = 192  # values on a side, at least, that the filter of scale looks at


def single_values(C_SS: Tensor) -> Tensor:
    """``float32 [h, w]`` of the canonical inverse depth, as few as steadying its scale needs, on the same device."""
    step = max(1, len(C_SS) // _COARSE)
    return C_SS[step // 2 :: step, step // 2 :: step].float()


class Lane:
    """One frame in flight: its planes, and what the network found in it.

    Attributes:
        frame: as uploaded; its own planes may be gone.
        lens: to be rectified, ``None`` where it is not.
        width, height: of the depth that is wanted, pixels.
        planes: on the device that pictures are made on.
        C_HW: canonical inverse depth, ``float32``, as the network gave it or already ``[height, width]``.
        fov_and_finite: field of view in degrees, and 1 where the output is finite; on the host, page-locked for a GPU.
        coarse: single values of the canonical inverse depth of the whole picture, ``float32 [h, w]``, on the host.
    """

    frame: Frame
    lens: Lens | None
    width: int
    height: int
    C_HW: Tensor

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._geometry: Geometry | None = None
        self.planes: list[Tensor] = []
        self.fov_and_finite = torch.zeros(2, dtype=torch.float32, pin_memory=device.type == "cuda")
        self.coarse = torch.empty(0, 0)

    def upload(self, frame: Frame, lens: Lens | None, *, width: int, height: int) -> None:
        """Start copying the frame's planes here. Allocates once per geometry."""
        self.frame, self.lens, self.width, self.height = frame, lens, width, height
        sources = _tensors(frame)
        if frame.geometry != self._geometry:
            self.planes = [torch.empty(s.shape, dtype=s.dtype, device=self._device) for s in sources]
            self._geometry = frame.geometry
        for mine, source in zip(self.planes, sources, strict=True):
            mine.copy_(source, non_blocking=True)

    def keep_coarse(self, C_SS: Tensor) -> None:
        """Start copying single values of ``C_SS`` to the host. Allocates once per size."""
        coarse = single_values(C_SS)
        if self.coarse.shape != coarse.shape:
            self.coarse = torch.empty(coarse.shape, pin_memory=self._device.type == "cuda")
        self.coarse.copy_(coarse, non_blocking=True)

    @property
    def fov_deg(self) -> float:
        """The field of view in degrees, once the network is done; 0 where it was not estimated."""
        return float(self.fov_and_finite[0])

    @property
    def is_finite(self) -> bool:
        """Whether the network's output is, once it is done."""
        return bool(self.fov_and_finite[1])


def _tensors(frame: Frame) -> Sequence[Tensor]:
    """The frame's planes, on the device if its slot is there; a decoder's own memory is brought down."""
    if isinstance(frame.on_device, HeldPicture):
        return frame.on_device.planes
    return [host_tensor(plane) for plane in frame.on_host().planes]


class Stage(Protocol):
    """The network as one source's frames go through it. Used by one thread."""

    def capacity(self, in_flight: int) -> int:
        """Lanes that are worth having, ``in_flight`` batches being wanted on a GPU."""
        ...

    def compute(self, lanes: Sequence[Lane], precision: Precision, *, with_fov: bool, with_coarse: bool) -> Event:
        """Start the network on a batch of uploaded frames. Their lanes are filled when the event has happened.

        Args:
            lanes: at most a full batch.
            precision: the number type.
            with_fov: whether the field of view is wanted.
            with_coarse: whether :attr:`Lane.coarse` is wanted.

        Raises:
            ModelError: the network cannot run; the event's ``synchronize`` may raise it as well.
        """
        ...

    def field_of_view(self, lane: Lane) -> Event:
        """As :meth:`compute`, of the field of view alone."""
        ...


class LocalStage:
    """The network on the engine's own device; see :class:`Stage`."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._streams = engine, engine.streams
        self._grids = GridMemory(engine.device)

    def capacity(self, in_flight: int) -> int:
        """See :meth:`Stage.capacity`."""
        return self._engine.config.batch * (in_flight if self._engine.device.type == "cuda" else 1)

    def compute(self, lanes: Sequence[Lane], precision: Precision, *, with_fov: bool, with_coarse: bool) -> Event:
        """See :meth:`Stage.compute`."""
        with self._streams.on("compute"):
            x_B3SS = torch.cat([self._network_input(lane) for lane in lanes])
            C_BSS, fov_B = self._engine.run(x_B3SS, precision, with_fov=with_fov)
            if fov_B is None:
                fov_B = C_BSS.new_zeros(len(lanes))
            finite_B = torch.isfinite(C_BSS).flatten(1).all(1) & torch.isfinite(fov_B)
            numbers_B2 = torch.stack((fov_B, finite_B.to(fov_B.dtype)), dim=1)
            for lane, C_SS, numbers_2 in zip(lanes, C_BSS, numbers_B2, strict=True):
                lane.C_HW = C_SS
                lane.fov_and_finite.copy_(numbers_2, non_blocking=True)
                if with_coarse:
                    lane.keep_coarse(C_SS)
            return self._streams.mark("compute")

    def field_of_view(self, lane: Lane) -> Event:
        """See :meth:`Stage.field_of_view`."""
        with self._streams.on("compute"):
            (fov,) = self._engine.field_of_view(self._network_input(lane))
            lane.fov_and_finite.copy_(torch.stack((fov, torch.isfinite(fov).to(fov.dtype))), non_blocking=True)
            return self._streams.mark("compute")

    def _network_input(self, lane: Lane) -> Tensor:
        size = self._engine.input_size
        grid = self._grids.grid(lane.lens, lane.frame, width=size, height=size)
        return network_input(lane.planes, lane.frame, size=size, grid_SS2=None if grid is None else grid.places_HW2)
