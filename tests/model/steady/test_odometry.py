"""The camera's way from motions whose truth is known, and from a drawn room."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.steady import FOCAL_PX, HEIGHT, WIDTH, Shot, drift, fly, steady
from model.lab.scenes.renderer.camera import rotation
from model.steady import MotionTracker, Steadier
from model.steady.odometry import Odometer, quaternion_of, rotation_of
from model.steady.pose import CameraMotion
from stream.frame import CameraIntrinsics, Odometry

Array = npt.NDArray[np.float64]
_COVARIANCE = np.diag([1e-4, 4e-4, 9e-4, 1e-6, 1e-6, 4e-6])


def motion(turn: Array | None = None, shift: Array | None = None) -> CameraMotion:
    """A point ``X`` of the reference is at ``turn · X + shift``."""
    turn = np.eye(3) if turn is None else turn
    shift = np.zeros(3) if shift is None else shift
    return CameraMotion(np.zeros(0), np.zeros(0, bool), 0.0, turn, shift, _COVARIANCE, np.zeros((6, 6)))


def step(odometer: Odometer, moved: CameraMotion | None, **how: object) -> Odometry | None:
    usual = {"log_scale": 0.0, "log_std": 0.0, "begins": False, "is_reference": False, "unit": 1.0}
    return odometer.update(moved, **{**usual, **how})  # type: ignore[arg-type]


def begun() -> Odometer:
    odometer = Odometer()
    first = step(odometer, None, begins=True, is_reference=True)
    assert first is not None
    assert (first.stretch, first.position, first.orientation) == (0, (0, 0, 0), (0, 0, 0, 1))
    assert set(first.covariance) == {0}
    return odometer


def matrix(pose: Odometry | None) -> Array:
    assert pose is not None
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = rotation_of(pose.orientation), pose.position
    return found


@pytest.mark.parametrize("turn", [(0.1, -0.2, 0.3), (3.1, 0.0, 0.0), (0.0, 3.1, 0.0), (0.0, 0.0, 3.1), (2.0, 1.0, 2.9)])
def test_a_rotation_comes_back_from_its_quaternion(turn: tuple[float, float, float]) -> None:
    quaternion = quaternion_of(rotation(*turn))
    assert math.hypot(*quaternion) == pytest.approx(1, abs=1e-12)
    assert quaternion[3] >= 0
    assert np.allclose(rotation_of(quaternion), rotation(*turn), atol=1e-12)
    assert np.allclose(quaternion_of(rotation(yaw=0.2)), (0, math.sin(0.1), 0, math.cos(0.1)))


def test_who_goes_forward_and_turns_right_is_seen_to() -> None:
    odometer = begun()
    # The camera goes 1 m ahead and turns by 90° to the right: what was 3 m ahead is 2 m to its left.
    ahead = step(odometer, motion(rotation(math.pi / 2).T, rotation(math.pi / 2).T @ [0, 0, -1]), is_reference=True)
    assert np.allclose(matrix(ahead) @ [-2, 0, 0, 1], [0, 0, 3, 1])
    assert np.allclose(matrix(ahead)[:3, 3], [0, 0, 1])
    again = step(odometer, motion(shift=np.array([0.0, 0.0, -2.0])), log_scale=math.log(1.5))
    assert np.allclose(matrix(again)[:3, 3], [3, 0, 1])  # ahead is to the right by now
    assert again is not None
    assert not again.is_reference


def test_the_covariance_is_that_of_the_errors_that_motions_have() -> None:
    """Against a thousand ways of the same three motions, each of them off by what it is said to be off by."""
    rng = np.random.default_rng(0)
    parts = [
        (rotation(0.3, 0.1, -0.2), np.array([0.5, -0.1, -1.0])),
        (rotation(-0.4, 0.2, 0.1), np.array([-0.3, 0.2, -2.0])),
        (rotation(0.8, 0.0, 0.3), np.array([0.1, 0.4, -1.5])),
    ]

    def walked(*, noisy: bool) -> Odometry:
        odometer, pose = begun(), None
        for turn, shift in parts:
            off = rng.multivariate_normal(np.zeros(6), _COVARIANCE) if noisy else np.zeros(6)
            small = rotation_of(quaternion_of(_turned(off[3:])))
            log_scale = float(rng.normal(0, 0.02)) if noisy else 0.0
            # The scale is that of the shift as it is measured.
            moved = motion(small @ turn, small @ shift + off[:3])
            pose = step(odometer, moved, log_scale=log_scale, log_std=0.02, is_reference=True)
        assert pose is not None
        return pose

    told = walked(noisy=False)
    errors = []
    for _ in range(1000):
        pose = walked(noisy=True)
        turn = rotation_of(pose.orientation) @ rotation_of(told.orientation).T
        small = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2
        errors.append(np.concatenate([np.subtract(pose.position, told.position), small]))
    found, covariance = np.cov(np.array(errors).T), np.reshape(told.covariance, (6, 6))
    spread = np.sqrt(np.diag(covariance))
    assert np.allclose(np.sqrt(np.diag(found)), spread, rtol=0.1)
    assert np.abs((found - covariance) / np.outer(spread, spread)).max() < 0.1


def _turned(small: Array) -> Array:
    x, y, z = small
    w = math.sqrt(1 - (x * x + y * y + z * z) / 4)
    return rotation_of((x / 2, y / 2, z / 2, w))


def test_it_grows_with_every_change_of_reference_alone() -> None:
    odometer = begun()
    seen = [step(odometer, motion(), is_reference=is_reference) for is_reference in (False, False, True, False, True)]
    assert [pose.covariance[0] for pose in seen if pose] == pytest.approx([1e-4, 1e-4, 1e-4, 2e-4, 2e-4])
    assert [pose.position for pose in seen if pose] == [(0, 0, 0)] * 5


def test_a_stretch_begins_where_the_way_is_lost_and_bare_walls_begin_none() -> None:
    odometer = begun()
    away = motion(shift=np.array([0.0, 0.0, -1.0]))
    assert matrix(step(odometer, away))[2, 3] == 1
    assert step(odometer, None) is None  # no points in this one frame, but the reference stays
    still = step(odometer, away)
    assert still is not None
    assert (still.stretch, still.position[2]) == (0, 1)
    lost = step(odometer, None, begins=True, is_reference=True)
    assert lost is not None
    assert (lost.stretch, lost.position) == (1, (0, 0, 0))
    for _ in range(3):
        assert step(odometer, None, begins=False, is_reference=True) is None
    found = step(odometer, away)
    assert found is not None
    assert (found.stretch, found.position[2]) == (2, 1)


def test_another_unit_of_depth_is_another_stretch() -> None:
    odometer = begun()
    away = motion(shift=np.array([0.0, 0.0, -1.0]))
    step(odometer, away, is_reference=True)
    scaled = step(odometer, away, unit=2.5)
    assert scaled is not None
    assert scaled.stretch == 1
    assert np.allclose(scaled.position, (0, 0, 5))
    assert scaled.covariance[14] == pytest.approx(2 * 9e-4 * 2.5**2)  # of z, along which no turn moves it
    assert scaled.covariance[21] == pytest.approx(2e-6)


def test_a_run_that_goes_on_goes_on_to_the_bit() -> None:
    away = motion(rotation(0.1, 0.02, 0.0), np.array([0.02, 0.0, -0.3]))
    frames = [  # motion, begins, is_reference, unit
        (None, True, True, 1.0),
        (away, False, False, 1.0),
        (away, False, True, 1.0),
        (away, False, False, 1.7),
        (away, False, True, 1.7),
        (None, False, False, 1.7),
        (None, True, True, 1.7),
        (None, False, True, 1.7),
        (away, False, False, 1.7),
        (None, False, True, 1.7),
        (away, False, True, 1.7),
        (away, False, True, 1.7),
    ]
    whole = Odometer()
    told = [
        step(whole, moved, begins=begins, is_reference=is_reference, unit=unit)
        for moved, begins, is_reference, unit in frames
    ]
    for done in range(1, len(frames)):
        again = Odometer()
        for (moved, begins, is_reference, unit), pose in zip(frames[:done], told, strict=False):
            kept = pose if pose is not None and pose.is_reference else None
            again.replay(kept, is_known=moved is not None, begins=begins, is_reference=is_reference, unit=unit)
        rest = [
            step(again, moved, begins=begins, is_reference=is_reference, unit=unit)
            for moved, begins, is_reference, unit in frames[done:]
        ]
        assert rest == told[done:]


@pytest.fixture(scope="module")
def walk() -> list[Shot]:
    return fly("walk", 6.0, rate=5)


def way(shots: list[Shot], kind: str) -> list[Odometry | None]:
    """Where the camera is said to be in each frame."""
    return [found.odometry for found in steady(shots, kind, rate=5).found]


@pytest.mark.parametrize("kind", ["none", "all"])
def test_a_walk_arrives_where_it_should(walk: list[Shot], kind: str) -> None:
    drifted = drift(steady(walk, kind, rate=5))
    assert drifted.share == 1
    assert drifted.walked_m > 6
    assert drifted.off_m < (0.01 if kind == "none" else 0.03) * drifted.walked_m
    assert drifted.off_deg < (0.2 if kind == "none" else 0.6)
    assert drifted.foretold > 0.8


def test_depth_that_scatters_makes_it_less_certain(walk: list[Shot]) -> None:
    ends = [way(walk, kind)[-1] for kind in ("white", "all")]
    certain, scattered = (np.sqrt(np.diag(np.reshape(end.covariance, (6, 6)))) for end in ends if end)
    assert np.all(scattered > 1.5 * certain)


def test_it_has_the_scale_of_the_depth_beside_it(walk: list[Shot]) -> None:
    """A first frame that is too large by 30 % is the reference; the scale that is told of the second is in between."""
    tracker, steadier = MotionTracker(), Steadier()
    camera = CameraIntrinsics.from_focal(FOCAL_PX, WIDTH, HEIGHT)
    for index, (shot, factor) in enumerate(zip(walk[:2], (1.3, 1.0), strict=True)):
        found = steadier.update(
            tracker.update(shot.luma), shot.depth * np.float32(factor), camera, time_s=index / 5, zooms=False
        )
    assert found.odometry is not None
    assert 0.05 < found.correction.log < 0.24  # of 0.26
    truth = (np.linalg.inv(walk[0].pose) @ walk[1].pose)[:3, 3]
    assert np.allclose(found.odometry.position, truth * math.exp(found.correction.log), atol=0.02 * truth[2])


def test_a_still_camera_stays_exactly_where_it_is() -> None:
    told = way(fly("still", 3.0, rate=5), "all")
    assert {(pose.stretch, pose.position, pose.orientation) for pose in told if pose} == {(0, (0, 0, 0), (0, 0, 0, 1))}
    assert None not in told


def test_a_cut_begins_anew_and_a_bare_wall_tells_nothing() -> None:
    shots = fly("cut", 3.0, rate=5)
    told = way(shots, "white")
    first = next(k for k, shot in enumerate(shots) if shot.cut)
    begun = told[first]
    assert begun is not None
    assert replace(begun, is_reference=True) == Odometry(
        stretch=1, position=(0, 0, 0), orientation=(0, 0, 0, 1), covariance=(0.0,) * 36, is_reference=True
    )
    assert [pose.stretch for pose in told if pose] == [0] * first + [1] * (len(told) - first)
    wall = way(fly("wall", 2.0, rate=5), "white")
    assert wall[0] is not None
    assert set(wall[1:]) == {None}
