"""The command line as a person uses it: real runs, real signals, and what every mistake gets for an answer."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import aiohttp
import av
import cv2
import numpy as np
import pytest

import run_stream
from model.config import EngineConfig, EstimatorConfig
from stream import command_line
from stream.errors import ConfigError
from stream.ports import SourceInfo
from stream.sources import SourceConfig
from tests.support.media import noisy_video
from tests.support.process import ROOT, Process


def write_video(path: Path, count: int, *, size: tuple[int, int] = (96, 64)) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), i % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", 5)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):  # type: ignore[no-untyped-def]
    """Run the command line in this process; returns exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*arguments: object) -> tuple[int, str, str]:
        status = run_stream.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out, err

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


def complaint(err: str) -> str:
    """The one line that says what is wrong."""
    lines = [line for line in err.splitlines() if line.startswith("run_stream.py: ")]
    assert len(lines) == 1, err
    assert err.splitlines()[-1] == lines[0]
    return lines[0]


def test_a_file_becomes_every_output_asked_for(run, clip: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    status, out, err = run(
        clip, "--sink", "view.mp4?view=side-by-side", "--sink", "mm.mkv?codec=ffv1", "--model", "nano"
    )
    assert status == 0
    assert "5 frames in, 5 with depth, 0 dropped" in out
    assert "untrained" not in err
    view, millimetres = decode(tmp_path / "view.mp4"), decode(tmp_path / "mm.mkv")
    assert len(view) == len(millimetres) == 5
    assert (view[0].width, view[0].height) == (192, 64)
    assert millimetres[0].format.name == "gray16le"
    assert [round(f.time, 3) for f in view] == [round(f.time, 3) for f in millimetres] == [0, 0.04, 0.08, 0.12, 0.16]
    values = np.unique(millimetres[0].to_ndarray())
    assert len(values) > 10
    assert 200 < np.median(values) < 60_000


def test_a_tree_of_videos_becomes_a_tree_of_depth(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "in/day").mkdir(parents=True)
    write_video(tmp_path / "in/a.mp4", 3)
    write_video(tmp_path / "in/day/b.mp4", 4)
    (tmp_path / "in/day/broken.mp4").write_bytes(b"no video")
    outputs = ["--sink", "{stem}_mm.mkv?codec=ffv1", "--sink", "{stem}.mp4"]
    status, out, err = run("in", "--out", "depth", *outputs)
    assert status == command_line.SINK_FAILED
    assert "3 videos: 2 converted, 1 failed\nFAILED in/day/broken.mp4: " in out
    assert "in/day/broken.mp4" in err
    made = {"a.mp4": 3, "a_mm.mkv": 3, "day/b.mp4": 4, "day/b_mm.mkv": 4}
    assert {
        str(p.relative_to(tmp_path / "depth")): len(decode(p)) for p in (tmp_path / "depth").rglob("*.m*[4v]")
    } == made
    (tmp_path / "depth/a.mp4").unlink()
    (tmp_path / "in/day/broken.mp4").unlink()
    before = (tmp_path / "depth/day/b.mp4").stat().st_mtime_ns
    status, out, _ = run("in", "--out", "depth", *outputs)
    assert status == 0
    assert "2 videos: 1 converted, 1 there already" in out
    assert (tmp_path / "depth/day/b.mp4").stat().st_mtime_ns == before
    assert len(decode(tmp_path / "depth/a.mp4")) == 3


def test_several_videos_need_a_folder_for_their_outputs(run, clip: Path) -> None:  # type: ignore[no-untyped-def]
    status, _, err = run(clip, clip.with_name("other.mp4"))
    assert status == command_line.USAGE
    assert "2 videos need a folder for their outputs, as in --out depth" in complaint(err)


def test_a_look_ahead_gives_a_shot_one_focal_length(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    status, _, err = run(noisy_video(tmp_path / "noisy.mp4", 5), "--focal", "shot", "--sink", "mm.mkv?codec=ffv1")
    assert status == 0
    assert "looking ahead for its focal lengths" in err
    with av.open(str(tmp_path / "mm.mkv")) as container:
        told = [json.loads(bytes(p)) for p in container.demux(subtitles=0) if p.size]
    assert len(told) == 5
    assert len({t["focal"]["smoothed_px"] for t in told}) == 1
    assert len({t["focal"]["raw_px"] for t in told}) > 1


def test_a_part_of_a_file(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    clip = write_video(tmp_path / "clip.mp4", 50)
    status, out, _ = run(clip, "--start", "0.4", "--end", "30f", "--every", "5f", "--sink", "part.mkv?codec=ffv1")
    assert status == 0
    assert "4 frames in, 4 with depth" in out
    assert [round(f.time, 3) for f in decode(tmp_path / "part.mkv")] == [0.4, 0.6, 0.8, 1.0]


def test_without_a_sink_a_file_becomes_a_video_beside_it(run, clip: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert run(clip)[0] == 0
    assert len(decode(tmp_path / "clip_depth.mp4")) == 5
    status, _, err = run(clip)
    assert status == command_line.FAILED
    assert "--overwrite" in complaint(err)
    assert run(clip, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 2, "no source given"),
        ([""], 2, "no source given"),
        (["missing.mp4", " ", "--out", "depth"], 2, "no source given"),
        (["rtsp://"], 2, "names no host"),
        (["http://"], 2, "names no host"),
        (["demo", "--precision", "fp99"], 2, "fp99"),
        (["demo", "--precison", "fp32"], 2, "--precision"),
        (["demo", "extra"], 2, "demo, extra: not all are files"),
        (["demo", "rtsp://joe:secret@camera/x"], 2, "***@camera/x"),
        (["rtsp://joe:a@secret/hush#1@camera/x"], 1, "--auth-file"),
        (["a=demo", "b=missing.mp4"], 2, "demo has a run of its own"),
        (["a=missing.mp4", "a=other.mp4"], 2, "two sources are called a"),
        (["a=missing.mp4", "b=other.mp4", "--scale-from", "1,1=2"], 2, "--scale-from"),
        (["demo", "--retries", "-1"], 2, "0 or more"),
        (["demo", "--focal-px", "abc"], 2, "abc"),
        (["demo", "--focal-px", "800", "--fov", "60"], 2, "only one"),
        (["demo", "--fov", "190"], 2, "from 0.1 to 179"),
        (["demo", "--focal-px", "1e308"], 2, "from 1 to 1,000,000"),
        (["rtsp://127.0.0.1:1/x", "--focal", "shot", "--retries", "0"], 2, "is a camera, and --focal shot looks ahead"),
        (["rtsp://127.0.0.1:1/x", "--start", "5", "--retries", "0"], 2, "are for files"),
        (["missing.mp4", "--start", "soon"], 2, "no place in a video"),
        (["demo", "--camera-info", "missing.yaml"], 2, "missing.yaml"),
        (["demo", "--sink", "mqtt://x"], 2, "mqtt"),
        (["demo", "--sink", "png:%04d"], 2, "png:%04d: %04 stands for a control character here; write %25"),
        (["demo", "--sink", "x.mp4?veiw=depth"], 2, "view"),
        (["demo", "--sink", "null:", "--output-size", "huge"], 2, "640x480"),
        (["demo", "--sink", "null:", "--device", "tpu"], 2, "tpu"),
        (["demo", "--sink", "null:", "--device", "cuda:63"], 2, "--device cpu"),
        (["demo", "--sink", "null:", "--model", "missing.pt"], 1, "missing.pt"),
        (["demo", "--sink", "null:", "--ring-slots", "1"], 2, "at least 2"),
        (["demo", "--sink", "null:", "--sink-queue", "0"], 2, "at least 1"),
        (["demo", "--sink", "no/such/folder/x.mp4"], 1, "no/such/folder"),
        (["missing.mp4"], 1, "missing.mp4"),
        (["rtsp://user:secret@127.0.0.1:1/stream?token=hush", "--retries", "0"], 1, "127.0.0.1"),
    ],
)
def test_a_mistake_gets_one_line_and_a_status(run, arguments: list[str], status: int, says: str) -> None:  # type: ignore[no-untyped-def]
    got, out, err = run(*arguments)
    assert got == status
    assert says.lower() in complaint(err).lower()
    assert "secret" not in out + err
    assert "hush" not in out + err


def test_several_sources_have_outputs_of_their_own(run, clip: Path, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    both = [f"left={clip}", f"right={clip}"]
    status, _, err = run(*both, "--sink", "depth.mp4")
    assert status == 2
    assert "{camera}" in complaint(err)
    sinks = [word for uri in ("{camera}.mp4", "null:", "foxglove://127.0.0.1:0") for word in ("--sink", uri)]
    status, out, err = run(*both, *sinks, "--output-size", "32x24")
    assert status == 0, err
    assert out.count("5 frames → foxglove://127.0.0.1:") == 2  # one server
    assert {path.name for path in tmp_path.glob("*t.mp4")} == {"left.mp4", "right.mp4"}
    assert run(*both, "--output-size", "32x24")[0] == 0
    assert {path.name for path in tmp_path.glob("*_depth.mp4")} == {"left_depth.mp4", "right_depth.mp4"}
    assert out.startswith("left: ")
    assert "\nright: " in out


def test_an_output_never_overwrites_the_input_or_another_output(run, clip: Path) -> None:  # type: ignore[no-untyped-def]
    before = clip.read_bytes()
    (clip.parent / "sub").mkdir()
    (clip.parent / "link.mp4").symlink_to(clip)
    (clip.parent / "twin.mp4").hardlink_to(clip)
    for source in (clip, clip.as_uri(), clip.as_uri().replace("file", "FILE"), clip.name, "sub/../clip.mp4"):
        for output in (clip.name, "link.mp4", "twin.mp4"):
            status, _, err = run(source, "--sink", output, "--overwrite")
            assert status == command_line.USAGE
            assert "is the input" in complaint(err)
            assert clip.read_bytes() == before
    for twin in ("x.mp4?view=side-by-side", "sub/../x.mp4"):
        status, _, err = run(clip, "--sink", "x.mp4", "--sink", twin, "--overwrite")
        assert status == command_line.USAGE
        assert "twice" in complaint(err)
    for one, other in [
        ("mm.mkv?codec=ffv1", "focal:mm.mkv.json"),
        ("x.mp4", "x.part.mp4"),
        ("focal:x.part.csv", "focal:x.csv"),
        ("mm.mkv?codec=ffv1", "focal:mm.part.mkv.json"),
    ]:
        status, _, err = run(clip, "--sink", one, "--sink", other, "--overwrite")
        assert status == command_line.USAGE
        assert " both write " in complaint(err)
    assert sorted(path.name for path in clip.parent.iterdir()) == ["clip.mp4", "link.mp4", "sub", "twin.mp4"]


def test_pictures_that_are_read_are_not_written_over(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "s").mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"s/depth_{i:06d}.png"), np.full((48, 64, 3), 90 + i, np.uint8))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    for source in ("s/*", "s/*.png", "s", "*/depth_*", "s/depth_000001.png"):
        status, _, err = run(source, "--overwrite", "--sink", "png:s")
        assert status == command_line.USAGE
        assert "s has pictures that are the input; write to another folder" in complaint(err)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_named_is_refused(run, clip: Path) -> None:  # type: ignore[no-untyped-def]
    (clip.parent / "file").write_text("someone's")
    for output, told in [
        ("png:.", f"{clip.parent} exists; choose another name"),
        ("png:/", "has no name of its own"),
        ("png:file", "cannot write file: it is a file; name a folder"),
        ("npz:none/there", "there is no folder"),
    ]:
        status, _, err = run(clip, "--sink", output)
        assert status in (command_line.USAGE, command_line.FAILED)
        assert told in complaint(err)


def test_encoders_do_not_print_their_settings(clip: Path) -> None:
    with Process(clip, "--sink", "a.mp4?codec=av1", "--sink", "b.mp4?codec=hevc", cwd=clip.parent) as started:
        assert started.end()[0] == 0
    assert [line for line in started.err if " INFO " not in line] == []


def test_what_is_shown_is_shown_once(run, clip: Path) -> None:  # type: ignore[no-untyped-def]
    status, _, err = run(clip, "--view", "--sink", "view://127.0.0.1:0")
    assert status == 0
    assert err.count("http://127.0.0.1:") == 1
    status, _, err = run(clip, "--sink", "view:", "--sink", "view:")
    assert status == command_line.USAGE
    assert "view: is given twice as an output; leave one out" in complaint(err)
    assert "http://" not in err


def test_the_name_of_a_video_needs_a_batch(run, clip: Path) -> None:  # type: ignore[no-untyped-def]
    status, _, err = run(clip, "--sink", "{stem}.mp4")
    assert status == command_line.USAGE
    assert "{stem}.mp4: {stem} is the name of a video of a batch; add --out FOLDER" in complaint(err)


def test_what_cannot_be_scaled_is_not_called_whole(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_video(tmp_path / "clip.mp4", 12)  # too short for a measurement
    asked = ("clip.mp4", "--out", "o", "--sink", "{stem}.mp4", "--fov", "60", "--scale-from", "2,2=1.5")
    for _ in range(2):
        status, out, err = run(*asked)
        assert status == command_line.SINK_FAILED
        assert "1 video: 1 failed\nFAILED clip.mp4: --scale-from" in out
        assert "o/clip.mp4 is not whole; what was done is in o/clip.part.mp4\n" in err
        assert "ERROR clip.mp4: --scale-from 2,2=1.5: the run ended" in err
        assert "12 frames → o/clip.part.mp4" in out
        assert not (tmp_path / "o/clip.mp4").exists()


def test_a_sink_that_fails_leaves_the_others_whole_and_the_same_command_does_the_rest(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", 12)
    asked = (clip, "--sink", "mm.mkv?codec=ffv1", "--sink", "png:p", "--sink", "focal:f.csv")
    with Process(*asked, cwd=tmp_path, most_bytes=25_000) as started:
        status, out = started.end()
    assert status == command_line.SINK_FAILED, started.err
    assert "12 frames → p" in out
    assert "lost - FAILED" in out
    assert "mm.mkv is not whole; what was done is in mm.part.mkv, and the same command goes on" in "".join(started.err)
    assert len(list((tmp_path / "p").glob("*.png"))) == 12
    assert (tmp_path / "f.csv").read_text().count("\n") == 13
    before = (tmp_path / "f.csv").stat()
    with Process(*asked, cwd=tmp_path) as started:
        status, out = started.end()
    assert status == 0, started.err
    assert "→ p" not in out
    assert len(decode(tmp_path / "mm.mkv")) == 12
    assert (tmp_path / "f.csv").stat() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "f.csv", "mm.mkv", "mm.mkv.json", "p"]


def test_pictures_of_several_sizes_become_several_lossless_videos(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for i, size in enumerate([(64, 48), (64, 48), (32, 24)]):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((*size[::-1], 3), 90, np.uint8))
    assert run(tmp_path / "*.png", "--sink", "mm.mkv?codec=ffv1")[0] == 0
    assert sorted(p.name for p in tmp_path.glob("mm*")) == ["mm-0002.mkv", "mm-0002.mkv.json", "mm.mkv", "mm.mkv.json"]
    assert (len(decode(tmp_path / "mm.mkv")), len(decode(tmp_path / "mm-0002.mkv"))) == (2, 1)


def test_a_truncated_file_gives_what_it_has_and_says_so(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    whole = write_video(tmp_path / "whole.mkv", 200, size=(320, 240))
    data = whole.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 8])
    status, out, err = run(tmp_path / "cut.mkv", "--sink", "view.mp4")
    assert status == command_line.FAILED
    assert "cut.mkv" in complaint(err)
    written = len(decode(tmp_path / "view.mp4"))
    assert written > 5
    assert f"{written} with depth" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_file(number: signal.Signals, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "long.mp4", 3000)
    with Process(clip, "--sink", "view.mp4", cwd=tmp_path) as started:
        started.wait_for(" on cpu")
        deadline = time.monotonic() + 60
        while not (tmp_path / "view.part.mp4").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        started.process.send_signal(number)
        status, out = started.end()
    assert status == 0, started.err
    assert not (tmp_path / "view.mp4").exists()
    written = len(decode(tmp_path / "view.part.mp4"))
    counted = re.search(r"(\d+) frames in, (\d+) with depth, (\d+) left without;", out)
    assert counted is not None
    produced, processed, left = map(int, counted.groups())
    assert written == processed < 3000
    assert processed + left == produced


@pytest.fixture
def stalling_camera() -> Iterator[str]:
    """An HTTP camera that sends a few pictures and then nothing, without hanging up."""
    ok, jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 100, np.uint8))
    assert ok
    part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg.tobytes() + b"\r\n"
    server = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()
    connections: list[socket.socket] = []

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connections.append(connection)
            connection.recv(4096)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
            connection.sendall(head + part * 10)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/camera"
    over.set()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
    for connection in connections:
        connection.close()


