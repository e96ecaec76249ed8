"""The ROS 2 bridge's messages, from a real publisher through a real subscriber, and as bytes by another's serialiser.

ROS 2 is not needed: the message classes are made of the official definitions, which ``rosbags`` carries, and take what
``rclpy``'s take quickly, and nothing else (``rosidl_generator_py/resource/_msg.py.em`` of ros2/rosidl_python).
"""

from __future__ import annotations

import array
import functools
import math
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_typestore

from examples import ros2_bridge
from sinks.zeromq.depth_subscriber import DepthMessage
from sinks.zeromq.sink import ZmqOptions
from stream.frame import CameraIntrinsics, DepthFrame
from tests.sinks.zeromq.test_depth_subscriber import exchange, scene
from tests.support.doubles import recaptured
from tests.support.process import ROOT

STORE = get_typestore(Stores.ROS2_HUMBLE)
BOUNDS = {"uint8": (0, 2**8), "uint32": (0, 2**32), "int32": (-(2**31), 2**31)}
TYPECODES = {"uint8": "B", "float64": "d"}
SECOND = 10**9


class Message:
    """A message whose fields have defaults, and refuse what rclpy refuses or takes apart value by value."""

    ROS_TYPE: str

    def __init__(self) -> None:
        for name, kind in STORE.fielddefs[self.ROS_TYPE][1]:
            object.__setattr__(self, name, default(kind))

    def __setattr__(self, name: str, value: Any) -> None:
        fields = dict(STORE.fielddefs[self.ROS_TYPE][1])
        assert name in fields, name
        check(fields[name], value)
        object.__setattr__(self, name, value)


def default(kind: Any) -> Any:
    node, about = kind
    if node == Nodetype.NAME:
        return message_class(about)()
    if node == Nodetype.BASE:
        return {"string": "", "bool": False}.get(about[0], 0.0 if about[0].startswith("float") else 0)
    (_, inner), size = about
    if node == Nodetype.ARRAY:
        return np.zeros(size, inner[0])
    return array.array(TYPECODES[inner[0]]) if inner[0] in TYPECODES else []


def check(kind: Any, value: Any) -> None:
    node, about = kind
    if node == Nodetype.NAME:
        assert about == value.ROS_TYPE
    elif node == Nodetype.ARRAY:
        ((_, inner), size) = about
        assert isinstance(value, np.ndarray)
        assert (value.dtype, value.shape) == (np.dtype(inner[0]), (size,))
    elif node == Nodetype.SEQUENCE and about[0][1][0] in TYPECODES:
        assert isinstance(value, array.array)
        assert value.typecode == TYPECODES[about[0][1][0]]
    elif node == Nodetype.SEQUENCE:
        assert all(about[0][1] == v.ROS_TYPE for v in value)
    elif about[0] in BOUNDS:
        low, high = BOUNDS[about[0]]
        assert type(value) is int
        assert low <= value < high
    else:
        assert isinstance(value, {"string": str, "bool": bool}.get(about[0], float))


@functools.cache
def message_class(ros_type: str) -> type[Message]:
    return type(ros_type.rpartition("/")[2], (Message,), {"ROS_TYPE": ros_type})


def package(name: str) -> SimpleNamespace:
    """What ``import <name>.msg`` gives."""
    prefix = f"{name}/msg/"
    return SimpleNamespace(
        **{t.removeprefix(prefix): message_class(t) for t in STORE.fielddefs if t.startswith(prefix)}
    )


SENSOR_MSGS, GEOMETRY_MSGS = package("sensor_msgs"), package("geometry_msgs")


def over_the_wire(message: Message) -> Any:
    """``message`` serialised and read back."""
    return STORE.deserialize_cdr(STORE.serialize_cdr(to_rosbags(message), message.ROS_TYPE), message.ROS_TYPE)


def to_rosbags(value: Any) -> Any:
    if isinstance(value, Message):
        return STORE.types[value.ROS_TYPE](**{k: to_rosbags(v) for k, v in vars(value).items()})
    if isinstance(value, array.array):
        return np.frombuffer(value, value.typecode) if value else np.zeros(0, value.typecode)
    return [to_rosbags(v) for v in value] if isinstance(value, list) else value


def receive(frame: DepthFrame, **options: Any) -> DepthMessage:
    (got,), _ = exchange([frame], ZmqOptions(**options))
    return got


