"""Which videos several words on a command line mean, and what their outputs are called."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.errors import ConfigError
from stream.jobs.videos import find_videos, is_batch

pytestmark = pytest.mark.usefixtures("tree")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "a.mp4", "a.mov", "b2.mkv", "b10.mkv", "day/a.mp4", "day/night/c.TS", "day/notes.txt", "day/._a.mp4",
        ".trash/x.mp4", "shots/1.png", "shots/2.png", "out/old_depth.mp4", "e=mc2.mp4",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)


def found(*sources: str, without: str | None = None) -> list[tuple[str, str, str]]:
    videos = find_videos(sources, without=None if without is None else Path(without))
    return [(v.source, v.folder.as_posix(), v.stem) for v in videos]


def test_a_folder_is_its_videos_at_any_depth_in_natural_order() -> None:
    assert found(".", without="out") == [
        ("a.mov", ".", "a.mov"),
        ("a.mp4", ".", "a.mp4"),
        ("b2.mkv", ".", "b2"),
        ("b10.mkv", ".", "b10"),
        ("day/a.mp4", "day", "a"),
        ("day/night/c.TS", "day/night", "c"),
        ("e=mc2.mp4", ".", "e=mc2"),
    ]


@pytest.fixture
def locked_up(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Folders that nobody may read, not even an administrator."""
    locked: set[str] = set()
    scandir = os.scandir

    def guarded(path: str) -> Iterator[os.DirEntry[str]]:
        if os.path.relpath(path) in locked:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    return locked


def test_a_folder_that_may_not_be_read_is_named_and_changes_nothing_else(locked_up: set[str]) -> None:
    Path("day/a").mkdir()
    before = found("day")
    locked_up.add("day/a")
    *videos, last = find_videos(["day"])
    assert [(v.source, v.folder.as_posix(), v.stem) for v in videos] == before
    assert not any(v.trouble for v in videos)
    assert (last.name, last.folder.as_posix(), last.stem) == ("day/a", ".", "a")
    assert last.trouble == "this folder cannot be read (permission denied); check its access rights"


def test_where_nothing_is_found_opening_says_why(locked_up: set[str]) -> None:
    Path("shots/locked").mkdir()
    locked_up.update({"shots/locked", "day"})
    assert not is_batch(["shots"])
    assert not is_batch(["day"])


def test_files_globs_and_folders_of_pictures_go_together() -> None:
    assert found("b10.mkv", "b*.mkv", "a.mp4", "day/a.mp4", "shots", "https://host/v/film%20one.mp4?token=x") == [
        ("b10.mkv", ".", "b10"),
        ("b2.mkv", ".", "b2"),
        ("a.mp4", ".", "a.mp4-1"),
        ("day/a.mp4", ".", "a.mp4-2"),
        ("shots", ".", "shots"),
        ("https://host/v/film%20one.mp4?token=x", ".", "film one"),
    ]


@pytest.mark.parametrize(
    ("sources", "batch"),
    [
        (["a.mp4"], False),
        (["a.mp4", "b2.mkv"], True),
        (["day"], True),
        (["*.mkv"], True),
        (["shots"], False),
        (["shots/*.png"], False),
        (["missing.mp4"], False),
        (["front=rtsp://x", "rear=webcam:1"], False),
        (["e=mc2.mp4", "a.mp4"], True),
        (["demo"], False),
        ([], False),
    ],
)
def test_what_is_a_batch(sources: list[str], batch: bool) -> None:
    assert is_batch(sources) is batch


@pytest.mark.parametrize("camera", ["rtsp://joe:S3CRET@host/x", "webcam:0", "demo"])
def test_cameras_are_no_files_and_keep_their_secrets(camera: str) -> None:
    with pytest.raises(ConfigError, match="not all are files") as raised:
        find_videos(["a.mp4", camera])
    assert "S3CRET" not in str(raised.value)


def test_outputs_do_not_go_among_what_is_read() -> None:
    with pytest.raises(ConfigError, match="lies in out, where outputs go; name another folder"):
        find_videos(["out"], without=Path("out"))


def test_a_file_is_one_video_however_it_is_written() -> None:
    assert found("b2.mkv", "./b2.mkv", "day/../b2.mkv", "a.mp4", "b*.mkv") == [
        ("b2.mkv", ".", "b2"),
        ("a.mp4", ".", "a"),
        ("b10.mkv", ".", "b10"),
    ]
