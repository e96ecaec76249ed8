"""Focal smoothing on synthetic lenses whose true focal length is known. Seeds are fixed: every number is repeatable."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.focal.tracker import FocalConfig, FocalTracker, focal_from_fov
from stream.errors import ConfigError
from stream.frame import CameraIntrinsics, FocalEstimate

Array = npt.NDArray[np.float64]
WIDTH, FOCAL_PX = 1920, 1600.0


def track(
    times: Array, raw_px: Sequence[float | None] | Array, config: FocalConfig | None = None
) -> list[FocalEstimate]:
    tracker = FocalTracker(config)
    return [tracker.update(time_s=t, raw_px=raw, width=WIDTH) for t, raw in zip(times, raw_px, strict=True)]


def log_error(estimates: list[FocalEstimate], true_log: Array | float = 0.0) -> Array:
    return np.log([e.smoothed_px / FOCAL_PX for e in estimates]) - true_log


def jitter(seed: int, count: int, std: float = 0.04, outliers: float = 0.0) -> Array:
    """Log errors of the raw estimate: Gaussian, and a share of ±20 .. 40 % outliers."""
    rng = np.random.default_rng(seed)
    wrong = np.log1p(rng.uniform(0.2, 0.4, count) * rng.choice([-1, 1], count))
    return np.where(rng.random(count) < outliers, wrong, 0.0) + std * rng.standard_normal(count)


def zoom(times: Array, start_s: float, length_s: float = 2.0, factor: float = 2.0) -> Array:
    return math.log(factor) * np.clip((times - start_s) / length_s, 0, 1)


def test_field_of_view_to_focal_length() -> None:
    assert focal_from_fov(90, 1000) == pytest.approx(500)
    assert CameraIntrinsics.from_focal(focal_from_fov(47.2459, 640), 640, 480).fov_deg == pytest.approx(47.2459)
    for bad in (0, -1, 180, math.nan):
        with pytest.raises(ConfigError, match="between 0 and 180"):
            focal_from_fov(bad, 640)


@pytest.mark.parametrize(("fps", "std"), [(30, 0.04), (60, 0.04), (30, 0.01)])
def test_still_lens_is_at_least_eight_times_steadier(fps: int, std: float) -> None:
    times = np.arange(8 * fps) / fps
    settled = times >= 2
    stds = [
        np.std(log_error(track(times, FOCAL_PX * np.exp(jitter(seed, len(times), std, outliers=0.05))))[settled])
        for seed in range(20)
    ]
    assert np.median(stds) <= std / 15
    assert np.mean(np.array(stds) <= std / 8) >= 0.9  # three outliers in a row look like another lens, for a moment


def test_still_lens_at_five_frames_per_second() -> None:
    """The same number of seconds holds a sixth of the frames: about 1 % is what 4 % jitter allows."""
    times = np.arange(60) / 5
    stds = [np.std(log_error(track(times, FOCAL_PX * np.exp(jitter(s, 60, outliers=0.05))))[20:]) for s in range(10)]
    assert float(np.median(stds)) <= 0.01


def test_still_lens_with_irregular_timestamps() -> None:
    times = np.cumsum(np.random.default_rng(3).choice([0.0, 0.011, 0.033, 0.1, 0.7], 400))
    errors = log_error(track(times, FOCAL_PX * np.exp(jitter(3, 400, outliers=0.05))))
    assert np.std(errors[100:]) <= 0.005


def test_noise_is_learned() -> None:
    """A network three times as noisy as configured: still smoothed, and the reported uncertainty says so."""
    times = np.arange(300) / 30
    estimates = track(times, FOCAL_PX * np.exp(jitter(5, 300, std=0.12)))
    assert np.std(log_error(estimates)[90:]) <= 0.12 / 5
    quiet = track(times, FOCAL_PX * np.exp(jitter(5, 300, std=0.01)))
    assert estimates[-1].log_std > 2 * quiet[-1].log_std


def test_errors_of_neighbouring_frames_may_be_alike() -> None:
    """Correlated errors (0.6 from frame to frame) must not be taken for zooms."""
    times, stds = np.arange(360) / 30, []
    for seed in range(6):
        white = jitter(seed, 360)
        errors = np.array([white[0]] * 360)
        for i in range(1, 360):
            errors[i] = 0.6 * errors[i - 1] + 0.8 * white[i]
        stds.append(np.std(log_error(track(times, FOCAL_PX * np.exp(errors)))[60:]))
    assert float(np.median(stds)) <= 0.04 / 6


def test_zoom_is_followed() -> None:
    """Twofold in two seconds at 30 fps: a typical track is within 3 % at every moment from 0.5 s after the start on."""
    times = np.arange(240) / 30
    truth = zoom(times, start_s=3.0)
    errors = np.array(
        [log_error(track(times, FOCAL_PX * np.exp(truth + jitter(s, 240))), truth) for s in range(100, 120)]
    )
    relative = np.abs(np.expm1(errors))
    assert np.median(relative[:, times >= 3.5], axis=0).max() <= 0.03
    assert (relative[:, (times >= 3.5) & (times <= 6)] <= 0.03).mean() >= 0.9
    assert np.percentile(relative[:, times >= 5.6], 95) <= 0.03


def test_clean_zoom_is_followed_by_every_track() -> None:
    times = np.arange(240) / 30
    truth = zoom(times, start_s=3.0, factor=0.5)
    for seed in range(5):
        errors = log_error(track(times, FOCAL_PX * np.exp(truth + jitter(seed, 240, std=0.01))), truth)
        assert np.abs(np.expm1(errors[times >= 3.5])).max() <= 0.03


def test_reported_uncertainty_is_honest() -> None:
    times = np.arange(240) / 30
    truth = zoom(times, start_s=3.0)
    inside = []
    for seed in range(10):
        estimates = track(times, FOCAL_PX * np.exp(truth + jitter(seed, 240)))
        inside.append(np.abs(log_error(estimates, truth)) <= 2 * np.array([e.log_std for e in estimates]))
    assert np.mean(inside) >= 0.9


def test_a_single_outlier_is_ignored_and_a_lasting_step_believed() -> None:
    times = np.arange(120) / 30
    errors = jitter(1, 120, std=0.02)
    errors[60] += 0.4
    assert abs(log_error(track(times, FOCAL_PX * np.exp(errors)))[60]) < 0.01
    truth = np.where(times >= 2, 0.4, 0.0)
    stepped = [log_error(track(times, FOCAL_PX * np.exp(truth + jitter(s, 120, std=0.02))), truth) for s in range(10)]
    assert np.median(np.abs(stepped), axis=0)[65:].max() < 0.03
    assert np.abs(stepped)[:, 75:].max() < 0.03


def test_a_wrong_first_estimate_is_soon_forgotten() -> None:
    times = np.arange(30) / 30
    errors = jitter(1, 30, std=0.02)
    errors[0] = -0.45
    assert np.abs(log_error(track(times, FOCAL_PX * np.exp(errors)))[5:]).max() < 0.03


@pytest.mark.parametrize("mode", ["off", "filter", "lock"])
def test_nothing_from_before_a_cut_remains(mode: str) -> None:
    config = FocalConfig(mode=mode)  # type: ignore[arg-type]
    tracker, fresh = FocalTracker(config), FocalTracker(config)
    for i, error in enumerate(jitter(0, 200)):
        tracker.update(time_s=i / 30, raw_px=FOCAL_PX * math.exp(error), width=WIDTH)
    for i, error in enumerate(jitter(1, 60)):
        raw_px, time_s = 700 * math.exp(error), (200 + i) / 30
        after_cut = tracker.update(time_s=time_s, raw_px=raw_px, width=WIDTH, scene_cut=i == 0)
        assert i > 0 or after_cut.smoothed_px == raw_px
        untouched = fresh.update(time_s=time_s, raw_px=raw_px, width=WIDTH)
        assert after_cut.smoothed_px == pytest.approx(untouched.smoothed_px, rel=1e-9)


def test_off_passes_every_estimate_on() -> None:
    raw = FOCAL_PX * np.exp(jitter(0, 20))
    assert [e.smoothed_px for e in track(np.arange(20) / 30, raw, FocalConfig(mode="off"))] == raw.tolist()


def test_lock_freezes_and_lets_go_only_of_a_contradicted_value() -> None:
    times = np.arange(600) / 30
    errors = jitter(4, 600, outliers=0.05) + np.where(times >= 12, 0.2, 0.0)
    estimates = track(times, FOCAL_PX * np.exp(errors), FocalConfig(mode="lock"))
    locked = np.array([e.source == "locked" for e in estimates])
    before, after = locked & (times < 12), locked & (times >= 16)
    assert times[locked][0] < 4
    assert locked[(times > 4) & (times < 12)].all()
    assert len({e.smoothed_px for e, b in zip(estimates, before, strict=True) if b}) == 1
    assert after[-1]
    assert abs(log_error(estimates)[before][0]) < 0.015
    assert abs(log_error(estimates, 0.2)[-1]) < 0.02
    assert 0.9 < times[(~locked) & (times >= 12)][0] - 12 < 2


@pytest.mark.parametrize("mode", ["off", "filter", "lock"])
@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf, 0.0, -5.0, 1e-300, 1e300])
def test_unusable_estimates_are_bridged(mode: str, bad: float | None) -> None:
    tracker = FocalTracker(FocalConfig(mode=mode))  # type: ignore[arg-type]
    first = tracker.update(time_s=0, raw_px=bad, width=WIDTH)
    assert first.smoothed_px == pytest.approx(focal_from_fov(60, WIDTH))
    assert (first.raw_px, first.log_std, first.source) == (None, 0.5, "estimated")
    assert tracker.update(time_s=0.1, raw_px=FOCAL_PX, width=WIDTH).smoothed_px == FOCAL_PX
    for i in range(200):
        coasting = tracker.update(time_s=0.2 + i / 30, raw_px=bad, width=WIDTH)
        assert coasting.raw_px is None
        assert coasting.smoothed_px == pytest.approx(FOCAL_PX, rel=1e-6)


def test_what_is_given_beats_the_file_which_beats_the_network() -> None:
    tracker = FocalTracker()
    both = tracker.update(time_s=0, raw_px=FOCAL_PX, width=WIDTH, given_px=1000.0, metadata_px=1100.0)
    assert both == FocalEstimate(smoothed_px=1000.0, raw_px=FOCAL_PX, log_std=0.0, source="given")
    file = tracker.update(time_s=0.1, raw_px=None, width=WIDTH, metadata_px=1100.0)
    assert file == FocalEstimate(smoothed_px=1100.0, raw_px=None, log_std=0.0, source="metadata")
    assert tracker.update(time_s=0.2, raw_px=FOCAL_PX, width=WIDTH, metadata_px=math.nan).source == "estimated"


def test_zoom_is_not_extrapolated_over_a_gap() -> None:
    times = np.arange(60) / 30
    tracker = FocalTracker()
    for t, log_focal in zip(times, zoom(times, start_s=1.0), strict=True):
        last = tracker.update(time_s=t, raw_px=FOCAL_PX * math.exp(log_focal), width=WIDTH)
    for gap_s in (1e3, 1e18):
        after = tracker.update(time_s=gap_s, raw_px=None, width=WIDTH)
        assert after.smoothed_px == pytest.approx(last.smoothed_px, rel=0.3)


@pytest.mark.parametrize(
    "bad",
    [
        {"mode": "on"},
        {"noise": 0},
        {"zoom_rate": math.nan},
        {"outliers": 1.0},
        {"lock_after_s": -1},
        {"fallback_fov_deg": 200},
    ],
)
def test_impossible_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"must be|is not one of|is impossible"):
        FocalConfig(**bad)  # type: ignore[arg-type]


RAW = st.lists(st.floats(0.05, 50.0), min_size=1, max_size=40)


@settings(max_examples=80, deadline=None)
@given(
    frames=st.lists(
        st.tuples(
            st.floats(allow_nan=True, allow_infinity=True),
            st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.floats(1, 1e5),
            st.integers(1, 8192),
            st.booleans(),
        ),
        max_size=60,
    ),
    mode=st.sampled_from(["off", "filter", "lock"]),
)
def test_always_finite_and_positive(frames: list[tuple[float, float | None, int, bool]], mode: str) -> None:
    tracker, again = (FocalTracker(FocalConfig(mode=mode)) for _ in range(2))  # type: ignore[arg-type]
    for time_s, raw_px, width, cut in frames:
        estimate = tracker.update(time_s=time_s, raw_px=raw_px, width=width, scene_cut=cut)
        assert 0 < estimate.smoothed_px < math.inf
        assert 0 <= estimate.log_std < math.inf
        assert estimate == again.update(time_s=time_s, raw_px=raw_px, width=width, scene_cut=cut)  # deterministic


@settings(max_examples=40, deadline=None)
@given(raw=RAW, factor=st.floats(0.3, 1.9))
def test_scaling_the_estimates_scales_the_answer(raw: list[float], factor: float) -> None:
    times = np.arange(len(raw)) / 30
    plain = track(times, [r * WIDTH for r in raw])
    scaled = track(times, [r * WIDTH * factor for r in raw])
    for a, b in zip(plain, scaled, strict=True):
        assert b.smoothed_px == pytest.approx(a.smoothed_px * factor, rel=1e-6)
        assert b.log_std == pytest.approx(a.log_std, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(raw=RAW, data=st.data())
def test_resolution_may_change_midstream(raw: list[float], data: st.DataObject) -> None:
    widths = data.draw(st.lists(st.integers(16, 8192), min_size=len(raw), max_size=len(raw)))
    fixed, changing = FocalTracker(), FocalTracker()
    for i, (r, width) in enumerate(zip(raw, widths, strict=True)):
        a = fixed.update(time_s=i / 30, raw_px=r * WIDTH, width=WIDTH)
        b = changing.update(time_s=i / 30, raw_px=r * width, width=width)
        assert b.smoothed_px / width == pytest.approx(a.smoothed_px / WIDTH, rel=1e-6)
