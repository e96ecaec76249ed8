"""Memory of the network's device for a decoded frame that is there already: it never sees the host."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from model.engine.device_streams import Streams
from stream.frame import DeviceArray, Frame, Geometry


@dataclass(frozen=True, slots=True)
class HeldPicture:
    """A picture in a device slot; see :class:`stream.frame.DevicePicture`.

    Attributes:
        planes: ``uint8``, or ``int16`` for 16-bit words as in :func:`model.pixels.planes.host_tensor`; shape
            ``[rows, columns, channels]``.
        luma: on the host.
    """

    planes: tuple[Tensor, ...]
    luma: npt.NDArray[np.generic]

    def download(self) -> tuple[npt.NDArray[np.generic], ...]:
        """See :meth:`stream.frame.DevicePicture.download`."""
        return tuple(plane.cpu().numpy().view(self.luma.dtype) for plane in self.planes)


class DeviceSlot:
    """See :class:`stream.ports.DeviceSlot`. Its memory is allocated once per geometry.

    Args:
        device: that of the network.
        streams: its queues of work.
    """

    def __init__(self, device: torch.device, streams: Streams) -> None:
        self._device, self._streams = device, streams
        self._geometry: Geometry | None = None
        self._planes: tuple[Tensor, ...] = ()
        self._luma = torch.empty(0)

    def fill(self, frame: Frame) -> Frame:
        """See :meth:`stream.ports.DeviceSlot.fill`.

        Raises:
            ValueError: the planes are on another device, or are not what the frame's geometry says.
            RuntimeError: the device failed or is out of memory.
        """
        assert frame.on_device is not None
        geometry = frame.geometry
        with self._streams.on("decoder"):
            theirs = [_tensor(plane) for plane in frame.on_device.planes]
            if tuple(plane.shape for plane in theirs) != geometry.plane_shapes:
                raise ValueError(f"{geometry} does not have planes of shape {[tuple(p.shape) for p in theirs]}")
            if geometry != self._geometry:
                self._lay_out(geometry)
            if any(plane.device != self._planes[0].device for plane in theirs):
                raise ValueError(f"they are on {theirs[0].device}, and the network is on {self._planes[0].device}")
            for mine, plane in zip(self._planes, theirs, strict=True):
                mine.copy_(plane, non_blocking=True)
            self._luma.copy_(self._planes[0][:: geometry.luma_step], non_blocking=True)
            copied = self._streams.mark("decoder")
        # The producer's wait for the decoder, which gets its surface back here, and for what the host looks at.
        copied.synchronize()
        held = HeldPicture(self._planes, self._luma.numpy().view(geometry.format.dtype))
        return replace(frame, on_device=held)

    def _lay_out(self, geometry: Geometry) -> None:
        dtype = torch.uint8 if geometry.format.bits == 8 else torch.int16
        self._planes = tuple(torch.empty(s, dtype=dtype, device=self._device) for s in geometry.plane_shapes)
        rows, columns, channels = self._planes[0][:: geometry.luma_step].shape
        self._luma = torch.empty((rows, columns, channels), dtype=dtype, pin_memory=self._device.type == "cuda")
        self._geometry = geometry


def _tensor(plane: DeviceArray) -> Tensor:
    """``plane`` as a tensor ``[rows, columns, channels]`` over the same memory, which it keeps from being reused.

    The capsule itself is asked for: torch would name its stream, and PyAV's planes refuse to wait for one.
    """
    tensor = from_dlpack(plane.__dlpack__())
    tensor = tensor.view(torch.int16) if tensor.dtype == torch.uint16 else tensor
    return tensor if tensor.ndim == 3 else tensor.unsqueeze(-1)
