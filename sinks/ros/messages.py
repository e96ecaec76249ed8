"""ROS 2 messages made of frames, and their bytes as ROS 2 sends them (CDR, little-endian).

The definitions are those of ROS 2 Humble; the types used here have not changed since. Axes: REP 103. Depth: REP 118,
with the codes of REP 117.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.stores import ros2_humble as ros

from sinks.camera_info import camera_info as describe_camera
from sinks.frame_json import describe_correction
from sinks.jpeg import to_jpeg
from sinks.millimetres import BEYOND_RANGE, NO_ESTIMATE, to_millimetres
from sinks.unix_time import UnixTime
from stream.errors import SinkError
from stream.frame import DepthFrame

DISTRO = "humble"

DepthEncoding = Literal["32FC1", "16UC1"]
Message = (
    ros.sensor_msgs__msg__Image
    | ros.sensor_msgs__msg__CompressedImage
    | ros.sensor_msgs__msg__CameraInfo
    | ros.tf2_msgs__msg__TFMessage
    | ros.diagnostic_msgs__msg__DiagnosticArray
    | ros.nav_msgs__msg__Odometry
)

_STORE = get_typestore(Stores.ROS2_HUMBLE)
_UNKNOWN = 1e9  # variance of what nothing is said of: fusing it changes nothing
_END_OF_TIME_NS = 2**31 * 10**9  # builtin_interfaces/Time counts seconds in an int32


def serialize(message: Message) -> bytes:
    """``message`` as CDR. Arrays are copied as a whole."""
    return bytes(_STORE.serialize_cdr(message, message.__msgtype__))


def definition(message_type: str) -> str:
    """The ``.msg`` text of a type, followed by those of all types in it: the schema encoding ``ros2msg``."""
    return _STORE.generate_msgdef(message_type, ros_version=2)[0]


class RosTime(UnixTime):
    """Capture times as ROS time, on one clock for a whole recording; see :class:`sinks.unix_time.UnixTime`."""

    def stamp_ns(self, frame: DepthFrame) -> int:
        """When ``frame`` was taken, in nanoseconds. Call it with every frame, in order.

        Raises:
            SinkError: a time before 0 or after January 2038, for which ROS has no number.
        """
        ns = self.of_frame(frame)
        if not 0 <= ns < _END_OF_TIME_NS:
            raise SinkError(
                f"frame {frame.capture.index} was taken at {ns * 1e-9:.3f} s ({frame.capture.clock}): ROS time goes "
                f"from 0 to {_END_OF_TIME_NS // 10**9} s; check the clock of the camera"
            )
        return ns


def header(stamp_ns: int, frame_id: str) -> ros.std_msgs__msg__Header:
    """A message header, stamped with nanoseconds as :meth:`RosTime.stamp_ns` gives them."""
    sec, nanosec = divmod(stamp_ns, 10**9)
    return ros.std_msgs__msg__Header(ros.builtin_interfaces__msg__Time(sec=sec, nanosec=nanosec), frame_id)


def depth_image(
    frame: DepthFrame, head: ros.std_msgs__msg__Header, encoding: DepthEncoding
) -> ros.sensor_msgs__msg__Image:
    """Depth along the optical axis.

    ``32FC1``: metres, bit for bit those of ``frame``: NaN no estimate, +Inf beyond range. ``16UC1``: millimetres; 0 is
    the only code that REP 118 has, so it stands for both, and for what is over 65.534 m. (Readers take any other value
    for a distance: 65535 would be a wall at 65.5 m.)
    """
    if encoding == "32FC1":
        return _image(frame.depth.astype("<f4", copy=False), head, encoding)
    millimetres = to_millimetres(frame.depth)
    millimetres[millimetres == BEYOND_RANGE] = NO_ESTIMATE
    return _image(millimetres.astype("<u2", copy=False), head, encoding)


def colour_image(frame: DepthFrame, head: ros.std_msgs__msg__Header) -> ros.sensor_msgs__msg__Image:
    """The picture as it is, ``rgb8``.

    Raises:
        SinkError: the frame came without one.
    """
    return _image(_picture(frame), head, "rgb8")


def jpeg_image(
    frame: DepthFrame, head: ros.std_msgs__msg__Header, quality: int
) -> ros.sensor_msgs__msg__CompressedImage:
    """The picture as JPEG. ``format`` is worded as image_transport words it: it decodes to BGR, and was RGB.

    Raises:
        SinkError: the frame came without one.
    """
    data = to_jpeg(_picture(frame), quality)
    return ros.sensor_msgs__msg__CompressedImage(header=head, format="rgb8; jpeg compressed bgr8", data=data)


def camera_info(frame: DepthFrame, head: ros.std_msgs__msg__Header) -> ros.sensor_msgs__msg__CameraInfo:
    """The camera of ``frame``, for depth and picture alike."""
    info = describe_camera(frame.camera)
    whole = ros.sensor_msgs__msg__RegionOfInterest(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return ros.sensor_msgs__msg__CameraInfo(
        header=head,
        height=frame.camera.height,
        width=frame.camera.width,
        distortion_model=info.distortion_model,
        d=np.array(info.D, np.float64),
        k=np.array(info.K, np.float64),
        r=np.array(info.R, np.float64),
        p=np.array(info.P, np.float64),
        binning_x=0,
        binning_y=0,
        roi=whole,
    )


def scale_correction(frame: DepthFrame, head: ros.std_msgs__msg__Header, camera: str) -> Message | None:
    """How the scale of ``frame`` was steadied, numbers in full; ``None`` where it was not."""
    told = frame.steady
    if told is None:
        return None
    numbers = describe_correction(told)
    status = ros.diagnostic_msgs__msg__DiagnosticStatus(
        level=0,
        name=f"{camera}: scale correction",
        message="steadied" if told.log or told.inliers else "the network's own",
        hardware_id=camera,
        values=[ros.diagnostic_msgs__msg__KeyValue(key, repr(value)) for key, value in numbers.items()],
    )
    return ros.diagnostic_msgs__msg__DiagnosticArray(header=head, status=[status])


def odometry(frame: DepthFrame, stamp_ns: int, camera: str, optical_frame: str) -> Message | None:
    """Where the camera is: the pose of ``optical_frame`` in the frame of its stretch; ``None`` where it is not known.

    Each stretch has a frame of its own, ``<camera>_odom_<number>``, whose axes are those of the optical frame where it
    began (z forward): no message of one can be taken for a place in another. Covariance: rows and columns x, y, z, and
    turns about the stretch's x, y and z (``geometry_msgs/PoseWithCovariance``). Nothing is said of speed: its variances
    are 1e9.
    """
    pose = frame.odometry
    if pose is None:
        return None
    (x, y, z), (qx, qy, qz, qw) = pose.position, pose.orientation
    zero = ros.geometry_msgs__msg__Vector3(x=0.0, y=0.0, z=0.0)
    return ros.nav_msgs__msg__Odometry(
        header=header(stamp_ns, f"{camera}_odom_{pose.stretch}"),
        child_frame_id=optical_frame,
        pose=ros.geometry_msgs__msg__PoseWithCovariance(
            pose=ros.geometry_msgs__msg__Pose(
                position=ros.geometry_msgs__msg__Point(x=x, y=y, z=z),
                orientation=ros.geometry_msgs__msg__Quaternion(x=qx, y=qy, z=qz, w=qw),
            ),
            covariance=np.array(pose.covariance, np.float64),
        ),
        twist=ros.geometry_msgs__msg__TwistWithCovariance(
            twist=ros.geometry_msgs__msg__Twist(linear=zero, angular=zero),
            covariance=(_UNKNOWN * np.eye(6)).ravel(),
        ),
    )


def optical_transform(head: ros.std_msgs__msg__Header, optical_frame: str) -> ros.tf2_msgs__msg__TFMessage:
    """The optical frame (z forward, x right, y down) in that of ``head`` (x forward, y left, z up), REP 103."""
    transform = ros.geometry_msgs__msg__Transform(
        translation=ros.geometry_msgs__msg__Vector3(x=0.0, y=0.0, z=0.0),
        rotation=ros.geometry_msgs__msg__Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5),
    )
    return ros.tf2_msgs__msg__TFMessage([ros.geometry_msgs__msg__TransformStamped(head, optical_frame, transform)])


def _picture(frame: DepthFrame) -> npt.NDArray[np.uint8]:
    if frame.image is None:
        raise SinkError(f"a colour topic needs the source picture, and frame {frame.capture.index} came without one")
    return frame.image


def _image(
    pixels: npt.NDArray[np.generic], head: ros.std_msgs__msg__Header, encoding: str
) -> ros.sensor_msgs__msg__Image:
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
    return ros.sensor_msgs__msg__Image(
        header=head,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=data.size // height,
        data=data,
    )
