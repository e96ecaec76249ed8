"""Decoded planes → RGB → network input, on whatever device the planes are.

Each plane is resized by itself and converted afterwards. Resizing and the colour matrix are both linear, so this gives
what converting first would give, up to clamping of out-of-gamut values, and it touches far fewer pixels when a 4K frame
becomes the network's square.

Shapes: 3 RGB, H W rows and columns of the result, S the network's input side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 (the customary name)
from torch import Tensor

from model.pixels.hdr import sdr_from_hdr
from stream.frame import ColorRange, ColorSpace, Frame, PixelFormat

# Kr and Kb of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance): the weights of red and blue in luma.
_LUMA_WEIGHTS: dict[ColorSpace, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}


def host_tensor(plane: npt.NDArray[np.generic]) -> Tensor:
    """The plane as a tensor over the same memory, not to be written to.

    16-bit words appear as ``int16``, which every device can copy.
    """
    return torch.from_numpy(np.asarray(_Writable(plane.view(np.int16) if plane.dtype.itemsize == 2 else plane)))


class _Writable:
    """An array's memory, declared writable: torch has no read-only tensors, and warns of arrays that are."""

    def __init__(self, array: npt.NDArray[np.generic]) -> None:
        self._array = array  # keeps the memory alive
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}


def rgb_from_planes(
    planes: Sequence[Tensor], frame: Frame, *, width: int, height: int, grid_HW2: Tensor | None = None
) -> Tensor:
    """The upright picture at ``width`` × ``height``.

    Args:
        planes: the planes of ``frame`` as :func:`host_tensor` made them, on any device.
        frame: says what the planes mean; its own ``planes`` are not touched.
        width, height: size of the result in pixels. Planes are resized bilinearly with half-pixel centres and no
            antialiasing, as Depth Pro's reference resizes its input. Chroma counts as centred between its luma samples.
        grid_HW2: where each pixel of the result comes from, as :mod:`model.pixels.rectify` makes it; without it the
            picture is resized as it is.

    Returns:
        ``float32 [3, H, W]`` in [0, 1].
    """
    rotation, fmt = frame.capture.rotation, frame.geometry.format
    if grid_HW2 is not None:
        resized, rotation = [_sample(_values(p, fmt), grid_HW2) for p in planes], 0  # the grid turns them upright
    else:
        rows, columns = (width, height) if rotation in (90, 270) else (height, width)
        resized = [_resize(_values(p, fmt), rows, columns) for p in planes]
    rgb_3HW = resized[0] / 255 if fmt.is_rgb else _rgb_from_yuv(resized, fmt, frame.color_space, frame.color_range)
    if frame.transfer != "sdr":
        rgb_3HW = sdr_from_hdr(rgb_3HW, frame.transfer)
    return torch.rot90(rgb_3HW, rotation // 90, (1, 2)) if rotation else rgb_3HW


def network_input(planes: Sequence[Tensor], frame: Frame, *, size: int, grid_SS2: Tensor | None = None) -> Tensor:
    """The picture as Depth Pro takes it, squared whatever its aspect ratio: ``float32 [1, 3, S, S]`` in [-1, 1]."""
    rgb_3SS = rgb_from_planes(planes, frame, width=size, height=size, grid_HW2=grid_SS2)
    return (rgb_3SS * 2 - 1).unsqueeze(0)


def image_from_planes(
    planes: Sequence[Tensor], frame: Frame, *, width: int, height: int, grid_HW2: Tensor | None = None
) -> Tensor:
    """The upright picture for people: ``uint8 [H, W, 3]`` RGB, contiguous."""
    rgb_3HW = rgb_from_planes(planes, frame, width=width, height=height, grid_HW2=grid_HW2)
    return (rgb_3HW * 255).round_().to(torch.uint8).permute(1, 2, 0).contiguous()


def _values(plane_HWK: Tensor, fmt: PixelFormat) -> Tensor:
    """Code values as ``float32 [K, H, W]``."""
    if plane_HWK.dtype == torch.int16 and fmt.msb_aligned:
        plane_HWK = (plane_HWK.to(torch.int32) & 0xFFFF) >> (16 - fmt.bits)
    return plane_HWK.permute(2, 0, 1).to(torch.float32)


def _resize(x_KHW: Tensor, rows: int, columns: int) -> Tensor:
    if x_KHW.shape[1:] == (rows, columns):
        return x_KHW
    return F.interpolate(x_KHW.unsqueeze(0), size=(rows, columns), mode="bilinear", align_corners=False)[0]


def _sample(x_KHW: Tensor, grid_HW2: Tensor) -> Tensor:
    """Values between pixels, bilinear; those of the border beyond it."""
    return F.grid_sample(
        x_KHW.unsqueeze(0), grid_HW2.unsqueeze(0), mode="bilinear", padding_mode="border", align_corners=False
    )[0]


def _rgb_from_yuv(planes_KHW: list[Tensor], fmt: PixelFormat, space: ColorSpace, value_range: ColorRange) -> Tensor:
    """Y′CbCr code values to R′G′B′ in [0, 1] (ITU-R BT.601/709/2020 with the quantisation of BT.2100 table 9)."""
    scale = 1 << (fmt.bits - 8)
    peak = (1 << fmt.bits) - 1
    black, y_span, c_span = (16 * scale, 219 * scale, 224 * scale) if value_range == "limited" else (0, peak, peak)
    y_HW = (planes_KHW[0][0] - black) / y_span
    if len(planes_KHW) == 1:
        return y_HW.clamp(0, 1).expand(3, -1, -1)
    cb_HW, cr_HW = planes_KHW[1] if len(planes_KHW) == 2 else (planes_KHW[1][0], planes_KHW[2][0])
    cb_HW, cr_HW = (cb_HW - 128 * scale) / c_span, (cr_HW - 128 * scale) / c_span
    kr, kb = _LUMA_WEIGHTS[space]
    red = y_HW + 2 * (1 - kr) * cr_HW
    blue = y_HW + 2 * (1 - kb) * cb_HW
    green = (y_HW - kr * red - kb * blue) / (1 - kr - kb)
    return torch.stack((red, green, blue)).clamp_(0, 1)
