"""The node's parameters, with what ``ros2 param describe`` says of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any


def _parameter(default: Any, text: str) -> Any:
    return field(default=default, metadata={"text": text})


@dataclass(frozen=True)
class Parameters:
    """Read once, when the node starts.

    Raises:
        ValueError: one of them cannot be.
    """

    url: str = _parameter("tcp://127.0.0.1:5555", "where depth is published: tcp://host:port or ipc:///path")
    camera: str = _parameter("camera", "name of the camera there")
    conflate: bool = _parameter(False, "the publisher runs with conflate=1")
    secret: str = _parameter("", "file of the bridge's own certificate, NAME.key_secret, for an encrypted publisher")
    server: str = _parameter("", "file of that publisher's certificate, NAME.key")
    reliability: str = _parameter("reliable", "quality of service of all images and points: reliable or best_effort")
    queue_depth: int = _parameter(5, "messages kept for a subscriber that is slow")
    points: bool = _parameter(True, "offer point clouds, made when somebody subscribes")
    compressed_depth: bool = _parameter(True, "offer compressedDepth, made when somebody subscribes")
    compressed_depth_max: float = _parameter(100.0, "metres from which on compressedDepth of 32FC1 has no estimate")
    compressed_depth_quantization: float = _parameter(
        100.0, "of its inverse depth: the higher, the finer; the nearest depth it can say is about q²/65536 metres"
    )
    link_frame: str = _parameter("", "publish a static transform from this frame (x forward, z up) to the optical one")
    replay: bool = _parameter(False, "frames of a file keep the file's times, which become /clock")

    def __post_init__(self) -> None:
        if self.reliability not in ("reliable", "best_effort"):
            raise ValueError(f"reliability is reliable or best_effort, not {self.reliability!r}")
        if self.queue_depth < 1:
            raise ValueError(f"queue_depth is a number of messages, at least 1, not {self.queue_depth}")
        for name in ("compressed_depth_max", "compressed_depth_quantization"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is a number above 0, not {getattr(self, name)}")


def declare(node: Any) -> Parameters:
    """Declare them on ``node``; returns what it was started with.

    Raises:
        ValueError: one of them cannot be.
    """
    from rcl_interfaces.msg import ParameterDescriptor
    from rclpy.exceptions import InvalidParameterTypeException

    given = {}
    for about in fields(Parameters):
        descriptor = ParameterDescriptor(description=about.metadata["text"], read_only=True)
        try:
            given[about.name] = node.declare_parameter(about.name, about.default, descriptor).value
        except InvalidParameterTypeException as exc:
            raise ValueError(f"{about.name} is a {type(about.default).__name__} such as {about.default!r}") from exc
    return Parameters(**given)
