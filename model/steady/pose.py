"""How the camera moved between two pictures, from points whose depth is known in the first one.

A robust start (RANSAC) leaves out what does not follow the camera; Gauss-Newton with Tukey's weights refines it, with
the zoom of the lens as one more unknown where the focal length is only estimated, and says how certain the depth is
that follows. Depth that is wrong by a factor makes a translation that is wrong by the same, so the factor is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stream.frame import CameraIntrinsics

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_STILL_PX = 0.1  # median motion of the points of a camera that stands still
_STILL_STD = 0.001  # of log depth that so little motion may hide
_RANSAC_PX = 1.0
_FLOOR_PX = 0.08  # standard deviation of a followed point, at least
_LOOSE_PX = 4.0
_LOOSE_ROUNDS = 3
_TIGHTER = 0.35
_ANY_ZOOM = 0.5  # of log focal length
_TUKEY = 4.0  # standard deviations, beyond which a point counts nothing
_ROUNDS = 6
_SETTLED = 2e-5  # radians, and shares of the median depth
_FARTHEST = 0.5  # translation over median depth: a loose prior, for pictures that say nothing about it
_ALIKE = 2.0  # neighbouring points err alike: so many count as one
_FEWEST = 25
_LEAST_SHARE = 0.4  # of the points, that must follow the camera


@dataclass(frozen=True, slots=True)
class CameraMotion:
    """Where points of the first picture are for the second one's camera: at ``turn · X + shift``.

    Attributes:
        depth_N: ``float64 [N]``, depth of every point for the second camera, in the unit of the first's.
        inlier_N: ``bool [N]``, whether the point follows the camera's motion.
        log_std: standard deviation of the logarithm of depth as a whole, as far as it comes from the motion.
        turn: ``float64 [3, 3]``, a rotation; the identity, exactly, of a camera that stands still.
        shift: ``float64 [3]``, in the unit of depth; 0, exactly, of a camera that stands still.
        covariance: ``float64 [6, 6]``, of a small shift, in the unit of depth, and a small turn, in radians, by which
            the second camera's axes are off because pixels are.
        depth_covariance: the same, because of depth, if the logarithm of each point's were off by 1, by itself.
    """

    depth_N: Array
    inlier_N: Mask
    log_std: float
    turn: Array
    shift: Array
    covariance: Array
    depth_covariance: Array


def camera_motion(
    before_N2: Array,
    now_N2: Array,
    depth_N: Array,
    *,
    before: CameraIntrinsics,
    now: CameraIntrinsics,
    zoom_std: float = 0.0,
) -> CameraMotion | None:
    """The motion that carries the points along.

    Args:
        before_N2, now_N2: ``float64 [N, 2]``, pixels in the first and the second picture.
        depth_N: ``float64 [N]``, of the points in the first picture, positive and finite.
        before, now: the two cameras; ``now`` counts where ``zoom_std`` is 0.
        zoom_std: how far the lens may have zoomed unnoticed, as a deviation of log focal length.

    Returns:
        ``None`` where too few points agree on one.
    """
    if len(depth_N) < _FEWEST:
        return None
    if zoom_std or abs(now.fx / before.fx - 1) < 1e-6:
        step_N = np.hypot(*(now_N2 - before_N2).T)
        if float(np.median(step_N)) < _STILL_PX:
            return _still(before_N2, depth_N, step_N < 5 * _STILL_PX, before)
    unit = float(np.median(depth_N))
    rays_N2 = (before_N2 - (before.cx, before.cy)) / (before.fx, before.fy)
    X_N3 = np.column_stack([rays_N2, np.ones(len(rays_N2))]) * (depth_N / unit)[:, None]
    camera = before if zoom_std else now
    found, turn, shift, _ = cv2.solvePnPRansac(
        X_N3,
        now_N2,
        camera.matrix,
        None,
        iterationsCount=100,
        reprojectionError=_RANSAC_PX + 100 * zoom_std,
        confidence=0.999,
        flags=cv2.SOLVEPNP_SQPNP,
    )
    if not found:
        return None
    R, t = cv2.Rodrigues(turn)[0], np.asarray(shift, np.float64).ravel()
    if not (np.isfinite(R).all() and np.isfinite(t).all()):
        return None
    return _refined(X_N3, now_N2, np.asarray(R, np.float64), t, camera, zoom_std=zoom_std, unit=unit)


def _refined(
    X_N3: Array, now_N2: Array, R: Array, t: Array, camera: CameraIntrinsics, *, zoom_std: float, unit: float
) -> CameraMotion | None:
    """Gauss-Newton over turn, shift and zoom, each point weighted by how well it fits."""
    free = 7 if zoom_std else 6
    prior_7 = np.array([0.0, 0.0, 0.0, *[_FARTHEST**-2] * 3, 0.0])[:free]
    focal, centre = np.array([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
    zoom, settled = 0.0, False
    for step in range(_ROUNDS + 1):
        if free == 7:  # Cauchy's, in the end: a lens holds still, or it zooms, and then there is no telling how much
            prior_7[6] = 1 / (zoom_std**2 + zoom**2) if step >= _LOOSE_ROUNDS else _ANY_ZOOM**-2
        Y_N3 = X_N3 @ R.T + t
        z_N = np.where(Y_N3[:, 2] > 1e-3, Y_N3[:, 2], np.nan)
        xy_N2 = Y_N3[:, :2] / z_N[:, None]
        scaled = focal * np.exp(zoom)
        residual_N2 = now_N2 - (xy_N2 * scaled + centre)
        error_N = np.nan_to_num(np.hypot(*residual_N2.T), nan=np.inf)
        near = np.sort(error_N)[: max(_FEWEST, int(0.6 * len(error_N)))]  # some of the points move by themselves
        # Of a coordinate, from a median of lengths. Where a zoom is possible all points count at first: the start may
        # have taken it for a shift, which suits a part of them.
        std = max(_FLOOR_PX, float(np.median(near)) / 0.85, _LOOSE_PX * _TIGHTER**step if free == 7 else 0.0)
        weight_N = np.clip(1 - (error_N / (_TUKEY * std)) ** 2, 0, None) ** 2
        used = weight_N > 0
        if used.sum() < _FEWEST:
            return None
        J_M7 = _jacobian(xy_N2[used], z_N[used], scaled).reshape(-1, 7)[:, :free]
        weighted_7M = (J_M7 * np.repeat(weight_N[used] / std**2, 2)[:, None]).T
        information = weighted_7M @ J_M7 + np.diag(prior_7)
        if settled or step == _ROUNDS:
            break
        gradient = weighted_7M @ residual_N2[used].ravel()
        gradient[3:6] -= prior_7[3:6] * t
        if free == 7:
            gradient[6] -= prior_7[6] * zoom
        try:
            change = np.linalg.solve(information, gradient)
        except np.linalg.LinAlgError:
            return None
        turn = np.asarray(cv2.Rodrigues(change[:3])[0], np.float64)
        R, t = turn @ R, turn @ t + change[3:6]
        zoom += float(change[6]) if free == 7 else 0.0
        settled = float(np.abs(change).max()) < _SETTLED and (free == 6 or step > _LOOSE_ROUNDS)
        if not (np.isfinite(t).all() and abs(zoom) < 1):
            return None
    # How the mean of log depth follows the unknowns.
    slope = np.zeros(free)
    slope[0], slope[1], slope[5] = xy_N2[used, 1].mean(), -xy_N2[used, 0].mean(), (1 / z_N[used]).mean()
    try:
        inverse = np.linalg.inv(information)
    except np.linalg.LinAlgError:
        return None
    covariance = _ALIKE * inverse
    log_std = float(np.sqrt(max(float(slope @ covariance @ slope), 0.0)))
    # A point that is farther away than it is taken to be moves the less, as if what shifts it were smaller.
    moved_M = J_M7[:, 3:6] @ t
    by_depth = inverse @ (weighted_7M * moved_M).reshape(free, -1, 2).sum(axis=2)
    depth_N, inlier_N = np.nan_to_num(z_N, nan=-1.0) * unit, used & (z_N > 0)
    if not _enough(inlier_N):
        return None
    covariances = _shift_first(covariance, unit), _shift_first(by_depth @ by_depth.T, unit)
    return CameraMotion(depth_N, inlier_N, log_std, R, t * unit, *covariances)


def _still(before_N2: Array, depth_N: Array, inlier_N: Mask, camera: CameraIntrinsics) -> CameraMotion | None:
    """No motion at all. All points may be off by what is taken for none, and alike: together they count as one."""
    if not _enough(inlier_N):
        return None
    unit, focal = float(np.median(depth_N)), np.array([camera.fx, camera.fy])
    xy_N2 = (before_N2 - (camera.cx, camera.cy)) / focal
    J_M6 = _jacobian(xy_N2[inlier_N], depth_N[inlier_N] / unit, focal).reshape(-1, 7)[:, :6]
    information = J_M6.T @ J_M6 / (inlier_N.sum() * _STILL_PX**2) + np.diag([0.0, 0.0, 0.0, *[_FARTHEST**-2] * 3])
    covariance = _shift_first(np.linalg.inv(information), unit)
    return CameraMotion(depth_N, inlier_N, _STILL_STD, np.eye(3), np.zeros(3), covariance, np.zeros((6, 6)))


def _shift_first(covariance: Array, unit: float) -> Array:
    """``[6, 6]`` of shift, times ``unit``, and turn; ``covariance`` is of turn, shift and what may follow."""
    order = [3, 4, 5, 0, 1, 2]
    units = np.array([unit] * 3 + [1.0] * 3)
    return np.asarray(covariance[np.ix_(order, order)] * np.outer(units, units), np.float64)


def _jacobian(xy_N2: Array, z_N: Array, focal: Array) -> Array:
    """``[N, 2, 7]``: how pixels follow a turn, a shift (both in the second camera's axes) and log focal length."""
    x, y = xy_N2.T
    near, J_27N = 1 / z_N, np.zeros((2, 7, len(z_N)))
    J_27N[0, [0, 1, 2, 3, 5, 6]] = -x * y, 1 + x * x, -y, near, -x * near, x
    J_27N[1, [0, 1, 2, 4, 5, 6]] = -1 - y * y, x * y, x, near, -y * near, y
    J_27N *= focal[:, None, None]
    return np.ascontiguousarray(J_27N.transpose(2, 0, 1))


def _enough(inlier_N: Mask) -> bool:
    return bool(inlier_N.sum() >= max(_FEWEST, _LEAST_SHARE * len(inlier_N)))
