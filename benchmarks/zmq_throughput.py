"""What sending depth over ZeroMQ costs: beside the same bytes by bare pyzmq, and beside imagezmq.

::

    pip install -e '.[benchmarks]'
    python benchmarks/zmq_throughput.py [--rounds 3] [--json-to result.json]

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

In each round every contender gets a new subscriber, and they take turns in short bursts, every other pass in reverse.
Ours is compared with what another did in the same pass. Prints medians, with the quartiles in brackets.

Two things that have nothing to do with any contender decide more than what is measured here, so they are kept alike:

- The C library (glibc) gives freed memory back to the kernel and takes it again, page by page, whenever two of the
  newest messages happen to be free at once. How often differs from one process to the next and can cost a third of the
  rate; at 30 messages a second it does not happen. All processes are told to keep it; ``--trim`` lets them.
- On two cores the scheduler shuffles four busy threads about. Publisher and subscriber get a core of their own each;
  ``--no-pin`` gives all to both.

On a busy machine figures mean nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import signal
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
import numpy as np
import numpy.typing as npt
import zmq
from cyclopts import Parameter, validators
from rich.console import Console
from rich.table import Table

from model.engine.host_memory import keep_freed_memory
from sinks.millimetres import to_millimetres
from sinks.zeromq.depth_subscriber import DepthSubscriber, keep_receive_memory
from sinks.zeromq.sink import ZmqOptions, ZmqSink
from stream.frame import CameraIntrinsics, Capture, DepthFrame, FocalEstimate

try:
    import imagezmq
except ImportError:
    sys.exit("this benchmark compares with imagezmq; install it with: pip install -e '.[benchmarks]'")

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
class Place:
    """Where subscribers run: on which core (``None``: on any), and whether they give freed memory back."""

    core: int | None
    trim: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What a contender did as fast as it could."""

    messages_per_s: float
    cpu_ms: float


@dataclass(slots=True)
class Measured:
    """All that was seen of one contender; its bursts in the order of the others'."""

    bursts: list[Burst] = field(default_factory=list)
    ages_ms: list[float] = field(default_factory=list)


Results = dict[str, Measured]
"""Of a case, by contender."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is sent."""

    size: Size
    encoding: Encoding
    frames: list[DepthFrame]

    def __str__(self) -> str:
        return f"{self.size} {self.encoding}"


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
    keep_receive_memory()  # as docs/speed.md advises
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


