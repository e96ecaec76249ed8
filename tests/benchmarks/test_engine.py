"""The benchmark of inference measures what it says, and goes on where a contender cannot run."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from benchmarks.engine import Result, benchmark, print_tables
from benchmarks.engine_contenders import Contender, contenders, failing_on_warnings, place, quicken
from benchmarks.engine_device import reason
from benchmarks.engine_figure import draw
from benchmarks.engine_levers import measure_levers
from benchmarks.engine_network import depth_error
from benchmarks.engine_stages import Stage, decoded_frames
from model.engine.variants import VARIANTS
from model.focal.scene_cut import SceneCutDetector
from model.network import InferenceNetwork
from tests.support.tiny import TINY, tiny_model

CPU = torch.device("cpu")
THEIRS = Contender(network="transformers", precision="fp32")
OURS = Contender(network="ours", precision="fp32")
IMPOSSIBLE = Contender(network="ours", precision="fp32", launch="graph")
FLOAT8 = Contender(network="ours", precision="fp8", launch="compile")


@pytest.fixture(scope="module")
def console() -> Console:
    return Console(file=io.StringIO())


@pytest.fixture(scope="module")
def result(console: Console) -> Result:
    return benchmark(
        tiny_model(),
        tiny_model(seed=1),
        CPU,
        chosen=(THEIRS, OURS, IMPOSSIBLE, FLOAT8),
        stages=(Stage(size="720p", mode="batch 4"), Stage(size="nowhere", mode="default")),
        frames=1,
        rounds=1,
        console=console,
    )


def test_contenders_have_rows(result: Result) -> None:
    theirs, ours, *_ = result.network
    assert (theirs.name, ours.name) == ("transformers, eager, fp32", "ours, eager, fp32")
    for row in (theirs, ours):
        assert not row.failed
        assert [len(times) for times in row.frames_ms] == [1]
        assert row.error_random is not None
        assert row.error_nano is not None
        assert max(row.error_random, row.error_nano) < 1e-5
    assert theirs.ratios == [1]
    assert len(ours.reference_ms) == 1
    assert ours.ratios == [ours.reference_ms[0][0] / ours.frames_ms[0][0]]


def test_what_cannot_run_has_a_row_that_says_why(result: Result) -> None:
    graph, float8 = result.network[2:]
    assert "`launch=graph` is for NVIDIA GPUs" in graph.failed
    assert "fp8" in float8.failed
    assert not graph.frames_ms
    assert "nowhere" in result.end_to_end[1].failed


def test_end_to_end_has_estimator_and_pipeline(result: Result) -> None:
    row = result.end_to_end[0]
    assert not row.failed
    assert row.ratios == [row.pipeline_per_s[0] / row.estimator_per_s[0]]
    assert row.precision in result.floors


def test_json_has_the_device_and_every_row(result: Result) -> None:
    written = json.loads(result.to_json())
    assert "CPU" in written["machine"]["device"]
    assert written["machine"]["torch"] == torch.__version__
    assert [row["name"] for row in written["network"]] == [c.name for c in (THEIRS, OURS, IMPOSSIBLE, FLOAT8)]
    assert [row["name"] for row in written["end_to_end"]] == ["720p, batch 4", "nowhere, default"]
    assert "`launch=graph` is for NVIDIA GPUs" in written["network"][2]["failed"]
    assert written["network"][1]["frames_per_s"] == pytest.approx(1e3 / written["network"][1]["frames_ms"][0][0])


def test_tables_and_figure_take_all_of_it(result: Result, tmp_path: Path) -> None:
    written = io.StringIO()
    print_tables(result, Console(width=200, file=written))
    shown = written.getvalue()
    assert all(row.name in shown for row in (*result.network, *result.end_to_end))
    assert "`launch=graph` is for NVIDIA GPUs" in shown
    assert "only ratios count" in shown
    draw(result, tmp_path / "engine.png")
    assert (tmp_path / "engine.png").stat().st_size > 10_000


def test_all_have_the_same_weights() -> None:
    model = tiny_model()
    x = torch.rand(1, 3, TINY.input_size, TINY.input_size) * 2 - 1
    with torch.inference_mode():
        C_BSS, fov_B = model.network(x)
        for one in contenders(CPU, input_size=None):
            if one.precision == "fp32" and one.launch == "eager":
                found, fov = quicken(one, place(one, model, CPU), x)(x)
                torch.testing.assert_close(found, C_BSS, rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(fov, fov_B, rtol=1e-4, atol=1e-5)


def test_names_are_unique() -> None:
    names = [c.name for c in contenders(CPU, input_size=1024)]
    assert len(names) == len(set(names))


def test_depth_error_leaves_out_what_is_infinitely_far() -> None:
    exact = torch.tensor([[[1.0, 0.5, 0.25, 0.0]]])
    assert depth_error(exact / 1.1, exact) == pytest.approx(0.1)
    assert depth_error(exact + torch.tensor([0, 0, 0, 5.0]), exact) == 0


def test_a_reason_is_short_and_never_empty() -> None:
    assert len(reason(RuntimeError("no room\n" * 1000))) <= 200
    assert reason(AssertionError()) == "AssertionError"


def test_falling_back_is_a_failure() -> None:
    with pytest.raises(RuntimeError, match="going on without"), failing_on_warnings():
        logging.getLogger("model.engine.graphs").warning("going on without %s", "it")


def test_frames_end_to_end_are_one_shot() -> None:
    cuts = SceneCutDetector()
    assert not any(cuts.update(frame) for frame in decoded_frames(320, 180)[1:])


def test_the_levers_are_measured_with_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    build = InferenceNetwork.__init__

    def counted(network: InferenceNetwork, *arguments: Any, **options: Any) -> None:
        built.append(1)
        build(network, *arguments, **options)

    monkeypatch.setattr(InferenceNetwork, "__init__", counted)
    console = Console(file=io.StringIO(), width=200)
    found = measure_levers(tiny_model(), torch.device("cpu"), "fp32", frames=1, rounds=2, console=console)
    assert len(built) == 2  # one to vary, one to see errors from
    assert [row["name"] for row in found["levers"]] == list(VARIANTS)
    assert found["measured_ms"].keys() == VARIANTS.keys()
    assert all(row["error"] < 1e-3 and row["lowest_ms"] <= row["ms"] <= row["highest_ms"] for row in found["levers"])
    json.dumps(found)
