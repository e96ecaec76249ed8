"""Depth in ROS 2: a node that receives it over ZeroMQ and publishes it as ROS messages.

::

    source /opt/ros/jazzy/setup.bash
    python3 ros2_bridge.py --ros-args -p url:=tcp://192.168.1.7:5555 -p camera:=front

Needs ROS 2 with Python 3.10 or newer, pyzmq and numpy, and of this project depth_subscriber.py alone: a copy beside
this file will do. Parameters are those in ``PARAMETERS``; ``ros2 param describe`` explains them on the running node.

===================================  ===================================================================================
``<camera>/depth/image_rect``        ``Image``: 32FC1 metres (NaN: no estimate, +Inf: beyond range, REP 117), or 16UC1
                                     millimetres (0: neither known, REP 118), whichever the publisher sends
``<camera>/depth/camera_info``       ``CameraInfo`` for it, with the same stamp
``<camera>/depth/points``            ``PointCloud2``, if ``points`` is true
``<camera>/color/…``                 the picture, if the publisher sends it: ``image_rect/compressed`` or
                                     ``image_rect`` (rgb8), and ``camera_info``
===================================  ===================================================================================

Where the lens distorts, the topics say ``image_raw`` and there are no points. All are sent with the QoS of sensor data,
best effort: a subscriber that insists on reliability gets nothing (RViz: set "Reliability Policy" to "Best Effort").

Stamps are Unix time of capture: of the camera's clock where it tells, else of the publisher's machine, which therefore
needs NTP or the like. A file's frames are stamped when they were read; with ``replay`` they keep the file's own times,
which start at 0 and are also sent on ``/clock``, for nodes with ``use_sim_time``.
"""

from __future__ import annotations

import array
import re
import signal
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import zmq

try:
    from sinks.zeromq.depth_subscriber import DepthMessage, DepthSubscriber, DepthTimeout, Keys, keep_receive_memory
except ModuleNotFoundError:  # a robot, where a copy of it lies beside this file
    try:
        from depth_subscriber import DepthMessage, DepthSubscriber, DepthTimeout, Keys, keep_receive_memory
    except ModuleNotFoundError as exc:
        sys.exit(f"{exc}; the bridge needs a copy of sinks/zeromq/depth_subscriber.py beside it")

PARAMETERS: dict[str, tuple[str | bool, str]] = {
    "url": ("tcp://127.0.0.1:5555", "where depth is published: tcp://host:port or ipc:///path"),
    "camera": ("camera", "name of the camera there"),
    "conflate": (False, "the publisher runs with conflate=1"),
    "secret": ("", "file of the bridge's own certificate, NAME.key_secret, for an encrypted publisher"),
    "server": ("", "file of that publisher's certificate, NAME.key"),
    "points": (False, "publish point clouds too"),
    "link_frame": ("", "publish a static transform from this frame (x forward, z up) to the optical one"),
    "replay": (False, "frames of a file keep the file's times, which become /clock"),
}

_PATIENCE_S = 1.0  # how long ROS, and with it `ros2 param`, may have to wait for the next frame
_END_OF_TIME_NS = 2**31 * 10**9  # builtin_interfaces/Time counts seconds in an int32


# Messages -------------------------------------------------------------------------------------------------------------
# `msgs` is sensor_msgs.msg. Fields are assigned, and arrays as array.array or numpy.ndarray: rclpy takes those as they
# are, and looks at every single byte of anything else (ros2/rosidl_python, issue 156).


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


def messages(frame: DepthMessage, ns: int, msgs: Any, *, points: bool = False) -> dict[str, Any]:
    """All messages of ``frame`` by topic, stamped ``ns``."""
    camera, rectified = topic_name(frame.header["camera"]), frame.header["rectified"]
    picture = "image_rect" if rectified else "image_raw"
    made = {
        f"{camera}/depth/{picture}": depth_image(frame, ns, msgs),
        f"{camera}/depth/camera_info": camera_info(frame, ns, msgs),
    }
    if points and rectified:
        made[f"{camera}/depth/points"] = point_cloud(frame, ns, msgs)
    if frame.image is not None:
        compressed = "/compressed" if isinstance(frame.image, bytes) else ""
        made[f"{camera}/color/{picture}{compressed}"] = colour_image(frame, ns, msgs)
        made[f"{camera}/color/camera_info"] = camera_info(frame, ns, msgs)
    return made


