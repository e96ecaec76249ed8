"""Depth by workers of Ray is that of one process, bit for bit, also where a worker or the run itself is killed."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
import pytest
import torch

import run_stream
from model.config import EngineConfig, RayConfig
from model.engine.ray_engine import check_alike, worker_sizes
from model.engine.ray_worker import About, Worker
from stream import command_line
from stream.errors import ConfigError, WeightsError
from tests.support.media import write_video
from tests.support.process import Process

pytestmark = pytest.mark.usefixtures("logs_go_back")

OUTPUTS = ("--sink", "mm.mkv?codec=ffv1", "--sink", "npz:depth", "--sink", "focal:f.csv")
RAY = ("--engine", "ray", "--workers", "2", "--worker-cpus", "1")
FRAMES, CUT = 40, 16


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera that moves along a wall, and after a cut along another."""
    walls = []
    for seed, blur in ((0, 3), (1, 5)):
        noise = np.random.default_rng(seed).integers(0, 256, (240, 400, 3), np.uint8)
        wall = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), blur), None, 0, 255, cv2.NORM_MINMAX)
        walls.append(wall.astype(np.uint8))
    pictures = [walls[i >= CUT][20:140, 4 * i : 4 * i + 160] for i in range(FRAMES)]
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", pictures)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As workers here have: with more, sums are rounded in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def alone(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of it."""
    folder = tmp_path_factory.mktemp("alone")
    finish(film, folder)
    assert len(pictures(folder)) == FRAMES
    return folder


