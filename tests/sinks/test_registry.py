"""From a word on the command line to a sink."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from sinks import MemorySink, NullSink, open_sink
from sinks.uri import parse_options, parse_uri, refuse_control_characters
from stream.errors import ConfigError, SinkError
from tests.support.doubles import make_depth_frame


@dataclass(frozen=True, kw_only=True)
class Options:
    word: str = "w"
    count: int = 1
    share: float | None = None
    on: bool = False
    mode: Literal["fast", "slow"] = "fast"


def test_plain_path_file_uri_and_windows_path_are_files() -> None:
    assert parse_uri("out/depth.mp4").scheme == ""
    assert parse_uri(r"C:\x\depth.mp4").target == r"C:\x\depth.mp4"
    assert parse_uri("C:/x/depth.mp4").scheme == ""
    assert parse_uri("file:///tmp/a.mp4").with_local_path().target == "/tmp/a.mp4"
    assert parse_uri("file://localhost/tmp/a.mp4").with_local_path().target == "/tmp/a.mp4"
    assert parse_uri("file:a.mp4").with_local_path().target == "a.mp4"
    assert parse_uri("file:///C:/a.mp4").with_local_path().target == "C:/a.mp4"
    with pytest.raises(ConfigError, match="another machine"):
        parse_uri("file://host/a.mp4").with_local_path()


def test_percent_encoding() -> None:
    uri = parse_uri("really%3F%20100%25.mp4?title=a%26b+c")
    assert uri.target == "really? 100%.mp4"
    assert uri.options == {"title": "a&b c"}


@pytest.mark.parametrize("uri", ["png:%04d", "%0A.mkv", "x%1f.mp4?view=depth", "zmq+tcp://joe:S3CRET@h/%7F"])
def test_a_percent_sign_that_would_make_a_control_character_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"stands for a control character here; write %25 for a percent") as caught:
        refuse_control_characters(uri)
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize("uri", ["png:%2504d", "a%20b.mkv", "typed\x1b.mkv", "x.mkv?title=%0A", "%d%s%", "a%F0%9F.mkv"])
def test_all_other_names_of_outputs_are_taken(uri: str) -> None:
    refuse_control_characters(uri)


def test_options_are_converted_to_their_types_and_keep_defaults() -> None:
    parsed = parse_options(parse_uri("x?word=a=b&count=3&share=0.5&on=yes&mode=slow"), Options)
    assert parsed == Options(word="a=b", count=3, share=0.5, on=True, mode="slow")
    assert parse_options(parse_uri("x"), Options) == Options()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("cuont=3", "unknown option 'cuont' (did you mean 'count'?); allowed: word, count, share, on, mode"),
        ("count=many", "option 'count' must be a whole number, not 'many'"),
        ("share=half", "option 'share' must be a number, not 'half'"),
        ("on=maybe", "must be one of true, yes"),
        ("mode=fats", "must be one of fast, slow, not 'fats' (did you mean 'fast'?)"),
        ("count", "option 'count' has no value; write count=value"),
        ("count=1&count=2", "option 'count' is given twice"),
    ],
)
def test_wrong_options_are_named_with_what_is_allowed(query: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_options(parse_uri(f"x?{query}"), Options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_scheme_names_the_known_ones_and_no_password() -> None:
    with pytest.raises(ConfigError, match=r"unknown kind of output 'rtmp'.*zmq\+tcp:.*null:") as error:
        open_sink("rtmp://user:secret@host/x")
    assert "secret" not in str(error.value)
    with pytest.raises(ConfigError, match=r"did you mean 'zmq\+tcp'"):
        open_sink("zmq-tcp://127.0.0.1:1")


@pytest.mark.parametrize("uri", ["null:?a=1", "memory:?a=1", "null:elsewhere", "", "file:"])
def test_what_makes_no_sense_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError):
        open_sink(uri)


def test_registry_makes_each_kind(tmp_path: Path) -> None:
    uris = [
        "null:",
        "memory:",
        str(tmp_path / "a.mp4"),
        f"file://{tmp_path}/b%3F.mkv?codec=ffv1",
        "zmq+tcp://127.0.0.1:*",
    ]
    opened = [open_sink(uri) for uri in uris]
    for sink in opened:
        sink.close()
    assert [type(sink).__name__ for sink in opened] == ["NullSink", "MemorySink", "VideoSink", "VideoSink", "ZmqSink"]
    assert list(tmp_path.iterdir()) == []


def test_heavy_libraries_are_loaded_only_when_needed() -> None:
    code = "import sys; from sinks import open_sink; open_sink('null:'); print({'av', 'zmq', 'cv2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_null_counts() -> None:
    sink = NullSink()
    sink.write(make_depth_frame())
    sink.write(make_depth_frame())
    sink.close()
    assert sink.frames == 2
    assert not sink.needs_image


def test_memory_keeps_the_newest_and_fails_when_told() -> None:
    sink = MemorySink(keep=2, fail_at=3, needs_image=True)
    for index in range(3):
        sink.write(make_depth_frame(index))
    with pytest.raises(SinkError, match="write 3"):
        sink.write(make_depth_frame(3))
    sink.close()
    assert [f.capture.index for f in sink.frames] == [1, 2]
    assert sink.closed
    assert sink.needs_image


def test_memory_waits_for_its_gate() -> None:
    gate = threading.Event()
    sink = MemorySink(gate=gate)
    writer = threading.Thread(target=sink.write, args=(make_depth_frame(),))
    writer.start()
    assert len(sink.frames) == 0
    gate.set()
    writer.join(timeout=5)
    assert len(sink.frames) == 1
