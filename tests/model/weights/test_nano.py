"""The packaged weights: their size, and that they still see depth in scenes nobody trained on."""

from __future__ import annotations

import pytest

from model.engine import Engine, EngineConfig
from model.lab.evaluation import Report, evaluate
from model.lab.evaluation.rendered_scenes import held_out, stills
from model.weights.loader import PACKAGED_NANO, load


@pytest.fixture(scope="module")
def report() -> Report:
    """A dozen held-out scenes."""
    samples = stills(held_out("seeds:12", "12"), long_side=512, samples=2, cache=None, device="cpu")
    return evaluate(Engine(load("nano"), EngineConfig(device="cpu", precision="fp32")), samples)


def test_it_is_small_and_trained() -> None:
    assert PACKAGED_NANO.stat().st_size < 20e6
    loaded = load("nano")
    assert loaded.trained
    assert sum(p.numel() for p in loaded.network.parameters()) < 10e6


def test_it_sees_depth(report: Report) -> None:
    """Limits lie well beyond what was measured when the weights were packaged: AbsRel 0.51, δ1 0.53 and 0.69, F1 0.155.

    What they catch is a change of renderer, network or weights that loses depth.
    """
    known, scaled, boundary = report.total.known_focal, report.total.median_scaled, report.total.boundary
    assert known is not None
    assert scaled is not None
    assert boundary is not None
    assert known.abs_rel < 0.65
    assert known.delta1 > 0.45
    assert scaled.delta1 > 0.62
    assert boundary.f1 > 0.1


def test_it_sees_the_lens(report: Report) -> None:
    """Measured: 12 %."""
    assert report.total.focal is not None
    assert report.total.focal.median < 0.2
