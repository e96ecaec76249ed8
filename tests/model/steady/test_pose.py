"""Camera motion from synthetic tracks, whose truth is known."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from model.lab.scenes.renderer.camera import rotation
from model.steady.pose import CameraMotion, camera_motion
from stream.frame import CameraIntrinsics

Array = npt.NDArray[np.float64]
CAMERA = CameraIntrinsics.from_focal(250, 320, 180)
N = 150


def scene(seed: int = 0) -> tuple[Array, Array]:
    """Pixels and their depth."""
    rng = np.random.default_rng(seed)
    return rng.uniform((5, 5), (315, 175), (N, 2)), rng.uniform(2, 9, N)


def seen_from(
    pixels: Array, depth: Array, turn: Array, shift: Array, camera: CameraIntrinsics = CAMERA
) -> tuple[Array, Array]:
    """The same points after the camera has moved: pixels and depth."""
    rays = np.column_stack([(pixels - (CAMERA.cx, CAMERA.cy)) / CAMERA.fx, np.ones(len(pixels))])
    points = (rays * depth[:, None]) @ turn.T + shift
    return points[:, :2] / points[:, 2:] * camera.fx + (camera.cx, camera.cy), points[:, 2]


TURN, SHIFT = rotation(0.02, -0.01, 0.01), np.array([0.05, 0.02, -0.15])


@pytest.mark.parametrize("factor", [1.0, 3.0])
@pytest.mark.parametrize("zoom_std", [0.0, 0.01])
def test_depth_is_carried_along_whatever_its_unit(factor: float, zoom_std: float) -> None:
    pixels, depth = scene()
    now, truth = seen_from(pixels, depth, TURN, SHIFT)
    now += np.random.default_rng(1).normal(0, 0.1, now.shape)
    motion = camera_motion(pixels, now, depth * factor, before=CAMERA, now=CAMERA, zoom_std=zoom_std)
    assert motion is not None
    error = np.median(np.log(motion.depth_N / (truth * factor)))
    assert abs(error) < 0.003
    assert abs(error) < 4 * motion.log_std
    assert motion.inlier_N.mean() > 0.9


def test_what_moves_by_itself_is_left_out() -> None:
    pixels, depth = scene()
    now, truth = seen_from(pixels, depth, TURN, SHIFT)
    moving = pixels[:, 0] < 320 / 3
    now[moving] += (6.0, -2.0)
    motion = camera_motion(pixels, now, depth, before=CAMERA, now=CAMERA)
    assert motion is not None
    assert not motion.inlier_N[moving].any()
    assert np.allclose(motion.depth_N[~moving], truth[~moving], rtol=1e-3)


def test_a_zoom_that_nobody_told_is_not_taken_for_a_walk() -> None:
    pixels, depth = scene()
    now, _ = seen_from(pixels, depth, np.eye(3), np.zeros(3), CameraIntrinsics.from_focal(290, 320, 180))
    motion = camera_motion(pixels, now, depth, before=CAMERA, now=CAMERA, zoom_std=0.01)
    assert motion is not None
    assert np.median(motion.depth_N / depth) == pytest.approx(1, abs=0.003)


def test_before_a_wall_a_zoom_cannot_be_told_from_a_walk_and_the_deviation_says_so() -> None:
    pixels, depth = scene()
    depth[:] = 4.0
    now, _ = seen_from(pixels, depth, np.eye(3), np.array([0, 0, -0.3]))
    guessed = camera_motion(pixels, now, depth, before=CAMERA, now=CAMERA, zoom_std=0.01)
    known = camera_motion(pixels, now, depth, before=CAMERA, now=CAMERA)
    assert guessed is not None
    assert known is not None
    assert known.log_std < 0.003 < guessed.log_std
    assert known.depth_N == pytest.approx(3.7, abs=0.02)


def test_a_still_camera_has_the_same_depth_to_the_bit() -> None:
    pixels, depth = scene()
    now = pixels + np.random.default_rng(2).normal(0, 0.03, pixels.shape)
    motion = camera_motion(pixels, now, depth, before=CAMERA, now=CAMERA)
    assert motion is not None
    assert np.array_equal(motion.depth_N, depth)


@pytest.mark.parametrize("count", [0, 10, N])
def test_too_few_points_or_none_that_agree_have_no_motion(count: int) -> None:
    pixels, depth = scene()
    now = np.random.default_rng(3).uniform((5, 5), (315, 175), (N, 2))
    assert camera_motion(pixels[:count], now[:count], depth[:count], before=CAMERA, now=CAMERA) is None


def test_the_motion_is_told_and_how_far_it_may_be_off() -> None:
    """Against many draws of errors of pixels, and of depth."""
    pixels, depth = scene()
    truth, _ = seen_from(pixels, depth, TURN, SHIFT)
    rng = np.random.default_rng(4)

    def off(now: Array, depth: Array) -> tuple[Array, CameraMotion]:
        motion = camera_motion(pixels, now, depth, before=CAMERA, now=CAMERA)
        assert motion is not None
        small = cv2.Rodrigues(motion.turn @ TURN.T)[0].ravel()
        return np.concatenate([motion.shift - motion.turn @ TURN.T @ SHIFT, small]), motion

    exact, motion = off(truth, depth)
    assert np.allclose(exact, 0, atol=1e-4)
    by_pixels = np.cov([off(truth + rng.normal(0, 0.15, truth.shape), depth)[0] for _ in range(200)], rowvar=False)
    by_depth = np.cov([off(truth, depth * np.exp(rng.normal(0, 0.05, N)))[0] for _ in range(200)], rowvar=False)
    _, noisy = off(truth + rng.normal(0, 0.15, truth.shape), depth)
    for found, told in ((by_pixels, noisy.covariance), (by_depth, 0.05**2 * motion.depth_covariance)):
        ratio = np.sqrt(np.diag(told) / np.diag(found))
        assert ratio.min() > 0.8
        assert ratio.max() < 2  # neighbouring points are taken to err alike


def test_a_still_camera_may_have_moved_by_what_is_not_seen() -> None:
    pixels, depth = scene()
    motion = camera_motion(pixels, pixels, depth, before=CAMERA, now=CAMERA)
    assert motion is not None
    assert np.array_equal(motion.turn, np.eye(3))
    assert np.array_equal(motion.shift, np.zeros(3))
    spread = np.sqrt(np.diag(motion.covariance))
    assert np.all((spread[:2] > 0.1 / 250 * 2) & (spread[:2] < 0.1 / 250 * 30))  # a tenth of a pixel, 2 to 9 m away
    assert np.all((spread[3:] > 0.1 / 250) & (spread[3:] < 1 / 250))