def bridged(frame: DepthFrame, *, points: bool = False, **options: Any) -> dict[str, Any]:
    """By topic, what ROS nodes get of ``frame``."""
    got = receive(frame, **options)
    made = ros2_bridge.messages(got, ros2_bridge.stamp_ns(got), SENSOR_MSGS, points=points)
    return {topic: over_the_wire(message) for topic, message in made.items()}


def off_centre() -> CameraIntrinsics:
    return CameraIntrinsics(fx=80.5, fy=70.25, cx=30.5, cy=20.5, width=64, height=48)


# Messages -------------------------------------------------------------------------------------------------------------


def test_metres_arrive_bit_by_bit_with_their_camera() -> None:
    frame = replace(scene(), camera=off_centre())
    made = bridged(frame)
    assert list(made) == ["camera/depth/image_rect", "camera/depth/camera_info"]
    image, info = made.values()
    assert image.data.tobytes() == frame.depth.tobytes()  # NaN and +Inf among it
    assert (image.width, image.height, image.encoding, image.is_bigendian, image.step) == (64, 48, "32FC1", 0, 256)
    assert (info.width, info.height, info.distortion_model, info.d.size) == (64, 48, "", 0)
    np.testing.assert_array_equal(info.k, [80.5, 0, 30.5, 0, 70.25, 20.5, 0, 0, 1])
    np.testing.assert_array_equal(info.p, [80.5, 0, 30.5, 0, 0, 70.25, 20.5, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(info.r, np.eye(3).ravel())
    assert image.header == info.header
    assert image.header.frame_id == "camera_optical_frame"


def test_millimetres_keep_their_values_and_lose_the_code_ros_has_not() -> None:
    made = bridged(scene(), encoding="16UC1")
    image = made["camera/depth/image_rect"]
    assert (image.encoding, image.step, image.data.size) == ("16UC1", 128, 64 * 48 * 2)
    millimetres = image.data.view("<u2").reshape(48, 64)
    assert millimetres[0, :4].tolist() == [0, 0, 65500, 1]
    np.testing.assert_array_equal(millimetres[1:], np.rint(scene().depth[1:] * 1000))


def test_a_lens_that_distorts_is_not_called_rectified() -> None:
    distortion = (0.1, -0.2, 0.001, 0.002, 0.05)
    camera = replace(off_centre(), distortion_model="plumb_bob", distortion=distortion)
    made = bridged(replace(scene(), camera=camera), points=True, image="raw")
    assert list(made) == [
        "camera/depth/image_raw",
        "camera/depth/camera_info",
        "camera/color/image_raw",
        "camera/color/camera_info",
    ]
    info = made["camera/depth/camera_info"]
    assert (info.distortion_model, info.d.tolist()) == ("plumb_bob", list(distortion))


def test_the_picture_comes_as_it_was_sent_with_the_stamp_of_its_depth() -> None:
    frame = scene()
    assert frame.image is not None
    made = bridged(frame, image="raw")
    raw = made["camera/color/image_rect"]
    assert (raw.encoding, raw.step) == ("rgb8", 192)
    assert raw.data.tobytes() == frame.image.tobytes()
    made = bridged(frame, image="jpeg", quality=95)
    jpeg = made["camera/color/image_rect/compressed"]
    assert jpeg.format == "rgb8; jpeg compressed bgr8"
    picture = cv2.imdecode(jpeg.data, cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(picture.astype(int) - frame.image).mean() < 4
    assert len({(m.header.stamp.sec, m.header.stamp.nanosec, m.header.frame_id) for m in made.values()}) == 1


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_points_lie_on_the_grid_of_the_image(encoding: str) -> None:
    frame = replace(scene(), camera=off_centre())
    got = receive(frame, encoding=encoding)
    cloud = over_the_wire(ros2_bridge.point_cloud(got, SECOND, SENSOR_MSGS))
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (48, 64, 12, 64 * 12)
    assert (cloud.is_dense, cloud.is_bigendian) == (False, False)
    assert [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields] == [
        ("x", 0, cloud.fields[0].FLOAT32, 1),
        ("y", 4, cloud.fields[0].FLOAT32, 1),
        ("z", 8, cloud.fields[0].FLOAT32, 1),
    ]
    xyz = cloud.data.view("<f4").reshape(48, 64, 3)
    np.testing.assert_array_equal(xyz[..., 2], got.depth)
    assert np.isnan(xyz[0, 0]).all()  # no estimate
    assert np.isnan(xyz[0, 1, :2]).all()  # beyond range: REP 117's code, and nowhere
    assert xyz[0, 1, 2] == math.inf
    known = np.isfinite(xyz).all(axis=2)
    np.testing.assert_allclose(xyz[known], got.points(), rtol=1e-6)
    z = float(got.depth[40, 10])
    np.testing.assert_allclose(xyz[40, 10], [(10 - 30.5) / 80.5 * z, (40 - 20.5) / 70.25 * z, z], rtol=1e-6)


def test_the_transform_turns_forward_into_forward() -> None:
    got = receive(scene(), camera="front")
    transform = over_the_wire(ros2_bridge.optical_transform(got, SECOND, "front_link", GEOMETRY_MSGS))
    assert (transform.header.frame_id, transform.child_frame_id) == ("front_link", "front_optical_frame")
    q = transform.transform.rotation
    turned = []
    for axis in np.eye(3):  # v + 2w(u×v) + 2u×(u×v)
        u = np.array([q.x, q.y, q.z])
        turned.append(axis + 2 * q.w * np.cross(u, axis) + 2 * np.cross(u, np.cross(u, axis)))
    # The optical frame's right, down and forward, in a frame with x forward, y left, z up.
    np.testing.assert_allclose(turned, [[0, -1, 0], [0, 0, -1], [1, 0, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("camera", "topic"),
    [("front", "front"), ("cam-1.left", "cam_1_left"), ("7", "camera_7"), ("a__b", "a_b"), ("_", "camera")],
)
def test_every_camera_has_a_topic_that_ros_allows(camera: str, topic: str) -> None:
    assert ros2_bridge.topic_name(camera) == topic


# Stamps ---------------------------------------------------------------------------------------------------------------


def test_a_stamp_is_the_time_of_capture_in_unix_time() -> None:
    now, monotonic = time.time_ns(), time.monotonic_ns()
    frame = recaptured(scene(), clock="host-monotonic", time_ns=monotonic - 5 * SECOND)
    assert abs(ros2_bridge.stamp_ns(receive(frame)) - (now - 5 * SECOND)) < SECOND
    frame = recaptured(scene(), clock="camera-rtcp", time_ns=1_700_000_000_123_456_789)
    got = receive(frame)
    ns = ros2_bridge.stamp_ns(got)
    assert ns == 1_700_000_000_123_456_789
    header = over_the_wire(ros2_bridge.depth_image(got, ns, SENSOR_MSGS)).header
    assert (header.stamp.sec, header.stamp.nanosec) == (1_700_000_000, 123_456_789)


def test_a_file_is_stamped_when_it_was_read_or_with_its_own_times() -> None:
    now = time.time_ns()
    got = receive(recaptured(scene(), clock="media", time_ns=3 * SECOND))
    assert abs(ros2_bridge.stamp_ns(got) - now) < 60 * SECOND
    assert ros2_bridge.stamp_ns(got, replay=True) == 3 * SECOND


@pytest.mark.parametrize("ns", [-1, 2**31 * SECOND])
def test_a_time_that_ros_cannot_say_is_an_error(ns: int) -> None:
    got = receive(recaptured(scene(), clock="camera-rtcp", time_ns=ns))
    with pytest.raises(ValueError, match="which ROS time cannot say"):
        ros2_bridge.stamp_ns(got)


# As a program ---------------------------------------------------------------------------------------------------------


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """The bridge copied to ``folder``, with nothing of this project to be found elsewhere."""
    shutil.copy(ROOT / "examples" / "ros2_bridge.py", folder)
    without_project = "import sys; sys.modules['sinks'] = None; sys.modules['rclpy'] = None; "
    return subprocess.run(
        [sys.executable, "-c", without_project + "sys.path.insert(0, '.'); import ros2_bridge as b; b.main()"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_two_files_are_enough_and_without_ros_one_line_says_what_to_do(tmp_path: Path) -> None:
    shutil.copy(ROOT / "sinks" / "zeromq" / "depth_subscriber.py", tmp_path)
    done = run(tmp_path)
    assert done.returncode == 1
    assert "ROS 2 must be sourced first, such as: source /opt/ros/" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_the_client_one_line_says_what_to_copy(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 1
    assert "the bridge needs a copy of sinks/zeromq/depth_subscriber.py beside it" in done.stderr
    assert done.stderr.count("\n") == 1
