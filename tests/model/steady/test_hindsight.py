"""Hindsight on the filter's steps: what it must say is what all frames say together, as one system of equations."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import numpy.typing as npt
import pytest

from model.steady import Steadied, with_hindsight
from model.steady import filter as filter_of_scale
from model.steady.filter import FilterStep, ScaleFilter
from stream.frame import ScaleCorrection

Array = npt.NDArray[np.float64]
NOISE, DRIFT = 0.05, 0.02  # of the network's scale, and of the level from frame to frame


def frame(step: FilterStep | None) -> Steadied:
    log, log_std = (0.0, NOISE) if step is None else (step.correction, step.deviation)
    inliers = 0 if step is None or step.begins else 100
    told = ScaleCorrection(log=log, log_std=log_std, inliers=inliers, resets=0)
    return Steadied(told, None, step)


def kalman(ratios: Array, stds: Array, *, references: set[int]) -> list[Steadied]:
    """The frames behind a first one, by the textbook's filter of a level that wanders by ``DRIFT``."""
    variance = NOISE**2
    start = FilterStep(
        correction=0,
        deviation=NOISE,
        gained=0,
        foretold=variance,
        variance=variance,
        covariance=variance,
        own_covariance=variance,
        begins=True,
    )
    frames, level = [frame(start)], 0.0
    for k, (ratio, std) in enumerate(zip(ratios, stds, strict=True), 1):
        foretold = variance + DRIFT**2
        total = foretold + std**2 + NOISE**2
        innovation = -ratio - level
        correction = ratio + level + (foretold + std**2) / total * innovation
        own = (foretold + std**2) * NOISE**2 / total
        gained = foretold / total * innovation
        level, variance = level + gained, foretold * (std**2 + NOISE**2) / total
        own_covariance = foretold * NOISE**2 / total
        is_reference = k in references  # from the next frame on, ratios are told against this one, corrected
        step = FilterStep(
            correction=correction,
            deviation=math.sqrt(own),
            gained=gained,
            foretold=foretold,
            variance=variance,
            covariance=own_covariance if is_reference else variance,
            own_covariance=own if is_reference else own_covariance,
        )
        frames.append(frame(step))
        if is_reference:
            level, variance = 0.0, own
    return frames


def together(ratios: Array, stds: Array, *, corrections: Array, references: set[int]) -> tuple[Array, Array]:
    """Each frame's correction and its deviation by least squares over all of them at once.

    Unknown: the true correction of each frame, and the level against each frame's reference.
    """
    count = len(ratios)
    rows, values = [], []

    def equation(terms: dict[int, float], value: float, std: float) -> None:
        row = np.zeros(2 * count + 1)
        for at, factor in terms.items():
            row[at] = factor / std
        rows.append(row)
        values.append(value / std)

    level = {k: count + k for k in range(1, count + 1)}  # of frame k, in what its own reference counts from
    equation({0: 1.0}, 0.0, NOISE)  # the network's own scale
    reference = 0
    for k in range(1, count + 1):
        equation({k: 1.0}, 0.0, NOISE)
        equation({k: 1.0, level[k]: -1.0}, ratios[k - 1], stds[k - 1])
        if k - 1 == reference:  # its level is how far the reference's own correction was off
            offset = corrections[reference] if reference else 0.0
            equation({level[k]: 1.0, reference: -1.0}, -offset, DRIFT)
        else:
            equation({level[k]: 1.0, level[k - 1]: -1.0}, 0.0, DRIFT)
        if k in references:
            reference = k
    matrix = np.array(rows)
    inverse = np.linalg.inv(matrix.T @ matrix)
    solved = inverse @ matrix.T @ np.array(values)
    return solved[: count + 1], np.sqrt(np.diag(inverse)[: count + 1])


@pytest.mark.parametrize("references", [set(), {4, 9}])
def test_it_says_what_all_frames_say_together(references: set[int]) -> None:
    rng = np.random.default_rng(5)
    ratios, stds = 0.1 * rng.standard_normal(14), rng.uniform(0.005, 0.03, 14)
    frames = kalman(ratios, stds, references=references)
    for last in (1, 3, 8, 14):
        made = [with_hindsight(frames[k : last + 1]) for k in range(last + 1)]
        corrections = np.array([f.correction.log for f in frames])
        logs, deviations = together(ratios[:last], stds[:last], corrections=corrections, references=references)
        assert [m.log for m in made] == pytest.approx(logs, abs=1e-9)
        assert [m.log_std for m in made] == pytest.approx(deviations, rel=1e-9)


