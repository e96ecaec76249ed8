"""When a picture was taken, in ROS time, and what every message of it begins with."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_depth_bridge.client import DepthMessage

_END_OF_TIME_NS = 2**31 * 10**9  # builtin_interfaces/Time counts seconds in an int32


def stamp_ns(frame: DepthMessage, *, replay: bool = False) -> int:
    """When the picture was taken, in nanoseconds of ROS time; of a file, when it was read, unless ``replay``.

    Raises:
        ValueError: a time before 0 or after January 2038, for which ROS has no number.
    """
    h = frame.header
    if h["clock"] == "camera-rtcp" or (h["clock"] == "media" and replay):
        ns = int(h["capture_time_ns"])
    else:
        monotonic_ns = h["capture_time_ns"] if h["clock"] == "host-monotonic" else h["received_ns"]
        ns = int(monotonic_ns + (h["published_unix_ns"] - h["published_ns"]))
    if not 0 <= ns < _END_OF_TIME_NS:
        raise ValueError(f"frame {h['index']} was taken at {ns * 1e-9:.3f} s ({h['clock']}), which ROS time cannot say")
    return ns


def stamped(message: Any, frame: DepthMessage, ns: int) -> Any:
    """``message`` with its header."""
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(ns, 10**9)
    message.header.frame_id = frame.header["frame_id"]
    return message


def as_bytes(values: npt.NDArray[Any]) -> array.array[int]:
    """``values`` as the data of a message, copied as a whole.

    rclpy takes an ``array.array`` as it is, and looks at every single byte of anything else (ros2/rosidl_python, issue
    156).
    """
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return data
