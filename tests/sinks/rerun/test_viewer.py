"""A viewer of Rerun that runs, or is started: a real one without a window, which writes down what it was sent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from sinks import open_sink
from sinks.rerun import viewer
from sinks.rerun.options import ViewerOptions
from sinks.rerun.sink import RerunSink
from stream.errors import ConfigError, SinkError
from stream.frame import SourceState
from tests.sinks.rerun.frames import read, scene
from tests.support.doubles import recaptured

pytestmark = pytest.mark.skipif(os.name == "nt", reason="stops it by a signal")


@dataclass
class Receiver:
    """Rerun itself, without a window."""

    port: int
    path: Path
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End it, so that its file is whole."""
        child = psutil.Process(self.process.pid).children()  # -m rerun_cli starts the program
        for process in child or [self.process]:
            process.send_signal(signal.SIGINT)
        self.process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def receiver(folder: Path) -> Iterator[Receiver]:
    port, path = free_port(), folder / "received.rrd"
    command = [sys.executable, "-m", "rerun_cli", "--bind", "127.0.0.1", "--port", str(port), "--save", str(path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "RERUN_APP_ONLY": "true"}) as process:
        try:
            end = time.monotonic() + 20
            while time.monotonic() < end:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.02)
            yield Receiver(port, path, process)
        finally:
            for child in psutil.Process(process.pid).children() if process.poll() is None else ():
                child.kill()


def wait_for(path: Path, size: int) -> None:
    end = time.monotonic() + 20
    while path.stat().st_size < size:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_viewer_gets_two_cameras_in_one_recording(tmp_path: Path) -> None:
    frames = [scene(i, width=160, height=120) for i in range(4)]
    with receiver(tmp_path) as running:
        sinks = [
            open_sink(f"rerun://127.0.0.1:{running.port}?camera={name}&rate={rate}")
            for name, rate in (("front", 30), ("rear", 10))
        ]
        for sink in sinks:
            assert isinstance(sink, RerunSink)
            assert sink.name == f"rerun://127.0.0.1:{running.port}"
            for index, frame in enumerate(frames):
                sink.write(recaptured(frame, clock="host-monotonic", time_ns=10**12 + index * 50_000_000))
            sink.observe(SourceState(camera="x", state="stalled", reason="no picture", since_ns=time.monotonic_ns()))
            sink.close()
        wait_for(running.path, 6 * 4 * 160 * 120)
        running.stop()
    entities = read(running.path)
    for name, expected in (("front", [0, 1, 2, 3]), ("rear", [0, 2])):
        depth = entities[f"/{name}/depth"]
        assert depth.times["frame"] == expected
        assert [bytes(b) for b in depth.values["buffer"]] == [frames[i].depth.tobytes() for i in expected]
        assert entities[f"/{name}/status"].values["text"] == ["stalled: no picture"]
    assert len(entities["/__properties"].values["start_time"]) >= 1


def test_a_viewer_that_is_closed_is_one_error(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        sink = open_sink(f"rerun://localhost:{running.port}")
        sink.write(scene(0))
        running.stop()

        def run() -> None:
            for index in range(1, 1000):
                sink.write(recaptured(scene(index), time_ns=index * 10**9))

        with pytest.raises(SinkError, match=r"rerun://localhost:\d+: the viewer is gone, or takes nothing any longer"):
            run()
        sink.close()


def test_a_viewer_that_hangs_is_one_error_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.rerun.sink._PATIENCE_S", 0.5)
    with receiver(tmp_path) as running:
        sink = open_sink(f"rerun://127.0.0.1:{running.port}?image=none&rate=1000")
        sink.write(scene(0))
        (child,) = psutil.Process(running.process.pid).children()
        child.suspend()

        def run() -> None:
            for index in range(1, 1000):
                sink.write(recaptured(scene(index, width=640, height=480), time_ns=index * 10**9))

        with pytest.raises(SinkError, match="takes nothing any longer"):
            run()
        began = time.monotonic()
        child.resume()
        sink.close()
        assert time.monotonic() - began < 5


def test_nobody_listens() -> None:
    port = free_port()
    with pytest.raises(SinkError) as error:
        open_sink(f"rerun://127.0.0.1:{port}")
    assert f"no viewer of Rerun answers at 127.0.0.1:{port} (Connection refused)" in str(error.value)
    assert "let it be started with --sink rerun:" in str(error.value)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("rerun://192.0.2.7", "192.0.2.7 is another machine, and Rerun does not encrypt; say insecure=1"),
        ("rerun://127.0.0.1:9876?memory=2GB", "memory= is of a viewer that is started here"),
        ("rerun:walk", "rerun:walk is no address; write rerun:, rerun://127.0.0.1:9876 or rerun:walk.rrd"),
        ("rerun://a:b:c", "rerun://a:b:c is no address"),
        ("rerun:?memory=lots", "memory must be like 2GB, 500MiB or 25%, not 'lots'"),
        ("rerun:?rate=-1", "rate must be more than 0"),
    ],
)
def test_wrong_addresses_and_options_are_refused(uri: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_sink(uri)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(sys.platform != "linux", reason="others always have a screen")
def test_without_a_screen_no_viewer_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ConfigError, match=r"needs a screen .* rerun://host:port, or write walk\.rrd"):
        open_sink("rerun:")


def test_a_viewer_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(viewer, "COMMAND", [*viewer.COMMAND, "--no-such-option"])
    with pytest.raises(SinkError, match=r"the viewer of Rerun did not start: .*--no-such-option"):
        open_sink("rerun:")


def test_a_viewer_is_started_once_for_all_cameras_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(viewer, "COMMAND", [*viewer.COMMAND, "--serve-grpc"])  # all of it but the window
    sinks = [RerunSink("", ViewerOptions(camera=name, memory="300MB")) for name in ("front", "rear")]
    (started,) = [one for one in viewer._started if one.runs]
    try:
        assert {sink.name for sink in sinks} == {f"rerun://{started.address}"}
        (child,) = psutil.Process(started.pid).children()
        line = " ".join(child.cmdline())
        assert "--bind 127.0.0.1" in line
        assert "--memory-limit 300MB" in line
        for sink in sinks:
            sink.write(scene(0))
            sink.close()
        assert started.runs
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        started._process.wait(60)
        child.wait(60)
    with pytest.raises(SinkError, match="no viewer"):
        open_sink(sinks[0].name)