def subscribe(
    contender: Contender, endpoint: str, credits_at: str, encoding: Encoding, shape: tuple[int, int], place: Place
) -> None:
    """The subscriber's process: for each array, the time at which it was there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process ends this one
    if not place.trim:
        keep_freed_memory()
    if place.core is not None:
        os.sched_setaffinity(0, {place.core})
    with zmq.Context() as context, context.socket(zmq.PUSH) as back:
        back.connect(credits_at)
        for pixels in PROTOCOLS[contender.protocol][1](endpoint, encoding, shape):
            now = time.monotonic_ns()
            if (pixels.shape, pixels.dtype) != (shape, DTYPES[encoding]):
                sys.exit(f"{contender.name}: {pixels.dtype} {pixels.shape} arrived")
            back.send(now.to_bytes(8, "little"))


# Measuring ------------------------------------------------------------------------------------------------------------


class Link:
    """A publisher here, its subscriber elsewhere, and the credits that come back."""

    def __init__(self, contender: Contender, encoding: Encoding, frames: list[DepthFrame], place: Place) -> None:
        self._name = contender.name
        self._frames = frames
        self._pixels: list[Pixels | None] = [pixels_of(f, encoding) for f in frames]
        if contender.converts and encoding == "16UC1":
            self._pixels = [None] * len(frames)
        self._sent: list[int] = []
        self._arrived: list[int] = []
        self._context = zmq.Context()
        self._credits = self._context.socket(zmq.PULL)
        self._credits.rcvhwm = 0
        self._credits.bind("tcp://127.0.0.1:*")
        credits_at = self._credits.get_string(zmq.LAST_ENDPOINT)
        endpoint = free_endpoint()
        shape = (frames[0].height, frames[0].width)
        self._subscriber = multiprocessing.get_context("spawn").Process(
            target=subscribe, args=(contender, endpoint, credits_at, encoding, shape, place), daemon=True
        )
        self._subscriber.start()
        self._publisher = PROTOCOLS[contender.protocol][0](endpoint, encoding)
        self._join()

    def _join(self) -> None:
        """Publish until something arrives, then until nothing does: subscribing takes time nobody can know."""
        until = time.monotonic() + 60
        while not self._credits.poll(50):
            self._send()
            if time.monotonic() > until:
                sys.exit(f"{self._name}: the subscriber gets nothing")
        while self._credits.poll(500):
            self._credits.recv()

    def as_fast_as_possible(self, seconds: float) -> Burst:
        """For ``seconds``, and until all has arrived."""
        self._sent, self._arrived = [], []
        cpu, start = time.process_time(), time.perf_counter()
        while time.perf_counter() - start < seconds:
            self._collect(len(self._sent) - WINDOW + 1)
            self._send()
        self._collect(len(self._sent))
        elapsed, spent = time.perf_counter() - start, time.process_time() - cpu
        return Burst(messages_per_s=len(self._sent) / elapsed, cpu_ms=spent / len(self._sent) * 1e3)

    def paced(self, seconds: float) -> list[float]:
        """Milliseconds each message took."""
        self._sent, self._arrived = [], []
        start = time.monotonic()
        for number in range(max(int(seconds * RATE), 1)):
            time.sleep(max(start + number / RATE - time.monotonic(), 0))
            self._send()
        self._collect(len(self._sent))
        return [(there - here) * 1e-6 for here, there in zip(self._sent, self._arrived, strict=True)]

    def _send(self) -> None:
        number = len(self._sent) % len(self._frames)
        self._sent.append(time.monotonic_ns())
        self._publisher.send(self._frames[number], self._pixels[number])

    def _collect(self, count: int) -> None:
        """Wait until ``count`` messages have arrived."""
        while len(self._arrived) < count:
            if not self._credits.poll(20_000):
                sys.exit(f"{self._name}: a message was lost, {len(self._sent)} sent, {len(self._arrived)} arrived")
            self._arrived.append(int.from_bytes(self._credits.recv(), "little"))

    def close(self) -> None:
        self._publisher.close()
        self._subscriber.terminate()
        self._subscriber.join()
        self._context.destroy(linger=0)


def measure_round(case: Case, results: Results, *, passes: int, seconds: float, place: Place) -> None:
    """All contenders with new subscribers, in turns: bursts as fast as possible, then paced."""
    links: dict[str, Link] = {}
    try:
        for contender in contenders(case.encoding):
            links[contender.name] = Link(contender, case.encoding, case.frames, place)
            links[contender.name].as_fast_as_possible(min(seconds, 0.3))  # connections and caches warm up
        for number in range(passes):
            for name in list(links)[:: -1 if number % 2 else 1]:
                results[name].bursts.append(links[name].as_fast_as_possible(seconds))
        for name, link in links.items():
            results[name].ages_ms.extend(link.paced(passes * seconds))
    finally:
        for link in links.values():
            link.close()


def pin_to_first_core() -> int | None:
    """Give this process one core, and return another for the subscribers; ``None`` where that cannot be."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return None
    os.sched_setaffinity(0, {first})
    return others[0]


