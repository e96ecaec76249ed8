"""Scene generators: what a seed decides, what cameras see, and whether things have the sizes they have in the world."""

from __future__ import annotations

import math

import numpy as np
import pytest

from model.lab.scenes import HELD_OUT_SEEDS, KINDS, TRAIN_SEEDS, render_batch, still
from model.lab.scenes.generate import MAX_FOV_DEG, MIN_DEPTH_M, MIN_FOV_DEG, finish, interest, setting, shot
from model.lab.scenes.places.shell import DOOR_HEIGHT_M
from model.lab.scenes.stage import Stage
from model.lab.scenes.things.furniture import PIECES, chair, table
from model.lab.scenes.things.people import MAX_HEIGHT_M, MIN_HEIGHT_M, person
from model.lab.scenes.things.vehicles import bus, car
from stream.errors import ConfigError

KIND_NAMES = list(KINDS)


def extent(stage: Stage) -> np.ndarray:
    """Size ``[3]`` in metres of everything on a stage: width, height, depth of the corners' bounding box."""
    scene = stage.builder.build()
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    points = (
        np.einsum("pij,pcj->pci", scene.turn.numpy(), corners * scene.half.numpy()[:, None])
        + scene.center.numpy()[:, None]
    )
    return points.max((0, 1)) - points.min((0, 1))


def test_training_never_sees_a_held_out_seed():
    assert TRAIN_SEEDS.stop <= HELD_OUT_SEEDS.start
    assert len(HELD_OUT_SEEDS) == 10_000


@pytest.mark.parametrize("seed", [3, HELD_OUT_SEEDS[4]])
def test_a_still_is_decided_by_its_seed(seed):
    first, again = (still(seed, long_side=64) for _ in range(2))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.depth, again.depth)
    assert (first.f_px, first.kind, first.seed) == (again.f_px, again.kind, seed)


def test_other_seeds_give_other_pictures():
    pictures = [still(seed, long_side=32, samples=1) for seed in range(4)]
    assert len({p.depth.tobytes() for p in pictures}) == 4


def test_the_view_is_the_same_at_every_size():
    small, large = shot(11, long_side=64), shot(11, long_side=512)
    assert np.allclose(small.camera.position, large.camera.position)
    assert np.allclose(small.camera.rotation, large.camera.rotation)
    assert small.camera.fov_deg == pytest.approx(large.camera.fov_deg)


def test_a_batch_of_shots_gives_the_same_stills():
    taken = shot(5, long_side=64)
    batched = finish(taken, render_batch([taken.scene], [taken.camera])[0])
    assert np.array_equal(batched.depth, still(5, long_side=64).depth)


def test_fields_of_view_are_log_uniform_in_range_and_pictures_stand_and_lie():
    cameras = [shot(seed, long_side=64).camera for seed in range(150)]
    u = np.log([c.fov_deg for c in cameras])
    u = (u - math.log(MIN_FOV_DEG)) / (math.log(MAX_FOV_DEG) - math.log(MIN_FOV_DEG))
    assert u.min() >= 0
    assert u.max() <= 1
    gap = np.abs(np.sort(u) - (np.arange(len(u)) + 0.5) / len(u)).max()
    assert gap < 1.63 / math.sqrt(len(u))  # Kolmogorov–Smirnov, 1 %
    portrait = np.mean([c.height > c.width for c in cameras])
    assert 0.15 < portrait < 0.5


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_depth_is_finite_or_sky_and_nothing_touches_the_lens(kind):
    for seed in range(3):
        taken = shot(seed, long_side=96, kind=kind)
        picture = finish(taken, render_batch([taken.scene], [taken.camera], samples=1)[0])
        assert picture.image.shape == (*picture.depth.shape, 3)
        assert not np.isnan(picture.depth).any()
        assert picture.depth.min() >= MIN_DEPTH_M
        assert np.isfinite(picture.depth).mean() > 0.1
        assert picture.image.std() > 3  # not one flat colour
        assert len(taken.scene.kind) <= 155


@pytest.mark.parametrize("kind", ["room", "corridor"])
def test_rooms_are_closed_but_for_their_windows(kind):
    for seed in range(4):
        taken = shot(seed, long_side=64, kind=kind)
        depth = finish(taken, render_batch([taken.scene], [taken.camera], samples=1)[0]).depth
        assert np.isinf(depth).mean() < 0.5


@pytest.mark.parametrize("seat", [None, 0.45])
@pytest.mark.parametrize("detail", [False, True])
def test_people_are_as_tall_as_people(seat, detail):
    low, high = (1.1, 1.6) if seat else (MIN_HEIGHT_M * 0.97, MAX_HEIGHT_M * 1.05)
    for seed in range(10):
        stage = Stage(np.random.default_rng(seed))
        person(stage.origin, seat=seat, detail=detail)
        assert low < extent(stage)[1] < high


def test_furniture_doors_and_vehicles_have_their_sizes():
    assert 1.9 < DOOR_HEIGHT_M[0] < 2.0 < DOOR_HEIGHT_M[1] < 2.2
    for build, low, high in (
        (lambda s: car(s), (1.6, 1.3, 3.5), (2.1, 1.8, 5.2)),
        (lambda s: bus(s), (2.5, 2.8, 10.9), (2.8, 3.3, 12.5)),
        (lambda s: chair(s, (0.45, 0.9, 0.45)), (0.44, 0.85, 0.44), (0.6, 1.0, 0.75)),
    ):
        for seed in range(5):
            stage = Stage(np.random.default_rng(seed))
            build(stage.origin)
            assert (extent(stage) > low).all()
            assert (extent(stage) < high).all()


def test_tables_stand_on_the_floor():
    stage = Stage(np.random.default_rng(1))
    table(stage.origin, PIECES["table"].draw(stage.rng))
    scene = stage.builder.build()
    assert float((scene.center + scene.half)[:, 1].max()) == pytest.approx(0, abs=0.1)


def test_clearance_is_the_distance_to_the_nearest_solid():
    stage = Stage(np.random.default_rng(0))
    grey = stage.paint.plain((0.5, 0.5, 0.5))
    stage.origin.at(2, 0, 0, yaw=math.pi / 2).box(grey, (4, 1, 2))  # 2 m along x, 4 m along z
    assert stage.clearance(np.array([0.0, -0.5, 0.0])) == pytest.approx(1)
    assert stage.clearance(np.array([2.0, -3.0, 0.0])) == pytest.approx(2)
    assert stage.clearance(np.array([2.0, -0.5, 1.5])) == 0


def test_dull_views_score_low():
    v, u = np.mgrid[0:24, 0:24] / 24
    wall = (1 / (0.3 + 0.2 * u + 0.1 * v)).astype(np.float32)
    assert interest(wall) < 0.1
    assert interest(wall, dull=True) == 1
    assert interest(np.full((24, 24), np.inf, np.float32)) == 0


def test_errors_name_what_is_allowed():
    with pytest.raises(ConfigError, match="room"):
        setting(0, "castle")
    with pytest.raises(ConfigError, match="-1"):
        setting(-1)


def test_a_scene_without_room_for_a_camera_is_drawn_again() -> None:
    taken = shot(3001242, long_side=32)
    assert taken.redrawn == 1
    again = shot(3001242, long_side=32)
    assert (again.kind, again.camera.f_px) == (taken.kind, taken.camera.f_px)
    assert shot(0, long_side=32).redrawn == 0
