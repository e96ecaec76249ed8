"""What sending depth over ZeroMQ costs: beside the same bytes by bare pyzmq, and beside imagezmq.

::

    pip install '.[benchmarks]'
    python benchmarks/zmq_throughput.py [--seconds 5] [--rounds 5] [--json-to result.json]

Over TCP on this machine, from this process to a subscriber in a process of its own, which takes each as an array:

- **ours**: ``ZmqSink`` with header and status, ``DepthSubscriber``;
- **bare pyzmq**: PUB and SUB, no header, one part: the ceiling;
- **imagezmq**: PUB/SUB, and REQ/REP, which waits for an answer to each message.

16UC1 has to be made of metres. Ours does so within the measurement, and the others do both: send millimetres that are
there already, and convert as ours does ("converts").

*As fast as possible*: the subscriber returns a credit for each message, and at most 4 messages are on their way, for
all contenders, so that nothing is dropped; a message that is lost all the same ends the benchmark. CPU is all that this
process spends, receiving credits included. *Paced*: 30 messages a second. Age is from the moment depth is handed over
until the array is in the subscriber's hands, by one clock of the machine.

Contenders take turns within each round, every other round in reverse. Prints medians over the rounds with their spread,
and how many messages ours sends for each of another's, compared round by round. On a busy machine figures mean nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import socket
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import cyclopts
import numpy as np
import numpy.typing as npt
import zmq
from rich.console import Console
from rich.table import Table

from sinks.millimetres import to_millimetres
from sinks.zeromq import ZmqOptions, ZmqSink
from sinks.zeromq_client import DepthSubscriber
from stream.frame import CameraIntrinsics, DepthFrame, FocalEstimate

try:
    import imagezmq
except ImportError:
    sys.exit("this benchmark compares with imagezmq; install it with: pip install '.[benchmarks]'")

WINDOW = 4  # messages on their way
HWM = 1000  # so no queue is ever full
RATE = 30  # messages a second when paced
SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
DTYPES: dict[str, np.dtype[Any]] = {"32FC1": np.dtype("<f4"), "16UC1": np.dtype("<u2")}
OURS = "ours"

Size = Literal["720p", "1080p"]
Encoding = Literal["32FC1", "16UC1"]
Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A way to send: ``protocol`` is a key of ``PROTOCOLS``; where it ``converts``, it is given metres for 16UC1."""

    name: str
    protocol: str
    converts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one contender did in one round."""

    messages_per_s: float
    cpu_ms: float
    age_p50_ms: float
    age_p99_ms: float


def contenders(encoding: Encoding) -> list[Contender]:
    """Ours first."""
    others = {"bare pyzmq": "bare", "imagezmq PUB/SUB": "imagezmq-pub", "imagezmq REQ/REP": "imagezmq-req"}
    found = [Contender(name=OURS, protocol="ours", converts=True)]
    for name, protocol in others.items():
        found.append(Contender(name=name, protocol=protocol, converts=False))
        if encoding == "16UC1":
            found.append(Contender(name=f"{name}, converts", protocol=protocol, converts=True))
    return found


# Sending --------------------------------------------------------------------------------------------------------------


class Ours:
    def __init__(self, endpoint: str, encoding: Encoding) -> None:
        self._sink = ZmqSink(endpoint, ZmqOptions(encoding=encoding, hwm=HWM))

    def send(self, frame: DepthFrame, _pixels: Pixels | None) -> None:
        self._sink.write(frame)

    def close(self) -> None:
        self._sink.close()


class Bare:
    def __init__(self, endpoint: str, _encoding: Encoding) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.sndhwm, self._socket.linger = HWM, 0
        self._socket.bind(endpoint)

    def send(self, frame: DepthFrame, pixels: Pixels | None) -> None:
        self._socket.send(to_millimetres(frame.depth) if pixels is None else pixels, copy=False)

    def close(self) -> None:
        self._context.destroy()


class ImageZmq:
    def __init__(self, endpoint: str, _encoding: Encoding, *, req_rep: bool) -> None:
        self._sender = imagezmq.ImageSender(endpoint, REQ_REP=req_rep)
        self._sender.zmq_socket.linger = 0
        self._sender.zmq_socket.rcvtimeo = 20_000  # its answers

    def send(self, frame: DepthFrame, pixels: Pixels | None) -> None:
        self._sender.send_image("depth", to_millimetres(frame.depth) if pixels is None else pixels)

    def close(self) -> None:
        self._sender.close()


# Receiving, in a process of its own -----------------------------------------------------------------------------------


def take_ours(endpoint: str, _encoding: Encoding, _shape: tuple[int, int]) -> Iterator[Pixels]:
    with DepthSubscriber(endpoint, hwm=HWM, timeout=60) as depths:
        for frame in depths:
            yield frame.values


def take_bare(endpoint: str, encoding: Encoding, shape: tuple[int, int]) -> Iterator[Pixels]:
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.rcvhwm = HWM
        subscriber.subscribe(b"")
        subscriber.connect(endpoint)
        while True:
            yield np.frombuffer(subscriber.recv(copy=False), DTYPES[encoding]).reshape(shape)


def take_imagezmq(endpoint: str, _encoding: Encoding, _shape: tuple[int, int], *, req_rep: bool) -> Iterator[Pixels]:
    with imagezmq.ImageHub(endpoint, REQ_REP=req_rep) as hub:
        while True:
            yield hub.recv_image()[1]
            if req_rep:
                hub.send_reply(b"OK")


PROTOCOLS: dict[str, tuple[Callable[..., Any], Callable[..., Iterator[Pixels]]]] = {
    "ours": (Ours, take_ours),
    "bare": (Bare, take_bare),
    "imagezmq-pub": (partial(ImageZmq, req_rep=False), partial(take_imagezmq, req_rep=False)),
    "imagezmq-req": (partial(ImageZmq, req_rep=True), partial(take_imagezmq, req_rep=True)),
}


def subscribe(protocol: str, endpoint: str, credits_at: str, encoding: Encoding, shape: tuple[int, int]) -> None:
    """The subscriber's process: for each array, the time at which it was there."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as back:
        back.connect(credits_at)
        for pixels in PROTOCOLS[protocol][1](endpoint, encoding, shape):
            now = time.monotonic_ns()
            if (pixels.shape, pixels.dtype) != (shape, DTYPES[encoding]):
                sys.exit(f"{protocol}: {pixels.dtype} {pixels.shape} arrived")
            back.send(now.to_bytes(8, "little"))


