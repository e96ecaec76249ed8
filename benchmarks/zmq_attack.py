"""What hostile peers do to a ZeroMQ publisher, with one set of socket options after another.

::

    python benchmarks/zmq_attack.py [--seconds 10] [--sets ours xpub-manual] [--attacks topics churn] [--json-to FILE]

For each set of options and each attack, a publisher in a process of its own sends 30 frames a second (640x480 float32)
over TCP on this machine, a plain subscriber in another counts them, and attackers in a third do their worst with bare
TCP sockets, at the lowest priority: what is measured is the publisher, and not who gets the cores.

The table says whether the publisher lived, frames that should have come in the time and did not, the greatest age of a
frame (from the moment at which it was due until it was received), the growth of the publisher's memory, the greatest
number of its open files, and what became of a subscriber that arrives during the attack.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

import cyclopts
import numpy as np
import psutil
import zmq
from cyclopts import Parameter, validators
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))  # the benchmarks run from a checkout, installed or not

from sinks.zeromq.sink import ZmqOptions, ZmqSink
from stream.frame import CameraIntrinsics, Capture, DepthFrame, FocalEstimate
from stream.ports import SourceInfo

RATE = 30
WIDTH, HEIGHT = 640, 480
TOPIC = b"depth/camera/"
OURS = "ours"
HWM = 4
MAX_AGE_S = 1.0  # that ours may send, as --max-age-s

# What this publisher used to be, and what might have helped. A context's options come with it.
HEARTBEATS = {zmq.HEARTBEAT_IVL: 2_000, zmq.HEARTBEAT_TIMEOUT: 6_000, zmq.HEARTBEAT_TTL: 6_000}
SMALL = {zmq.MAXMSGSIZE: 4096}
SETS: dict[str, tuple[int, dict[int, int]]] = {
    "heartbeats": (zmq.PUB, {**SMALL, **HEARTBEATS}),
    "heartbeats, rcvhwm=0": (zmq.PUB, {**SMALL, **HEARTBEATS, zmq.RCVHWM: 0}),
    "pub": (zmq.PUB, SMALL),
    "pub, rcvhwm=1": (zmq.PUB, {**SMALL, zmq.RCVHWM: 1}),
    "pub, rcvhwm=0": (zmq.PUB, {**SMALL, zmq.RCVHWM: 0}),
    "pub, 2 s to greet": (zmq.PUB, {**SMALL, zmq.HANDSHAKE_IVL: 2_000}),
    "xpub-manual": (zmq.XPUB, {**SMALL, zmq.XPUB_MANUAL: 1}),
}


# Publisher and subscriber, each in a process of its own ---------------------------------------------------------------


def due_times() -> Iterator[int]:
    """The monotonic nanosecond of each frame, in its time. One that is late does not move the others."""
    start = time.monotonic_ns()
    for number in itertools.count():
        due = start + number * 1_000_000_000 // RATE
        time.sleep(max(due - time.monotonic_ns(), 0) * 1e-9)
        yield due


def publish(options: str, port_to: Connection) -> None:
    depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    if options == OURS:
        frame = DepthFrame(
            capture=Capture(index=0, pts=0, time_base=Fraction(1, RATE), time_ns=0, clock="media"),
            depth=depth,
            camera=CameraIntrinsics.from_focal(WIDTH, WIDTH, HEIGHT),
            focal=FocalEstimate(smoothed_px=WIDTH, raw_px=WIDTH, log_std=0.01, source="estimated"),
            source_width=WIDTH,
            source_height=HEIGHT,
        )
        sink = ZmqSink("tcp://127.0.0.1:*", ZmqOptions(hwm=HWM))
        sink.prepare(SourceInfo(name="camera", live=True, max_age_s=MAX_AGE_S))
        port_to.send(int(sink.endpoint.rsplit(":", 1)[1]))
        for due in due_times():
            capture = replace(frame.capture, received_ns=due)
            fresh = replace(frame, capture=capture, depth=depth.copy(), inferred_ns=due)
            sink.write(fresh)
        return
    kind, settings = SETS[options]
    with zmq.Context() as context, context.socket(kind) as publisher:
        publisher.sndhwm = HWM
        for option, value in settings.items():
            publisher.set(option, value)
        port_to.send(publisher.bind_to_random_port("tcp://127.0.0.1"))
        for sequence, due in enumerate(due_times()):
            if kind == zmq.XPUB:  # only what can match is subscribed to
                with suppress(zmq.Again):
                    while wish := publisher.recv(zmq.NOBLOCK):
                        if wish[:1] == b"\1" and TOPIC.startswith(wish[1:]):
                            publisher.set(zmq.SUBSCRIBE, wish[1:])
            publisher.send(TOPIC, zmq.SNDMORE)
            publisher.send(json.dumps({"sequence": sequence, "received_ns": due}).encode(), zmq.SNDMORE)
            publisher.send(depth.copy(), copy=False)


def subscribe(port: int, results_to: Connection) -> None:
    """Sends (number of frame, age in seconds) of each frame."""
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.linger = 0
        subscriber.subscribe(TOPIC)
        subscriber.connect(f"tcp://127.0.0.1:{port}")
        while True:
            parts = subscriber.recv_multipart()
            header = json.loads(parts[1])
            results_to.send((header["sequence"], (time.monotonic_ns() - header["received_ns"]) * 1e-9))


# Attackers, in another: each a generator, which does a little at every step ------------------------------------------

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
OLD_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x01\x02" + b"\x00\x00"  # ZMTP 2.0, a SUB without a name
RESET = struct.pack("ii", 1, 0)


def connected(port: int, first: bytes = b"", receive: int = 0) -> socket.socket | None:
    """A connection without waiting, ``None`` where none can be had now."""
    peer = socket.socket()
    try:
        if receive:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        peer.settimeout(0.2)
        peer.connect(("127.0.0.1", port))
        peer.settimeout(0)
        if first:
            peer.send(first)
    except OSError:
        peer.close()
        return None
    return peer


def greeted(port: int, first: bytes = GREETING + READY, receive: int = 0) -> socket.socket | None:
    """One whose handshake is over: what follows it too soon is refused."""
    if peer := connected(port, first, receive):
        with suppress(OSError):
            peer.settimeout(0.2)
            answer = b""
            while b"Socket-Type" not in answer and first != OLD_GREETING:
                answer += (more := peer.recv(4096))
                if not more:
                    break
        peer.settimeout(0)
    return peer


def is_over(peer: socket.socket) -> bool:
    """Whether the publisher has hung up."""
    try:
        while data := peer.recv(65536):
            del data
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def strangers(port: int, per_s: int = 64) -> Iterator[None]:
    """Noise, half a greeting, silence: so many new ones a second, who stay."""
    rng, start, made, held = random.Random(1), time.monotonic(), 0, []
    starts = (b"", GREETING[:9], GREETING[:40], GREETING, GREETING + READY)
    while True:
        while made < (time.monotonic() - start) * per_s:
            made += 1
            held.append(connected(port, rng.choice(starts) + rng.randbytes(rng.choice((0, 0, 30, 3000)))))
        time.sleep(0.002)
        yield


def crowd(port: int) -> Iterator[None]:
    """As many silent connections as can be had."""
    held = []
    while True:
        for _ in range(50):
            held.append(connected(port))
        held = [peer for peer in held if peer and not is_over(peer)][-3000:]
        yield


def churn(port: int) -> Iterator[None]:
    """Connect and close, as fast as can be."""
    while True:
        if peer := connected(port):
            peer.close()
        yield


def topics(
    port: int, connections: int = 1, first: bytes = GREETING + READY, length: int = 12, pings: bool = False
) -> Iterator[None]:
    """Ever new topics on each connection, which is reset now and then, in the middle, and made anew."""
    ping = b"\4\7\4PING\0\0" if pings else b""
    numbers, rng = itertools.count(), random.Random(2)
    peers: list[tuple[socket.socket | None, float]] = [(None, 0.0)] * connections
    waiting: list[bytes] = [b""] * connections
    while True:
        for i, (peer, until) in enumerate(peers):
            if peer is None or time.monotonic() > until or is_over(peer):
                if peer is not None:
                    with suppress(OSError):
                        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    peer.close()
                peers[i] = greeted(port, first), time.monotonic() + rng.uniform(0.5, 4)
                waiting[i] = b""
                continue
            if not waiting[i]:
                size = length + 1
                head = ping + (b"\0" + bytes([size]) if size < 256 else b"\2" + size.to_bytes(8, "big"))
                wishes = (b"\1%012d" % next(numbers) for _ in range(500))
                waiting[i] = b"".join(head + wish.ljust(size, b"x") for wish in wishes)
            with suppress(OSError):
                waiting[i] = waiting[i][peer.send(waiting[i]) :]
        yield


def deaf(port: int) -> Iterator[None]:
    """200 who want the depth, and never read it."""
    wish = b"\0" + bytes([len(TOPIC) + 1]) + b"\1" + TOPIC
    held = [greeted(port, receive=4096) for _ in range(200)]
    for peer in held:
        if peer:
            with suppress(OSError):
                peer.send(wish)
    while held:
        time.sleep(0.05)
        yield


def oversized(port: int) -> Iterator[None]:
    """Topics of a terabyte, and of what may just be sent."""
    while True:
        peer, other = greeted(port), greeted(port)
        with suppress(OSError):
            if peer:
                peer.send(b"\2" + (1 << 40).to_bytes(8, "big") + b"\1" + bytes(60_000))
        with suppress(OSError):
            for _ in range(50 if other else 0):
                other.send(b"\2" + (4096).to_bytes(8, "big") + b"\1" + random.randbytes(4095))
        yield
        for one in (peer, other):
            if one:
                one.close()


ATTACKS: dict[str, Callable[[int], list[Iterator[None]]]] = {
    "nothing": lambda _port: [],
    "strangers": lambda port: [strangers(port)],
    "crowd": lambda port: [crowd(port)],
    "churn": lambda port: [churn(port)],
    "topics": lambda port: [topics(port)],
    "topics, 64 peers": lambda port: [topics(port, connections=64)],
    "long topics": lambda port: [topics(port, connections=8, length=120)],
    "huge topics": lambda port: [topics(port, connections=32, length=4000)],
    "topics and pings": lambda port: [topics(port, connections=64, pings=True)],
    "topics, ZMTP 2": lambda port: [topics(port, connections=8, first=OLD_GREETING)],
    "deaf": lambda port: [deaf(port)],
    "oversized": lambda port: [oversized(port)],
}
ATTACKS["all"] = lambda port: [one for name, of in ATTACKS.items() if name != "all" for one in of(port)]


def attack(name: str, port: int) -> None:
    os.nice(19)
    for steps in zip(*ATTACKS[name](port), strict=False):
        del steps


# Measuring ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Of one attack on one set of options; see the top of the file."""

    options: str
    attack: str
    alive: bool
    lost: int
    due: int
    age_s: float
    growth_mb: float
    files: int
    newcomer: bool


