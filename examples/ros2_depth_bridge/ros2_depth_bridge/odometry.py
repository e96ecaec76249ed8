"""Where the camera is."""

from __future__ import annotations

from typing import Any

import numpy as np

from ros2_depth_bridge.client import DepthMessage
from ros2_depth_bridge.stamps import stamped

_UNKNOWN = 1e9  # variance of what nothing is said of: fusing it changes nothing


def is_located(frame: DepthMessage) -> bool:
    """Whether the publisher knows where the camera is; an older one does not say."""
    return frame.header.get("odometry") is not None


def odometry(frame: DepthMessage, ns: int, camera: str, msgs: Any) -> Any:
    """``Odometry``: the optical frame in that of its stretch, ``<camera>_odom_<number>``, with the same axes (z
    forward). Each stretch has a frame of its own. Nothing is said of speed.

    Args:
        frame: one that :func:`is_located`.
        ns: its stamp.
        camera: first part of the frame's name.
        msgs: ``nav_msgs.msg``.
    """
    pose = frame.header["odometry"]
    message = stamped(msgs.Odometry(), frame, ns)
    message.header.frame_id = f"{camera}_odom_{int(pose['stretch'])}"
    message.child_frame_id = frame.header["frame_id"]
    position, orientation = message.pose.pose.position, message.pose.pose.orientation
    position.x, position.y, position.z = map(float, pose["position"])
    orientation.x, orientation.y, orientation.z, orientation.w = map(float, pose["orientation"])
    message.pose.covariance = np.array(pose["covariance"], np.float64)
    message.twist.covariance = (_UNKNOWN * np.eye(6)).ravel()
    return message
