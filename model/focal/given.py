"""A focal length that the user knows: in pixels, as a field of view, or from a ROS camera calibration file.

Whoever gives one gets exact scale: the network's own estimate is then ignored. The calibration file is the one that
``camera_calibration`` and ``camera_info_manager`` write, or one message of a ``camera_info`` topic as printed by
``ros2 topic echo`` (http://docs.ros.org/en/api/sensor_msgs/html/msg/CameraInfo.html).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from cyclopts import Parameter

from model.focal.lens import Lens, lens_of
from model.focal.tracker import focal_from_fov
from stream.errors import ConfigError, one_line
from stream.frame import CameraIntrinsics

_ASPECT_TOLERANCE = 0.01  # relative: lets 1080 rows of a 1088-row sensor mode pass, but no cropped or turned picture
_FOCAL_PX = (1.0, 1e6)  # a mistake in the unit or the sign is more likely than what lies outside, as with _FOV_DEG
_FOV_DEG = (0.1, 179.0)
_AHEAD = (0.0, 0.0, 1.0, 0.0)  # the last row of every projection
_ROTATION_TOLERANCE = 1e-3  # files hold as few as four digits


class _Loader(yaml.SafeLoader):
    """Takes ``1e-05`` for a number as JSON and YAML 1.2 do; YAML 1.1 demands ``1.0e-05``, and a sign after the e."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraConfig:
    """What is known of the camera. Give at most one; without any, the focal length is estimated."""

    focal_px: float | None = None
    """Horizontal focal length in pixels of the upright picture."""
    fov: float | None = None
    """Horizontal field of view of the upright picture in degrees."""
    camera_info: Path | None = None
    """ROS camera calibration file (YAML), scaled to the size of the picture. Where its lens distorts, pictures are
    rectified before the network sees them."""
    rectify: Annotated[bool, Parameter(negative="--no-rectify", show_default=False)] = True
    """Rectify pictures of a lens that distorts; --no-rectify leaves them as they are, with depth wrong towards the
    corners."""

    def __post_init__(self) -> None:
        fields = {"`focal_px`": self.focal_px, "`fov`": self.fov, "`camera_info`": self.camera_info}
        given = [name for name, value in fields.items() if value is not None]
        if len(given) > 1:
            many = "both" if len(given) == 2 else "all"
            raise ConfigError(f"{' and '.join(given)} {many} say what the focal length is; give only one of them")
        if self.focal_px is not None:
            _check_focal(self.focal_px)
        if self.fov is not None and not _FOV_DEG[0] <= self.fov <= _FOV_DEG[1]:
            least, most = _FOV_DEG
            raise ConfigError(
                f"no camera has a horizontal field of view of {self.fov:g} degrees; give one from {least:g} to {most:g}"
            )


class GivenCamera:
    """The camera as the user described it, for pictures of any size.

    Raises:
        ConfigError: the calibration file cannot be read or used.
    """

    def __init__(self, config: CameraConfig | None = None) -> None:
        self._config = config or CameraConfig()
        path = self._config.camera_info
        self._calibration = read_camera_info(path) if path is not None else None
        self._lens = None
        if self._calibration is not None and self._config.rectify:
            try:
                self._lens = lens_of(self._calibration)
            except ValueError as exc:
                raise ConfigError(f"camera calibration {path}: {exc}") from exc

    @property
    def is_given(self) -> bool:
        """Whether the user said what the focal length is."""
        given = (self._config.focal_px, self._config.fov, self._config.camera_info)
        return any(value is not None for value in given)

    def lens(self, width: int, height: int) -> Lens | None:
        """How upright pictures of ``width`` × ``height`` pixels are to be rectified; ``None``: not at all.

        Raises:
            ConfigError: the calibration is for pictures of another shape.
        """
        if self._lens is None:
            return None
        self._check_shape(self._lens.raw, width, height)
        return self._lens.resized(width, height)

    def intrinsics(self, width: int, height: int, *, pixel_aspect: Fraction = Fraction(1)) -> CameraIntrinsics | None:
        """The camera for upright pictures of ``width`` × ``height`` pixels; ``None`` where the user gave nothing.

        A focal length in pixels is taken as it is, whatever the size; a field of view and a calibration are scaled.
        Where pictures are rectified it is the camera of the rectified ones. ``pixel_aspect`` is that of
        :class:`stream.frame.Capture`; a calibration knows it by itself.

        Raises:
            ConfigError: the calibration is for pictures of another shape.
        """
        if self._config.focal_px is not None:
            return CameraIntrinsics.from_focal(self._config.focal_px, width, height, pixel_aspect=pixel_aspect)
        if self._config.fov is not None:
            focal_px = focal_from_fov(self._config.fov, width)
            return CameraIntrinsics.from_focal(focal_px, width, height, pixel_aspect=pixel_aspect)
        if self._calibration is None:
            return None
        self._check_shape(self._calibration, width, height)
        known = self._calibration if self._lens is None else self._lens.rectified
        return known.resized(width, height)

    def _check_shape(self, known: CameraIntrinsics, width: int, height: int) -> None:
        if abs(math.log(width * known.height / (height * known.width))) > _ASPECT_TOLERANCE:
            raise ConfigError(
                f"{self._config.camera_info} was calibrated for {known.width}x{known.height} pictures, but these are "
                f"{width}x{height}: one of them is cropped or turned; calibrate at this shape, or give `fov`"
            )


