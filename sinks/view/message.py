"""One depth frame as a binary message: a header, depth as 16-bit codes, the picture as JPEG; see docs/view.md."""

from __future__ import annotations

import struct
import time

import cv2
import numpy as np

from sinks.depth_codes import DepthCodes
from sinks.frame_json import describe, to_json
from sinks.jpeg import to_jpeg
from stream.frame import DepthFrame

SCHEMA = "depth-pro-stream-view/1"
MAGIC = b"DPV1"
MOST_LEVELS = 3
"""Sizes below the full one: each has half the width and height of the one before."""

_LEAST_SIDE = 32  # pixels; what is smaller is not made smaller
_PREAMBLE = struct.Struct("<4sIII")
_ALIGNMENT = 8


def level_size(width: int, height: int, level: int) -> tuple[int, int]:
    """Width and height of a picture at ``level``, 0 the full size."""
    while level > 0 and min(width, height) // 2 >= _LEAST_SIDE:
        width, height, level = -(-width // 2), -(-height // 2), level - 1
    return width, height


def encode(
    frame: DepthFrame, codes: DepthCodes, *, camera: str, sequence: int, level: int, quality: int, taken_ns: int
) -> bytes:
    """The message of a frame: ``<4sIII``, header, depth, picture, without anything between them.

    The preamble is ``DPV1`` and the lengths of the three. The header is JSON, padded with spaces so that depth begins
    at a multiple of 8 bytes; depth is little-endian ``uint16 [height, width]``.

    Args:
        frame: what is sent.
        codes: what the 16 bits mean.
        camera: its name.
        sequence: frames of this camera before this one.
        level: see :func:`level_size`. Depth of a smaller size is that of single pixels, never a mean.
        quality: of the JPEG.
        taken_ns: when it was taken, on ``time.monotonic_ns()`` of this machine.

    Raises:
        SinkError: OpenCV cannot make a JPEG of the picture.
    """
    width, height = level_size(frame.width, frame.height, level)
    depth, picture = frame.depth, frame.image
    if (width, height) != (frame.width, frame.height):
        depth = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)  # type: ignore[assignment]
        if picture is not None:
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    jpeg = b"" if picture is None else to_jpeg(picture, quality).tobytes()
    values = np.ascontiguousarray(codes.encode(depth), "<u2")
    header = to_json(
        {
            "schema": SCHEMA,
            "type": "frame",
            "camera": camera,
            "sequence": sequence,
            "level": level,
            **codes.record(),
            **describe(frame, frame.camera.resized(width, height)),
            "picture": "jpeg" if jpeg else None,
            "taken_ns": taken_ns,
            "received_ns": frame.capture.received_ns,
            "inferred_ns": frame.inferred_ns,
            "encoded_ns": time.monotonic_ns(),
        }
    )
    padded = -(-(_PREAMBLE.size + len(header)) // _ALIGNMENT) * _ALIGNMENT - _PREAMBLE.size
    preamble = _PREAMBLE.pack(MAGIC, padded, values.nbytes, len(jpeg))
    return b"".join([preamble, header.ljust(padded), values.data, jpeg])
