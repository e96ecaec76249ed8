"""What the simulated sensor makes of linear light."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.lab.scenes.renderer.sensor import Sensor, develop
from stream.errors import ConfigError

WEDGE = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[None, :, None], 64, 0).repeat(3, 2)


def test_ideal_sensor_is_monotone_and_grey() -> None:
    picture = develop(WEDGE, f_px=200.0, sensor=Sensor.ideal())
    assert picture.dtype == np.uint8
    assert picture.shape == WEDGE.shape
    assert (np.diff(picture[0, :, 0].astype(int)) >= 0).all()
    assert picture[0, 0, 0] == 0
    assert picture[0, -1, 0] > 150
    assert (picture == picture[..., :1]).all()


def test_exposure_follows_the_picture() -> None:
    ideal = Sensor.ideal()
    middle = develop(WEDGE, f_px=200.0, sensor=ideal)
    assert np.abs(middle.astype(int) - develop(WEDGE * 1000, f_px=200.0, sensor=ideal)).max() <= 1
    brighter = develop(WEDGE, f_px=200.0, sensor=Sensor(stops=1.0))
    assert brighter.mean() > middle.mean() + 20


def test_a_seed_is_a_picture() -> None:
    light = np.random.default_rng(0).random((96, 128, 3), np.float32)
    for seed in range(30):
        first, again = (develop(light, f_px=100.0, seed=seed) for _ in range(2))
        assert first.dtype == np.uint8
        assert first.shape == light.shape
        np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(develop(torch.tensor(light), f_px=100.0, seed=1), develop(light, f_px=100.0, seed=1))
    assert (develop(light, f_px=100.0, seed=1) != develop(light, f_px=100.0, seed=2)).any()


def test_most_pictures_stay_readable() -> None:
    pictures = [develop(WEDGE, f_px=200.0, seed=seed).astype(float) for seed in range(60)]
    order = [np.corrcoef(p.mean((0, 2)), np.arange(256))[0, 1] for p in pictures]
    assert np.median(order) > 0.9
    assert min(order) > 0.5


def test_effects_do_what_they_say() -> None:
    flat = np.full((101, 101, 3), 0.3, np.float32)
    dot = flat.copy()
    dot[50, 50] = 30
    vignetted = develop(flat, f_px=50.0, sensor=Sensor(vignetting=1.0))
    assert int(vignetted[50, 50, 0]) > int(vignetted[0, 0, 0]) + 50
    moved = develop(dot, f_px=50.0, sensor=Sensor(motion=60.0))[..., 0].astype(int)
    assert (moved[50] > moved[0, 0] + 5).sum() > 8
    assert (moved[:, 50] > moved[0, 0] + 5).sum() == 1
    soft = develop(dot, f_px=50.0, sensor=Sensor(softness=10.0))[..., 0].astype(int)
    assert (soft[:, 50] > soft[0, 0] + 5).sum() > 3
    warm = develop(flat, f_px=50.0, sensor=Sensor(balance=(1.2, 1.0, 0.8)))
    assert warm[0, 0, 0] > warm[0, 0, 1] > warm[0, 0, 2]
    noisy = develop(flat, f_px=50.0, sensor=Sensor(shot=0.05, read=0.01))
    assert 1 < noisy.std() < 20


def test_black_stays_black_and_nothing_breaks() -> None:
    black = np.zeros((16, 16, 3), np.float32)
    assert develop(black, f_px=10.0).max() == 0
    develop(black, f_px=10.0, seed=4)


def test_wrong_pictures_are_refused() -> None:
    with pytest.raises(ConfigError, match="H, W, 3"):
        develop(np.zeros((4, 4), np.float32), f_px=10.0)
    with pytest.raises(ConfigError, match="finite"):
        develop(np.full((4, 4, 3), np.nan, np.float32), f_px=10.0)