def test_a_second_interrupt_stops_at_once(stalling_camera: str, tmp_path: Path) -> None:
    with Process(stalling_camera, "--sink", "null:", "--stop-timeout-s", "60", cwd=tmp_path) as started:
        started.wait_for(" on cpu")
        time.sleep(1)  # nothing that can be seen from here marks that all pictures are read and the reader waits
        started.process.send_signal(signal.SIGINT)
        started.wait_for("once more to stop at once")
        assert started.process.poll() is None
        started.process.send_signal(signal.SIGINT)
        status, _ = started.end(timeout=10)
    assert status == command_line.INTERRUPTED, started.err
    assert "stopped at once" in "".join(started.err)


def test_an_interrupt_while_everything_loads_leaves_no_traceback(tmp_path: Path) -> None:
    with Process("demo", cwd=tmp_path) as started:
        time.sleep(1)  # in the middle of the imports, which nothing marks
        started.process.send_signal(signal.SIGINT)
        status, _ = started.end(timeout=30)
    assert status in (command_line.INTERRUPTED, command_line.DONE)
    assert "Traceback" not in "".join(started.err)


def test_nobody_reading_the_summary_does_not_undo_the_run(clip: Path, tmp_path: Path) -> None:
    with Process(clip, "--sink", "x.mp4", cwd=tmp_path) as started:
        assert started.process.stdout is not None
        started.process.stdout.close()
        assert started.process.wait(60) == 0
        started.process.stdout = None
    assert "Error" not in "".join(started.err)
    assert len(decode(tmp_path / "x.mp4")) == 5


