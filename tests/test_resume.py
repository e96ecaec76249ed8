"""Runs that are killed and started again come to the same result as one that was left alone."""

from __future__ import annotations

import random
import time
from pathlib import Path

import av
import pytest

import run_stream
from stream import command_line
from tests.support.media import noisy_video
from tests.support.process import Process

OUTPUTS = (
    "--steady",
    "off",
    "--sink",
    "mm.mkv?codec=ffv1",
    "--sink",
    "view.mp4",
    "--sink",
    "png:png?encoding=log",
    "--sink",
    "focal:f.csv",
)
FRAMES = 30


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


def times(path: Path) -> list[float | None]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def journalled(folder: Path) -> int:
    path = folder / "mm.part.mkv.journal"
    return path.read_bytes().count(b"\n") - 1 if path.exists() else 0


@pytest.fixture
def film(tmp_path: Path) -> Path:
    (tmp_path / "killed").mkdir()
    (tmp_path / "alone").mkdir()
    return noisy_video(tmp_path / "film.mp4", FRAMES)


def run(film: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    monkeypatch.chdir(folder)
    return run_stream.main([str(film), *OUTPUTS, *more])


def finish(film: Path, folder: Path, *more: str) -> None:
    """To the end, in a process like those that are killed: with other threads, sums are rounded in another order."""
    with Process(film, *OUTPUTS, *more, cwd=folder) as started:
        status, _ = started.end(timeout=120)
    assert status == command_line.DONE, started.err


def kill_after(film: Path, folder: Path, frames: int) -> None:
    with Process(film, *OUTPUTS, cwd=folder) as started:
        deadline = time.monotonic() + 90
        while journalled(folder) < frames:
            assert time.monotonic() < deadline, started.err
            assert started.process.poll() is None, started.err
            time.sleep(0.005)
        started.process.kill()


def assert_same(a: Path, b: Path) -> None:
    assert sorted(p.name for p in a.iterdir()) == ["f.csv", "mm.mkv", "mm.mkv.json", "png", "view.mp4"]
    assert content(a / "mm.mkv") == content(b / "mm.mkv")
    assert (a / "f.csv").read_bytes() == (b / "f.csv").read_bytes()
    assert [p.read_bytes() for p in sorted((a / "png").iterdir())] == [
        p.read_bytes() for p in sorted((b / "png").iterdir())
    ]
    assert times(a / "view.mp4") == times(b / "view.mp4")
    assert len(times(a / "view.mp4")) == FRAMES


def test_killed_twice_it_comes_to_the_same(film: Path, tmp_path: Path) -> None:
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    kill_after(film, killed, 14)
    assert sorted(p.name for p in killed.iterdir()) == [
        "f.part.csv",
        "f.part.csv.journal",
        "mm.part.mkv",
        "mm.part.mkv.journal",
        "mm.part.mkv.json",
        "png.part",
        "png.part.journal",
        "view.part.mp4",
        "view.part.mp4.journal",
    ]  # fmt: skip
    kill_after(film, killed, 22)
    finish(film, killed)
    finish(film, alone)
    assert_same(killed, alone)


@pytest.mark.slow
def test_killed_at_ten_random_moments(film: Path, tmp_path: Path) -> None:
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    chance = random.Random(7)
    for _ in range(10):
        with Process(film, *OUTPUTS, cwd=killed) as started:
            time.sleep(chance.uniform(2, 9))
            started.process.kill()
    finish(film, killed)
    finish(film, alone)
    assert_same(killed, alone)


def test_another_option_or_source_is_refused_by_name(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = tmp_path / "killed"
    kill_after(film, killed, 12)
    before = {p: p.read_bytes() for p in killed.rglob("*") if p.is_file()}
    assert run(film, killed, monkeypatch, "--fov", "60") == command_line.FAILED
    assert "mm.mkv was begun by another run, fov: None, now 60.0" in capsys.readouterr().err
    noisy_video(film, FRAMES + 1)
    assert run(film, killed, monkeypatch) == command_line.FAILED
    assert "source size" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in killed.rglob("*") if p.is_file()} == before
    finish(film, killed, "--overwrite")
    assert sorted(p.name for p in killed.iterdir()) == ["f.csv", "mm.mkv", "mm.mkv.json", "png", "view.mp4"]
    assert len(times(killed / "mm.mkv")) == FRAMES + 1