def topic_name(camera: str) -> str:
    """``camera`` as ROS allows it: letters, digits and single underscores, no digit in front."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", camera).strip("_")
    return name if name[:1].isalpha() else f"camera_{name}".rstrip("_")


def depth_image(frame: DepthMessage, ns: int, msgs: Any) -> Any:
    """``Image``, bit by bit as it was sent; but 16UC1's code for beyond range becomes 0, the only one ROS knows."""
    image = _image(frame.values, frame, ns, msgs, encoding=frame.header["encoding"])
    if image.encoding == "16UC1":
        millimetres = np.frombuffer(image.data, "<u2")
        millimetres[millimetres == frame.header["beyond_range"]] = 0  # readers would see a wall at 65.535 m
    return image


def colour_image(frame: DepthMessage, ns: int, msgs: Any) -> Any:
    """The picture: ``CompressedImage`` of a JPEG, in image_transport's words, or ``Image``, rgb8."""
    if not isinstance(frame.image, bytes):
        assert frame.image is not None
        return _image(frame.image, frame, ns, msgs, encoding="rgb8")
    image = _stamped(msgs.CompressedImage(), frame, ns)
    image.format = "rgb8; jpeg compressed bgr8"
    image.data = _bytes(np.frombuffer(frame.image, np.uint8))
    return image


def camera_info(frame: DepthMessage, ns: int, msgs: Any) -> Any:
    """``CameraInfo`` for depth and picture alike. R is the identity and P is K: one camera, not turned."""
    info = _stamped(msgs.CameraInfo(), frame, ns)
    info.height, info.width = frame.values.shape
    info.distortion_model = frame.header["distortion_model"]
    info.d = array.array("d", frame.header["D"])
    info.k = frame.K.ravel()
    info.r = np.eye(3).ravel()
    info.p = np.hstack([frame.K, np.zeros((3, 1))]).ravel()
    return info


def point_cloud(frame: DepthMessage, ns: int, msgs: Any) -> Any:
    """``PointCloud2`` of rectified depth with the rows and columns of the image: float32 x, y, z in metres.

    No estimate: all three NaN. Beyond range: z is +Inf (REP 117), x and y NaN, as that is nowhere in particular.
    """
    z = frame.depth
    (height, width), (fx, _, cx), (_, fy, cy) = z.shape, *frame.K[:2].astype(np.float32)
    somewhere = np.where(np.isfinite(z), z, np.float32(np.nan))
    xyz = np.empty((height, width, 3), "<f4")
    xyz[..., 0] = (np.arange(width, dtype=np.float32) - cx) / fx * somewhere
    xyz[..., 1] = (np.arange(height, dtype=np.float32)[:, None] - cy) / fy * somewhere
    xyz[..., 2] = z
    cloud = _stamped(msgs.PointCloud2(), frame, ns)
    cloud.height, cloud.width = height, width
    fields = []
    for number, name in enumerate("xyz"):
        field = msgs.PointField()
        field.name, field.offset, field.datatype, field.count = name, 4 * number, 7, 1  # 7 is FLOAT32
        fields.append(field)
    cloud.fields = fields
    cloud.is_bigendian, cloud.is_dense = False, False
    cloud.point_step, cloud.row_step = 12, 12 * width
    cloud.data = _bytes(xyz)
    return cloud


def optical_transform(frame: DepthMessage, ns: int, link_frame: str, msgs: Any) -> Any:
    """``TransformStamped``: the optical frame (z forward, x right) in the link's (x forward, y left), REP 103.

    ``msgs`` is geometry_msgs.msg.
    """
    transform = _stamped(msgs.TransformStamped(), frame, ns)
    transform.header.frame_id, transform.child_frame_id = link_frame, frame.header["frame_id"]
    rotation = transform.transform.rotation
    rotation.x, rotation.y, rotation.z, rotation.w = -0.5, 0.5, -0.5, 0.5
    return transform