@contextmanager
def child(target: Callable[..., None], *arguments: object) -> Iterator[multiprocessing.process.BaseProcess]:
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def measure(options: str, name: str, seconds: float) -> Outcome:
    spawn = multiprocessing.get_context("spawn")
    port_from, port_to = spawn.Pipe(duplex=False)
    frames_from, frames_to = spawn.Pipe(duplex=False)
    late_from, late_to = spawn.Pipe(duplex=False)
    with child(publish, options, port_to) as publisher:
        port = port_from.recv()
        with child(subscribe, port, frames_to):
            if not frames_from.poll(20):
                sys.exit(f"{options}: the subscriber gets nothing")
            usage = psutil.Process(publisher.pid)
            seen, growth, files = [], 0, 0
            before = usage.memory_info().rss
            with child(attack, name, port):
                time.sleep(1.0)  # it needs a while to start
                while frames_from.poll():
                    frames_from.recv()
                until = time.monotonic() + seconds
                with child(subscribe, port, late_to):
                    while time.monotonic() < until and publisher.is_alive():
                        if frames_from.poll(0.1):
                            seen.append(frames_from.recv())
                        with suppress(psutil.Error):
                            growth = max(growth, usage.memory_info().rss - before)
                            files = max(files, usage.num_fds())
                    newcomer = late_from.poll(0)
            publisher.join(0.2)  # one that aborts takes a moment to be gone
            return Outcome(
                options=options,
                attack=name,
                alive=publisher.is_alive(),
                due=int(seconds * RATE),
                lost=max(int(seconds * RATE) - len(seen), 0),
                age_s=max((age for _, age in seen), default=float("nan")),
                growth_mb=growth / 1e6,
                files=files,
                newcomer=newcomer,
            )


