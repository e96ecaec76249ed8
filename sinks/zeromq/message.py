"""One depth frame as a message: topic, JSON header, depth, and the picture it belongs to; see docs/protocol.md."""

from __future__ import annotations

import re
import struct
import time
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from sinks.frame_json import describe, to_json
from sinks.millimetres import BEYOND_RANGE, NO_ESTIMATE, to_millimetres
from sinks.option_checks import JPEG_QUALITY, check_camera, check_frame_id, check_quality
from stream.errors import ConfigError, SinkError
from stream.frame import DepthFrame

SCHEMA = "depth-pro-stream/2"
MAGIC = b"DPS2"

Encoding = Literal["32FC1", "16UC1"]
Compression = Literal["none", "zstd", "png"]
ImageEncoding = Literal["none", "jpeg", "raw"]

_PREAMBLE = struct.Struct("<4sIQQ")
_ALIGNMENT = 64  # of depth within a single part, so that it can be used where it lies
_DTYPES: dict[str, np.dtype[Any]] = {"32FC1": np.dtype("<f4"), "16UC1": np.dtype("<u2")}
_MOST_PIXELS = 16384
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageOptions:
    """What a message holds.

    Attributes:
        camera: name of the camera, part of the topic: letters, digits, ``_``, ``.`` and ``-``.
        frame_id: its optical frame in ROS; empty for ``<camera>_optical_frame``.
        encoding: ``32FC1`` metres, or ``16UC1`` millimetres up to 65.534 m.
        compress: of depth, without loss: ``zstd``, or ``png`` for ``16UC1``.
        image: the picture that depth was computed from: ``jpeg``, or ``raw`` RGB.
        quality: of JPEG, 1 … 100.
        size: ``WxH`` of depth and picture; empty for the size they have.
        max_depth: metres beyond which depth is sent as beyond range; 0 for no limit.
    """

    camera: str = "camera"
    frame_id: str = ""
    encoding: Encoding = "32FC1"
    compress: Compression = "none"
    image: ImageEncoding = "none"
    quality: int = JPEG_QUALITY
    size: str = ""
    max_depth: float = 0.0

    def __post_init__(self) -> None:
        check_camera(self.camera)
        if self.compress == "png" and self.encoding == "32FC1":
            raise ConfigError("compress=png holds 16-bit numbers only; add encoding=16UC1, or choose compress=zstd")
        if self.frame_id:
            check_frame_id(self.frame_id)
        check_quality(self.quality, self.image)
        if not 0 <= self.max_depth < float("inf"):
            raise ConfigError(f"max_depth must be metres above zero, or 0 for no limit, not {self.max_depth}")
        self.target_size()  # refuses a size that cannot be

    def target_size(self) -> tuple[int, int] | None:
        """``size`` as width and height, ``None`` for the size that depth has."""
        if not self.size:
            return None
        match = _SIZE.fullmatch(self.size)
        if match is None or not all(1 <= int(n) <= _MOST_PIXELS for n in match.groups()):
            raise ConfigError(
                f"size must be WxH in pixels, such as 640x360, up to {_MOST_PIXELS} each, not {self.size!r}"
            )
        return int(match[1]), int(match[2])

    @property
    def topic(self) -> bytes:
        """``depth/<camera>/``. The slash at its end keeps ``cam1`` from receiving ``cam10``."""
        return f"depth/{self.camera}/".encode()


Buffer = bytes | memoryview


