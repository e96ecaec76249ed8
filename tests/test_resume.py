"""Runs that are killed and started again come to the same result as one that was left alone."""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from mcap.reader import make_reader

import run_stream
from model.network import DepthProNetwork, init_random
from model.network.config import PRESETS
from model.weights import save
from stream import command_line
from tests.support.media import write_video
from tests.support.process import Process

SINKS = ("mm.mkv?codec=ffv1", "view.mp4", "png:png?encoding=log", "focal:f.csv", "ros.mcap", "lerobot:le")
QUICK_SINKS = ("mm.mkv?codec=ffv1", "png:png?encoding=log")  # which keep all but their last frames
WHOLE = ["f.csv", "le", "mm.mkv", "mm.mkv.json", "png", "ros.mcap", "view.mp4"]
LEROBOT = "videos/observation.images.depth/chunk-000/file-000.mp4"
FRAMES = 30


def walk(path: Path, count: int) -> Path:
    """A camera that moves along a wall: its scale is steadied by how the wall moves."""
    noise = np.random.default_rng(0).integers(0, 256, (240, 400, 3), np.uint8)
    wall = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return write_video(path, [wall[20:140, 4 * i : 4 * i + 160] for i in range(count)])


def content(path: Path) -> list[tuple[float | None, bytes]]:
    """Time and bytes of every picture and every subtitle."""
    found = []
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.stream.type == "subtitle":
                found += [(float(packet.pts * packet.time_base), bytes(packet))] if packet.size else []
            else:
                found += [(frame.time, frame.to_ndarray().tobytes()) for frame in packet.decode()]
    return sorted(found)


