"""The ROS 2 bridge's messages, from a real publisher through a real subscriber, and as bytes by another's serialiser.

ROS 2 is not needed. :mod:`tests.sinks.ros.test_bridge_node` has the node as a whole, and a real ROS 2.
"""

from __future__ import annotations

import math
import struct
import time
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from ros2_depth_bridge.camera import optical_transform
from ros2_depth_bridge.images import depth_image
from ros2_depth_bridge.parameters import Parameters
from ros2_depth_bridge.points import point_cloud
from ros2_depth_bridge.rectification import rectify_depth
from ros2_depth_bridge.stamps import stamp_ns
from ros2_depth_bridge.topics import topic_name, topics
from sinks.zeromq.depth_subscriber import DepthMessage
from sinks.zeromq.sink import ZmqOptions
from stream.frame import CameraIntrinsics, DepthFrame
from tests.sinks.ros.ros2_messages import GEOMETRY_MSGS, NAV_MSGS, SENSOR_MSGS, over_the_wire
from tests.sinks.zeromq.test_depth_subscriber import exchange, scene
from tests.support.doubles import POSE, recaptured

SECOND = 10**9


def receive(frame: DepthFrame, **options: Any) -> DepthMessage:
    (got,), _ = exchange([frame], ZmqOptions(**options))
    return got


def bridged(frame: DepthFrame, parameters: Parameters | None = None, **options: Any) -> dict[str, Any]:
    """By topic, what ROS nodes get of ``frame``; nothing derived from depth unless ``parameters`` say so."""
    got = receive(frame, **options)
    parameters = parameters or Parameters(points=False, compressed_depth=False)
    made = topics(got, stamp_ns(got), SENSOR_MSGS, NAV_MSGS, parameters)
    assert all(isinstance(topic.make(), topic.kind) for topic in made.values())
    return {name: over_the_wire(topic.make()) for name, topic in made.items()}


def lens() -> CameraIntrinsics:
    """A distorting one, which a stereo calibration turns by 0.1 rad about y."""
    c, s = math.cos(0.1), math.sin(0.1)
    return replace(
        off_centre(),
        distortion_model="plumb_bob",
        distortion=(0.1, -0.2, 0.001, 0.002, 0.05),
        projection=(75.0, 0, 31.0, -7.5, 0, 75.0, 22.0, 0, 0, 0, 1, 0),
        rectification=(c, 0, s, 0, 1, 0, -s, 0, c),
    )


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
    assert (info.width, info.height, info.distortion_model, info.d.tolist()) == (64, 48, "plumb_bob", [0] * 5)
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


def test_a_lens_that_distorts_keeps_its_own_picture_and_its_calibration() -> None:
    made = bridged(replace(scene(), camera=lens()), image="raw")
    assert list(made) == [
        "camera/depth/image_raw",
        "camera/depth/camera_info",
        "camera/depth/image_rect",
        "camera/color/image_raw",
        "camera/color/camera_info",
    ]
    assert made["camera/depth/image_raw"].data.tobytes() == scene().depth.tobytes()
    info = made["camera/depth/camera_info"]
    assert (info.distortion_model, tuple(info.d)) == ("plumb_bob", lens().distortion)
    assert tuple(info.p) == lens().projection
    np.testing.assert_allclose(info.r, lens().rectification)


def test_where_the_camera_is_comes_as_it_was_sent() -> None:
    made = bridged(replace(scene(), odometry=POSE), camera="front.left")
    told, image = made["front_left/odometry"], made["front_left/depth/image_rect"]
    assert told.header.stamp == image.header.stamp
    assert (told.header.frame_id, told.child_frame_id) == ("front_left_odom_3", image.header.frame_id)
    place, turn = told.pose.pose.position, told.pose.pose.orientation
    assert (place.x, place.y, place.z) == POSE.position
    assert (turn.x, turn.y, turn.z, turn.w) == POSE.orientation
    assert tuple(told.pose.covariance) == POSE.covariance
    assert np.diag(np.reshape(told.twist.covariance, (6, 6))).min() >= 1e9
    older = receive(scene())
    del older.header["odometry"]
    assert "camera/odometry" not in topics(older, SECOND, SENSOR_MSGS, NAV_MSGS, Parameters())


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
    cloud = over_the_wire(point_cloud(got, SECOND, SENSOR_MSGS))
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
    transform = over_the_wire(optical_transform(got, SECOND, "front_link", GEOMETRY_MSGS))
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
    assert topic_name(camera) == topic


