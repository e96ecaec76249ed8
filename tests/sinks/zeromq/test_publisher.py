"""The publisher, with real subscribers in processes of their own."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import logging
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import zmq

from sinks import open_sink
from sinks.zeromq.depth_subscriber import DepthSubscriber, DepthTimeout
from sinks.zeromq.sink import ZmqOptions, ZmqSink
from stream.errors import ConfigError, SinkError
from stream.frame import DepthFrame, SourceState
from stream.ports import SourceInfo
from tests.support.doubles import make_depth_frame

_SUBSCRIBER = """
import hashlib, sys, zmq
endpoint, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with zmq.Context() as context, context.socket(zmq.SUB) as sub:
    sub.linger = 0
    sub.connect(endpoint)
    sub.subscribe(topic)
    sub.rcvtimeo = 10_000
    for _ in range(count):
        topic, header, depth = sub.recv_multipart()
        if b'"index":0,' in header:
            print("ready", flush=True)
            continue
        print(topic.decode(), header.decode(), hashlib.sha256(depth).hexdigest(), sep="\\n", flush=True)
"""

_SLEEPER = """
import sys, time, zmq
with zmq.Context() as context, context.socket(zmq.SUB) as sub:
    sub.linger = 0
    sub.rcvhwm = 1
    sub.rcvbuf = 65536
    sub.connect(sys.argv[1])
    sub.subscribe("depth")
    sub.recv_multipart()
    print("ready", flush=True)
    time.sleep(60)
"""


@contextmanager
def process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def publish_until_ready(sink: ZmqSink, child: subprocess.Popen[str]) -> None:
    """Repeat frame 0 until the subscriber says that it got one: subscribing takes time nobody can know."""
    assert child.stdout is not None
    ready = threading.Thread(target=child.stdout.readline)
    ready.start()
    deadline = time.monotonic() + 20
    while ready.is_alive():
        assert time.monotonic() < deadline, "no subscriber"
        sink.write(make_depth_frame(0))
        ready.join(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def awkward_frame(index: int) -> DepthFrame:
    """Too large for the kernel's buffers, so that some of it is unsent at close; not contiguous, with both codes."""
    depth = np.random.default_rng(index).uniform(0.1, 90, (1500, 4000)).astype(np.float32)[:, ::2]
    depth[0, :2] = math.nan, math.inf
    return replace(make_depth_frame(index, width=2000, height=1500), depth=depth)


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_a_subscriber_receives_every_bit(tmp_path: Path, transport: str) -> None:
    uri = "zmq+tcp://127.0.0.1:*" if transport == "tcp" else f"zmq+ipc://{tmp_path}/depth.sock"
    sink = open_sink(f"{uri}?camera=front")
    assert isinstance(sink, ZmqSink)
    with process(_SUBSCRIBER, sink.endpoint, "depth/front/", 10_000) as child:
        publish_until_ready(sink, child)
        frames = [awkward_frame(index) for index in (1, 2)]
        writer = threading.Thread(target=lambda: [sink.write(f) for f in frames])
        writer.start()
        writer.join()
        sink.close()  # what was written last still goes out
        assert child.stdout is not None
        received: list[tuple[dict[str, object], str]] = []
        while len(received) < 2:
            line = child.stdout.readline().strip()
            if line != "ready":
                assert line == "depth/front/"
                header = json.loads(child.stdout.readline(), parse_constant=pytest.fail)
                received.append((header, child.stdout.readline().strip()))
    for (header, digest), frame in zip(received, frames, strict=True):
        assert digest == hashlib.sha256(frame.depth.astype("<f4").tobytes()).hexdigest()
        assert header["schema"] == "depth-pro-stream/2"
        assert (header["encoding"], header["byte_order"], header["depth_unit"]) == ("32FC1", "little", 1.0)
        assert (header["width"], header["height"], header["index"]) == (2000, 1500, frame.capture.index)
        assert header["K"] == frame.camera.matrix.ravel().tolist()
    first, second = (header["sequence"] for header, _ in received)
    assert isinstance(first, int)
    assert second == first + 1


