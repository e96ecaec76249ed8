"""The publisher under attack, in a process of its own, beside a subscriber that counts: benchmarks/zmq_attack.py."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import zmq

from benchmarks.zmq_attack import greeted
from sinks.zeromq.doorman import Bucket, Doorman
from sinks.zeromq.sink import ZmqOptions, ZmqSink
from stream.errors import ConfigError
from tests.support.doubles import make_depth_frame
from tests.support.process import ROOT

pytestmark = pytest.mark.alone


def outcome(tmp_path: Path, options: str, attack: str, seconds: float) -> dict[str, float]:
    result = tmp_path / "result.json"
    command = [sys.executable, "benchmarks/zmq_attack.py", "--sets", options, "--attacks", attack]
    command += ["--seconds", str(seconds), "--json-to", str(result)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (of,) = json.loads(result.read_text())
    assert isinstance(of, dict)
    return of


def holds(of: dict[str, float]) -> bool:
    return bool(of["alive"]) and of["lost"] <= of["due"] * 0.2 and of["age_s"] < 1.5 and of["growth_mb"] < 150


@pytest.mark.parametrize("attack", ["huge topics", "long topics", "all"])
def test_nobody_ends_stalls_or_bloats_the_publisher(tmp_path: Path, attack: str) -> None:
    of = outcome(tmp_path, "ours", attack, 2.5)
    assert holds(of), of


def test_the_options_of_before_do_not_hold(tmp_path: Path) -> None:
    of = outcome(tmp_path, "heartbeats", "huge topics", 3)  # it stalls, bloats, or is aborted
    assert not holds(of), of


@contextmanager
def subscribers(sink: ZmqSink, count: int) -> Iterator[list[zmq.Socket[bytes]]]:
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        found = []
        for _ in range(count):
            socket = stack.enter_context(context.socket(zmq.SUB))
            socket.linger = 0
            socket.subscribe(b"depth/")
            socket.connect(sink.endpoint)
            found.append(socket)
        yield found


def served(sink: ZmqSink, sockets: list[zmq.Socket[bytes]], enough: int, seconds: float) -> int:
    """How many have got a frame: as soon as ``enough`` have, or when the time is over."""
    until, got = time.monotonic() + seconds, set()
    while len(got) < enough and time.monotonic() < until:
        sink.write(make_depth_frame())
        time.sleep(0.01)
        got |= {i for i, socket in enumerate(sockets) if socket.poll(0)}
    return len(got)


def frames_of_each(sink: ZmqSink, sockets: list[zmq.Socket[bytes]], frames: int) -> list[int]:
    """How many of so many frames each gets, fewest first."""
    got = [0] * len(sockets)
    for i in range(-1, frames):
        for _ in range(10):
            for s, socket in enumerate(sockets):
                while socket.poll(1):
                    socket.recv_multipart()
                    got[s] += i >= 0  # what was on its way does not count
        if i < frames - 1:
            sink.write(make_depth_frame())
    return sorted(got)


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_more_than_peers_wait_until_one_goes(tmp_path: Path, transport: str) -> None:
    endpoint = "tcp://127.0.0.1:*" if transport == "tcp" else f"ipc://{tmp_path}/depth.sock"
    sink = ZmqSink(endpoint, ZmqOptions(peers=2))
    with subscribers(sink, 1) as waiting:
        with subscribers(sink, 2) as first:
            # In the moment between coming and being hung up on, who waits may get a frame.
            assert any(frames_of_each(sink, first + waiting, 10)[1:] == [10, 10] for _ in range(20))
            assert frames_of_each(sink, first + waiting, 20)[0] < 10
        assert served(sink, waiting, 1, 10) == 1
    sink.close()


def test_many_who_come_at_once_are_all_let_in() -> None:
    sink = ZmqSink("tcp://127.0.0.1:*")
    with subscribers(sink, 50) as many:
        assert served(sink, many, 50, 20) == 50
    sink.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_left_open() -> None:
    ZmqSink("tcp://127.0.0.1:*").close()
    threads, files = threading.active_count(), open_files()
    for _ in range(3):
        sink = ZmqSink("tcp://127.0.0.1:*")
        with subscribers(sink, 3) as few:
            assert served(sink, few, 3, 10) == 3
        sink.close()
    assert (threading.active_count(), open_files()) == (threads, files)


def test_a_bucket_gives_what_it_has_and_recovers_from_a_fine() -> None:
    bucket = Bucket(4, 1000)
    assert bucket.take(4)
    bucket.fine(100)  # four below nothing at most
    time.sleep(0.02)
    assert bucket.take(4)
    assert not Bucket(4, 0).take(5)


@pytest.mark.parametrize("peers", [0, 10_001])
def test_peers_are_some(peers: int) -> None:
    with pytest.raises(ConfigError, match=f"peers must be from 1 to 10000 subscribers, not {peers}"):
        ZmqOptions(peers=peers)


def test_other_threads_go_on_while_subscriptions_are_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes as long as they come. If it kept the doorman waiting, nobody would hang up on who sends them."""
    monkeypatch.setattr(Doorman, "_sweep", lambda _self: None)  # to have enough of them
    sink = ZmqSink("tcp://127.0.0.1:*", ZmqOptions())
    port = int(sink.endpoint.rpartition(":")[2])
    peer = greeted(port)
    assert peer is not None
    peer.settimeout(20)
    peer.sendall(b"".join(b"\0\x0d\1%012d" % number for number in range(400_000)))
    ticks, ended = 0, threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not ended.wait(0.001):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    before, start = ticks, time.monotonic()
    sink._socket.settle()
    took_s, during = time.monotonic() - start, ticks - before
    ended.set()
    thread.join()
    peer.close()
    sink.close()
    assert took_s > 0.02
    assert during > took_s * 50, f"{during} in {took_s:.3f} s"