# Depth of a lens that distorts, and compressed ------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
@pytest.mark.parametrize("model", ["plumb_bob", "equidistant"])
def test_rectified_depth_lies_where_the_calibration_says(encoding: str, model: str) -> None:
    """A wall at a known place, seen raw through the lens: each rectified pixel must hit it there."""
    distortion = lens().distortion if model == "plumb_bob" else (0.05, -0.02, 0.004, 0.0)
    camera = replace(lens(), distortion_model=model, distortion=distortion)
    R = np.reshape(camera.rectification, (3, 3))
    normal, distance = np.array([0.3, -0.2, 1.0]), 5.0  # of the wall, in the camera's own frame
    v, u = np.mgrid[:48, :64].astype(np.float64)
    undistort = cv2.fisheye.undistortPoints if model == "equidistant" else cv2.undistortPoints
    flat = undistort(np.stack([u, v], -1).reshape(-1, 1, 2), camera.matrix, np.array(distortion)).reshape(48, 64, 2)
    rays = np.concatenate([flat, np.ones((48, 64, 1))], -1)
    depth = (distance / (rays @ normal)).astype(np.float32)
    got = rectify_depth(receive(replace(scene(), camera=camera, depth=depth), encoding=encoding))
    xyz = got.points().astype(np.float64)
    assert len(xyz) > 1500
    off = (xyz @ R) @ normal - distance  # turned back into the camera's frame
    assert np.abs(off).max() < 0.08  # nearest neighbour: half a pixel's worth of a slanted wall
    assert np.abs(off).mean() < 0.02
    np.testing.assert_allclose(got.K, [[75, 0, 31], [0, 75, 22], [0, 0, 1]])


def test_codes_stay_codes_when_depth_is_rectified() -> None:
    depth = np.full((48, 64), np.inf, np.float32)
    depth[:, :32] = np.nan
    for encoding in ("32FC1", "16UC1"):
        got = rectify_depth(receive(replace(scene(), camera=lens(), depth=depth), encoding=encoding))
        assert np.isposinf(got.depth[24, 50])
        assert np.isnan(got.depth[24, 10])


def test_a_lens_that_opencv_does_not_know_has_only_what_was_sent() -> None:
    camera = replace(off_centre(), distortion_model="thin_prism", distortion=(0.1,))
    assert list(bridged(replace(scene(), camera=camera), Parameters(compressed_depth=False))) == [
        "camera/depth/image_raw",
        "camera/depth/camera_info",
    ]


def decompressed(message: Any) -> tuple[np.ndarray, tuple[int, float, float]]:
    """As compressed_depth_image_transport's decodeCompressedDepthImage does it, read anew from its source."""
    encoding, _, words = message.format.partition("; ")
    assert words == "compressedDepth png"
    kind, a, b = struct.unpack("<iff", message.data[:12].tobytes())
    numbers = cv2.imdecode(message.data[12:], cv2.IMREAD_UNCHANGED)
    assert numbers is not None
    assert (numbers.dtype, numbers.ndim) == (np.uint16, 2)
    if encoding == "16UC1":
        return numbers, (kind, a, b)
    metres = np.full(numbers.shape, np.nan, np.float32)
    known = numbers != 0
    metres[known] = np.float32(a) / (numbers[known].astype(np.float32) - np.float32(b))
    return metres, (kind, a, b)


