"""Flights: continuous but at cuts, deterministic, clear of walls, exact in pose and focal length."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from model.lab.scenes import HELD_OUT_SEEDS, MOTIONS, demo_flight, flight
from model.lab.scenes.flights import DEMO_SEEDS
from stream.errors import ConfigError


def steps(way, frames):
    """Metres, radians and log focal ratio between neighbouring frames, each ``[frames - 1]``."""
    cameras = [way.camera(i) for i in range(frames)]
    metres = [np.linalg.norm(b.position - a.position) for a, b in itertools.pairwise(cameras)]
    turns = [
        np.arccos(np.clip((np.trace(a.rotation.T @ b.rotation) - 1) / 2, -1, 1)) for a, b in itertools.pairwise(cameras)
    ]
    zooms = [abs(np.log(b.f_px / a.f_px)) for a, b in itertools.pairwise(cameras)]
    return np.array(metres), np.array(turns), np.array(zooms)


@pytest.mark.parametrize("motion", MOTIONS)
def test_cameras_move_smoothly_but_at_cuts(motion):
    for seed in HELD_OUT_SEEDS[20:23]:
        way = flight(seed, frames=60, width=64, height=36, frame_rate=30, motion=motion)
        metres, turns, zooms = steps(way, 60)
        assert way.kind == motion
        assert len(way) == 60
        assert way.cuts == ((30,) if motion == "cut" else ())
        smooth = np.ones(59, bool)
        smooth[[c - 1 for c in way.cuts]] = False
        assert metres[smooth].max() < 0.25  # at most 5 m/s and a hand's shake
        assert turns[smooth].max() < np.deg2rad(3)
        assert zooms[smooth].max() < 0.15
        for cut in way.cuts:
            assert way.scene(cut) is not way.scene(cut - 1) or metres[cut - 1] + turns[cut - 1] > 0.2


def test_only_a_zoom_changes_the_focal_length():
    for motion in MOTIONS:
        way = flight(HELD_OUT_SEEDS[3], frames=20, width=64, height=36, motion=motion)
        focal = [way.camera(i).f_px for i in range(10)]
        assert (len(set(focal)) > 1) == (motion == "zoom")


def test_the_demo_doubles_its_focal_length_and_cuts_at_two_thirds():
    way = demo_flight(90, 64, 36)
    assert way.cuts == (60,)
    assert way.camera(59).f_px == pytest.approx(2 * way.camera(0).f_px)
    assert way.camera(61).f_px == pytest.approx(way.camera(60).f_px)
    assert way.scene(59) is way.scene(0)
    assert way.scene(60) is not way.scene(59)
    assert all(seed in HELD_OUT_SEEDS for seed in DEMO_SEEDS)
    assert np.linalg.norm(way.camera(59).position - way.camera(0).position) > 0.5  # it walks


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_short_demos_exist(frames):
    assert len(demo_flight(frames, 32, 18)) == frames


def test_a_flight_is_decided_by_its_seed():
    a, b = (flight(HELD_OUT_SEEDS[9], frames=5, width=32, height=24).render(4) for _ in range(2))
    assert np.array_equal(a.image, b.image)
    assert np.array_equal(a.depth, b.depth)
    assert np.array_equal(a.pose, b.pose)


def test_depth_and_pose_of_two_frames_agree():
    """Points of one frame, carried by the poses into the next, lie on its depth map."""
    way = flight(HELD_OUT_SEEDS[2], frames=10, width=96, height=64, motion="orbit", kind="room")
    a, b = way.render(0), way.render(3)
    v, u = np.mgrid[0:64, 0:96]
    seen = np.isfinite(a.depth)
    points = np.stack([(u - 47.5) / a.f_px, (v - 31.5) / a.f_px, np.ones_like(u)], -1)[seen] * a.depth[seen][:, None]
    moved = np.linalg.inv(b.pose) @ a.pose @ np.concatenate([points, np.ones((len(points), 1))], 1).T
    x, y = moved[0] / moved[2] * b.f_px + 47.5, moved[1] / moved[2] * b.f_px + 31.5
    inside = (x > 0) & (x < 95) & (y > 0) & (y < 63) & (moved[2] > 0)
    there = b.depth[y[inside].round().astype(int), x[inside].round().astype(int)]
    error = np.abs(there / moved[2][inside] - 1)
    assert inside.mean() > 0.5
    assert np.median(error) < 0.01


def test_errors_say_what_is_allowed():
    with pytest.raises(ConfigError, match="walk"):
        flight(0, frames=2, width=8, height=8, motion="swim")
    with pytest.raises(ConfigError, match="positive"):
        demo_flight(0, 8, 8)
    with pytest.raises(IndexError, match="5"):
        demo_flight(5, 8, 8).camera(5)
    with pytest.raises(IndexError):
        demo_flight(5, 8, 8).camera(-1)