@pytest.mark.parametrize("references", [set(), {4, 9}])
def test_the_filter_takes_the_textbooks_steps(references: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is beyond its gate, and how the network errs is known."""
    monkeypatch.setattr(ScaleFilter, "_noise", lambda _filter: (NOISE, NOISE))
    monkeypatch.setattr(filter_of_scale, "_DRIFT", DRIFT * math.sqrt(30))
    rng = np.random.default_rng(5)
    ratios, stds = 0.04 * rng.standard_normal(14), rng.uniform(0.005, 0.03, 14)
    scale_filter = ScaleFilter()
    steps = [scale_filter.restart()]
    for k, (ratio, std) in enumerate(zip(ratios, stds, strict=True), 1):
        step = scale_filter.update(ratio, std, 1 / 30)
        steps.append(scale_filter.rebase(step) if k in references else step)
    expected = [f.step for f in kalman(ratios, stds, references=references) if f.step is not None]
    for step, textbook in zip(steps, expected, strict=True):
        assert asdict(step) == pytest.approx(asdict(textbook), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.8])
def test_how_far_the_first_frame_of_a_later_shot_may_be_off_is_not_told_too_small(kept: float) -> None:
    """Where neighbouring frames err alike, later ones tell less of it."""
    off, told = [], []
    for seed in range(60):
        errors = correlated(66, kept=kept, seed=seed)
        scale_filter = ScaleFilter()
        for scale in errors[1:50]:
            scale_filter.update(errors[0] - scale, 0.002, 1 / 30)
        noise, first = scale_filter.noise, errors[50]
        begin = frame(scale_filter.restart())
        frames = [replace(begin, correction=replace(begin.correction, log_std=noise))]  # as it is told of a camera
        frames += [frame(scale_filter.update(first - scale, 0.002, 1 / 30)) for scale in errors[51:]]
        made = with_hindsight(frames)
        off.append(first + made.log)
        told.append(made.log_std)
    assert min(told) > 0.005
    assert 0.6 < np.sqrt(np.mean(np.square(off))) / np.mean(told) < 1.6


def correlated(count: int, *, kept: float, seed: int) -> Array:
    """Log scale of a network that errs by 0.04, of which a share is ``kept`` from frame to frame."""
    rng = np.random.default_rng(seed)
    scales = [0.04 * rng.standard_normal()]
    while len(scales) < count:
        scales.append(kept * scales[-1] + 0.04 * math.sqrt(1 - kept**2) * rng.standard_normal())
    return np.array(scales)


def test_alone_a_frame_is_as_the_filter_has_it() -> None:
    frames = kalman(np.array([0.1, -0.2]), np.full(2, 0.01), references=set())
    assert all(with_hindsight([f]) == f.correction for f in frames)


def test_nothing_is_told_across_the_beginning_of_a_shot() -> None:
    one = kalman(np.array([0.1, 0.2, 0.1]), np.full(3, 0.01), references=set())
    other = kalman(np.array([-0.4, -0.5]), np.full(2, 0.01), references=set())
    assert [with_hindsight((one + other)[k:]) for k in range(4)] == [with_hindsight(one[k:]) for k in range(4)]
    assert with_hindsight(other).log == pytest.approx(0.3, abs=0.05)  # the first frame learns that it was off


def test_a_frame_that_nothing_tells_of_stays_the_networks_own_and_is_passed_over() -> None:
    frames = kalman(np.array([0.2, 0.2, 0.2]), np.full(3, 0.01), references=set())
    with_gap = [*frames[:2], frame(None), *frames[2:]]
    assert with_hindsight(with_gap[2:]).log == 0.0
    assert with_hindsight(with_gap) == with_hindsight(frames)


def test_what_the_filter_did_not_believe_stays_the_networks_own() -> None:
    frames = kalman(np.array([0.2, 2.0, 0.2]), np.full(3, 0.01), references=set())
    disbelieved = replace(frames[2], correction=ScaleCorrection(log=0.0, log_std=NOISE, inliers=0, resets=0))
    assert with_hindsight([disbelieved, frames[3]]) == disbelieved.correction


def test_a_correction_beyond_what_is_believed_is_not_made() -> None:
    frames = kalman(np.full(8, 1.0), np.full(8, 0.001), references=set())
    assert abs(with_hindsight(frames).log) <= math.log(2)


@pytest.mark.parametrize("rate", [30, 10, 5])
def test_jitter_becomes_less_than_without_it(rate: int) -> None:
    rng = np.random.default_rng(0)
    raw = 0.04 * rng.standard_normal(20 * rate)
    scale_filter = ScaleFilter()
    frames = [frame(scale_filter.restart())]
    frames += [frame(scale_filter.update(raw[0] - scale, 0.002, 1 / rate)) for scale in raw[1:]]
    causal = raw + [f.correction.log for f in frames]
    smoothed = raw + [with_hindsight(frames[k : k + 16]).log for k in range(len(frames))]
    assert np.std(np.diff(smoothed)) < 0.8 * np.std(np.diff(causal))
    assert abs(np.mean(smoothed) - np.mean(raw)) < 0.01