def test_compressed_metres_come_back_within_a_step_of_inverse_depth() -> None:
    frame = scene()
    frame.depth.base[1, :4] = 0.2, 99.99, 100.0, 1e4
    parameters = Parameters(points=False)
    message = bridged(frame, parameters)["camera/depth/image_rect/compressedDepth"]
    assert message.format == "32FC1; compressedDepth png"
    metres, (kind, a, b) = decompressed(message)
    assert (kind, a, b) == (0, 10100, -100)  # a = q(q + 1), b = 1 - a / furthest
    assert np.isnan(metres[0, :2]).all()  # neither code has a number of its own
    assert np.isnan(metres[1, 2:4]).all()  # not nearer than the furthest
    assert metres[1, 1] == pytest.approx(100, abs=0.5)
    assert metres[0, 3] == pytest.approx(10100 / 65635)  # nearer than can be said: the nearest
    known = np.isfinite(metres) & (frame.depth > 10100 / 65635)
    assert np.isfinite(metres[2:]).all()
    steps = np.abs(a / metres[known] - a / frame.depth[known])
    assert steps.max() < 0.51


def test_compressed_millimetres_lose_nothing() -> None:
    made = bridged(scene(), Parameters(points=False), encoding="16UC1")
    message = made["camera/depth/image_rect/compressedDepth"]
    assert message.format == "16UC1; compressedDepth png"
    values, (kind, a, b) = decompressed(message)
    assert (kind, a, b) == (0, 0, 0)
    np.testing.assert_array_equal(values, made["camera/depth/image_rect"].data.view("<u2").reshape(48, 64))


@pytest.mark.parametrize("image", ["raw", "jpeg"])
@pytest.mark.parametrize("distorts", [False, True])
def test_points_have_the_colours_of_the_picture(image: str, distorts: bool) -> None:
    camera = lens() if distorts else off_centre()
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, 32:] = 200, 100, 50
    cloud = bridged(replace(scene(), camera=camera, image=picture), Parameters(), image=image)["camera/depth/points"]
    assert [(f.name, f.offset, f.datatype) for f in cloud.fields] == [
        ("x", 0, 7),
        ("y", 4, 7),
        ("z", 8, 7),
        ("rgb", 12, 7),
    ]
    assert (cloud.point_step, cloud.row_step) == (16, 64 * 16)
    packed = cloud.data.view("<u4").reshape(48, 64, 4)[..., 3]
    right = [int(packed[24, 55]) >> shift & 255 for shift in (24, 16, 8, 0)]
    assert right == pytest.approx([0, 200, 100, 50], abs=3)
    assert int(packed[24, 5]) == pytest.approx(0, abs=0x030303)
    assert np.isfinite(cloud.data.view("<f4").reshape(48, 64, 4)[20:30, 20:40, :3]).all()


def test_a_picture_that_cannot_be_read_makes_no_points() -> None:
    got = replace(receive(scene(), image="jpeg"), image=b"no picture")
    made = topics(got, SECOND, SENSOR_MSGS, NAV_MSGS, Parameters())
    with pytest.raises(ValueError, match="picture cannot be read"):
        made["camera/depth/points"].make()
    assert made["camera/depth/image_rect"].make().width == 64


# Stamps ---------------------------------------------------------------------------------------------------------------


def test_a_stamp_is_the_time_of_capture_in_unix_time() -> None:
    now, monotonic = time.time_ns(), time.monotonic_ns()
    frame = recaptured(scene(), clock="host-monotonic", time_ns=monotonic - 5 * SECOND)
    assert abs(stamp_ns(receive(frame)) - (now - 5 * SECOND)) < SECOND
    frame = recaptured(scene(), clock="camera-rtcp", time_ns=1_700_000_000_123_456_789)
    got = receive(frame)
    ns = stamp_ns(got)
    assert ns == 1_700_000_000_123_456_789
    header = over_the_wire(depth_image(got, ns, SENSOR_MSGS)).header
    assert (header.stamp.sec, header.stamp.nanosec) == (1_700_000_000, 123_456_789)


def test_a_file_is_stamped_when_it_was_read_or_with_its_own_times() -> None:
    now = time.time_ns()
    got = receive(recaptured(scene(), clock="media", time_ns=3 * SECOND))
    assert abs(stamp_ns(got) - now) < 60 * SECOND
    assert stamp_ns(got, replay=True) == 3 * SECOND


@pytest.mark.parametrize("ns", [-1, 2**31 * SECOND])
def test_a_time_that_ros_cannot_say_is_an_error(ns: int) -> None:
    got = receive(recaptured(scene(), clock="camera-rtcp", time_ns=ns))
    with pytest.raises(ValueError, match="which ROS time cannot say"):
        stamp_ns(got)
