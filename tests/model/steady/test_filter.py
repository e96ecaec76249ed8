"""The filter of scale on synthetic series: what geometry says of each frame, given how the network errs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from model.steady.filter import ScaleFilter

Array = npt.NDArray[np.float64]


def steadied(raw: Array, *, rate: float = 30.0, std: float = 0.002, seed: int = 1) -> Array:
    """Log scale after correction of a network whose log scale is ``raw``; the first frame is the reference."""
    rng = np.random.default_rng(seed)
    scale_filter = ScaleFilter()
    out = [raw[0]]
    for scale in raw[1:]:
        ratio = raw[0] - scale + std * rng.standard_normal()
        out.append(scale + scale_filter.update(ratio, std, 1 / rate).correction)
    return np.array(out)


@pytest.mark.parametrize("rate", [30.0, 10.0, 5.0])
@pytest.mark.parametrize("kept", [0.0, 0.9])
def test_jitter_shrinks_to_a_fifth_and_stays_around_the_networks_own_mean(rate: float, kept: float) -> None:
    rng = np.random.default_rng(0)
    raw = np.zeros(round(60 * rate))
    for k in range(1, len(raw)):
        raw[k] = kept * raw[k - 1] + 0.04 * np.sqrt(1 - kept**2) * rng.standard_normal()
    wrong = rng.random(len(raw)) < 0.05
    raw[wrong] += rng.uniform(-0.4, 0.4, wrong.sum())
    out = steadied(raw, rate=rate)
    assert np.std(np.diff(out)) < 0.2 * np.std(np.diff(raw))
    assert abs(np.mean(out[len(out) // 2 :]) - np.median(raw[len(raw) // 2 :])) < 0.01


def test_geometry_that_drifts_is_held_by_the_network() -> None:
    drift = -0.0005 * np.arange(1800)  # a false 0.05 % a frame would be a factor of 2.5 in a minute
    scale_filter = ScaleFilter()
    corrections = [scale_filter.update(error, 0.001, 1 / 30).correction for error in drift]
    assert abs(corrections[-1]) < 0.05


def test_a_change_of_the_networks_scale_is_followed_in_a_second_or_two() -> None:
    raw = np.concatenate([np.zeros(60), np.full(90, 0.5)])
    out = steadied(raw)
    assert abs(out[62]) < 0.1  # not at once: it might have been an outlier
    assert out[-1] == pytest.approx(0.5, abs=0.1)


def test_geometry_that_says_nothing_leaves_the_network_as_it_is() -> None:
    assert abs(ScaleFilter().update(0.3, 10.0, 1 / 30).correction) < 0.05


def test_after_a_restart_the_level_is_forgotten() -> None:
    scale_filter = ScaleFilter()
    for _ in range(30):
        scale_filter.update(-0.1, 0.001, 1 / 30)
    scale_filter.restart()
    assert scale_filter.update(0.0, 0.001, 1 / 30).correction == 0.0
