"""Names of outputs: in the tree of a batch, and until they are whole."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from sinks.places import PartSink, for_video, is_file, is_there
from sinks.uri import parse_uri
from stream.errors import ConfigError, SinkError
from tests.support.doubles import make_depth_frame


def target(uri: str) -> str:
    return parse_uri(uri).target


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("{stem}_depth.mp4?view=side-by-side", "/o/day/a%b_depth.mp4"),
        ("{stem}/mm.mkv?codec=ffv1", "/o/day/a%b/mm.mkv"),
        ("mcap:{stem}.bag", "/o/day/a%b.bag"),
    ],
)
def test_files_go_into_the_tree(uri: str, path: str) -> None:
    made = for_video(uri, out=Path("/o"), folder=PurePath("day"), stem="a%b")
    assert target(made) == path
    assert made.partition("?")[2] == uri.partition("?")[2]
    assert parse_uri(made).scheme == parse_uri(uri).scheme


def test_a_relative_folder_stays_relative() -> None:
    made = for_video("{stem}.mp4", out=Path("o"), folder=PurePath("day"), stem="a:b")
    assert (parse_uri(made).scheme, target(made)) == ("", "./o/day/a:b.mp4")


def test_what_is_no_file_stays_where_it_is() -> None:
    made = for_video("zmq+tcp://127.0.0.1:5555?camera={stem}", out=Path("o"), folder=PurePath(), stem="a b")
    assert parse_uri(made).options == {"camera": "a b"}


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [("depth.mp4", "every video"), ("/abs/{stem}.mp4", "not in the folder"), ("../{stem}.mp4", "not in the folder")],
)
def test_names_that_cannot_be_are_refused(uri: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        for_video(uri, out=Path("o"), folder=PurePath(), stem="a")


def test_a_part_becomes_the_file_when_it_is_whole(tmp_path: Path) -> None:
    sink = PartSink(f"{tmp_path}/walk.mp4", overwrite=False)
    assert (sink.name, sink.needs_image) == (f"{tmp_path}/walk.mp4", False)
    sink.write(make_depth_frame())
    sink.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["walk.part.mp4", "walk.part.mp4.journal"]
    assert not is_there(f"{tmp_path}/walk.mp4")
    sink.publish()
    assert [p.name for p in tmp_path.iterdir()] == ["walk.mp4"]
    assert is_there(f"{tmp_path}/walk.mp4?crf=30")


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "walk.mp4"
    sink = PartSink(str(path), overwrite=False)
    sink.write(make_depth_frame())
    sink.close()
    path.write_text("someone else's")
    with pytest.raises(SinkError, match="has come to exist meanwhile"):
        sink.publish()
    with pytest.raises(SinkError, match=r"walk.mp4 exists; choose another name"):
        PartSink(str(path), overwrite=False)
    assert path.read_text() == "someone else's"
    assert (tmp_path / "walk.part.mp4").exists()


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_has_its_name_when_it_is_whole(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "depth").mkdir()
        (tmp_path / "depth/depth_000000.png").write_text("old")
        (tmp_path / "depth/notes.txt").write_text("someone's")
        with pytest.raises(SinkError, match=r"depth exists; choose another name"):
            PartSink(f"png:{tmp_path}/depth", overwrite=False)
    sink = PartSink(f"png:{tmp_path}/depth", overwrite=there)
    for index in (0, 5):
        sink.write(make_depth_frame(index))
    sink.close()
    assert sorted(p.name for p in (tmp_path / "depth.part").iterdir()) == ["depth_000000.png", "depth_000005.png"]
    sink.publish()
    found = sorted(p.name for p in (tmp_path / "depth").iterdir())
    assert found == ["depth_000000.png", "depth_000005.png", *(["notes.txt"] if there else [])]
    assert (tmp_path / "depth/depth_000000.png").read_bytes()[1:4] == b"PNG"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["depth"]


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    sink = PartSink(str(tmp_path / "walk.mkv"), overwrite=False)
    sink.close()
    sink.publish()
    assert list(tmp_path.iterdir()) == []


def test_what_is_a_file() -> None:
    assert [is_file(u) for u in ("a.mp4", "file:///a.mp4", "mcap:x", "null:", "zmq+tcp://h:1", "memory:")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