def main(
    *,
    seconds: Annotated[float, Parameter(validator=validators.Number(gt=0, lte=3600))] = 10,
    sets: tuple[str, ...] = (*SETS, OURS),
    attacks: tuple[str, ...] = tuple(ATTACKS),
    json_to: Path | None = None,
) -> None:
    """Attack every set of options in every way, and print one table.

    Args:
        seconds: of each attack.
        sets: of socket options.
        attacks: ways to attack.
        json_to: write every outcome there.
    """
    for given, known in ((sets, [*SETS, OURS]), (attacks, list(ATTACKS))):
        if unknown := set(given) - set(known):
            sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are: {'; '.join(known)}")
    table = Table(title=f"{os.cpu_count()} cores, libzmq {zmq.zmq_version()}, {seconds:g} s of each attack")
    for heading in ("options", "attack", "publisher", "frames lost", "oldest s", "memory MB", "files", "newcomer"):
        table.add_column(heading)
    console = Console()
    console.width = max(console.width, 120)
    outcomes = []
    for options, name in itertools.product(sets, attacks):
        o = measure(options, name, seconds)
        outcomes.append(o)
        row = (
            o.options,
            o.attack,
            "lives" if o.alive else "ABORTED",
            f"{o.lost} of {o.due}",
            f"{o.age_s:.2f}",
            f"{o.growth_mb:+.0f}",
            str(o.files),
            "served" if o.newcomer else "waits",
        )
        table.add_row(*row)
        console.print(" | ".join(row), highlight=False)
    console.print(table)
    if json_to is not None:
        json_to.write_text(json.dumps([asdict(o) for o in outcomes], indent=2) + "\n")


if __name__ == "__main__":
    cyclopts.run(main)