def _image(pixels: npt.NDArray[Any], frame: DepthMessage, ns: int, msgs: Any, *, encoding: str) -> Any:
    image = _stamped(msgs.Image(), frame, ns)
    image.height, image.width = pixels.shape[:2]
    image.encoding, image.is_bigendian = encoding, 0
    image.step = pixels.strides[0]
    image.data = _bytes(pixels)
    return image


def _stamped(message: Any, frame: DepthMessage, ns: int) -> Any:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(ns, 10**9)
    message.header.frame_id = frame.header["frame_id"]
    return message


def _bytes(values: npt.NDArray[Any]) -> array.array[int]:
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)  # one copy, as a whole
    return data


# The node -------------------------------------------------------------------------------------------------------------


def main() -> None:
    """Run until Ctrl-C."""
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions
    except ImportError as exc:
        sys.exit(f"{exc}; ROS 2 must be sourced first, such as: source /opt/ros/jazzy/setup.bash")
    # rclpy's own handlers would end ROS in the middle of a publish(); this way a signal is an exception like others.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    keep_receive_memory()
    node = rclpy.create_node("depth_bridge")
    try:
        with _subscriber(node) as depths:
            _relay(node, depths)
    except KeyboardInterrupt:
        node.get_logger().info("stopped")
    finally:
        node.destroy_node()
        rclpy.shutdown()


def _subscriber(node: Any) -> DepthSubscriber:
    """As the parameters say, which are declared here."""
    from rcl_interfaces.msg import ParameterDescriptor

    for name, (value, text) in PARAMETERS.items():
        node.declare_parameter(name, value, ParameterDescriptor(description=text, read_only=True))
    url, camera, conflate, secret, server = (
        node.get_parameter(name).value for name in ("url", "camera", "conflate", "secret", "server")
    )
    try:
        keys = Keys(secret=secret, server=server) if secret or server else None
        return DepthSubscriber(url, camera=camera, conflate=conflate, keys=keys, timeout=_PATIENCE_S)
    except (zmq.ZMQError, OSError, ValueError) as exc:
        sys.exit(f"cannot receive from {url}: {exc}")


def _relay(node: Any, depths: DepthSubscriber) -> None:
    """Publish what comes, for ever; each publisher is created with the first message for it."""
    import geometry_msgs.msg
    import sensor_msgs.msg
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.qos import qos_profile_sensor_data
    from rosgraph_msgs.msg import Clock
    from tf2_ros import StaticTransformBroadcaster

    log, executor, broadcaster = node.get_logger(), SingleThreadedExecutor(), StaticTransformBroadcaster(node)
    executor.add_node(node)
    link_frame, points, replay = (node.get_parameter(name).value for name in ("link_frame", "points", "replay"))
    publishers: dict[str, Any] = {}
    while True:
        executor.spin_once(timeout_sec=0)  # answers `ros2 param` and the like
        # Cameras and publishers come back; a robot should not have to be restarted for them.
        try:
            frame = depths.latest()
            ns = stamp_ns(frame, replay=replay)
            made = messages(frame, ns, sensor_msgs.msg, points=points)
        except DepthTimeout as exc:
            log.warning(str(exc), throttle_duration_sec=10)
            continue
        except (ValueError, KeyError, TypeError) as exc:
            log.warning(f"a message is skipped: {exc}", throttle_duration_sec=10)
            continue
        if frame.restarted:
            log.info("the publisher was started again")
        if points and not frame.header["rectified"]:
            log.warning("the lens distorts, so there are no points: rectify the source", once=True)
        if link_frame:
            broadcaster.sendTransform(optical_transform(frame, ns, link_frame, geometry_msgs.msg))
            link_frame = ""  # ROS keeps it for those who come later
        if replay and frame.header["clock"] == "media":
            made = {"/clock": Clock(clock=next(iter(made.values())).header.stamp), **made}
        for topic, message in made.items():
            if topic not in publishers:
                publishers[topic] = node.create_publisher(type(message), topic, qos_profile_sensor_data)
            publishers[topic].publish(message)


if __name__ == "__main__":
    main()