class MessageWriter:
    """Turns frames into parts. Arrays that need no change are sent as they are, without a copy.

    Args:
        options: what a message holds.
        session: of the publisher.

    Raises:
        ConfigError: ``compress=zstd`` without the package for it.
    """

    def __init__(self, options: MessageOptions, session: str) -> None:
        self._options = options
        self._size = options.target_size()
        self._compress = _zstd_compressor() if options.compress == "zstd" else None
        metres = options.encoding == "32FC1"
        # Made once: the end of the header is the same in every message.
        self._topic = options.topic
        self._constant = to_json(
            {
                "type": "depth",
                "session": session,
                "camera": options.camera,
                "frame_id": options.frame_id or f"{options.camera}_optical_frame",
                "encoding": options.encoding,
                "depth_unit": 1.0 if metres else 0.001,
                "no_estimate": "NaN" if metres else NO_ESTIMATE,
                "beyond_range": "Infinity" if metres else BEYOND_RANGE,
                "byte_order": "little",
                "compression": options.compress,
            }
        )[1:]

    def parts(self, frame: DepthFrame, *, sequence: int, retried_frames: int) -> list[Buffer]:
        """Topic, header, depth, and where asked for the picture.

        Args:
            frame: what is sent, now; its arrays must not change until ZeroMQ has sent them.
            sequence: messages of this session before this one.
            retried_frames: frames that had to be computed again, so far.

        Raises:
            SinkError: a picture is asked for and the frame has none, or it cannot be compressed.
        """
        options = self._options
        depth = self._sized(
            frame.depth, cv2.INTER_NEAREST_EXACT
        )  # a mean of near and far would be the depth of nothing
        if options.max_depth:
            with np.errstate(invalid="ignore"):
                depth = np.where(depth > options.max_depth, np.float32(np.inf), depth)
        values = depth if options.encoding == "32FC1" else to_millimetres(depth)
        values = np.ascontiguousarray(values, _DTYPES[options.encoding])
        image, image_parts = self._image(frame)
        data = self._compressed(values)
        height, width = values.shape
        header = to_json(
            {
                "schema": SCHEMA,
                "sequence": sequence,
                **describe(frame, frame.camera.resized(width, height)),
                "row_step": values.strides[0],
                "image": image,
                "received_ns": frame.capture.received_ns,
                "inferred_ns": frame.inferred_ns,
                "published_ns": time.monotonic_ns(),
                "published_unix_ns": time.time_ns(),
                "retried_frames": retried_frames,
            }
        )
        return [self._topic, header[:-1] + b"," + self._constant, data, *image_parts]

    def _sized(self, picture: npt.NDArray[Any], interpolation: int) -> npt.NDArray[Any]:
        height, width = picture.shape[:2]
        if self._size is None or self._size == (width, height):
            return picture
        return cv2.resize(picture, self._size, interpolation=interpolation)

    def _compressed(self, values: npt.NDArray[Any]) -> Buffer:
        if self._compress is not None:
            compressed: bytes = self._compress(values.data)
            return compressed
        return (
            _encoded(".png", values, [cv2.IMWRITE_PNG_COMPRESSION, 1])
            if self._options.compress == "png"
            else values.data
        )

    def _image(self, frame: DepthFrame) -> tuple[dict[str, object] | None, list[Buffer]]:
        """The header's ``image``, and its part."""
        if self._options.image == "none":
            return None, []
        if frame.image is None:
            raise SinkError(
                f"frame {frame.capture.index} comes without its picture, and image={self._options.image} needs it"
            )
        picture = np.ascontiguousarray(self._sized(frame.image, cv2.INTER_AREA))
        if self._options.image == "raw":
            return {"encoding": "rgb8", "row_step": picture.strides[0]}, [picture.data]
        options = [cv2.IMWRITE_JPEG_QUALITY, self._options.quality]
        return {"encoding": "jpeg"}, [_encoded(".jpg", picture[..., ::-1], options)]


def pack(parts: list[Buffer]) -> bytes:
    """Parts as a single one, which ZeroMQ's conflation needs.

    Topic, then ``<4sIQQ``: ``DPS2`` and the lengths of header, depth and picture, then these three. The header is
    padded with spaces, which JSON ignores, so that depth begins at a multiple of 64 bytes.
    """
    topic, header, depth = parts[:3]
    image = parts[3] if len(parts) > 3 else b""
    before = len(topic) + _PREAMBLE.size
    padded = -(-(before + len(header)) // _ALIGNMENT) * _ALIGNMENT - before
    lengths = (padded, memoryview(depth).nbytes, memoryview(image).nbytes)
    return b"".join([topic, _PREAMBLE.pack(MAGIC, *lengths), bytes(header).ljust(padded), depth, image])


def _encoded(ending: str, picture: npt.NDArray[Any], options: list[int]) -> Buffer:
    done, data = cv2.imencode(ending, picture, options)
    if not done:
        raise SinkError(f"OpenCV cannot make a {ending} of {picture.shape[1]}x{picture.shape[0]} pixels")
    return data.data


def _zstd_compressor() -> Any:
    try:
        import zstandard
    except ImportError as exc:
        raise ConfigError("compress=zstd needs a package; install it with: pip install -e '.[zstd]'") from exc
    return zstandard.ZstdCompressor(level=1).compress