def tags(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        return dict(container.metadata)


def times(path: Path) -> list[float | None]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def asked(sinks: tuple[str, ...]) -> list[str]:
    return [argument for sink in sinks for argument in ("--sink", sink)]


def journalled(folder: Path, outputs: int) -> int:
    """Frames that every output has been handed."""
    counts = [path.read_bytes().count(b"\n") - 1 for path in folder.glob("*.journal")]
    return min(counts) if len(counts) == outputs else 0


@pytest.fixture
def film(tmp_path: Path) -> Path:
    (tmp_path / "killed").mkdir()
    (tmp_path / "alone").mkdir()
    return walk(tmp_path / "film.mp4", FRAMES)


def run(film: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    monkeypatch.chdir(folder)
    return run_stream.main([str(film), *asked(SINKS), *more])


def finish(film: Path, folder: Path, *more: str, sinks: tuple[str, ...] = SINKS) -> str:
    """To the end, in a process like those that are killed: with other threads, sums are rounded in another order.

    Returns the log.
    """
    with Process(film, *asked(sinks), *more, cwd=folder) as started:
        status, _ = started.end(timeout=120)
    assert status == command_line.DONE, started.err
    return "".join(started.err)


def kill_after(film: Path, folder: Path, frames: int, *more: str, sinks: tuple[str, ...] = SINKS) -> None:
    with Process(film, *asked(sinks), *more, cwd=folder) as started:
        deadline = time.monotonic() + 180
        while journalled(folder, len(sinks)) < frames:
            assert time.monotonic() < deadline, started.err
            assert started.process.poll() is None, started.err
            time.sleep(0.005)
        started.process.kill()


def messages(path: Path) -> list[tuple[str, int, bytes]]:
    with path.open("rb") as file:
        return [
            (channel.topic, message.log_time, message.data) for _, channel, message in make_reader(file).iter_messages()
        ]


def assert_same(a: Path, b: Path) -> None:
    assert sorted(p.name for p in a.iterdir()) == WHOLE
    assert content(a / "mm.mkv") == content(b / "mm.mkv")
    assert tags(a / "mm.mkv") == tags(b / "mm.mkv")
    assert (a / "mm.mkv.json").read_bytes() == (b / "mm.mkv.json").read_bytes()
    assert (a / "f.csv").read_bytes() == (b / "f.csv").read_bytes()
    assert [p.read_bytes() for p in sorted((a / "png").iterdir())] == [
        p.read_bytes() for p in sorted((b / "png").iterdir())
    ]
    assert messages(a / "ros.mcap") == messages(b / "ros.mcap")
    assert content(a / "le" / LEROBOT) == content(b / "le" / LEROBOT)
    for name in ("info.json", "depth_pro_stream.jsonl"):
        assert (a / "le/meta" / name).read_bytes() == (b / "le/meta" / name).read_bytes()
    assert sum(p.is_file() for p in (a / "le").rglob("*")) == 3
    assert times(a / "view.mp4") == times(b / "view.mp4")
    assert len(times(a / "view.mp4")) == FRAMES


def test_killed_twice_it_comes_to_the_same(film: Path, tmp_path: Path) -> None:
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    kill_after(film, killed, 14)
    assert sorted(p.name for p in killed.iterdir()) == [
        "f.part.csv",
        "f.part.csv.journal",
        "f.part.csv.lock",
        "le.part",
        "le.part.journal",
        "le.part.lock",
        "mm.part.mkv",
        "mm.part.mkv.journal",
        "mm.part.mkv.json",
        "mm.part.mkv.lock",
        "png.part",
        "png.part.journal",
        "png.part.lock",
        "ros.part.mcap",
        "ros.part.mcap.journal",
        "ros.part.mcap.lock",
        "view.part.mp4",
        "view.part.mp4.journal",
        "view.part.mp4.lock",
    ]  # fmt: skip
    kill_after(film, killed, 24)
    assert "going on behind frame" in finish(film, killed)
    assert "going on behind frame" not in finish(film, alone)
    assert_same(killed, alone)
    told = [json.loads(line)["steady"]["inliers"] for _, line in content(alone / "mm.mkv") if line[:1] == b"{"]
    assert sum(inliers > 0 for inliers in told) > FRAMES / 2  # else nothing was steadied


@pytest.mark.parametrize(("frames", "goes_on"), [(6, False), (24, True)])
def test_a_measured_scale_is_that_of_the_run_before(film: Path, tmp_path: Path, frames: int, goes_on: bool) -> None:
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    options = ("--scale-from", "56,32=2", "--fov", "60")
    kill_after(film, killed, frames, *options, sinks=QUICK_SINKS)
    log = finish(film, killed, *options, sinks=QUICK_SINKS)
    assert ("going on behind frame" in log) == goes_on  # after a second it has been measured
    assert ("depth is scaled by" in log) != goes_on
    finish(film, alone, *options, sinks=QUICK_SINKS)
    pictures = [sorted((folder / "png").iterdir()) for folder in (killed, alone)]
    for of_killed, of_alone in zip(*pictures, strict=True):
        assert (cv2.imread(of_killed, cv2.IMREAD_UNCHANGED) == cv2.imread(of_alone, cv2.IMREAD_UNCHANGED)).all()


@pytest.mark.slow
def test_killed_at_ten_random_moments(film: Path, tmp_path: Path) -> None:
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    chance = random.Random(7)
    for _ in range(10):
        with Process(film, *asked(SINKS), cwd=killed) as started:
            time.sleep(chance.uniform(2, 9))
            started.process.kill()
    finish(film, killed)
    finish(film, alone)
    assert_same(killed, alone)


@pytest.mark.parametrize(("batch", "more"), [(4, ()), (3, ("--focal", "shot"))])
def test_batches_begin_where_they_did(film: Path, tmp_path: Path, batch: int, more: tuple[str, ...]) -> None:
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    options = "--batch", str(batch), *more
    kill_after(film, killed, 14, *options, sinks=QUICK_SINKS)
    noted = journalled(killed, len(QUICK_SINKS))  # 14, or more if the process was faster than its killer
    told = re.search(r"going on behind frame (\d+), ", finish(film, killed, *options, sinks=QUICK_SINKS))
    assert told is not None
    kept = int(told[1]) + 1
    assert kept % batch == 0
    assert noted - 1 - batch < kept < noted  # the last one is not
    finish(film, alone, *options, sinks=QUICK_SINKS)
    assert content(killed / "mm.mkv") == content(alone / "mm.mkv")
    for of_killed, of_alone in zip(*(sorted((f / "png").iterdir()) for f in (killed, alone)), strict=True):
        assert of_killed.read_bytes() == of_alone.read_bytes()


def test_another_option_or_source_is_refused_by_name(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = tmp_path / "killed"
    kill_after(film, killed, 12)
    for lock in killed.glob("*.lock"):  # of the process that was killed
        lock.unlink()
    before = {p: p.read_bytes() for p in killed.rglob("*") if p.is_file()}
    assert run(film, killed, monkeypatch, "--fov", "60") == command_line.FAILED
    assert "mm.mkv was begun by another run, fov: not given, now 60.0" in capsys.readouterr().err
    assert run(film, killed, monkeypatch, "--steady-hindsight", "0") == command_line.FAILED
    assert "another run, steady_hindsight: 15, now 0" in capsys.readouterr().err
    other, named_alike = DepthProNetwork(PRESETS["nano"]), tmp_path / "nano.safetensors"
    init_random(other, 1)
    save(other, named_alike, trained=True)
    assert run(film, killed, monkeypatch, "--model", str(named_alike)) == command_line.FAILED
    assert "another run, weights: " in capsys.readouterr().err
    walk(film, FRAMES + 1)
    assert run(film, killed, monkeypatch) == command_line.FAILED
    assert "source size" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in killed.rglob("*") if p.is_file()} == before
    finish(film, killed, "--overwrite")
    assert sorted(p.name for p in killed.iterdir()) == WHOLE
    assert len(times(killed / "mm.mkv")) == FRAMES + 1