def read_camera_info(path: Path) -> CameraIntrinsics:
    """Read a ROS camera calibration: the matrix ``K`` of the raw, unrectified picture, its distortion, and R and P.

    Raises:
        ConfigError: the file cannot be read, is not such a file, or holds no calibration.
    """
    info = _first_document(path)
    try:
        matrix = _numbers(_pick(info, "camera_matrix", "k", "K"), "the camera matrix", count=9)
        fx, skew, cx, below_fx, fy, cy, *bottom = matrix
        width, height = (_size(_pick(info, f"image_{side}", side), side) for side in ("width", "height"))
        distortion = info.get("distortion_coefficients", info.get("d", info.get("D")))
        coefficients = _numbers(distortion, "the distortion") if distortion is not None else ()
        if not any(matrix):
            raise ValueError("the camera matrix is all zeros: this camera was never calibrated")
        if skew or below_fx or bottom != [0.0, 0.0, 1.0]:
            raise ValueError("the camera matrix must have the form [fx 0 cx, 0 fy cy, 0 0 1]")
        camera = CameraIntrinsics(
            fx=fx,
            fy=fy,
            cx=cx,
            cy=cy,
            width=width,
            height=height,
            distortion_model=str(info.get("distortion_model", "")),
            distortion=coefficients,
            projection=_projection(info),
            rectification=_rectification(info),
        )
        _check_focal(fx, fy)
        return camera
    except ValueError as exc:
        raise ConfigError(f"camera calibration {path}: {exc}") from exc


def _check_focal(*focal_px: float) -> None:
    least, most = _FOCAL_PX
    for value in focal_px:
        if not least <= value <= most:
            told = f"no camera has a focal length of {value:g} pixels"
            raise ConfigError(f"{told}; give one from {least:g} to {most:,.0f}")


def _projection(info: Mapping[object, object]) -> tuple[float, ...]:
    """P: empty where the file has none, or zeros, which is what a camera has that was not calibrated."""
    matrix = _matrix(info, "projection_matrix", "p", "P", count=12)
    if matrix and not (matrix[0] > 0 and matrix[5] > 0 and not matrix[1] and not matrix[4] and matrix[8:] == _AHEAD):
        raise ValueError("the projection matrix must have the form [fx' 0 cx' Tx, 0 fy' cy' Ty, 0 0 1 0], fx', fy' > 0")
    if matrix:
        _check_focal(matrix[0], matrix[5])
    return matrix


def _rectification(info: Mapping[object, object]) -> tuple[float, ...]:
    """R: empty where the file has none, or zeros."""
    matrix = _matrix(info, "rectification_matrix", "r", "R", count=9)
    R = np.reshape(matrix or np.eye(3), (3, 3))
    if not (np.allclose(R @ R.T, np.eye(3), atol=_ROTATION_TOLERANCE) and np.linalg.det(R) > 0):
        raise ValueError("the rectification matrix must be a rotation")
    return matrix


def _matrix(info: Mapping[object, object], *names: str, count: int) -> tuple[float, ...]:
    field = next((info[name] for name in names if info.get(name) is not None), None)
    matrix = _numbers(field, f"the {names[0].replace('_', ' ')}", count) if field is not None else ()
    return matrix if any(matrix) else ()


def _first_document(path: Path) -> Mapping[object, object]:
    """The first document of a YAML file: ``ros2 topic echo`` ends every message with a ``---`` line."""
    try:
        info = next(iter(yaml.load_all(path.read_text(encoding="utf-8"), Loader=_Loader)), None)
    except OSError as exc:
        raise ConfigError(f"cannot read the camera calibration {path}: {exc.strerror}") from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        reason = one_line(exc)  # the parser explains itself over several lines
        raise ConfigError(f"camera calibration {path} is not YAML: {reason}") from exc
    if not isinstance(info, Mapping):
        raise ConfigError(f"camera calibration {path} is not a ROS CameraInfo: it holds no named fields")
    return info


def _pick(info: Mapping[object, object], *names: str) -> object:
    for name in names:
        if name in info:
            return info[name]
    raise ValueError(f"the field {' or '.join(names)} is missing; a ROS camera calibration file is needed")


def _numbers(field: object, what: str, count: int | None = None) -> tuple[float, ...]:
    """The finite numbers in a list, or in the ``data`` of a matrix of ``rows`` × ``cols``."""
    values = field.get("data") if isinstance(field, Mapping) else field
    if not isinstance(values, list) or not all(_is_number(v) for v in values):
        raise ValueError(f"{what} must be a list of numbers")
    if count is not None and len(values) != count:
        raise ValueError(f"{what} must have {count} numbers, not {len(values)}")
    return tuple(float(v) for v in values)


def _size(value: object, side: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"the {side} must be a whole number of pixels, not {value!r}")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
