"""A camera's topics in ROS 2: which there are, what they are called, and what a frame puts on each.

Recordings and live servers offer the same, so that what is set up for one works for the other; see
:mod:`sinks.ros.sink` for the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from rosbags.typesys.stores import ros2_humble as ros

from sinks.camera_info import camera_info as describe_camera
from sinks.option_checks import JPEG_QUALITY, check_frame_id, check_quality
from sinks.ros.messages import (
    DepthEncoding,
    Message,
    camera_info,
    colour_image,
    depth_image,
    header,
    jpeg_image,
    odometry,
    optical_transform,
    scale_correction,
)
from stream.errors import ConfigError
from stream.frame import DepthFrame

TF = "/tf_static"

# A name token of ROS 2: no two underscores in a row, none at an end.
_CAMERA = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*")
_IMAGE, _JPEG = ros.sensor_msgs__msg__Image.__msgtype__, ros.sensor_msgs__msg__CompressedImage.__msgtype__
_CAMERA_INFO = ros.sensor_msgs__msg__CameraInfo.__msgtype__
_DIAGNOSTICS = ros.diagnostic_msgs__msg__DiagnosticArray.__msgtype__
_ODOMETRY = ros.nav_msgs__msg__Odometry.__msgtype__
_TRANSFORMS = ros.tf2_msgs__msg__TFMessage.__msgtype__


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicOptions:
    """What is put on topics.

    Attributes:
        camera: first part of the topics and of the names of coordinate frames.
        frame_id: name of the optical frame; ``<camera>_optical_frame`` unless given.
        encoding: of depth: ``32FC1``, metres (NaN no estimate, +Inf beyond range), or ``16UC1``, millimetres (0: both).
        image: the picture that depth belongs to: ``jpeg``, ``raw`` (rgb8) or ``none``.
        quality: of JPEG, 1 … 100 the best and largest.
    """

    camera: str = "camera"
    frame_id: str | None = None
    encoding: DepthEncoding = "32FC1"
    image: Literal["jpeg", "raw", "none"] = "jpeg"
    quality: int = JPEG_QUALITY

    def __post_init__(self) -> None:
        if not _CAMERA.fullmatch(self.camera):
            raise ConfigError(
                f"camera must be letters, digits and single underscores, a letter first, not {self.camera!r}"
            )
        if self.frame_id is not None:
            check_frame_id(self.frame_id)
        if self.frame_id == self.link_frame:
            raise ConfigError(f"frame_id={self.frame_id} names the frame it is placed in; choose another name")
        check_quality(self.quality, self.image)

    @property
    def link_frame(self) -> str:
        return f"{self.camera}_link"

    @property
    def optical_frame(self) -> str:
        return self.frame_id or f"{self.camera}_optical_frame"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a topic can have of a frame: the name of the type, and the message, which is made when it is wanted."""

    type: str
    make: Callable[[], Message]


def offers(frame: DepthFrame, stamp_ns: int, options: TopicOptions) -> dict[str, Offer]:
    """What there is of ``frame``, by topic, but for the transform."""
    head = header(stamp_ns, options.optical_frame)
    depth, colour = f"/{options.camera}/depth", f"/{options.camera}/color"
    info = Offer(_CAMERA_INFO, partial(camera_info, frame, head))
    picture = "image_rect" if describe_camera(frame.camera).rectified else "image_raw"
    topics = {
        f"{depth}/{picture}": Offer(_IMAGE, partial(depth_image, frame, head, options.encoding)),
        f"{depth}/camera_info": info,
    }
    if (correction := scale_correction(frame, head, options.camera)) is not None:
        topics[f"{depth}/scale_correction"] = Offer(_DIAGNOSTICS, lambda: correction)
    if (pose := odometry(frame, stamp_ns, options.camera, options.optical_frame)) is not None:
        topics[f"/{options.camera}/odometry"] = Offer(_ODOMETRY, lambda: pose)
    if options.image == "jpeg":
        topics[f"{colour}/{picture}/compressed"] = Offer(_JPEG, partial(jpeg_image, frame, head, options.quality))
    if options.image == "raw":
        topics[f"{colour}/{picture}"] = Offer(_IMAGE, partial(colour_image, frame, head))
    if options.image != "none":
        topics[f"{colour}/camera_info"] = info
    return topics


def transform(stamp_ns: int, options: TopicOptions) -> Offer:
    """Where the optical frame is, for the topic :data:`TF`: what holds for all frames."""
    head = header(stamp_ns, options.link_frame)
    return Offer(_TRANSFORMS, partial(optical_transform, head, options.optical_frame))
