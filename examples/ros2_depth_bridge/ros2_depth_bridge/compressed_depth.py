"""Depth as ``compressed_depth_image_transport`` sends it: 12 bytes of parameters, then a 16-bit PNG."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np

from ros2_depth_bridge.client import DepthMessage
from ros2_depth_bridge.images import depth_values
from ros2_depth_bridge.stamps import as_bytes, stamped

_CONFIG_HEADER = struct.Struct("<iff")  # format, and the two numbers a and b of its inverse depth
_INVERSE_DEPTH = 0
_FASTEST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


def compressed_depth(frame: DepthMessage, ns: int, msgs: Any, *, furthest: float, quantization: float) -> Any:
    """``CompressedImage`` of depth. ``msgs`` is ``sensor_msgs.msg``.

    16UC1: millimetres without loss. 32FC1: numbers n of inverse depth, from which the other side computes metres
    a / (n - b), NaN for n = 0. The furthest depth is 1, the nearest 65535: what is nearer is told as that, and what is
    not known, or not nearer than ``furthest`` metres, as 0.
    """
    values, encoding = depth_values(frame), frame.header["encoding"]
    a = b = 0.0
    if encoding == "32FC1":
        a = quantization * (quantization + 1)
        b = 1 - a / furthest
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = np.clip(np.rint(np.float32(a) / values + np.float32(b)), 1, 65535)
            values = np.where(values < furthest, inverse, 0).astype(np.uint16)
    done, png = cv2.imencode(".png", values, _FASTEST)
    if not done:
        raise ValueError(f"OpenCV cannot make a PNG of {values.shape[1]}x{values.shape[0]} pixels")
    image = stamped(msgs.CompressedImage(), frame, ns)
    image.format = f"{encoding}; compressedDepth png"
    image.data = as_bytes(np.frombuffer(_CONFIG_HEADER.pack(_INVERSE_DEPTH, a, b) + png.tobytes(), np.uint8))
    return image
