"""``timed``: stages by the clock, and pictures rendered beside the training."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from model.lab.training import config as stages
from model.lab.training import pace
from model.lab.training import trainer as trainer_module
from model.lab.training.batch import held_back
from model.lab.training.config import STAGES, TrainConfig
from model.lab.training.pool import Pool, PoolConfig, render
from model.lab.training.timed import FIRST_LARGE_SEED, by_the_clock, pools_for
from model.lab.training.trainer import Trainer
from model.weights import load, save
from stream.errors import ConfigError
from tests.support.process import ROOT
from tests.support.tiny import TINY, tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save(tiny_model().network, path, trained=False)
    return str(path)


def test_stages_share_the_minutes_and_keep_their_other_numbers() -> None:
    config = by_the_clock(TrainConfig(depth=stages.Depth(batch=7)), 10)
    assert config.depth.batch == 7
    seconds = [config.stage(name).seconds for name in STAGES]
    assert all(value > 0 for value in seconds)
    assert 500 < sum(seconds) < 600


def test_a_gpu_has_larger_batches_but_for_those_that_were_chosen() -> None:
    config = by_the_clock(TrainConfig(depth=stages.Depth(batch=7)), 10, on_gpu=True)
    assert [config.stage(name).batch for name in STAGES] == [256, 32, 7, 64, 256]


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf")])
def test_minutes_that_cannot_be_are_refused(minutes: float) -> None:
    with pytest.raises(ConfigError, match="`minutes`"):
        by_the_clock(TrainConfig(), minutes)


def test_pools_share_no_seed_and_keep_their_size(tmp_path: Path) -> None:
    small, large = pools_for(tmp_path, TINY, 0.1, 1).values()
    assert (small.size, large.size) == (TINY.tile_size, TINY.input_size)
    assert small.first_seed + small.count <= large.first_seed == FIRST_LARGE_SEED
    Pool.create(tmp_path / "small", PoolConfig(count=3, size=TINY.tile_size))
    again, _ = pools_for(tmp_path, TINY, 100, 64).values()
    assert again.count == 3


def test_a_stage_by_the_clock_ends_in_time_and_resumes_with_the_rest(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(render(tmp_path / "pool", PoolConfig(count=4, size=64, samples=1), processes=1))
    off = {name: replace(TrainConfig().stage(name), steps=0) for name in STAGES[1:]}
    config = replace(TrainConfig(backbone=stages.Backbone(seconds=6, batch=1), validate_every=0), **off)  # type: ignore[arg-type]
    pool = Pool.open(tmp_path / "pool")
    seconds = 0.0
    for module in (trainer_module, pace):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: seconds))

    def run(*, stop_at: int) -> tuple[Path | None, int]:
        """A run whose steps take a second each. Returns what it left, and how many steps it took."""
        trainer, taken = Trainer(tmp_path / "run", [pool], config, start_from=tiny), 0
        step = trainer._step

        def slow(*args: object) -> object:
            nonlocal seconds, taken
            seconds, taken = seconds + 1, taken + 1
            if taken == stop_at:
                trainer.stop()
            return step(*args)  # type: ignore[arg-type]

        trainer._step = slow  # type: ignore[method-assign, assignment]
        return trainer.run(), taken

    assert run(stop_at=4) == (None, 4)
    trained, taken = run(stop_at=0)
    assert trained is not None
    assert taken == 2  # not the six seconds all over again
    last = json.loads((tmp_path / "run" / "history.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 6


def test_a_terminated_rendering_leaves_no_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "model.lab.training", "render", str(tmp_path / "pool"), "--count=100000"]
    with subprocess.Popen(
        [*command, "--size=32", "--samples=1", "--processes=2"], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as rendering:  # fmt: skip
        while rendering.poll() is None:
            with suppress(ConfigError):
                if Pool.open(tmp_path / "pool").ready.any():
                    break
            time.sleep(0.1)
        rendering.terminate()
        # All that holds the pipe must be gone, or this waits in vain.
        _, told = rendering.communicate(timeout=30)
    assert rendering.returncode == 130, told


@pytest.mark.slow
def test_timed_trains_on_what_it_renders_and_leaves_a_page(tmp_path: Path, tiny: str) -> None:
    run = tmp_path / "run"
    options = ["--minutes=0.1", f"--start-from={tiny}", "--device=cpu", "--processes=1", "--pictures=2"]
    options += ["--backbone.batch=2", "--fov.batch=2"]
    done = subprocess.run(
        [sys.executable, "-m", "model.lab.training", "timed", str(run), *options],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trained = Path(done.stdout.splitlines()[-1])
    assert load(str(trained)).trained
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(line["stage"] for line in lines)) == list(STAGES)
    assert "<img" in (run / "page" / "index.html").read_text(encoding="utf-8")
    for name in ("small", "large"):
        pool = Pool.open(run / name)
        # More than is held back, and not all: the time was over first, and nothing goes on.
        assert held_back(pool) < np.count_nonzero(pool.ready) < pool.config.count
