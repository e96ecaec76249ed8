"""The camera: its ``CameraInfo``, and where it looks."""

from __future__ import annotations

import array
from typing import Any

import numpy as np

from ros2_depth_bridge.client import DepthMessage
from ros2_depth_bridge.stamps import stamped


def camera_info(frame: DepthMessage, ns: int, msgs: Any) -> Any:
    """``CameraInfo`` for depth and picture alike, raw and rectified. ``msgs`` is ``sensor_msgs.msg``."""
    header = frame.header
    info = stamped(msgs.CameraInfo(), frame, ns)
    info.height, info.width = frame.values.shape
    # An empty model means "not calibrated" in ROS, and image_geometry refuses it.
    info.distortion_model = header["distortion_model"] or "plumb_bob"
    info.d = array.array("d", header["D"] or [0.0] * 5)
    info.k = frame.K.ravel()
    info.r = rectification(frame).ravel()
    info.p = projection(frame).ravel()
    return info


def rectification(frame: DepthMessage) -> np.ndarray:
    """R, ``float64 [3, 3]``: the identity where the publisher, an older one, does not say."""
    return np.array(frame.header.get("R", np.eye(3)), np.float64).reshape(3, 3)


def projection(frame: DepthMessage) -> np.ndarray:
    """P, ``float64 [3, 4]``: K where the publisher does not say."""
    return np.array(frame.header.get("P", np.hstack([frame.K, np.zeros((3, 1))])), np.float64).reshape(3, 4)


def optical_transform(frame: DepthMessage, ns: int, link_frame: str, msgs: Any) -> Any:
    """``TransformStamped``: the optical frame (z forward, x right) in the link's (x forward, y left), REP 103.

    ``msgs`` is ``geometry_msgs.msg``.
    """
    transform = stamped(msgs.TransformStamped(), frame, ns)
    transform.header.frame_id, transform.child_frame_id = link_frame, frame.header["frame_id"]
    rotation = transform.transform.rotation
    rotation.x, rotation.y, rotation.z, rotation.w = -0.5, 0.5, -0.5, 0.5
    return transform
