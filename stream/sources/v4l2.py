"""What a camera says of itself to Linux: name, pixel formats, sizes, rates (V4L2, ``linux/videodev2.h``).

Its structures hold 32-bit numbers and text alone, so they are alike on every machine.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

Ioctl = Callable[[int, int, bytearray], object]
"""``fcntl.ioctl``: file, request, a structure that is changed in place."""

# Direction, size, 'V' and number make a request: _IOR and _IOWR of linux/ioctl.h.
_QUERYCAP, _ENUM_FMT, _ENUM_FRAMESIZES, _ENUM_FRAMEINTERVALS = 0x80685600, 0xC0405602, 0xC02C564A, 0xC034564B
_CAPABILITY = struct.Struct("=16s32s32s3I12x")  # driver, card, bus; version, capabilities, those of this device file
_FORMAT = struct.Struct("=3I32sI16x")  # index, type, flags; description; four-character code
_SIZE = struct.Struct("=9I8x")  # index, format, type; one size, or least, most and step of width and of height
_INTERVAL = struct.Struct(
    "=11I8x"
)  # index, format, width, height, type; seconds as a fraction, or least, most and step

_VIDEO_CAPTURE, _DEVICE_CAPS = 0x1, 0x80000000  # capabilities
_CAPTURE_BUFFER = 1  # type of the formats asked for
_DISCRETE = 1  # type of a size or interval that is one value
_MOST = 512  # of anything: a driver that never says "no more" must not hold us

# What FFmpeg calls the formats it reads from cameras: fmt_conversion_table in libavdevice/v4l2-common.c.
_NAMES = {
    "YU12": "yuv420p",
    "YV12": "yuv420p",
    "422P": "yuv422p",
    "YUYV": "yuyv422",
    "UYVY": "uyvy422",
    "411P": "yuv411p",
    "YUV9": "yuv410p",
    "YVU9": "yuv410p",
    "RGBO": "rgb555le",
    "RGBP": "rgb565le",
    "RGBR": "rgb565be",
    "BGR3": "bgr24",
    "RGB3": "rgb24",
    "BGR4": "bgr0",
    "XR24": "bgr0",
    "RGB4": "0rgb",
    "BX24": "0rgb",
    "AR24": "bgra",
    "BA24": "argb",
    "GREY": "gray",
    "Y16 ": "gray16le",
    "NV12": "nv12",
    "MJPG": "mjpeg",
    "JPEG": "mjpeg",
    "H264": "h264",
    "HEVC": "hevc",
    "MPG4": "mpeg4",
    "BA81": "bayer_bggr8",
    "GBRG": "bayer_gbrg8",
    "GRBG": "bayer_grbg8",
    "RGGB": "bayer_rggb8",
}


@dataclass(frozen=True, slots=True)
class Span:
    """One value, or those from ``low`` to ``high`` in steps of ``step`` (0: any between them)."""

    low: Fraction
    high: Fraction
    step: Fraction = Fraction(0)

    def has(self, value: Fraction) -> bool:
        """Whether ``value`` is one of them."""
        return self.low <= value <= self.high and (not self.step or (value - self.low) % self.step == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """Sizes of one pixel format that a camera can take pictures of.

    Attributes:
        format: FFmpeg's name, or the driver's four characters for one that FFmpeg cannot read from a camera.
        width, height: in pixels; ``None`` where the driver does not tell.
        rates: pictures per second, fastest first; empty where the driver does not tell.
    """

    format: str
    width: Span | None = None
    height: Span | None = None
    rates: tuple[Span, ...] = ()


def ask_camera(file: int, ioctl: Ioctl) -> tuple[str, tuple[Mode, ...]] | None:
    """Name and modes of an open device file; ``None`` if no pictures come out of it.

    Args:
        file: descriptor of ``/dev/video…``.
        ioctl: ``fcntl.ioctl``.

    Raises:
        OSError: the driver fails.
    """
    answer = bytearray(_CAPABILITY.size)
    try:
        ioctl(file, _QUERYCAP, answer)
    except OSError as exc:
        if exc.errno in (errno.ENOTTY, errno.EINVAL):  # no camera at all
            return None
        raise
    _, card, _, _, capabilities, of_this_file = _CAPABILITY.unpack(answer)
    # A camera has several device files, and not all of them give pictures.
    if not (of_this_file if capabilities & _DEVICE_CAPS else capabilities) & _VIDEO_CAPTURE:
        return None
    return _text(card), tuple(mode for code in _formats(file, ioctl) for mode in _modes(file, ioctl, code))


def _answers(file: int, ioctl: Ioctl, request: int, question: Callable[[int], bytes]) -> Iterator[bytearray]:
    """Answers to ``question(0)``, ``question(1)``, … until there is none."""
    for index in range(_MOST):
        answer = bytearray(question(index))
        try:
            ioctl(file, request, answer)
        except OSError as exc:
            if exc.errno in (errno.EINVAL, errno.ENOTTY, errno.ENODATA):  # no more, or not told by this driver
                return
            raise
        yield answer


def _formats(file: int, ioctl: Ioctl) -> Iterator[int]:
    """The four-character codes of a camera's formats."""
    for answer in _answers(file, ioctl, _ENUM_FMT, lambda i: _FORMAT.pack(i, _CAPTURE_BUFFER, 0, b"", 0)):
        yield _FORMAT.unpack(answer)[4]


def _modes(file: int, ioctl: Ioctl, code: int) -> Iterator[Mode]:
    four = code.to_bytes(4, "little").decode("latin-1")
    name = _NAMES.get(four, four.strip())
    told = False
    for answer in _answers(file, ioctl, _ENUM_FRAMESIZES, lambda i: _SIZE.pack(i, code, *[0] * 7)):
        told = True
        _, _, kind, *numbers = _SIZE.unpack(answer)
        if kind == _DISCRETE:
            width, height = (_span(n, n, 0) for n in numbers[:2])
        else:
            width, height = _span(*numbers[:3]), _span(*numbers[3:6])
        rates = _rates(file, ioctl, code, int(width.high), int(height.high))
        yield Mode(format=name, width=width, height=height, rates=tuple(rates))
        if kind != _DISCRETE:
            break  # that was all of them
    if not told:
        yield Mode(format=name)


def _rates(file: int, ioctl: Ioctl, code: int, width: int, height: int) -> list[Span]:
    """Pictures per second at one size, fastest first."""
    rates = []
    question = [code, width, height, *[0] * 7]
    for answer in _answers(file, ioctl, _ENUM_FRAMEINTERVALS, lambda i: _INTERVAL.pack(i, *question)):
        _, _, _, _, kind, least, of_least, most, of_most, *_ = _INTERVAL.unpack(answer)
        if kind == _DISCRETE:
            most, of_most = least, of_least
        if least and of_least and most and of_most:
            rates.append(Span(Fraction(of_most, most), Fraction(of_least, least)))
        if kind != _DISCRETE:
            break
    return sorted(set(rates), key=lambda rate: rate.high, reverse=True)


def _span(low: int, high: int, step: int) -> Span:
    return Span(Fraction(low), Fraction(high), Fraction(step))


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace").strip()
