"""A lens that distorts: which pinhole camera its rectified pictures have, and where their pixels come from.

A network that was trained on straight pictures takes a bent wall for a round one, and ``depth = f_px / (W · C)`` holds
for a pinhole camera only. So a picture whose distortion is known is rectified before the network sees it. The models
are those of ``sensor_msgs/CameraInfo`` as OpenCV computes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from stream.errors import ConfigError
from stream.frame import CameraIntrinsics

Array = npt.NDArray[np.float64]

_COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,), "fisheye": (4,)}
_FISHEYE = ("equidistant", "fisheye")
_WIDEST = math.tan(math.radians(60))  # half of 120°: beyond, a flat picture stretches its corners more than it shows
_SIDE_POINTS = 65  # on each side of the picture; its straight lines bend smoothly
_CONVERGED_PX = 0.5
_NEWTON_STEPS = 20
_SMALLEST_STEP = 1e-10  # x/z of a ray
_LEAST_SLOPE = 1e-9  # pixels: at a fold the slope is 0
_FARTHEST = 1e3  # x/z of a ray, where the search has gone astray
_NONE = np.zeros(3)  # no rotation or translation
_MARGIN_PX = 1.0  # what comes from so little beyond the border may as well be the border's
_FAR_PX = 1e6
_LEAST_SHOWN = 0.5  # of the rectified picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """A camera before and after rectification, for upright pictures of one size.

    Attributes:
        raw: of the pictures as the lens makes them, with its distortion.
        rectified: of the rectified pictures, which have the same size; its distortion is five zeros.
        turn: rotation from the raw to the rectified camera, ``R`` of ``sensor_msgs/CameraInfo``, row-major.
    """

    raw: CameraIntrinsics
    rectified: CameraIntrinsics
    turn: tuple[float, ...]

    def resized(self, width: int, height: int) -> Lens:
        """The same lens for pictures resized to ``width`` × ``height``."""
        return replace(self, raw=self.raw.resized(width, height), rectified=self.rectified.resized(width, height))

    def source_points(self, width: int, height: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Where each pixel of the rectified picture, resized to ``width`` × ``height``, comes from.

        Returns:
            ``float32 [H, W, 2]``, x and y in pixels of the raw picture at its own size, finite; and ``bool [H, W]``,
            whether the raw picture shows it: not beyond its borders, nor where the distortion folds over.
        """
        out = self.rectified.resized(width, height)
        function = cv2.fisheye.initUndistortRectifyMap if self._is_fisheye else cv2.initUndistortRectifyMap
        x_HW, y_HW = function(
            self.raw.matrix, self._coefficients, self._turn, out.matrix, (width, height), cv2.CV_32FC1
        )
        points_HW2 = np.nan_to_num(np.stack((x_HW, y_HW), axis=-1), posinf=_FAR_PX, neginf=-_FAR_PX).astype(np.float32)
        low, high = -0.5 - _MARGIN_PX, np.array([self.raw.width, self.raw.height]) - 0.5 + _MARGIN_PX
        shown_HW = ((points_HW2 >= low) & (points_HW2 <= high)).all(axis=-1) & ~_folded(points_HW2)
        return points_HW2, shown_HW

    def rectified_point(self, x: float, y: float) -> tuple[float, float]:
        """Where the rectified picture shows what is at ``x``, ``y`` of the raw one; NaN for nowhere."""
        ((ray_x, ray_y),) = self.rays(np.array([[x, y]], np.float64))
        x, y, z = (self._turn @ (ray_x, ray_y, 1.0)).tolist()
        to = self.rectified
        return (to.fx * x / z + to.cx, to.fy * y / z + to.cy) if z > 0 else (math.nan, math.nan)

    def rays(self, points_N2: Array) -> Array:
        """Directions ``float64 [N, 2]``, x/z and y/z in the raw camera, of pixels of the raw picture; NaN for none."""
        if self._is_fisheye:
            K, D = self.raw.matrix, self._coefficients
            rays_N2 = np.asarray(cv2.fisheye.undistortPoints(points_N2[:, None], K, D), np.float64)[:, 0]
        else:
            rays_N2 = self._search(points_N2)
        # Not every pixel has a ray: the search then ends somewhere else.
        missed_N = ~(np.linalg.norm(self.project(rays_N2) - points_N2, axis=1) < _CONVERGED_PX)
        return np.where(missed_N[:, None], np.nan, rays_N2)

    def project(self, rays_N2: Array) -> Array:
        """Pixels ``float64 [N, 2]`` of the raw picture that see such directions. The inverse of :meth:`rays`."""
        rays_N13 = np.column_stack([rays_N2, np.ones(len(rays_N2))])[:, None]
        function = cv2.fisheye.projectPoints if self._is_fisheye else cv2.projectPoints
        pixels = function(rays_N13, _NONE, _NONE, self.raw.matrix, self._coefficients)[0]
        return np.asarray(pixels, np.float64).reshape(-1, 2)

    def _search(self, points_N2: Array) -> Array:
        """Newton's method: OpenCV's own inverse stops after five steps, too early for strong distortion."""
        raw = self.raw
        rays_N2 = (points_N2 - (raw.cx, raw.cy)) / (raw.fx, raw.fy)
        for _ in range(_NEWTON_STEPS):
            rays_N13 = np.column_stack([rays_N2, np.ones(len(rays_N2))])[:, None]
            pixels, jacobian = cv2.projectPoints(rays_N13, _NONE, _NONE, raw.matrix, self._coefficients)
            slope_N22 = jacobian.reshape(-1, 2, jacobian.shape[1])[:, :, 3:5]  # by the translation's x and y
            slope_N22 = slope_N22 + _LEAST_SLOPE * np.eye(2)
            steps_N2 = np.linalg.solve(slope_N22, (points_N2 - pixels.reshape(-1, 2))[..., None])[..., 0]
            rays_N2 = np.clip(rays_N2 + steps_N2, -_FARTHEST, _FARTHEST)
            if np.abs(steps_N2).max() < _SMALLEST_STEP:
                break
        # Beyond a fold there are further solutions, mirrored or turned over.
        upright_N = (np.linalg.det(slope_N22) > 0) & (((points_N2 - (raw.cx, raw.cy)) * rays_N2).sum(axis=1) >= 0)
        return np.where(upright_N[:, None], rays_N2, np.nan)

    @property
    def _is_fisheye(self) -> bool:
        return self.raw.distortion_model in _FISHEYE

    @property
    def _coefficients(self) -> Array:
        return np.array(self.raw.distortion, np.float64)

    @property
    def _turn(self) -> Array:
        return np.array(self.turn, np.float64).reshape(3, 3)