def test_a_stuck_subscriber_costs_neither_time_nor_memory() -> None:
    sink = ZmqSink("tcp://127.0.0.1:*", ZmqOptions(hwm=2))
    memory = psutil.Process()
    megabyte = make_depth_frame(1, width=640, height=480)
    with process(_SLEEPER, sink.endpoint) as child:
        publish_until_ready(sink, child)
        for _ in range(50):
            sink.write(replace(megabyte, depth=megabyte.depth.copy()))
        gc.collect()
        before, slowest = memory.memory_info().rss, 0.0
        for _ in range(150):
            fresh = replace(megabyte, depth=megabyte.depth.copy())
            started = time.perf_counter()
            sink.write(fresh)
            slowest = max(slowest, time.perf_counter() - started)
        growth = memory.memory_info().rss - before
        started = time.perf_counter()
        sink.close()
        closing = time.perf_counter() - started
    assert slowest < 0.5
    assert growth < 20e6  # 150 frames would be 184 MB
    assert closing < 2.5


def test_close_without_subscribers_is_immediate() -> None:
    sink = ZmqSink("tcp://127.0.0.1:*")
    sink.write(make_depth_frame())
    started = time.perf_counter()
    sink.close()
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("zmq+tcp://127.0.0.1", "write zmq\\+tcp://127.0.0.1:5555"),
        ("zmq+tcp://127.0.0.1:99999", "write zmq\\+tcp"),
        ("zmq+ipc://", "write zmq\\+tcp"),
        ("zmq+tcp://127.0.0.1:*?hwm=0", "hwm must be from 1 to 1000000 messages, not 0"),
        ("zmq+tcp://127.0.0.1:*?hwm=99999999999", "hwm must be from 1 to 1000000 messages"),
        ("zmq+ipc:///tmp/a%00b", "null byte"),
        ("zmq+tcp://127.0.0.1:*?camara=a", "did you mean 'camera'"),
        ("zmq+tcp://127.0.0.1:*?camera=a/b", "camera must be letters, digits"),
        ("zmq+tcp://127.0.0.1:*?compress=png", "add encoding=16UC1"),
        ("zmq+tcp://127.0.0.1:*?image=jpeg&quality=0", "quality must be from 1 to 100"),
        ("zmq+tcp://127.0.0.1:*?size=640", "size must be WxH"),
        ("zmq+tcp://127.0.0.1:*?size=0x10", "size must be WxH"),
        ("zmq+tcp://127.0.0.1:*?size=99999x99999", "up to 16384 each"),
        ("zmq+tcp://127.0.0.1:*?frame_id=%0A", "frame_id must be letters"),
        ("zmq+tcp://127.0.0.1:*?quality=50", "quality is that of JPEG"),
        ("zmq+tcp://127.0.0.1:*?curve=", "curve= is empty"),
        ("zmq+tcp://127.0.0.1:*?max_depth=-1", "max_depth must be metres"),
        ("zmq+tcp://127.0.0.1:*?max_depth=nan", "max_depth must be metres"),
        ("zmq+tcp://127.0.0.1:*?conflate=1&pattern=push", "leave out one of them"),
        ("zmq+tcp://127.0.0.1:*?connect=1", "needs the host and the port"),
        ("zmq+tcp://127.0.0.1:*?curve=a.key_secret", "curve= needs clients="),
        ("zmq+tcp://127.0.0.1:1?curve=a.key_secret&connect=1", "curve= needs server="),
        ("zmq+tcp://127.0.0.1:*?clients=keys", "go with curve="),
        ("zmq+tcp://127.0.0.1:*?curve=nothing.key_secret&clients=.", "nothing.key_secret cannot be read: No such file"),
        ("zmq+tcp://*:*", "encrypt with curve= and clients=, or say insecure=1"),
        ("zmq+tcp://192.0.2.1:5555", "can be reached from the network"),
    ],
)
def test_wrong_endpoints_and_options(uri: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_sink(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "zmq+tcp://user:SECRET@host:1",
        "zmq+tcp://SECRET@127.0.0.1:1",
        "zmq+tcp://SECRET@SECRET/@host:1",
        "zmq+tcp:user:SECRET@host:1",
        "zmq+tcp://user:SECRET?SECRET@host:1",
        "zmq+tcp://user:SECRET@host:1?hwm=0",
        "file://user:SECRET@host/a.mp4",
        "null://user:SECRET@host",
    ],
)
def test_what_stands_before_an_at_is_never_shown(uri: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError, match=r"host|127") as error:
        open_sink(uri)
    assert "SECRET" not in str(error.value)
    assert caplog.records == []


