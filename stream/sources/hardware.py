"""NVIDIA's decoder, where it is asked for and there, and pictures in its memory.

They come down to the host's memory like those of the CPU, unless they may stay where they are.
"""

from __future__ import annotations

import functools
import logging
from typing import Any, Literal, cast

import av
import numpy as np
import numpy.typing as npt
from av.codec.hwaccel import HWAccel, hwdevices_available

from stream.errors import SourceError
from stream.frame import DeviceArray, Geometry

_log = logging.getLogger(__name__)

Decode = Literal["auto", "cpu", "cuda"]

_STAYING = ("nv12", "p010le")  # what the decoder makes of 4:2:0 video of 8 and of 10 bits


def accelerator(wanted: Decode, *, stay_on: int | None = None) -> HWAccel | None:
    """What to open a container with; ``None`` for the CPU.

    ``auto`` means the CPU: no measurement says yet where the other is better. A decoder that is not there is said once;
    what it cannot decode, the CPU does.

    Args:
        wanted: who decodes.
        stay_on: number of the CUDA device that pictures stay on; ``None`` brings them down.
    """
    if wanted != "cuda" or not _is_there():
        return None
    if stay_on is None or _shared_context(stay_on) is None:
        return HWAccel("cuda")
    return HWAccel("cuda", device=str(stay_on), is_hw_owned=True)


@functools.cache
def _is_there() -> bool:
    if "cuda" not in hwdevices_available():
        _log.warning("this FFmpeg build has no NVIDIA decoder; decoding on the CPU")
        return False
    try:
        HWAccel("cuda").create(av.Codec("h264", "r"))
    except (av.FFmpegError, NotImplementedError) as exc:
        _log.warning("no NVIDIA driver or card can be used here (%s); decoding on the CPU", exc)
        return False
    return True


@functools.cache
def _shared_context(device: int) -> HWAccel | None:
    """The device's primary context, which the decoder shares with the network; ``None`` where it cannot be shared.

    Whoever opens it first chooses how its host threads wait, and FFmpeg refuses to share it where others chose. So it
    is opened here, with the first source and before the network, and held until the process ends.
    """
    try:
        return HWAccel("cuda", device=str(device), is_hw_owned=True).create(av.Codec("h264", "r"))
    except (av.FFmpegError, NotImplementedError) as exc:
        _log.warning("decoded pictures cannot stay on CUDA device %d (%s); they come down to the host", device, exc)
        return None


class CardPicture:
    """A picture in the decoder's memory on a card; see :class:`stream.frame.DevicePicture`.

    Args:
        picture: as decoded. It is held as long as this.
        geometry: its layout and size.
    """

    def __init__(self, picture: av.VideoFrame, geometry: Geometry) -> None:
        self._picture, self._geometry = picture, geometry

    @property
    def planes(self) -> tuple[DeviceArray, ...]:
        """See :attr:`stream.frame.DevicePicture.planes`."""
        return self._picture.planes

    @property
    def luma(self) -> npt.NDArray[np.generic]:
        """See :attr:`stream.frame.Frame.luma`. The whole picture is brought down for it, once."""
        return self.download()[0][:: self._geometry.luma_step]

    def download(self) -> tuple[npt.NDArray[np.generic], ...]:
        """See :meth:`stream.frame.DevicePicture.download`. The picture is brought down once."""
        return self._downloaded

    @functools.cached_property
    def _downloaded(self) -> tuple[npt.NDArray[np.generic], ...]:
        try:
            return plane_views(downloaded(self._picture), self._geometry)
        except av.FFmpegError as exc:
            raise SourceError(f"a decoded picture cannot be brought down from the card: {exc}") from exc


def may_stay(picture: av.VideoFrame) -> bool:
    """Whether ``picture``, in a card's memory, can be handed over as it is.

    DLPack's planes of odd sizes lack the last row or column of chroma.
    """
    is_even = picture.width % 2 == 0 and picture.height % 2 == 0
    return picture.sw_format is not None and picture.sw_format.name in _STAYING and is_even


def downloaded(picture: av.VideoFrame) -> av.VideoFrame:
    """``picture`` in the host's memory, in the layout that it has on the card; itself where it is there.

    Raises:
        av.FFmpegError: the card failed.
    """
    return picture if picture.sw_format is None else picture.reformat(format=picture.sw_format.name)


def plane_views(picture: av.VideoFrame, geometry: Geometry) -> tuple[npt.NDArray[np.generic], ...]:
    """The planes of a picture in the host's memory, ``[rows, columns, channels]``, which they keep alive."""
    dtype = geometry.format.dtype
    size = dtype.itemsize
    return tuple(
        # line_size includes the decoder's padding at the end of each row; the stride steps over it.
        np.ndarray(shape, dtype, buffer=cast(Any, plane), strides=(plane.line_size, shape[2] * size, size))
        for plane, shape in zip(picture.planes, geometry.plane_shapes, strict=True)
    )