# Measuring ------------------------------------------------------------------------------------------------------------


class Link:
    """A publisher here, its subscriber elsewhere, and the credits that come back."""

    def __init__(self, contender: Contender, encoding: Encoding, frames: list[DepthFrame]) -> None:
        self._name = contender.name
        self._frames = frames
        self._pixels: list[Pixels | None] = [pixels_of(f, encoding) for f in frames]
        if contender.converts and encoding == "16UC1":
            self._pixels = [None] * len(frames)
        self.sent: list[int] = []
        self.arrived: list[int] = []
        self._context = zmq.Context()
        self._credits = self._context.socket(zmq.PULL)
        self._credits.rcvhwm = 0
        self._credits.bind("tcp://127.0.0.1:*")
        credits_at = self._credits.get_string(zmq.LAST_ENDPOINT)
        endpoint = free_endpoint()
        shape = (frames[0].height, frames[0].width)
        self._subscriber = multiprocessing.get_context("spawn").Process(
            target=subscribe, args=(contender.protocol, endpoint, credits_at, encoding, shape), daemon=True
        )
        self._subscriber.start()
        self._publisher = PROTOCOLS[contender.protocol][0](endpoint, encoding)
        self._join()

    def _join(self) -> None:
        """Publish until something arrives, then until nothing does: subscribing takes time nobody can know."""
        until = time.monotonic() + 60
        while not self._credits.poll(50):
            self.send()
            if time.monotonic() > until:
                sys.exit(f"{self._name}: the subscriber gets nothing")
        while self._credits.poll(500):
            self._credits.recv()

    def restart(self) -> None:
        """Forget what was sent; nothing may be on its way."""
        self.sent, self.arrived = [], []

    def send(self) -> None:
        number = len(self.sent) % len(self._frames)
        self.sent.append(time.monotonic_ns())
        self._publisher.send(self._frames[number], self._pixels[number])

    def collect(self, count: int) -> None:
        """Wait until ``count`` messages have arrived."""
        while len(self.arrived) < count:
            if not self._credits.poll(20_000):
                sys.exit(f"{self._name}: a message was lost, {len(self.sent)} sent, {len(self.arrived)} arrived")
            self.arrived.append(int.from_bytes(self._credits.recv(), "little"))

    def close(self) -> None:
        self._publisher.close()
        self._subscriber.terminate()
        self._subscriber.join()
        self._context.destroy(linger=0)


def measure(contender: Contender, encoding: Encoding, frames: list[DepthFrame], seconds: float) -> Round:
    """One contender, first as fast as possible, then paced."""
    link = Link(contender, encoding, frames)
    try:
        messages_per_s, cpu_ms = as_fast_as_possible(link, seconds)
        ages_ms = paced(link, seconds)
    finally:
        link.close()
    p50, p99 = np.percentile(ages_ms, (50, 99)).tolist()
    return Round(messages_per_s=messages_per_s, cpu_ms=cpu_ms, age_p50_ms=p50, age_p99_ms=p99)


def as_fast_as_possible(link: Link, seconds: float) -> tuple[float, float]:
    """Messages per second, and this process's CPU milliseconds for each."""
    link.restart()
    cpu, start = time.process_time(), time.perf_counter()
    while time.perf_counter() - start < seconds:
        link.collect(len(link.sent) - WINDOW + 1)
        link.send()
    link.collect(len(link.sent))
    elapsed, spent = time.perf_counter() - start, time.process_time() - cpu
    return len(link.sent) / elapsed, spent / len(link.sent) * 1e3


