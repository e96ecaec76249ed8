"""A batch goes on where it can, and tells what has become of each video."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from stream.errors import ConfigError, SinkError, SourceError
from stream.jobs.batch import Job, Place, run_batch
from stream.jobs.folder import locked
from tests.support.process import ROOT

JOBS = [Job(name=n, source=n, sinks=[f"{n}.mp4", f"{n}.mkv"]) for n in "abcd"]


class Converter:
    def __init__(self, errors: dict[str, Exception] | None = None, stops_at: str = "") -> None:
        self.errors, self.stops_at = errors or {}, stops_at
        self.done: list[tuple[str, list[str], int]] = []

    def __call__(self, job: Job, missing: Sequence[str], place: Place) -> bool:
        if error := self.errors.get(job.name):
            raise error
        self.done.append((job.name, list(missing), place.number))
        return job.name != self.stops_at


def test_what_is_there_is_left_alone_and_what_is_missing_is_made() -> None:
    there, converter = {"a.mp4", "b.mp4", "b.mkv"}, Converter()
    outcome = run_batch(JOBS, converter, is_there=there.__contains__)
    assert converter.done == [("a", ["a.mkv"], 1), ("c", ["c.mp4", "c.mkv"], 3), ("d", ["d.mp4", "d.mkv"], 4)]
    assert str(outcome) == "4 videos: 3 converted, 1 there already"


def test_one_that_fails_is_told_and_the_others_go_on() -> None:
    converter = Converter({"b": SourceError("b: damaged"), "d": SinkError("disk full")})
    outcome = run_batch(JOBS, converter, is_there=lambda _: False)
    assert [name for name, _, _ in converter.done] == ["a", "c"]
    assert str(outcome) == "4 videos: 2 converted, 2 failed\nFAILED b: damaged\nFAILED d: disk full"


def test_what_is_known_to_be_in_trouble_is_not_tried() -> None:
    converter, locked_up = Converter(), Job(name="e", source="e", sinks=["e.mp4"], trouble="permission denied")
    outcome = run_batch([locked_up, *JOBS[:1]], converter, is_there=lambda uri: uri == "e.mp4")
    assert [name for name, _, _ in converter.done] == ["a"]
    assert str(outcome) == "2 videos: 1 converted, 1 failed\nFAILED e: permission denied"


def test_a_signal_ends_the_batch() -> None:
    outcome = run_batch(JOBS, Converter(stops_at="b"), is_there=lambda _: False)
    assert str(outcome) == "4 videos: 1 converted, 3 not finished"


def test_a_wrong_option_ends_it_at_once() -> None:
    with pytest.raises(ConfigError):
        run_batch(JOBS, Converter({"a": ConfigError("no such thing")}), is_there=lambda _: False)


def test_the_time_left_is_that_of_what_is_not_done() -> None:
    place = Place(name="b", number=2, total=4, started=100.0)
    assert place.time_left_s(0.0, 130.0) == pytest.approx(90)
    assert place.time_left_s(0.5, 130.0) == pytest.approx(50)
    assert Place(name="a", number=1, total=4, started=0).time_left_s(0, 1) is None


def test_a_folder_is_for_one_run_at_a_time(tmp_path: Path) -> None:
    code = "import sys, pathlib\nfrom stream.jobs.folder import locked\nwith locked(pathlib.Path(sys.argv[1])):\n"
    code += "    print('in', flush=True)\n    sys.stdin.read()\n"
    command = [sys.executable, "-c", code, str(tmp_path / "new/out")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with pytest.raises(SinkError, match="another run writes into"), locked(tmp_path / "new/out"):
            pass
        other.kill()
        other.wait()
        with locked(tmp_path / "new/out"):  # a process that was killed holds nothing
            pass


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot write into"), locked(tmp_path / "file/out"):
        pass
