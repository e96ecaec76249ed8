"""Names of outputs in the tree of a batch."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from sinks.places import default_sink, for_video, is_file
from sinks.uri import parse_uri
from stream.errors import ConfigError
from stream.ports import SourceInfo


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


def test_what_is_a_file() -> None:
    assert [is_file(u) for u in ("a.mp4", "file:///a.mp4", "mcap:x", "null:", "zmq+tcp://h:1", "memory:")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        ("walk.mp4", "./walk_depth.mp4?view=side-by-side"),
        ("dir/a b%.mkv", "./a%20b%25_depth.mp4?view=side-by-side"),
        ("shots/*.png", "./shots_depth.mp4?view=side-by-side"),
        ("clip:one.mp4", "./clip%3Aone_depth.mp4?view=side-by-side"),
        (".", f"./{Path.cwd().name}_depth.mp4?view=side-by-side"),
        ("http://joe:S3CRET@host:80/", "./stream_depth.mp4?view=side-by-side"),
        ("https://me:pw@host/v/c.mp4?token=hush&file=a.b", "./c_depth.mp4?view=side-by-side"),
        ("https://host", "./stream_depth.mp4?view=side-by-side"),
    ],
)
def test_the_usual_output_is_named_after_the_file_without_secrets(source: str, uri: str) -> None:
    assert default_sink(source, SourceInfo(name=source, live=False)) == uri
