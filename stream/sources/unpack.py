"""From FFmpeg's frames to planes: views of the decoder's memory wherever the layout is one of ours."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from stream.frame import PIXEL_FORMATS, ColorRange, ColorSpace, DevicePicture, Geometry, Transfer
from stream.sources.hardware import CardPicture, downloaded, may_stay, plane_views
from stream.sources.linear import displayed, is_linear

# AVColorSpace (ITU-T H.273 MatrixCoefficients). FCC and the two 601s differ by less than a code value; SMPTE 240M is
# nearest to 709. Whatever is missing here is guessed from the size, as players do.
_COLOR_SPACES: dict[int, ColorSpace] = {
    1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 7: "bt709", 9: "bt2020", 10: "bt2020",
}  # fmt: skip
_TRANSFERS: dict[int, Transfer] = {16: "pq", 18: "hlg"}  # H.273 TransferCharacteristics
_COLOR_RANGES: dict[int, ColorRange] = {1: "limited", 2: "full"}


@dataclass(frozen=True, slots=True)
class Picture:
    """What of a decoded frame does not depend on where it came from; fields as in :class:`stream.frame.Frame`."""

    geometry: Geometry
    planes: tuple[npt.NDArray[np.generic], ...]
    color_space: ColorSpace
    color_range: ColorRange
    transfer: Transfer
    rotation: Literal[0, 90, 180, 270]
    on_device: DevicePicture | None = None


Orientation = tuple[bool, Literal[0, 90, 180, 270]]
"""Whether to flip a picture left to right, and by how much to turn it afterwards, in degrees counter-clockwise."""


class Unpacker:
    """Turns frames into pictures. Keeps one converter, which is set up once per layout instead of once per frame."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._orientation: Orientation = (False, 0)

    def unpack(self, frame: av.VideoFrame) -> Picture:
        """``frame`` in one of :data:`stream.frame.PIXEL_FORMATS`; the planes keep the frame's memory alive.

        A frame in a device's memory stays there, unless its layout or a mirror needs the host.

        Raises:
            av.FFmpegError: the layout cannot be converted, or the device failed.
        """
        mirror, rotation = self._oriented(frame)
        if frame.sw_format is not None and (mirror or not may_stay(frame)):
            frame = downloaded(frame)
        if is_linear(frame):
            geometry = Geometry("rgb24", frame.width, frame.height)
            shown = Picture(geometry, (displayed(frame),), "bt601", "full", "sdr", rotation)
            return mirrored(shown, rotation) if mirror else shown
        color_space, color_range = _color_space(frame), _color_range(frame)
        transfer = _TRANSFERS.get(int(frame.color_trc), "sdr")
        if frame.sw_format is not None:
            geometry = Geometry(frame.sw_format.name, frame.width, frame.height)
            on_device = CardPicture(frame, geometry)
            return Picture(geometry, (), color_space, color_range, transfer, rotation, on_device)
        # A yuvj format is the same memory as its yuv sibling with full range said in the name.
        name = frame.format.name.replace("yuvj", "yuv")
        if name not in PIXEL_FORMATS or any(p.line_size < 0 for p in frame.planes):
            name = nearest_format(frame.format)
            code = 2 if color_range == "full" else 1  # same on both sides, or swscale would rescale the values
            frame = self._reformatter.reformat(frame, format=name, src_color_range=code, dst_color_range=code)
        geometry = Geometry(name, frame.width, frame.height)
        picture = Picture(geometry, plane_views(frame, geometry), color_space, color_range, transfer, rotation)
        return mirrored(picture, rotation) if mirror else picture

    def _oriented(self, frame: av.VideoFrame) -> Orientation:
        """How to put ``frame`` upright. What H.264 and H.265 tell of one frame holds until the next key frame."""
        told = _orientation(frame)
        if told is not None:
            self._orientation = told
        elif frame.key_frame:
            self._orientation = (False, 0)
        return self._orientation


def nearest_format(fmt: av.VideoFormat) -> str:
    """The member of :data:`stream.frame.PIXEL_FORMATS` that loses least of ``fmt``.

    Never less chroma resolution than 4:2:0 sampling leaves, 10 bits for anything deeper than 8, alpha dropped.
    """
    if fmt.name in PIXEL_FORMATS:
        return fmt.name
    if fmt.is_rgb or fmt.has_palette or fmt.name.startswith("xyz"):
        return "rgb24"
    colors = [c for c in fmt.components if not c.is_alpha]
    if len(colors) < 3:
        return "gray"
    deep = max(c.bits for c in colors) > 8
    halved_x, halved_y = fmt.chroma_width(16) < 16, fmt.chroma_height(16) < 16
    if fmt.name.startswith(("p010", "p016")):  # p012 goes planar: swscale 9 spoils its last columns at odd widths
        return "p010le"
    sampling = "420" if halved_x and halved_y else "422" if halved_x else "444"
    return f"yuv{sampling}p" + ("10le" if deep else "")


def mirrored(picture: Picture, rotation: Literal[0, 90, 180, 270]) -> Picture:
    """``picture`` flipped left to right (copied), to be turned by ``rotation`` afterwards.

    Chroma of odd widths ends up one luma pixel off, which no one will see.
    """
    planes = tuple(np.ascontiguousarray(p[:, ::-1]) for p in picture.planes)
    return replace(picture, planes=planes, rotation=rotation)


def _color_space(frame: av.VideoFrame) -> ColorSpace:
    guess: ColorSpace = "bt709" if frame.height >= 720 or frame.width >= 1280 else "bt601"
    return _COLOR_SPACES.get(int(frame.colorspace), guess)


def _color_range(frame: av.VideoFrame) -> ColorRange:
    fmt = frame.sw_format or frame.format
    if fmt.is_rgb or fmt.has_palette or fmt.name.startswith("yuvj"):
        return "full"
    # Untagged Y′CbCr is limited (H.264 E.2.1); untagged gray comes from stills and lossless codecs and is full.
    color = sum(not c.is_alpha for c in fmt.components) >= 3
    return _COLOR_RANGES.get(int(frame.color_range), "limited" if color else "full")


def _orientation(frame: av.VideoFrame) -> Orientation | None:
    """What a frame's display matrix says; ``None`` where it has none."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except (ValueError, KeyError):  # PyAV's, for a kind of side data it has no name for, or where there is none
        data = None
    if data is None:  # a matrix that only turns is in here
        turn = _right_angle(float(frame.rotation))
        return (False, turn) if turn else None
    a, b, _, c, d = np.frombuffer(cast(Any, data), "<i4")[:5].astype(np.float64)
    mirror = a * d - b * c < 0
    # FFmpeg's angle is counter-clockwise and says what to do to the picture, as ours does (libavutil/display.h).
    return bool(mirror), _right_angle(-math.degrees(math.atan2(-b, -a) if mirror else math.atan2(b, a)))


def _right_angle(degrees: float) -> Literal[0, 90, 180, 270]:
    return cast(Literal[0, 90, 180, 270], round(degrees / 90) * 90 % 360)