def make_frames(size: Size) -> list[DepthFrame]:
    """Four different ones, so that not all is in the cache: depth from 0.3 to 60 m, some of it unknown."""
    width, height = SIZES[size]
    rng = np.random.default_rng(0)
    first = DepthFrame(
        capture=Capture(index=0, pts=0, time_base=Fraction(1, RATE), time_ns=0, clock="media"),
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
        frames.append(replace(first, capture=replace(first.capture, index=index, pts=index), depth=depth))
    return frames


def pixels_of(frame: DepthFrame, encoding: Encoding) -> Pixels:
    return frame.depth if encoding == "32FC1" else to_millimetres(frame.depth)


def free_endpoint() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"


# Results --------------------------------------------------------------------------------------------------------------


def quartiles(values: list[float]) -> str:
    low, middle, high = np.percentile(values, (25, 50, 75)).tolist()
    digits = 0 if middle >= 100 else 2
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def times_as_many(results: Results, other: str) -> list[float]:
    """Messages of ours for each of the other's, burst by burst."""
    pairs = zip(results[OURS].bursts, results[other].bursts, strict=True)
    return [mine.messages_per_s / its.messages_per_s for mine, its in pairs]


def add_rows(table: Table, case: Case, results: Results) -> None:
    width, height = SIZES[case.size]
    megabytes = width * height * DTYPES[case.encoding].itemsize / 1e6
    for name, measured in results.items():
        rates = [b.messages_per_s for b in measured.bursts]
        p50, p99 = np.percentile(measured.ages_ms, (50, 99)).tolist()
        table.add_row(
            str(case),
            name,
            quartiles(rates),
            f"{statistics.median(rates) * megabytes:.0f}",
            quartiles([b.cpu_ms for b in measured.bursts]),
            f"{p50:.2f}",
            f"{p99:.2f}",
            "" if name == OURS else quartiles(times_as_many(results, name)),
        )
    table.add_section()


def main(
    *,
    rounds: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 3,
    passes: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 10,
    seconds: Annotated[float, Parameter(validator=validators.Number(gt=0, lte=3600))] = 0.4,
    sizes: tuple[Size, ...] = ("720p", "1080p"),
    encodings: tuple[Encoding, ...] = ("32FC1", "16UC1"),
    pin: bool = True,
    trim: bool = False,
    json_to: Path | None = None,
) -> None:
    """Measure and print one table.

    Args:
        rounds: times that every contender gets a new subscriber.
        passes: bursts of each contender in a round; the paced part takes as long as they do together.
        seconds: of a burst.
        sizes: of depth.
        encodings: of depth.
        pin: publisher and subscriber have a core of their own each; otherwise the scheduler decides.
        trim: let the C library give freed memory back, as it does by itself, while messages are on their way.
        json_to: write every burst there.
    """
    if json_to is not None and not json_to.parent.is_dir():
        sys.exit(f"there is no folder {json_to.parent} to write {json_to.name} to; create it first")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the subscribers end as well
    if not trim:
        keep_freed_memory()
    place = Place(core=pin_to_first_core() if pin else None, trim=trim)
    console = Console()
    console.width = max(console.width, 140)  # in a narrow window it had rather break lines than leave figures out
    cases = [Case(size=size, encoding=encoding, frames=make_frames(size)) for size in sizes for encoding in encodings]
    results = {str(case): {c.name: Measured() for c in contenders(case.encoding)} for case in cases}
    for number in range(rounds):
        for case in cases:
            measure_round(case, results[str(case)], passes=passes, seconds=seconds, place=place)
            console.print(f"round {number + 1} of {rounds}: {case} done")

    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    kept = ("not pinned" if place.core is None else "one core for each process") + (
        "; memory given back" if trim else ""
    )
    versions = {"pyzmq": zmq.pyzmq_version(), "libzmq": zmq.zmq_version(), "imagezmq": version("imagezmq")}
    table = Table(title=f"{machine}, {kept}: median (quartiles) of {rounds * passes} bursts of {seconds:g} s")
    for heading in ("depth", "sent by", "messages/s", "MB/s", "CPU ms", "age p50 ms", "age p99 ms", "ours / this"):
        table.add_column(heading)
    for case in cases:
        add_rows(table, case, results[str(case)])
    console.print(table)
    console.print(
        f"CPU of this process for each message; ages at {RATE} messages a second; "
        + ", ".join(f"{k} {v}" for k, v in versions.items()),
        soft_wrap=True,
    )
    if json_to is not None:
        written: dict[str, Any] = {"machine": machine, "kept": kept, "seconds": seconds, "window": WINDOW}
        written["versions"] = versions
        written["measured"] = {case: {n: asdict(m) for n, m in of.items()} for case, of in results.items()}
        written["ours_per_message_of"] = {
            case: {n: times_as_many(of, n) for n in of if n != OURS} for case, of in results.items()
        }
        json_to.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    cyclopts.run(main)
