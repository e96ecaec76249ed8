"""Depth and picture as images. ``msgs`` is ``sensor_msgs.msg``."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ros2_depth_bridge.client import DepthMessage
from ros2_depth_bridge.stamps import as_bytes, stamped


def depth_values(frame: DepthMessage) -> npt.NDArray[Any]:
    """As they were sent; but 16UC1's code for beyond range becomes 0, the only one ROS knows (REP 118)."""
    if frame.header["encoding"] != "16UC1":
        return frame.values
    # Readers would see a wall at 65.535 m.
    return np.where(frame.values == frame.header["beyond_range"], np.uint16(0), frame.values)


def depth_image(frame: DepthMessage, ns: int, msgs: Any) -> Any:
    """``Image``, 32FC1 or 16UC1."""
    return _image(depth_values(frame), frame, ns, msgs, encoding=frame.header["encoding"])


def colour_image(frame: DepthMessage, ns: int, msgs: Any) -> Any:
    """The picture: ``CompressedImage`` of a JPEG, in image_transport's words, or ``Image``, rgb8."""
    if not isinstance(frame.image, bytes):
        return _image(frame.image, frame, ns, msgs, encoding="rgb8")
    image = stamped(msgs.CompressedImage(), frame, ns)
    image.format = "rgb8; jpeg compressed bgr8"
    image.data = as_bytes(np.frombuffer(frame.image, np.uint8))
    return image


def picture(frame: DepthMessage) -> npt.NDArray[np.uint8] | None:
    """``uint8 [H, W, 3]`` RGB, ``None`` if none was sent.

    Raises:
        ValueError: it cannot be read, or has another size than depth.
    """
    if not isinstance(frame.image, bytes):
        return frame.image
    bgr = cv2.imdecode(np.frombuffer(frame.image, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None or bgr.shape[:2] != frame.values.shape:
        raise ValueError("a message came whose picture cannot be read or has another size than its depth")
    return bgr[..., ::-1]


def _image(pixels: npt.NDArray[Any], frame: DepthMessage, ns: int, msgs: Any, *, encoding: str) -> Any:
    image = stamped(msgs.Image(), frame, ns)
    image.height, image.width = pixels.shape[:2]
    image.encoding, image.is_bigendian = encoding, 0
    image.step = pixels.strides[0]
    image.data = as_bytes(pixels)
    return image