def finish(film: Path, folder: Path, *options: str) -> None:
    """To the end, in this process."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        assert run_stream.main([str(film), *OUTPUTS, *options]) == command_line.DONE


def pictures(folder: Path) -> list[bytes]:
    with av.open(str(folder / "mm.mkv")) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


def assert_same(a: Path, b: Path) -> None:
    assert pictures(a) == pictures(b)
    assert (a / "f.csv").read_bytes() == (b / "f.csv").read_bytes()
    arrays = [{p.name: np.load(p) for p in sorted((folder / "depth").iterdir())} for folder in (a, b)]
    assert arrays[0].keys() == arrays[1].keys()
    for one, other in zip(*(found.values() for found in arrays), strict=True):
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name])


def wait_for_frames(started: Process, folder: Path, count: int) -> None:
    journal, deadline = folder / "mm.part.mkv.journal", time.monotonic() + 60
    while not journal.exists() or journal.read_bytes().count(b"\n") <= count:
        assert time.monotonic() < deadline, started.err
        assert started.process.poll() is None, started.err
        time.sleep(0.005)


def workers(started: Process) -> list[psutil.Process]:
    running = psutil.Process(started.process.pid).children(recursive=True)
    return [child for child in running if any("ray::Worker" in part for part in child.cmdline())]


def test_a_worker_is_killed_and_the_run_stopped_and_it_comes_to_the_same(
    film: Path, alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Process(film, *OUTPUTS, *RAY, cwd=tmp_path) as started:
        wait_for_frames(started, tmp_path, 4)
        killed = workers(started)
        assert len(killed) == 2
        killed[0].kill()
        started.wait_for("has died and was started anew")
        wait_for_frames(started, tmp_path, 24)
        left = workers(started)
        assert left
        started.process.send_signal(signal.SIGINT)
        assert started.end()[0] == command_line.DONE, started.err
    assert "the same command goes on" in "".join(started.err)
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive
    capsys.readouterr()
    finish(film, tmp_path)  # with or without Ray: it is one run
    assert "going on behind frame" in capsys.readouterr().err.replace("\n", " ")
    assert_same(tmp_path, alone)


def test_with_hindsight_and_in_batches_it_is_the_same(film: Path, tmp_path: Path) -> None:
    options = ("--focal", "shot", "--batch", "3")
    folders = [tmp_path / "alone", tmp_path / "ray"]
    for folder in folders:
        folder.mkdir()
    with Process(film, *OUTPUTS, *options, *RAY, cwd=folders[1]) as started:
        finish(film, folders[0], *options)
        assert started.end()[0] == command_line.DONE, started.err
    assert_same(*folders)
    assert not [line for line in started.err if "INFO" not in line]  # Ray itself says nothing


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1:1", "nobody answers at RAY_ADDRESS=127.0.0.1:1"),
        ("ray://127.0.0.1:1", "is for Ray's client"),
        ("somewhere", "is not host:port"),
    ],
)
def test_a_cluster_that_is_not_there_is_told_at_once(
    film: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    address: str,
    why: str,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.chdir(tmp_path)
    assert run_stream.main([str(film), "--engine", "ray"]) == command_line.USAGE
    assert why in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["rtsp://127.0.0.1:1/x"], "is a camera, and --engine ray is for files"),
        (["film.mp4", "--fov-every", "3"], "--fov-every waits for the frames before"),
        (["film.mp4", "--reuse-tiles", "0"], "--reuse-tiles compares a frame with the one before"),
        (["film.mp4", "--device", "cuda:1"], "leave out --device cuda:1"),
        (["film.mp4", "--worker-gpus", "2"], "--worker-gpus must be from 0 to 1"),
    ],
)
def test_what_workers_cannot_do_is_told(
    film: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    why: str,
) -> None:
    monkeypatch.chdir(film.parent)
    assert run_stream.main([*options, "--sink", "null:", "--engine", "ray"]) == command_line.USAGE
    assert why in capsys.readouterr().err


def test_without_ray_its_extra_is_named(
    film: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run_stream.main([str(film), "--sink", "null:", "--engine", "ray"]) == command_line.USAGE
    assert "pip install -e '.[ray]'" in capsys.readouterr().err


def test_workers_that_would_give_other_depth_are_refused() -> None:
    one = About(
        program=version("depth-pro-stream"),
        torch="2.14.1",
        weights="f00d",
        device="cpu",
        label="nano",
        precision="bf16",
        input_size=512,
        output_size=512,
        trained=True,
        place="here",
    )
    check_alike([one, replace(one, place="there")])
    with pytest.raises(ConfigError, match="not alike, weights: f00d at here, beef at there"):
        check_alike([one, replace(one, weights="beef", place="there")])
    with pytest.raises(ConfigError, match="at here runs version 0"):
        check_alike([replace(one, program="0")])


def test_a_model_that_a_worker_does_not_find_is_told_with_its_place(tmp_path: Path) -> None:
    worker = Worker(str(tmp_path / "none.pt"), EngineConfig(device="cpu"), torch.get_num_threads(), 0)
    with pytest.raises(WeightsError, match=r"there is no checkpoint .* \(on .*, a worker of Ray\)"):
        worker.about()


def test_workers_are_as_many_as_there_is_room_for() -> None:
    cluster, any_device, threads = {"CPU": 64.0, "GPU": 8.0}, EngineConfig(), torch.get_num_threads()
    assert worker_sizes(cluster, any_device, RayConfig()) == (8, 1.0, 1)
    assert worker_sizes(cluster, any_device, RayConfig(worker_gpus=0.5, worker_cpus=5)) == (12, 0.5, 5)
    assert worker_sizes(cluster, any_device, RayConfig(workers=3)) == (3, 1.0, 1)
    assert worker_sizes(cluster, EngineConfig(device="cpu"), RayConfig()) == (64 // threads, 0.0, threads)
    assert worker_sizes({"CPU": 1.0}, any_device, RayConfig()) == (1, 0.0, 1)
    with pytest.raises(ConfigError, match="9 with 1 cores and 1 GPUs each, and Ray has 64 cores and 8 GPUs"):
        worker_sizes(cluster, any_device, RayConfig(workers=9))
    with pytest.raises(ConfigError, match="needs GPUs"):
        worker_sizes({"CPU": 4.0}, EngineConfig(device="cuda"), RayConfig())


@pytest.mark.parametrize("value", [{"workers": 0}, {"worker_cpus": -1}, {"worker_gpus": -0.5}])
def test_sizes_that_make_no_sense_are_refused(value: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        RayConfig(**value)
