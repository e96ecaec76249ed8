"""Cameras that are lost and come back, cameras that are late, and what nobody waits for."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from stream.errors import SourceError
from stream.frame import DepthFrame, SourceState
from stream.pipeline import Pipeline, Stream
from stream.ports import Lease
from stream.sources import SourceConfig, open_source
from tests.support.dated import made_at
from tests.support.doubles import ScriptedEstimator
from tests.support.rtsp import Camera

pytestmark = pytest.mark.alone

SOON = 30.0
QUICK = SourceConfig(open_timeout_s=3, read_timeout_s=2, retry_max_s=0.5)


class Watching:
    """A sink that notes what a person in front of the camera would see: how old each frame really is."""

    name = "watching"
    needs_image = False

    def __init__(self) -> None:
        self.frames: list[DepthFrame] = []
        self.ages_s: list[float] = []
        self.states: list[SourceState] = []
        self.changed = threading.Condition()

    def write(self, frame: DepthFrame) -> None:
        with self.changed:
            self.frames.append(frame)
            if frame.capture.clock == "camera-rtcp":  # of this machine: server and reader are one
                self.ages_s.append((time.time_ns() - frame.capture.time_ns) * 1e-9)
            self.changed.notify_all()

    def observe(self, state: SourceState) -> None:
        with self.changed:
            self.states.append(state)
            self.changed.notify_all()

    def close(self) -> None: ...

    def wait_for(self, condition: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, SOON), [(s.state, s.reason) for s in self.states]

    def wait_for_frames(self, count: int, *, dated: bool = False) -> None:
        """Wait for so many frames more, ``dated`` by the camera."""
        seen = self.ages_s if dated else self.frames
        goal = len(seen) + count
        self.wait_for(lambda: len(seen) >= goal)

    @property
    def history(self) -> list[str]:
        """States in order, each once; whether the end is told to a sink depends on which of them ends first."""
        told = [state.state for state in self.states if state.state != "ended"]
        return [state for i, state in enumerate(told) if i == 0 or told[i - 1] != state]


class Looking(ScriptedEstimator):
    """Reads from each picture when it was made, and notes how old it was."""

    def __init__(self) -> None:
        super().__init__(uniform=False)
        self.made: list[float] = []
        self.ages_s: list[float] = []

    def submit(self, lease: Lease, *, with_image: bool) -> None:
        self.made.append(made_at(lease.frame.planes[0][..., 0]))
        self.ages_s.append(time.time() - self.made[-1])
        super().submit(lease, with_image=with_image)


@contextmanager
def running(address: str, config: SourceConfig = QUICK) -> Iterator[tuple[Pipeline, Watching]]:
    sink = Watching()
    source = open_source(address, config=config)
    looking = Looking()
    pipeline = Pipeline(Stream(source=source, estimator=looking, sinks=[sink], name="front"))
    pipeline.start()
    try:
        yield pipeline, sink
    finally:
        pipeline.stop()
        deadline = time.monotonic() + SOON
        while not pipeline.wait(0.1):
            assert time.monotonic() < deadline, "the run hangs"
    # What the pictures themselves show: each once, in order, none that had waited for long.
    assert looking.made == sorted(set(looking.made))
    assert max(looking.ages_s, default=0) < config.max_age_s + 0.5, max(looking.ages_s)


def check(sink: Watching) -> None:
    """What holds whatever happened."""
    indices = [f.capture.index for f in sink.frames]
    assert indices == sorted(set(indices))
    taken = [f.capture.time_ns for f in sink.frames if f.capture.clock == "camera-rtcp"]
    assert taken == sorted(set(taken))
    assert all(age < 1.5 for age in sink.ages_s), max(sink.ages_s)
    assert {s.camera for s in sink.states} == {"front"}


def test_a_server_that_is_started_again_is_found_again(start_camera: Callable[..., Camera]) -> None:
    server, address = start_camera("--dated")
    port = address.split(":")[-1].split("/")[0]
    with running(address) as (pipeline, sink):
        sink.wait_for_frames(5)
        server.kill()
        sink.wait_for(lambda: sink.states[-1].state == "reconnecting" and sink.states[-1].attempt >= 2)
        assert "refused" in sink.states[-1].reason
        start_camera("--dated", "--port", port)
        sink.wait_for(lambda: sink.states[-1].state == "streaming")
        sink.wait_for_frames(10)
        (status,) = pipeline.status()
        assert (status.source_state, status.reconnects) == ("streaming", 1)
    pipeline.result()
    assert sink.history == ["connecting", "streaming", "reconnecting", "streaming"]
    check(sink)


def test_a_server_that_is_not_there_yet_is_waited_for(start_camera: Callable[..., Camera]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = place.getsockname()[1]
    with running(f"rtsp://127.0.0.1:{port}/camera") as (_, sink):
        sink.wait_for(lambda: sink.states and sink.states[-1].attempt >= 2)
        start_camera("--dated", "--port", str(port))
        sink.wait_for_frames(5)
    assert sink.history == ["connecting", "streaming"]
    check(sink)


def test_a_frozen_server_is_left_in_time_and_found_again(start_camera: Callable[..., Camera]) -> None:
    server, address = start_camera("--dated")
    with running(address) as (_, sink):
        sink.wait_for_frames(5, dated=True)
        server.send_signal(signal.SIGSTOP)
        frozen = time.monotonic()
        sink.wait_for(lambda: sink.states[-1].state == "reconnecting")
        assert time.monotonic() - frozen == pytest.approx(QUICK.read_timeout_s, abs=0.5)
        assert "no data in time" in sink.states[-1].reason
        time.sleep(1.5)
        server.send_signal(signal.SIGCONT)
        sink.wait_for(lambda: sink.states[-1].state == "streaming")
        sink.wait_for_frames(5, dated=True)
    check(sink)


def test_what_a_frozen_server_sends_afterwards_is_too_old(start_camera: Callable[..., Camera]) -> None:
    server, address = start_camera("--dated")
    with running(address, replace(QUICK, read_timeout_s=20)) as (_, sink):
        sink.wait_for_frames(5, dated=True)
        server.send_signal(signal.SIGSTOP)
        sink.wait_for(lambda: sink.states[-1].state == "stalled")
        time.sleep(2)
        server.send_signal(signal.SIGCONT)
        sink.wait_for(lambda: sink.states[-1].state == "streaming")
        sink.wait_for_frames(20, dated=True)
    assert sink.history == ["connecting", "streaming", "stalled", "streaming"]
    check(sink)


@pytest.mark.parametrize(("path", "says"), [("nothing", "404")])
def test_what_waiting_does_not_cure_ends_the_run(start_camera: Callable[..., Camera], path: str, says: str) -> None:
    _, address = start_camera("--dated")
    with running(address.replace("camera", path)) as (pipeline, sink):
        sink.wait_for(lambda: sink.states and sink.states[-1].state == "failed")
        assert says in sink.states[-1].reason
    with pytest.raises(SourceError, match=says):
        pipeline.result()


def test_enough_retries_are_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = place.getsockname()[1]
    source = open_source(f"rtsp://127.0.0.1:{port}/camera", config=replace(QUICK, retries=2))
    with pytest.raises(SourceError, match=r"refused.*given up after 2 retries"):
        next(iter(source))


def test_a_camera_that_is_waited_for_can_be_stopped_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = place.getsockname()[1]
    config = SourceConfig(retry_max_s=60)
    with running(f"rtsp://127.0.0.1:{port}/camera", config) as (pipeline, sink):
        sink.wait_for(lambda: sink.states and sink.states[-1].attempt >= 3)
        before = time.monotonic()
        pipeline.stop()
        while not pipeline.wait(0.05):
            assert time.monotonic() - before < 3
    pipeline.result()


def test_one_camera_that_is_lost_leaves_the_other_alone(start_camera: Callable[..., Camera]) -> None:
    server, front = start_camera("--dated")
    _, rear = start_camera("--dated")
    sinks = [Watching(), Watching()]
    pipeline = Pipeline(
        *(
            Stream(
                source=open_source(address, config=replace(QUICK, retries=0)),
                estimator=ScriptedEstimator(uniform=False),
                sinks=[sink],
                name=name,
            )
            for name, address, sink in (("front", front, sinks[0]), ("rear", rear, sinks[1]))
        )
    )
    pipeline.start()
    for sink in sinks:
        sink.wait_for_frames(5)
    server.kill()
    sinks[0].wait_for(lambda: sinks[0].states[-1].state == "failed")
    sinks[1].wait_for_frames(25)
    (lost, well) = pipeline.status()
    assert (lost.camera, well.camera) == ("front", "rear")
    assert isinstance(lost.error, SourceError)
    assert well.error is None
    pipeline.stop()
    deadline = time.monotonic() + SOON
    while not pipeline.wait(0.1):
        assert time.monotonic() < deadline
    with pytest.raises(SourceError):
        pipeline.result()
    indices = [f.capture.index for f in sinks[1].frames]
    assert indices == sorted(set(indices))
