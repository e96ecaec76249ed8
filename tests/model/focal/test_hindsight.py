"""Focal lengths with hindsight: one for a lens that holds still, a smooth curve for a zoom, nothing over a cut."""

from __future__ import annotations

import math

import numpy as np
import pytest

from model.focal import FocalTracker
from model.focal.hindsight import Glimpse, focal_track


def glimpses(true_px: list[float], *, cuts: tuple[int, ...] = (), noise: float = 0.04, seed: int = 0) -> list[Glimpse]:
    rng = np.random.default_rng(seed)
    noisy = np.array(true_px) * np.exp(rng.normal(0, noise, len(true_px)))
    wrong = rng.random(len(true_px)) < 0.05
    noisy[wrong] *= rng.choice([0.7, 1.4], wrong.sum())
    return [Glimpse(time_s=i / 30, width=1000, raw_px=float(raw), scene_cut=i in cuts) for i, raw in enumerate(noisy)]


def errors(track: list[float], true_px: list[float]) -> np.ndarray:
    return np.abs(np.log(np.array(track) / np.array(true_px)))


@pytest.mark.parametrize("seed", range(5))
def test_a_still_lens_has_one_focal_length_a_shot(seed: int) -> None:
    true_px = [900.0] * 200 + [600.0] * 100
    track = [e.smoothed_px for e in focal_track(glimpses(true_px, cuts=(200,), seed=seed))]
    assert len(set(track[:200])) == len(set(track[200:])) == 1
    assert errors(track, true_px).max() < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_a_zoom_is_followed_without_delay_and_better_than_without_hindsight(seed: int) -> None:
    true_px = [600 * 2 ** min(max((i - 100) / 60, 0), 1) for i in range(300)]
    seen = glimpses(true_px, seed=seed)
    track = [e.smoothed_px for e in focal_track(seen)]
    tracker = FocalTracker()
    causal = [tracker.update(time_s=g.time_s, raw_px=g.raw_px, width=g.width).smoothed_px for g in seen]
    ahead, behind = (np.sqrt((errors(t, true_px)[90:190] ** 2).mean()) for t in (track, causal))
    assert ahead < 0.7 * behind
    assert errors(track, true_px).max() < 0.06
    steps = np.abs(np.diff(np.log(track)))
    assert steps.max() < 0.06, "no jump in a smooth zoom"


def test_what_the_network_saw_is_kept_and_the_deviation_is_honest() -> None:
    seen = glimpses([800.0] * 100)
    track = focal_track(seen)
    assert [e.raw_px for e in track] == [g.raw_px for g in seen]
    assert {e.source for e in track} == {"estimated"}
    assert 0.002 < track[0].log_std < 0.01


def test_metadata_and_frames_without_an_estimate() -> None:
    photo = Glimpse(time_s=0, width=100, raw_px=None, metadata_px=120.0)
    blind = [Glimpse(time_s=i / 30, width=100, raw_px=None, scene_cut=i == 0) for i in range(3)]
    track = focal_track([photo, *blind])
    assert (track[0].smoothed_px, track[0].source) == (120.0, "metadata")
    assert [e.smoothed_px for e in track[1:]] == pytest.approx([50 / math.tan(math.radians(30))] * 3)
    assert [e.log_std for e in track[1:]] == [0.5] * 3


def test_gaps_in_the_estimates_are_filled_from_both_sides() -> None:
    seen = glimpses([700.0] * 60, noise=0.0)
    seen = [g if i % 3 == 0 else Glimpse(time_s=g.time_s, width=g.width, raw_px=None) for i, g in enumerate(seen)]
    assert {round(e.smoothed_px) for e in focal_track(seen)} == {700}


def test_nothing_is_nothing() -> None:
    assert focal_track([]) == []