def lens_of(raw: CameraIntrinsics) -> Lens | None:
    """The lens of a calibrated camera, ``None`` where it does not distort.

    Where the calibration has ``P``, the rectified picture is the one that ROS's image_proc makes of ``R`` and ``P``.
    Otherwise the rectified camera looks the same way, its pixels have the same shape, and it sees as much as fits
    without empty corners, at most 120° from side to side.

    Raises:
        ConfigError: a model that is not known, or coefficients that make no picture.
    """
    if not any(raw.distortion):
        return None
    counts = _COEFFICIENTS.get(raw.distortion_model, ())
    if len(raw.distortion) not in counts:
        raise ConfigError(
            f"the distortion model {raw.distortion_model!r} with {len(raw.distortion)} coefficients cannot be "
            "rectified; give plumb_bob (4 or 5), rational_polynomial (8), equidistant or fisheye (4), or "
            "`rectify=False`"
        )
    turn: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    if raw.projection:
        fx, _, cx, _, _, fy, cy, *_ = raw.projection
        rectified, turn = replace(raw, fx=fx, fy=fy, cx=cx, cy=cy), raw.rectification or turn
    else:
        rectified = _straight(Lens(raw=raw, rectified=raw, turn=turn))
    straight = replace(rectified, distortion_model="plumb_bob", distortion=(0.0,) * 5, projection=(), rectification=())
    lens = Lens(raw=raw, rectified=straight, turn=turn)
    shown = float(lens.source_points(_SIDE_POINTS, _SIDE_POINTS)[1].mean())
    if shown < _LEAST_SHOWN:
        raise ConfigError(
            f"with this distortion the rectified picture would be {1 - shown:.0%} empty; calibrate again, or give "
            "`rectify=False`"
        )
    return lens


def _straight(lens: Lens) -> CameraIntrinsics:
    """The camera that sees the largest upright rectangle inside the undistorted outline of the raw picture."""
    raw = lens.raw
    right, bottom = raw.width - 1.0, raw.height - 1.0
    along = np.linspace(0, 1, _SIDE_POINTS)
    zeros = np.zeros(_SIDE_POINTS)

    def side(x: Array, y: Array, axis: int) -> list[float]:
        """x or y of the rays along one side. Where there is none, the side is too far out to limit anything."""
        values = lens.rays(np.column_stack([x, y]))[:, axis]
        return [float(value) for value in values if math.isfinite(value)]

    x0 = max([-_reach(lens, (-1, 0)), *side(zeros, along * bottom, 0)])
    x1 = min([_reach(lens, (1, 0)), *side(zeros + right, along * bottom, 0)])
    y0 = max([-_reach(lens, (0, -1)), *side(along * right, zeros, 1)])
    y1 = min([_reach(lens, (0, 1)), *side(along * right, zeros + bottom, 1)])
    if not (x0 < x1 and y0 < y1):
        raise ConfigError(
            "with this distortion nothing is left of the picture; calibrate again, or give `rectify=False`"
        )
    # The same scale both ways: in a picture that is stretched the network sees things of the wrong shape.
    scale = max(right / ((x1 - x0) * raw.fx), bottom / ((y1 - y0) * raw.fy))
    fx, fy = scale * raw.fx, scale * raw.fy
    cx, cy = 0.5 * right - fx * 0.5 * (x0 + x1), 0.5 * bottom - fy * 0.5 * (y0 + y1)
    return CameraIntrinsics(fx=fx, fy=fy, cx=cx, cy=cy, width=raw.width, height=raw.height)


def _reach(lens: Lens, direction: tuple[int, int]) -> float:
    """How far from the axis the rectified picture may look: to 60°, or to where the distortion folds over."""
    steps = np.linspace(0, _WIDEST, _SIDE_POINTS)
    pixels_N2 = lens.project(steps[:, None] * direction)
    goes_on_N = np.diff(pixels_N2 @ direction) > 0
    return float(steps[-1] if goes_on_N.all() else steps[goes_on_N.argmin()])


def _folded(points_HW2: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Where going right and down in one picture is not going round the same way in the other."""
    if min(points_HW2.shape[:2]) < 2:
        return np.zeros(points_HW2.shape[:2], np.bool_)
    x_HW, y_HW = points_HW2[..., 0], points_HW2[..., 1]
    turn_HW = np.gradient(x_HW, axis=1) * np.gradient(y_HW, axis=0)
    turn_HW -= np.gradient(y_HW, axis=1) * np.gradient(x_HW, axis=0)
    return np.asarray(~(turn_HW > 0))