def in_a_shell(line: str, cwd: Path) -> tuple[int, str]:
    """Run ``line``, where P is the command line; returns exit status and standard error."""
    program = f"set -o pipefail; P() {{ '{sys.executable}' '{ROOT / 'run_stream.py'}' \"$@\"; }}; {line}"
    done = subprocess.run(["bash", "-c", program], cwd=cwd, capture_output=True, text=True, timeout=90, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_streams_do_not_undo_the_run(clip: Path, tmp_path: Path, closed: str) -> None:
    status, err = in_a_shell(f"exec {closed}; P {clip.name} --sink x.mkv?codec=ffv1", tmp_path)
    assert status == 0, err
    assert "Traceback" not in err
    assert len(decode(tmp_path / "x.mkv")) == 5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("asked", ["--help", "--version", "--list-cameras"])
def test_what_cannot_be_printed_is_told_on_one_line(tmp_path: Path, asked: str) -> None:
    told = "run_stream.py: cannot write to standard output: No space left on device\n"
    assert in_a_shell(f"P {asked} > /dev/full", tmp_path) == (1, told)
    assert in_a_shell(f"P {asked} | true", tmp_path) == (1, "")


def test_the_demo_is_shown_again_and_again_until_it_is_stopped(tmp_path: Path) -> None:
    async def look(link: str) -> list[int]:
        indices: list[int] = []
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{link}live", max_msg_size=0) as ws:
            async for message in ws:
                if message.type is aiohttp.WSMsgType.BINARY:
                    header = json.loads(message.data[16 : 16 + int.from_bytes(message.data[4:8], "little")])
                    indices.append(header["index"])
                    await ws.send_str('{"type": "shown"}')
                if len(indices) == 3:
                    break
        return indices

    with Process("demo", "--view", "--model", "nano", cwd=tmp_path) as started:
        started.wait_for("open http://127.0.0.1:")
        link = re.search(r"http://\S+/", "".join(started.err))
        assert link is not None
        first, second, third = asyncio.run(look(link[0]))
        assert first < second < third
        started.process.send_signal(signal.SIGINT)
        status, out = started.end()
    assert status == 0, started.err
    assert "with depth" in out
    assert "against the truth" not in out
    assert list(tmp_path.iterdir()) == []  # no video


def test_help_is_short_and_has_examples(run) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = run("--help")
    assert status == 0
    assert "python run_stream.py demo" in out
    assert len(out.splitlines()) < 200


@pytest.mark.parametrize(("count", "steady"), [(1, "off"), (2, "scale"), (None, "scale")])
def test_a_single_picture_is_not_steadied(count: int | None, steady: str) -> None:
    info = SourceInfo(name="some", live=False, frame_count=count)
    assert run_stream.estimator_config_for(info, EstimatorConfig()).steady == steady


@pytest.mark.parametrize(
    ("live", "asked", "frames"), [(False, None, 15), (True, None, 0), (False, 4, 4), (False, 0, 0), (True, 0, 0)]
)
def test_frames_of_files_alone_wait_for_later_ones(live: bool, asked: int | None, frames: int) -> None:
    info = SourceInfo(name="some", live=live, frame_count=None)
    assert run_stream.estimator_config_for(info, EstimatorConfig(steady_hindsight=asked)).steady_hindsight == frames


def test_no_frame_waits_where_a_distance_may_be_measured() -> None:
    info = SourceInfo(name="some", live=False, frame_count=None)
    assert run_stream.estimator_config_for(info, EstimatorConfig(), measures=True).steady_hindsight == 0


def test_frames_of_a_camera_are_not_to_wait() -> None:
    with pytest.raises(ConfigError, match="`steady_hindsight` waits for later frames"):
        run_stream.estimator_config_for(SourceInfo(name="cam", live=True), EstimatorConfig(steady_hindsight=3))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
def test_a_name_that_a_terminal_would_obey_is_spelled_out(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    name = "red \x1b[31m\nline"
    write_video(tmp_path / f"{name}.mp4", 3)
    status, out, err = run(f"{name}.mp4", "--sink", f"{name}.mkv?codec=ffv1")
    assert status == 0, err
    assert (tmp_path / f"{name}.mkv").exists()
    assert "3 frames → red \\x1b[31m\\nline.mkv" in out
    assert "\x1b" not in out + err
    (tmp_path / f"{name}.mp4").write_bytes(b"no video")
    status, out, err = run(f"{name}.mp4", tmp_path / "none.mp4", "--out", "out")
    assert status == 3
    assert "FAILED red \\x1b[31m\\nline.mp4: " in out
    assert "\x1b" not in out + err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take text alone for a name")
def test_a_name_that_is_no_text_is_a_name(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Names on Linux are bytes: a file that another machine has named may be no UTF-8."""
    film, out_film, folder = (os.fsdecode(name) for name in (b"b\xff\xfe.mp4", b"o\xff.mkv", b"f\xff"))
    (tmp_path / folder).mkdir()
    write_video(tmp_path / "film.mp4", 3).rename(tmp_path / folder / film)
    sinks = (f"{out_film}?codec=ffv1", "focal:f.csv", "view://127.0.0.1:0")
    status, out, err = run(f"{folder}/{film}", *(a for sink in sinks for a in ("--sink", sink)))
    assert status == 0, err
    assert (tmp_path / out_film).exists()
    assert "3 frames → o\\udcff.mkv" in out
    status, out, err = run(folder, "--out", "out")
    assert status == 0, err
    assert [os.fsencode(p.name) for p in (tmp_path / "out").glob("*.mp4")] == [b"b\xff\xfe_depth.mp4"]


def test_decoded_pictures_stay_on_the_networks_device_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for decode, device, expected in (
        ("cuda", "auto", 0),
        ("cuda", "cuda:1", 1),
        ("cuda", "cpu", None),
        ("auto", "cuda", None),
        ("cpu", "cuda", None),
    ):
        reading = run_stream.staying(SourceConfig(decode=decode), EngineConfig(device=device))
        assert (reading.decode, reading.stay_on) == (decode, expected)