def paced(link: Link, seconds: float) -> list[float]:
    """Milliseconds each message took."""
    link.restart()
    start = time.monotonic()
    for number in range(max(int(seconds * RATE), 1)):
        time.sleep(max(start + number / RATE - time.monotonic(), 0))
        link.send()
    link.collect(len(link.sent))
    return [(there - here) * 1e-6 for here, there in zip(link.sent, link.arrived, strict=True)]


def make_frames(size: Size) -> list[DepthFrame]:
    """Four different ones, so that not all is in the cache: depth from 0.3 to 60 m, some of it unknown."""
    width, height = SIZES[size]
    rng = np.random.default_rng(0)
    first = DepthFrame(
        index=0,
        pts=0,
        time_base=Fraction(1, RATE),
        capture_time_ns=0,
        clock="media",
        depth=np.zeros((height, width), np.float32),
        camera=CameraIntrinsics.from_focal(width, width, height),
        focal=FocalEstimate(smoothed_px=width, raw_px=width, log_std=0.01, source="estimated"),
        source_width=width,
        source_height=height,
    )
    frames = []
    for index in range(4):
        depth = rng.uniform(0.3, 60, (height, width)).astype(np.float32)
        depth[:16], depth[16:32] = np.nan, np.inf
        frames.append(replace(first, index=index, pts=index, depth=depth))
    return frames


def pixels_of(frame: DepthFrame, encoding: Encoding) -> Pixels:
    return frame.depth if encoding == "32FC1" else to_millimetres(frame.depth)


def free_endpoint() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"


# Results --------------------------------------------------------------------------------------------------------------


def spread(values: list[float], digits: int) -> str:
    """The median, and half of the range in percent of it."""
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ±{(max(values) - min(values)) / 2 / middle:.0%}"


def times_as_many(rounds: dict[str, list[Round]], other: str) -> list[float]:
    """Messages of ours for each of the other's, round by round."""
    return [a.messages_per_s / b.messages_per_s for a, b in zip(rounds[OURS], rounds[other], strict=True)]


def add_rows(table: Table, size: Size, encoding: Encoding, rounds: dict[str, list[Round]]) -> None:
    width, height = SIZES[size]
    megabytes = width * height * DTYPES[encoding].itemsize / 1e6
    for name, measured in rounds.items():
        rates = [r.messages_per_s for r in measured]
        table.add_row(
            f"{size} {encoding}",
            name,
            spread(rates, 0),
            f"{statistics.median(rates) * megabytes:.0f}",
            spread([r.cpu_ms for r in measured], 2),
            spread([r.age_p50_ms for r in measured], 2),
            spread([r.age_p99_ms for r in measured], 2),
            "" if name == OURS else spread(times_as_many(rounds, name), 2),
        )
    table.add_section()


def main(
    *,
    seconds: float = 5.0,
    rounds: int = 5,
    sizes: tuple[Size, ...] = ("720p", "1080p"),
    encodings: tuple[Encoding, ...] = ("32FC1", "16UC1"),
    json_to: Path | None = None,
) -> None:
    """Measure and print one table; with --json-to, write every round as JSON too.

    --seconds is for each contender, way of sending and round.
    """
    console = Console()
    cases = [(size, encoding, make_frames(size)) for size in sizes for encoding in encodings]
    results: dict[tuple[Size, Encoding], dict[str, list[Round]]] = {
        (size, encoding): {c.name: [] for c in contenders(encoding)} for size, encoding, _ in cases
    }
    for number in range(rounds):
        for size, encoding, frames in cases:
            order = contenders(encoding)[:: -1 if number % 2 else 1]
            for contender in order:
                measured = measure(contender, encoding, frames, seconds)
                results[size, encoding][contender.name].append(measured)
        console.print(f"round {number + 1} of {rounds} done")

    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    versions = {"pyzmq": zmq.pyzmq_version(), "libzmq": zmq.zmq_version(), "imagezmq": version("imagezmq")}
    table = Table(title=f"{machine}: median ± half the range of {rounds} rounds of {seconds:g} s")
    for heading in ("depth", "sent by", "messages/s", "MB/s", "CPU ms", "age p50 ms", "age p99 ms", "ours / this"):
        table.add_column(heading)
    for (size, encoding), by_name in results.items():
        add_rows(table, size, encoding, by_name)
    console.print(table)
    console.print(
        f"CPU of this process for each message; ages at {RATE} messages a second; "
        + ", ".join(f"{k} {v}" for k, v in versions.items()),
        soft_wrap=True,
    )
    if json_to is not None:
        written: dict[str, Any] = {"machine": machine, "seconds": seconds, "window": WINDOW, "versions": versions}
        written["rounds"] = defaultdict(dict)
        written["ours_per_message_of"] = defaultdict(dict)
        for (size, encoding), by_name in results.items():
            case = f"{size} {encoding}"
            written["rounds"][case] = {name: [asdict(r) for r in rs] for name, rs in by_name.items()}
            written["ours_per_message_of"][case] = {n: times_as_many(by_name, n) for n in by_name if n != OURS}
        json_to.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    cyclopts.run(main)