def test_an_ipc_address_with_an_at_is_shown_whole() -> None:
    with pytest.raises(ConfigError, match=r"^zmq\+ipc:///tmp/a@b\?hwm=0: hwm"):
        open_sink("zmq+ipc:///tmp/a@b?hwm=0")


def test_an_address_in_use_says_what_to_do() -> None:
    port = free_port()
    first = ZmqSink(f"tcp://127.0.0.1:{port}")
    with pytest.raises(SinkError, match=rf"tcp://127.0.0.1:{port}: the address is in use; choose another port"):
        ZmqSink(f"tcp://127.0.0.1:{port}")
    first.close()
    ZmqSink(f"tcp://127.0.0.1:{port}").close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_another_machine(host: str) -> None:
    with pytest.raises(SinkError, match="this machine has no such address"):
        ZmqSink(f"tcp://{host}:5555", ZmqOptions(insecure=True))


def test_ipc_never_deletes_a_file_nor_steals_a_socket(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="there is no folder"):
        open_sink(f"zmq+ipc://{tmp_path}/missing/depth.sock")
    precious = tmp_path / "precious"
    precious.write_text("data")
    with pytest.raises(SinkError, match="exists and is no socket"):
        open_sink(f"zmq+ipc://{precious}")
    assert precious.read_text() == "data"
    with zmq.Context() as somebody, somebody.socket(zmq.PUB) as other:
        other.bind(f"ipc://{tmp_path}/depth.sock")
        with pytest.raises(SinkError, match="another process does already"):
            open_sink(f"zmq+ipc://{tmp_path}/depth.sock")
    with pytest.raises(SinkError, match=r"ipc://.*too long"):
        open_sink(f"zmq+ipc://{tmp_path}/{'x' * 150}")


def test_ipc_takes_over_the_socket_of_a_dead_process(tmp_path: Path) -> None:
    path = tmp_path / "depth.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    open_sink(f"zmq+ipc://{path}").close()


def test_only_an_address_others_can_reach_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ZmqSink("tcp://127.0.0.1:*").close()
        assert caplog.records == []
        ZmqSink("tcp://*:*", ZmqOptions(insecure=True)).close()
    assert [r.getMessage() for r in caplog.records] == [
        "tcp://*:* can be reached from the network, and depth is sent without encryption"
    ]


def test_errors_of_zeromq_become_ours() -> None:
    sink = ZmqSink("tcp://127.0.0.1:*")
    sink.close()
    with pytest.raises(SinkError, match="cannot publish on tcp:") as error:
        sink.write(make_depth_frame())
    assert isinstance(error.value.__cause__, zmq.ZMQError)


