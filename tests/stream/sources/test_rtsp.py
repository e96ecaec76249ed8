"""Network cameras: a real RTSP server, with all that one can do to us."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
import zmq

from sinks import MemorySink
from sinks.zeromq.depth_subscriber import DepthSubscriber
from stream.errors import SourceError
from stream.frame import Frame, Geometry
from stream.pipeline import Pipeline, Stream
from stream.sources import SourceConfig, open_source
from tests.support.dated import made_at
from tests.support.doubles import ScriptedEstimator
from tests.support.process import Process
from tests.support.rtsp import Camera

IMPATIENT = SourceConfig(open_timeout_s=3, read_timeout_s=1.5, retries=0)


def test_a_camera_gives_the_newest_frames_with_their_times_of_reception(start_camera: Callable[..., Camera]) -> None:
    _, address = start_camera()
    source = open_source(address, config=SourceConfig(capture_clock="host"))
    assert source.info.live
    sink = MemorySink()
    estimator = ScriptedEstimator(uniform=False, on_collect=lambda _i: time.sleep(0.1))
    pipeline = Pipeline(Stream(source=source, estimator=estimator, sinks=[sink]))
    pipeline.start()
    deadline = time.monotonic() + 30
    while pipeline.status()[0].processed < 15:
        assert not pipeline.wait(0.05)
        assert time.monotonic() < deadline
    pipeline.stop()
    while not pipeline.wait(0.1):
        assert time.monotonic() < deadline
    (status,) = pipeline.result()
    indices = [f.capture.index for f in sink.frames]
    assert indices == sorted(set(indices))
    assert status.dropped > 0
    assert status.processed + status.dropped == status.produced
    times = np.array([f.capture.time_ns for f in sink.frames]) / 1e9
    assert {f.capture.clock for f in sink.frames} == {"host-monotonic"}
    assert {f.capture.uncertainty_ns for f in sink.frames} == {None}
    assert all(f.capture.time_ns == f.capture.received_ns - f.capture.late_ns for f in sink.frames)
    assert all(0 <= f.capture.late_ns < 1e9 for f in sink.frames)
    # 25 pictures a second, however many of them were dropped in between
    assert np.polyfit(indices, times, 1)[0] == pytest.approx(0.04, rel=0.25)
    assert status.latency_p50_s is not None
    assert status.latency_p50_s < 0.5


def read_camera_times(address: str, count: int, transport: Literal["tcp", "udp"] = "tcp") -> list[Frame]:
    """Frames without their pictures until ``count`` of them have the camera's time."""
    source = open_source(address, config=replace(IMPATIENT, rtsp_transport=transport))
    frames: list[Frame] = []
    for frame in source:
        frames.append(replace(frame, geometry=Geometry("gray", 1, 1), planes=(np.zeros((1, 1, 1), np.uint8),)))
        if sum(f.capture.clock == "camera-rtcp" for f in frames) == count:
            break
        assert len(frames) < 1000, "no sender report in 40 s"
    source.close()
    return frames


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_capture_times_are_the_cameras_from_its_first_report_on(
    start_camera: Callable[..., Camera], transport: Literal["tcp", "udp"]
) -> None:
    _, address = start_camera()
    frames = read_camera_times(address, 25, transport)
    to_wall_ns = time.time_ns() - time.monotonic_ns()
    switched = next(i for i, f in enumerate(frames) if f.capture.clock == "camera-rtcp")
    assert switched > 0
    assert all(f.capture.clock == "host-monotonic" and f.capture.uncertainty_ns is None for f in frames[:switched])
    assert {f.capture.clock for f in frames[switched:]} == {"camera-rtcp"}
    times = np.array([f.capture.time_ns for f in frames[switched:]])
    # Camera and computer are one machine with one clock.
    latencies = np.array([f.capture.received_ns for f in frames[switched:]]) + to_wall_ns - times
    assert -1e6 < latencies.min() < 1e9
    assert (np.diff(times) > 0).all()
    assert np.polyfit([f.capture.index for f in frames[switched:]], times, 1)[0] == pytest.approx(40e6, rel=0.25)
    assert all(0 < (f.capture.uncertainty_ns or 0) < 1_000_000 for f in frames[switched:])


