"""The node: receives, and publishes what somebody listens to.

===================================  ===================================================================================
``<camera>/depth/image_rect``        ``Image``: 32FC1 metres (NaN: no estimate, +Inf: beyond range, REP 117), or 16UC1
                                     millimetres (0: neither known, REP 118), whichever the publisher sends
``…/image_rect/compressedDepth``     the same, compressed for image_transport
``<camera>/depth/camera_info``       ``CameraInfo``, with the same stamp
``<camera>/depth/points``            ``PointCloud2``, in colour if the publisher sends the picture
``<camera>/color/…``                 picture: ``image_rect/compressed`` or ``image_rect`` (rgb8), with ``camera_info``
``<camera>/odometry``                ``Odometry``: where the camera is, if the publisher knows
``/diagnostics``                     age, rate, losses and the publisher's state, every second
===================================  ===================================================================================

Where the lens distorts, depth and picture as they came are on ``image_raw``, and ``image_rect`` and the points are made
here.

Stamps are Unix time of capture: of the camera's clock where it tells, else of the publisher's machine, which therefore
needs NTP or the like. A file's frames are stamped when they were read; with ``replay`` they keep the file's own times,
which start at 0 and are also sent on ``/clock``, for nodes with ``use_sim_time``.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import cv2
import diagnostic_msgs.msg
import geometry_msgs.msg
import nav_msgs.msg
import rclpy
import sensor_msgs.msg
import zmq
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from ros2_depth_bridge.camera import optical_transform
from ros2_depth_bridge.client import DepthMessage, DepthSubscriber, DepthTimeout, Keys, keep_receive_memory
from ros2_depth_bridge.diagnostics import Health
from ros2_depth_bridge.parameters import declare
from ros2_depth_bridge.rectification import can_rectify
from ros2_depth_bridge.stamps import stamp_ns
from ros2_depth_bridge.topics import topics

_PATIENCE_S = 1.0  # how long ROS, and with it `ros2 param`, may have to wait for the next frame
_DIAGNOSTICS_S = 1.0


class DepthBridge(Node):
    """Publishes frames, and how it fares.

    Raises:
        ValueError: a parameter cannot be.
    """

    def __init__(self) -> None:
        super().__init__("depth_bridge")
        self._parameters = declare(self)
        self._qos = QoSProfile(
            depth=self._parameters.queue_depth,
            reliability=ReliabilityPolicy[self._parameters.reliability.upper()],
        )
        self._made: dict[str, Any] = {}  # publishers, by topic
        self._transform_to = self._parameters.link_frame
        self._health = Health(time.monotonic())
        self._diagnostics = self.create_publisher(diagnostic_msgs.msg.DiagnosticArray, "/diagnostics", 10)
        self._diagnosed_at = time.monotonic()
        if self._transform_to:
            from tf2_ros import StaticTransformBroadcaster

            self._transforms = StaticTransformBroadcaster(self)

    def connect(self) -> DepthSubscriber:
        """A subscriber as the parameters say.

        Raises:
            ValueError: the address or a key cannot be used.
            OSError: a key cannot be read.
            zmq.ZMQError: ZeroMQ does not want to.
        """
        p = self._parameters
        keys = Keys(secret=p.secret, server=p.server) if p.secret or p.server else None
        return DepthSubscriber(p.url, camera=p.camera, conflate=p.conflate, keys=keys, timeout=_PATIENCE_S)

    def relay(self, depths: DepthSubscriber) -> None:
        """Publish the newest frame, or say after a second that there is none."""
        log = self.get_logger()
        # Cameras and publishers come back; a robot should not have to be restarted for them.
        try:
            frame = depths.latest()
            self._health.received(frame, time.monotonic())
            self._publish_frame(frame)
        except DepthTimeout as exc:
            self._health.silent(str(exc))
            log.warning(str(exc), throttle_duration_sec=10)
        except (ValueError, KeyError, TypeError, cv2.error) as exc:
            self._health.unreadable(f"a message is skipped: {exc}", time.monotonic())
            log.warning(f"a message is skipped: {exc}", throttle_duration_sec=10)
        if time.monotonic() >= self._diagnosed_at + _DIAGNOSTICS_S:
            self._diagnosed_at = time.monotonic()
            self._diagnose(depths)

    def _publish_frame(self, frame: DepthMessage) -> None:
        ns = stamp_ns(frame, replay=self._parameters.replay)
        if frame.restarted:
            self.get_logger().info("the publisher was started again")
        if not can_rectify(frame):
            model = frame.header["distortion_model"]
            self.get_logger().warning(
                f"there are no points: the lens is {model!r}, which OpenCV does not know", once=True
            )
        if self._transform_to:
            self._transforms.sendTransform(optical_transform(frame, ns, self._transform_to, geometry_msgs.msg))
            self._transform_to = ""  # ROS keeps it for those who come later
        if self._parameters.replay and frame.header["clock"] == "media":
            clock = Clock()
            clock.clock.sec, clock.clock.nanosec = divmod(ns, 10**9)
            self._publisher("/clock", Clock).publish(clock)
        for name, topic in topics(frame, ns, sensor_msgs.msg, nav_msgs.msg, self._parameters).items():
            publisher = self._publisher(name, topic.kind)
            if publisher.get_subscription_count():
                publisher.publish(topic.make())

    def _publisher(self, topic: str, kind: Any) -> Any:
        """Each is created with the first frame that has something for it."""
        if topic not in self._made:
            self._made[topic] = self.create_publisher(kind, topic, self._qos)
        return self._made[topic]

    def _diagnose(self, depths: DepthSubscriber) -> None:
        message = diagnostic_msgs.msg.DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        status = self._health.status(depths.status, time.monotonic(), diagnostic_msgs.msg)
        status.name = f"{self.get_name()}: {self._parameters.camera}"
        status.hardware_id = self._parameters.url
        message.status = [status]
        self._diagnostics.publish(message)


def run() -> None:
    """Run until Ctrl-C."""
    # rclpy's own handlers would end ROS in the middle of a publish(); this way a signal is an exception like others.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    keep_receive_memory()
    node = None
    try:
        node = DepthBridge()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        with node.connect() as depths:
            while True:
                executor.spin_once(timeout_sec=0)  # answers `ros2 param` and the like
                node.relay(depths)
    except KeyboardInterrupt:
        pass
    except (zmq.ZMQError, OSError, ValueError) as exc:
        sys.exit(f"depth_bridge: {exc}")
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.shutdown()
