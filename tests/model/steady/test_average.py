"""Depth averaged over time, on scenes whose depth is known for every pose."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from model.lab.scenes.renderer.camera import rotation
from model.steady.average import DepthAverage
from model.steady.odometry import quaternion_of
from stream.frame import CameraIntrinsics, Odometry

Depth = npt.NDArray[np.float32]
WIDTH, HEIGHT = 160, 90
CAMERA = CameraIntrinsics.from_focal(120, WIDTH, HEIGHT)
STILL = Odometry(stretch=0, position=(0.0, 0.0, 0.0), orientation=(0.0, 0.0, 0.0, 1.0), covariance=(0.0,) * 36)


def average(*, strength: float = 0.8, threshold: float = 0.1, persistence: int = 0) -> DepthAverage:
    return DepthAverage(strength=strength, threshold=threshold, persistence=persistence)


def step(of: DepthAverage, depth: Depth, pose: Odometry | None = STILL, **how: object) -> tuple[Depth, float]:
    camera = how.pop("camera", CAMERA)
    out, share = of.update(torch.from_numpy(depth), camera, pose, **how)  # type: ignore[arg-type]
    return out.numpy(), float(share)


def flat(metres: float = 4.0) -> Depth:
    return np.full((HEIGHT, WIDTH), metres, np.float32)


def at(x: float, y: float, z: float, *turn: float, stretch: int = 0) -> Odometry:
    return replace(STILL, position=(x, y, z), orientation=quaternion_of(rotation(*turn)), stretch=stretch)


def plane(pose: Odometry, turn: npt.NDArray[np.float64], camera: CameraIntrinsics = CAMERA) -> Depth:
    """Depth of the plane ``0.1 x + 0.2 y + z = 5`` of the first camera."""
    normal = np.array([0.1, 0.2, 1.0])
    v, u = np.indices((HEIGHT, WIDTH))
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=-1) @ turn.T
    return ((5 - normal @ pose.position) / (rays @ normal)).astype(np.float32)


@pytest.mark.parametrize("strength", [0.5, 0.8])
def test_noise_of_a_still_camera_falls_by_the_factor_that_is_told(strength: float) -> None:
    rng, averaging = np.random.default_rng(0), average(strength=strength)
    for count in range(1, 31):
        noisy = flat() * np.exp(rng.normal(0, 0.01, (HEIGHT, WIDTH))).astype(np.float32)
        out, share = step(averaging, noisy)
        spread = float(np.log(out).std()) / 0.01
        if count <= 2:
            assert spread == pytest.approx(1 / math.sqrt(count), rel=0.03)  # at first, the mean of all there are
    assert share == 1
    assert spread == pytest.approx(math.sqrt((1 - strength) / (1 + strength)), rel=0.06)
    assert np.log(out / 4).mean() == pytest.approx(0, abs=5e-4)


@pytest.mark.parametrize("way", [1, -1])
def test_the_past_is_carried_along_by_the_cameras_motion_and_zoom(way: int) -> None:
    averaging = average(strength=0.9, threshold=0.04)
    for k in range(10):
        turn = (0.02 * k * way, 0.01 * k, -0.015 * k)
        pose = at(0.06 * k * way, -0.03 * k, 0.08 * k, *turn)
        camera = CameraIntrinsics.from_focal(120 * 1.01**k, WIDTH, HEIGHT)
        truth = plane(pose, rotation(*turn), camera)
        truth[40:50, 60:70] = np.nan
        out, share = step(averaging, truth, pose, camera=camera)
        assert np.array_equal(np.isnan(out), np.isnan(truth))
        assert np.nanmax(np.abs(out / truth - 1)) < 2e-4
    assert 0.85 < share < 0.99  # a border has come into view


def test_noise_falls_as_well_when_the_camera_moves() -> None:
    rng, averaging = np.random.default_rng(1), average()
    for k in range(20):
        pose = at(0.02 * k, 0.0, 0.05 * k, 0.01 * k)
        truth = plane(pose, rotation(0.01 * k))
        out, _ = step(averaging, truth * np.exp(rng.normal(0, 0.01, truth.shape)).astype(np.float32), pose)
    middle = np.s_[20:-20, 30:-30]
    assert np.log(out / truth)[middle].std() < 0.35 * 0.01


def test_what_moves_leaves_no_ghost() -> None:
    averaging, most = average(strength=0.95), 0.0
    for k in range(12):
        depth = flat()
        depth[30:60, 6 * k : 6 * k + 30] = 2.0
        out, share = step(averaging, depth)
        most = max(most, float(np.abs(out / depth - 1).max()))
    assert most < 1e-6
    assert share == pytest.approx(1 - 2 * 6 * 30 / (WIDTH * HEIGHT), abs=1e-3)  # what was hidden, and what hides


def test_an_edge_keeps_its_place_when_the_camera_moves_sideways() -> None:
    rng, averaging = np.random.default_rng(2), average(strength=0.9)
    for k in range(25):
        edge = 100 - 1.7 * k  # of something 2 m away, in front of a wall at 4 m; the camera goes to the right
        truth = flat()
        truth[:, : math.ceil(edge)] = 2.0
        noisy = truth * np.exp(rng.normal(0, 0.01, truth.shape)).astype(np.float32)
        out, _ = step(averaging, noisy, at(1.7 * 2 / 120 * k, 0.0, 0.0))
    assert np.array_equal(out < 3, truth < 3)
    beside = np.s_[:, math.ceil(edge) - 2 : math.ceil(edge) + 2]
    assert np.abs(out / truth - 1)[beside].max() < 0.05
    assert np.log(out / truth)[beside].std() < 0.011  # no worse than without


def test_what_has_changed_is_a_mean_of_what_came_since() -> None:
    averaging = average()
    for _ in range(10):
        step(averaging, flat(4.0))
    assert np.array_equal(step(averaging, flat(2.0))[0], flat(2.0))
    assert step(averaging, flat(2.04))[0][0, 0] == pytest.approx(2.02, abs=1e-3)


@pytest.mark.parametrize("anew", ["cut", "unknown", "stretch", "lens"])
def test_it_begins_anew_to_the_bit(anew: str) -> None:
    averaging = average()
    for metres in (4.0, 4.1, 4.05):
        step(averaging, flat(metres))
    pose: Odometry | None = replace(STILL, stretch=1) if anew == "stretch" else None if anew == "unknown" else STILL
    camera = replace(CAMERA, distortion_model="plumb_bob", distortion=(0.1, 0.0, 0.0, 0.0, 0.0))
    how = {"camera": camera} if anew == "lens" else {"scene_cut": anew == "cut"}
    out, share = step(averaging, flat(4.02), pose, **how)
    assert np.array_equal(out, flat(4.02))
    assert share == 0
    if anew in ("cut", "stretch"):
        out, share = step(averaging, flat(4.06), pose)
        assert out[0, 0] == pytest.approx(4.04, abs=1e-3)  # the mean of two
    smaller, share = averaging.update(torch.ones(45, 80), CAMERA.resized(80, 45), STILL)
    assert float(share) == 0
    assert torch.equal(smaller, torch.ones(45, 80))


def test_what_has_no_depth_stays_so_and_persistence_bridges_gaps() -> None:
    depth, hole = flat(), flat()
    hole[20:30, 20:30], hole[40:50, 20:30], hole[60:70, 20:30] = np.nan, np.inf, 2.0
    for persistence in (0, 2):
        averaging = average(persistence=persistence)
        step(averaging, depth)
        for gap in range(4):
            out, _ = step(averaging, hole)
            expected = depth if gap < persistence else hole
            assert np.allclose(out, expected, rtol=1e-6, equal_nan=True)
        out, _ = step(averaging, depth)
        assert np.allclose(out[20:50, 20:30], 4.0)
    averaging = average(strength=0.0, persistence=5)  # nothing that agrees is held
    step(averaging, flat(4.0))
    assert np.array_equal(step(averaging, flat(4.1))[0], flat(4.1))
