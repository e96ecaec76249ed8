"""The camera of a frame in the words of ``sensor_msgs/CameraInfo``, for every sink that writes it."""

from __future__ import annotations

from typing import NamedTuple

from stream.frame import CameraIntrinsics

_COUNTS = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}  # coefficients; those that are missing are zeros
_NO_TURN = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class CameraInfo(NamedTuple):
    """K, R and P are row-major. Of a rectified picture R is the identity and P is K: they speak of that picture."""

    rectified: bool
    distortion_model: str
    D: tuple[float, ...]
    K: tuple[float, ...]
    R: tuple[float, ...]
    P: tuple[float, ...]


def camera_info(camera: CameraIntrinsics) -> CameraInfo:
    """``camera`` as ROS reads it.

    Without distortion the picture is rectified: ``plumb_bob`` with five zeros, as an empty model means "not calibrated"
    there, and ``image_geometry`` refuses to work with it. Coefficients without the name of their model are OpenCV's.
    """
    fx, fy, cx, cy = float(camera.fx), float(camera.fy), float(camera.cx), float(camera.cy)
    K = (fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0)
    pinhole = (fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0)
    if not any(camera.distortion):
        return CameraInfo(True, "plumb_bob", (0.0,) * 5, K, _NO_TURN, pinhole)
    model = camera.distortion_model or ("plumb_bob" if len(camera.distortion) <= 5 else "rational_polynomial")
    D = camera.distortion + (0.0,) * (_COUNTS.get(model, 0) - len(camera.distortion))
    return CameraInfo(False, model, D, K, camera.rectification or _NO_TURN, camera.projection or pinhole)