def test_capture_times_of_h264_belong_to_their_own_frames(start_camera: Callable[..., Camera], tmp_path: Path) -> None:
    """Uneven frames that the decoder reorders: a time that went to a neighbour would be 20 ms off or more."""
    with av.open(tmp_path / "uneven.mp4", "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"bf": "2", "g": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for n in range(500):
            picture = av.VideoFrame.from_ndarray(np.full((96, 64), n % 200 + 20, np.uint8), format="yuv420p")
            picture.pts, picture.time_base = 40 * n + 20 * (n % 2), Fraction(1, 1000)
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    _, address = start_camera("--play", str(tmp_path / "uneven.mp4"))
    frames = [f for f in read_camera_times(address, 50) if f.capture.clock == "camera-rtcp"]
    taken = np.array([f.capture.time_ns for f in frames])
    shown = np.array([float((f.capture.pts or 0) * f.capture.time_base) for f in frames]) * 1e9
    assert {20e6, 60e6} <= set(np.diff(shown).round(-6))
    assert np.ptp(taken - shown) < 10e6


def test_credentials_open_the_camera_and_appear_nowhere(start_camera: Callable[..., Camera]) -> None:
    _, address = start_camera("robot", "s3cret")
    right = open_source(address.replace("//", "//robot:s3cret@"), config=IMPATIENT)
    assert next(iter(right)).width == 320
    assert "s3cret" not in right.info.name
    right.close()
    with pytest.raises(SourceError, match=r"user name and password") as caught:
        next(iter(open_source(address.replace("//", "//robot:wr0ng@"), config=IMPATIENT)))
    assert "wr0ng" not in str(caught.value)


SECRET = "p@ss/w#rd:?%&"


@pytest.mark.parametrize("digest", [[], ["--digest"]])
def test_a_password_of_any_characters_opens_the_camera(
    start_camera: Callable[..., Camera], digest: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, address = start_camera(*digest, "robot", SECRET)
    path = tmp_path / "auth"
    path.write_text(f"robot\n{SECRET}\n")
    path.chmod(0o600)
    by_file = open_source(address, config=replace(IMPATIENT, auth_file=path))
    assert next(iter(by_file)).width == 320
    assert by_file.info.name == address
    by_file.close()
    written = open_source(address.replace("//", "//robot:p%40ss%2Fw%23rd%3A%3F%25%26@"), config=IMPATIENT)
    assert next(iter(written)).width == 320
    written.close()
    with pytest.raises(SourceError, match="where the password ends"):
        open_source(address.replace("//", f"//robot:{SECRET}@"), config=IMPATIENT)
    monkeypatch.setenv("DEPTH_PRO_USER", "robot")
    monkeypatch.setenv("DEPTH_PRO_PASSWORD", SECRET)
    by_environment = open_source(address, config=IMPATIENT)
    assert next(iter(by_environment)).width == 320
    by_environment.close()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the list of processes of Linux")
@pytest.mark.parametrize("place", ["file", "environment"])
def test_no_list_of_processes_shows_the_password(
    start_camera: Callable[..., Camera], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, address = start_camera("robot", SECRET)
    options = ["--verbose", "--sink", "view.mp4", "--output-size", "80x60"]
    if place == "file":
        (tmp_path / "auth").write_text(f"robot:{SECRET}")
        (tmp_path / "auth").chmod(0o600)
        options += ["--auth-file", "auth"]
    else:
        monkeypatch.setenv("DEPTH_PRO_USER", "robot")
        monkeypatch.setenv("DEPTH_PRO_PASSWORD", SECRET)
    with Process(address, *options, cwd=tmp_path) as started:
        started.wait_for(" on cpu")
        deadline = time.monotonic() + 60
        while not (tmp_path / "view.mp4").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        threads = Path(f"/proc/{started.process.pid}/task").glob("*/comm")
        seen = Path(f"/proc/{started.process.pid}/cmdline").read_text() + "".join(t.read_text() for t in threads)
        started.process.send_signal(signal.SIGTERM)
        status, out = started.end()
    assert status == 0, started.err
    assert address in seen
    shown = seen + out + "".join(started.err)
    for secret in (SECRET, "p%40ss", "w#rd", "w%23rd"):
        assert secret not in shown


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_camera_that_dies_ends_the_run_in_time(start_camera: Callable[..., Camera], number: signal.Signals) -> None:
    server, address = start_camera()
    sink = MemorySink()
    source = open_source(address, config=IMPATIENT)
    pipeline = Pipeline(Stream(source=source, estimator=ScriptedEstimator(uniform=False), sinks=[sink]))
    pipeline.start()
    deadline = time.monotonic() + 30
    while pipeline.status()[0].processed < 5:
        assert not pipeline.wait(0.02)
        assert time.monotonic() < deadline
    server.send_signal(number)
    deadline = time.monotonic() + 10
    while not pipeline.wait(0.1):
        assert time.monotonic() < deadline, "the run hangs on a dead camera"
    with pytest.raises(SourceError, match=r"127\.0\.0\.1"):
        pipeline.result()
    assert len(sink.frames) == pipeline.status()[0].processed
    assert sink.closed


def test_the_command_line_publishes_a_camera(start_camera: Callable[..., Camera], tmp_path: Path) -> None:
    _, address = start_camera()
    endpoint = f"ipc://{tmp_path}/depth"
    with (
        Process(address, "--sink", f"zmq+{endpoint}", "--output-size", "80x60", "--fov", "60", cwd=tmp_path) as started,
        zmq.Context() as context,
        context.socket(zmq.SUB) as subscriber,
    ):
        subscriber.setsockopt(zmq.LINGER, 0)
        subscriber.setsockopt(zmq.RCVTIMEO, 60_000)
        subscriber.setsockopt(zmq.SUBSCRIBE, b"depth/camera/")
        subscriber.connect(endpoint)
        headers = []
        for _ in range(3):
            topic, header, data = subscriber.recv_multipart()
            headers.append(json.loads(header))
            assert topic == b"depth/camera/"
            depth = np.frombuffer(data, "<f4").reshape(headers[-1]["height"], headers[-1]["width"])
            assert depth.shape == (60, 80)
            assert (depth > 0).all()
        started.process.send_signal(signal.SIGTERM)
        status, out = started.end()
    assert status == 0, started.err
    assert "latency p50" in out
    assert [h["index"] for h in headers] == sorted({h["index"] for h in headers})
    assert headers[0]["K"][0] == pytest.approx(40 / np.tan(np.radians(30)))
    assert headers[0]["model"] == "nano"


def test_a_camera_whose_clock_is_an_hour_wrong_is_told_once_and_ages_are_right(
    start_camera: Callable[..., Camera], tmp_path: Path
) -> None:
    server, address = start_camera("--dated", "--clock-ahead", "3600")
    endpoint = f"ipc://{tmp_path}/depth"
    options = ("--output-size", "80x60", "--fov", "60", "--retry-max-s", "0.5")
    with (
        Process(address, "--sink", f"zmq+{endpoint}?image=raw", *options, cwd=tmp_path) as started,
        DepthSubscriber(endpoint, timeout=60) as depths,
    ):

        def look_at(pictures: int, reconnects: int) -> None:
            """Look at frames until so many pictures have come since the connection: reports come within 2 s."""
            first, index, deadline = None, 0, time.monotonic() + 60
            while first is None or index < first + pictures:
                assert time.monotonic() < deadline, depths.status
                frame = depths.latest()
                index = frame.header["index"]
                assert isinstance(frame.image, np.ndarray)
                assert frame.header["clock"] == "host-monotonic"
                taken_s = time.time() - time.monotonic() + frame.header["capture_time_ns"] * 1e-9
                assert taken_s - made_at(frame.image) == pytest.approx(0, abs=1)  # what the picture itself shows
                assert 0 < frame.age() < 5
                source = (depths.status or {}).get("source") or {}
                if first is None and source.get("reconnects") == reconnects:
                    first = index
            assert source["clock_offset_s"] == pytest.approx(3600, abs=1)

        look_at(100, reconnects=0)
        server.kill()
        start_camera("--dated", "--clock-ahead", "3600", "--port", address.split(":")[-1].split("/")[0])
        look_at(100, reconnects=1)
        started.process.send_signal(signal.SIGTERM)
        status, _ = started.end()
    assert status == 0, started.err
    said = [line for line in started.err if "clock" in line]
    assert len(said) == 1, said
    assert re.search(r"clock is 3(600\.\d|599\.\d) s ahead of this machine's", said[0])
