"""Which topics a frame has, and what is on them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from ros2_depth_bridge.camera import camera_info
from ros2_depth_bridge.client import DepthMessage
from ros2_depth_bridge.compressed_depth import compressed_depth
from ros2_depth_bridge.images import colour_image, depth_image, picture
from ros2_depth_bridge.odometry import is_located, odometry
from ros2_depth_bridge.parameters import Parameters
from ros2_depth_bridge.points import point_cloud
from ros2_depth_bridge.rectification import can_rectify, rectify_depth, rectify_picture


class Topic(NamedTuple):
    """Its messages' type, and how to make the one of a frame, which is done only for somebody who listens."""

    kind: Any
    make: Callable[[], Any]


def topics(frame: DepthMessage, ns: int, msgs: Any, nav_msgs: Any, parameters: Parameters) -> dict[str, Topic]:
    """All topics of ``frame``, whose messages are stamped ``ns``.

    Args:
        frame: what came.
        ns: its stamp.
        msgs: ``sensor_msgs.msg``.
        nav_msgs: ``nav_msgs.msg``.
        parameters: of the node.
    """
    camera, rectified = topic_name(frame.header["camera"]), frame.header["rectified"]
    raw = "image_rect" if rectified else "image_raw"

    @cache
    def without_distortion() -> DepthMessage:
        return rectify_depth(frame)

    def info() -> Any:
        return camera_info(frame, ns, msgs)

    def points() -> Any:
        pixels = picture(frame)
        colours = None if pixels is None else rectify_picture(pixels, frame)
        return point_cloud(without_distortion(), ns, msgs, colours)

    def add_depth(name: str, of: Callable[[], DepthMessage]) -> None:
        topic = f"{camera}/depth/{name}"
        made[topic] = Topic(msgs.Image, lambda: depth_image(of(), ns, msgs))
        if parameters.compressed_depth:
            made[f"{topic}/compressedDepth"] = Topic(
                msgs.CompressedImage,
                lambda: compressed_depth(
                    of(),
                    ns,
                    msgs,
                    furthest=parameters.compressed_depth_max,
                    quantization=parameters.compressed_depth_quantization,
                ),
            )

    made: dict[str, Topic] = {}
    add_depth(raw, lambda: frame)
    made[f"{camera}/depth/camera_info"] = Topic(msgs.CameraInfo, info)
    if not rectified and can_rectify(frame):
        add_depth("image_rect", without_distortion)
    if parameters.points and can_rectify(frame):
        made[f"{camera}/depth/points"] = Topic(msgs.PointCloud2, points)
    if is_located(frame):
        made[f"{camera}/odometry"] = Topic(nav_msgs.Odometry, lambda: odometry(frame, ns, camera, nav_msgs))
    if frame.image is not None:
        jpeg = isinstance(frame.image, bytes)
        made[f"{camera}/color/{raw}{'/compressed' * jpeg}"] = Topic(
            msgs.CompressedImage if jpeg else msgs.Image, lambda: colour_image(frame, ns, msgs)
        )
        made[f"{camera}/color/camera_info"] = Topic(msgs.CameraInfo, info)
    return made


def topic_name(camera: str) -> str:
    """``camera`` as ROS allows it: letters, digits and single underscores, no digit in front."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", camera).strip("_")
    return name if name[:1].isalpha() else f"camera_{name}".rstrip("_")