def test_cameras_of_one_run_share_an_endpoint_and_keep_their_own_counts(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/depth"
    front, rear = (ZmqSink(endpoint, ZmqOptions(camera=name)) for name in ("front", "rear"))
    try:
        with pytest.raises(SinkError, match="another camera= than rear"):
            ZmqSink(endpoint, ZmqOptions(camera="rear"))
        with pytest.raises(ConfigError, match="other options"):
            ZmqSink(endpoint, ZmqOptions(camera="top", hwm=9))
        with DepthSubscriber(endpoint, camera="", timeout=20) as both, DepthSubscriber(endpoint, camera="rear") as one:
            got: dict[str, list[int]] = {"front": [], "rear": []}
            while min(map(len, got.values())) < 3:
                for n, sink in enumerate((front, rear)):
                    sink.write(make_depth_frame(n))
                with contextlib.suppress(DepthTimeout):
                    frame = both.receive(0.2)
                    got[frame.header["camera"]].append(frame.header["sequence"])
                    assert not frame.restarted
            frame = None
            while frame is None:  # it may have come after the last of those
                rear.write(make_depth_frame(9))
                with contextlib.suppress(DepthTimeout):
                    frame = one.receive(0.2)
            assert frame.header["camera"] == "rear"
        front.close()
        rear.write(make_depth_frame(9))  # it is still there
    finally:
        front.close() if not front._closing.is_set() else None
        rear.close()
    ZmqSink(endpoint, ZmqOptions(camera="rear")).close()  # and the endpoint is free again


def test_what_happens_to_the_camera_is_told_at_once(tmp_path: Path) -> None:
    sink = ZmqSink(f"ipc://{tmp_path}/depth")
    lost = SourceState(
        camera="camera",
        state="reconnecting",
        reason="connection refused",
        attempt=2,
        since_ns=0,
        clock_offset_s=-3600.0,
    )
    try:
        with DepthSubscriber(sink.endpoint, timeout=20) as depths:
            while depths.status is None or depths.status["source"] is None:
                sink.observe(lost)
                with pytest.raises(DepthTimeout) as caught:
                    depths.receive(0.1)
            assert depths.status["source"] == {
                "state": "reconnecting",
                "reason": "connection refused",
                "attempt": 2,
                "reconnects": 0,
                "clock_offset_s": -3600.0,
            }
            assert "its camera is reconnecting: connection refused" in str(caught.value)
            sink.write(make_depth_frame(0))
            sink.observe(lost)
            with contextlib.suppress(DepthTimeout):
                depths.receive(0.5)
                depths.receive(0.5)
            assert depths.status["state"] == "stalled"
    finally:
        sink.close()


def test_what_has_waited_too_long_for_zeromq_is_counted_and_not_sent(tmp_path: Path) -> None:
    def frame(index: int, *, age_s: float, waited_s: float) -> DepthFrame:
        now, made = time.monotonic_ns(), make_depth_frame(index)
        capture = replace(made.capture, received_ns=now - round(age_s * 1e9))
        return replace(made, capture=capture, inferred_ns=now - round(waited_s * 1e9))

    sink = ZmqSink(f"ipc://{tmp_path}/depth")
    sink.prepare(SourceInfo(name="camera", live=True, max_age_s=1.0))
    try:
        with DepthSubscriber(sink.endpoint, timeout=20) as depths:
            got = None
            while got is None:
                sink.write(make_depth_frame(0))
                with contextlib.suppress(DepthTimeout):
                    got = depths.receive(0.1)
            sink.write(frame(1, age_s=1.2, waited_s=0.9))  # the network was quick, and ZeroMQ had no time
            sink.write(frame(2, age_s=5.0, waited_s=0.0))  # a slow network is no reason to send nothing
            sink.write(frame(3, age_s=0.9, waited_s=0.6))
            while got.header["index"] == 0:
                got = depths.receive()
            after = depths.receive()
            assert [got.header["index"], after.header["index"]] == [2, 3]
            assert got.lost == after.lost == 0
            while depths.status is None or not depths.status["late"]:
                with contextlib.suppress(DepthTimeout):
                    depths.receive(0.1)
            assert depths.status["late"] == 1
    finally:
        sink.close()
