"""What viewers of the live view cost the run, and how old frames are when they are seen.

::

    python benchmarks/view.py [--work wait|nano] [--viewers 0 1 10] [--seconds 5] [--rounds 3] [--size 640x360]
    python benchmarks/view.py --browser [--json-to FILE]

A camera of 30 frames a second runs into the view: by ``wait``, a stand-in for a GPU that takes 27 ms a frame and no
CPU; or by ``nano``, the packaged network on all cores of the CPU, which shares them with whatever the view does.
Viewers are programs in a process of their own, which take each frame apart and say that they have; one that is stalled
shakes hands and reads nothing. In each round come, one after the other: so many viewers as asked for, and then the most
of them with a stalled one. Each is set against no viewer in the same round.

Columns: frames a second of the pipeline; that rate over the one without viewers, median of the rounds; CPU seconds of
the run's process a second; its memory above the one before the first viewer; frames a second, bytes a frame and age
(from capture to received, p50 and p99) of the viewers that take what they get; with ``--browser``, of a headless
Chromium that draws in software, until drawn.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import platform
import shutil
import socket
import statistics
import struct
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any, Literal

import aiohttp
import cyclopts
import numpy as np
import psutil
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))  # the benchmarks run from a checkout, installed or not

from sinks.depth_codes import DepthCodes
from sinks.view.message import encode
from sinks.view.sink import ViewSink
from stream.frame import CameraIntrinsics, Capture, DepthFrame, FocalEstimate, Frame, Geometry
from stream.pipeline import Pipeline, Stream
from stream.ports import Estimator, Lease, SourceInfo

_PERIOD_S = 1 / 30
_SHOWN = '{"type": "shown"}'


class Endless:
    """A camera: a few different pictures of squares, again and again, 30 a second."""

    def __init__(self, width: int, height: int) -> None:
        dice = np.random.default_rng(0)
        small = dice.integers(0, 255, (4, height // 20, width // 20, 3), dtype=np.uint8)
        self._pictures = [np.kron(one, np.ones((20, 20, 1), np.uint8)) for one in small]
        self._geometry = Geometry("rgb24", self._pictures[0].shape[1], self._pictures[0].shape[0])
        self._over = threading.Event()
        self.info = SourceInfo(name="endless", live=True)

    def __iter__(self) -> Iterator[Frame]:
        index, due = 0, time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due += _PERIOD_S
            now = time.monotonic_ns()
            capture = Capture(
                index=index, pts=index, time_base=Fraction(1, 30), time_ns=now, clock="host-monotonic", received_ns=now
            )
            yield Frame(
                capture=capture, geometry=self._geometry, planes=(self._pictures[index % 4],), color_range="full"
            )
            index += 1

    def stop(self) -> None:
        self._over.set()

    def close(self) -> None:
        """Nothing to release."""


class Waiting:
    """Stands in for a network on a GPU: 27 ms a frame, and no work for the CPU but a copy of the picture."""

    capacity, batch = 1, 1

    def __init__(self) -> None:
        self._lease: Lease | None = None
        self._due = 0.0
        self._depth: np.ndarray | None = None

    def allocate(self, size: int) -> np.ndarray:
        return np.empty(size, np.uint8)

    def submit(self, lease: Lease, *, with_image: bool) -> None:  # noqa: ARG002 (the protocol's)
        self._lease = lease
        self._due = time.monotonic() + 0.8 * _PERIOD_S

    def wait(self) -> None:
        time.sleep(max(0.0, self._due - time.monotonic()))

    def collect(self) -> DepthFrame:
        assert self._lease is not None
        frame = self._lease.frame
        height, width = frame.height, frame.width
        if self._depth is None:
            self._depth = np.geomspace(0.5, 80, height * width, dtype=np.float32).reshape(height, width)
        made = DepthFrame(
            capture=replace(frame.capture),
            depth=self._depth,
            camera=CameraIntrinsics.from_focal(width, width, height),
            focal=FocalEstimate(smoothed_px=width, raw_px=width, log_std=0.01, source="estimated"),
            source_width=width,
            source_height=height,
            image=frame.planes[0].astype(np.uint8),
            model="stand-in",
        )
        self._lease.release()
        return made

    def close(self) -> None:
        """Nothing to release."""


def nano() -> Estimator:
    from model.engine import Engine, prepare_process
    from model.estimator import DepthProEstimator
    from model.weights import load

    engine = Engine(load("nano"))
    prepare_process(engine.device)
    return DepthProEstimator(engine=engine)


@dataclass
class Seen:
    """What viewers say of their time."""

    frames: int = 0
    bytes: int = 0
    ages: list[float] = field(default_factory=list)


async def _watch(link: str, seen: Seen) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{link}live", max_msg_size=0) as ws:
        async for message in ws:
            if message.type is aiohttp.WSMsgType.BINARY:
                now = time.monotonic_ns()  # of all processes of the machine
                header = json.loads(message.data[16 : 16 + struct.unpack_from("<I", message.data, 4)[0]])
                seen.frames += 1
                seen.bytes += len(message.data)
                seen.ages.append((now - header["taken_ns"]) * 1e-9)
                await ws.send_str(_SHOWN)


def _viewers(link: str, count: int, pipe: Connection) -> None:
    """Watch until told to stop; answers "reset" by forgetting, and "told" with what was seen."""
    seen = Seen()

    async def all_of_it() -> None:
        watching = [asyncio.ensure_future(_watch(link, seen)) for _ in range(count)]
        while True:
            word = await asyncio.to_thread(pipe.recv)
            if word == "reset":
                seen.frames, seen.bytes, seen.ages = 0, 0, []
            else:
                pipe.send(seen)
                break
        for one in watching:
            one.cancel()

    asyncio.run(all_of_it())


@contextmanager
def _stalled(link: str) -> Iterator[None]:
    host, _, port = link.removeprefix("http://").rstrip("/").rpartition(":")
    with socket.create_connection((host, int(port))) as deaf:
        deaf.sendall(
            f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        yield


@dataclass(frozen=True)
class Figures:
    """Of one setting in one round."""

    rate: float
    cpu: float
    memory_mb: float
    viewer_rate: float
    frame_kb: float
    age_p50_ms: float
    age_p99_ms: float


def measure(pipeline: Pipeline, link: str, viewers: int, seconds: float, *, stalled: bool, memory: int) -> Figures:
    process = psutil.Process()
    with ExitStack() as stack:
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        child = multiprocessing.get_context("spawn").Process(target=_viewers, args=(link, viewers, theirs))
        child.start()
        if stalled:
            stack.enter_context(_stalled(link))
        time.sleep(2.0)  # until all are connected
        ours.send("reset")
        before, cpu, began = pipeline.status()[0].processed, sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        done, worked = pipeline.status()[0].processed - before, sum(process.cpu_times()[:2]) - cpu
        grown = process.memory_info().rss - memory
        ours.send("told")
        seen: Seen = ours.recv()
        child.join()
    ages = np.percentile(seen.ages, [50, 99]) * 1e3 if seen.ages else np.full(2, np.nan)
    return Figures(
        rate=done / took,
        cpu=worked / took,
        memory_mb=grown / 1e6,
        viewer_rate=seen.frames / took / max(1, viewers),
        frame_kb=seen.bytes / 1e3 / max(1, seen.frames),
        age_p50_ms=ages[0],
        age_p99_ms=ages[1],
    )


def in_a_browser(link: str, seconds: float) -> dict[str, float]:
    """Age at which a headless Chromium has drawn frames, in milliseconds, and frames a second."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(link)
        page.wait_for_timeout(1000 * seconds)
        told: dict[str, float] = page.evaluate(
            """() => {
              const numbers = window.depthProStream.numbers;
              return {p50: numbers.age(0.5), p99: numbers.age(0.99), fps: numbers.rate};
            }"""
        )
        browser.close()
    return told


def encoding_ms(frame: DepthFrame) -> float:
    """Median milliseconds that a message takes to make."""
    took = []
    for _ in range(30):
        began = time.perf_counter()
        encode(frame, DepthCodes(encoding="log"), camera="c", sequence=0, level=0, quality=85, taken_ns=0)
        took.append(1e3 * (time.perf_counter() - began))
    return statistics.median(took)


def main(
    work: Literal["wait", "nano"] = "wait",
    viewers: Annotated[list[int], Parameter(consume_multiple=True)] = [0, 1, 10],  # noqa: B006 (never changed)
    seconds: float = 5.0,
    rounds: int = 3,
    size: str = "640x360",
    browser: bool = False,
    json_to: Path | None = None,
) -> None:
    width, height = map(int, size.split("x"))
    last: list[DepthFrame] = []

    class Keeping(ViewSink):
        def write(self, frame: DepthFrame) -> None:
            last[:] = [frame]
            super().write(frame)

    sink = Keeping("//127.0.0.1:0")
    estimator: Any = nano() if work == "nano" else Waiting()
    pipeline = Pipeline(Stream(source=Endless(width, height), estimator=estimator, sinks=[sink]))
    pipeline.start()
    settings = [(count, False) for count in viewers] + [(max(viewers), True)]
    figures: dict[tuple[int, bool], list[Figures]] = defaultdict(list)
    try:
        while not last:
            time.sleep(0.1)
        time.sleep(2.0)
        memory = psutil.Process().memory_info().rss
        for _ in range(rounds):
            for count, stalled in settings:
                figures[count, stalled].append(
                    measure(pipeline, sink.link, count, seconds, stalled=stalled, memory=memory)
                )
        drawn = in_a_browser(sink.link, 2 * seconds) if browser else None
        ms = encoding_ms(last[0])
    finally:
        pipeline.stop()
        with suppress(Exception):
            pipeline.wait(20)
    table = Table("viewers", "fps", "/ none", "CPU", "+ MB", "viewer's fps", "kB", "age p50", "age p99 ms")
    for (count, stalled), all_of_it in figures.items():
        mid = {name: statistics.median(getattr(one, name) for one in all_of_it) for name in vars(all_of_it[0])}
        ratio = statistics.median(one.rate / none.rate for one, none in zip(all_of_it, figures[0, False], strict=False))
        table.add_row(
            f"{count}{' and one stalled' if stalled else ''}",
            f"{mid['rate']:.2f}",
            f"{ratio:.3f}",
            f"{mid['cpu']:.2f}",
            f"{mid['memory_mb']:.0f}",
            *(("–",) * 4 if not count else (f"{mid['viewer_rate']:.1f}", f"{mid['frame_kb']:.0f}")),
            *(() if not count else (f"{mid['age_p50_ms']:.1f}", f"{mid['age_p99_ms']:.1f}")),
        )
    console = Console()
    console.print(f"{work}, {size}, {os.cpu_count()} cores, {platform.processor() or platform.machine()}")
    console.print(table)
    console.print(f"a message takes {ms:.1f} ms to make, once a frame and size")
    if drawn is not None:
        console.print(f"in a browser: {drawn['fps']:.1f} fps, drawn {drawn['p50']:.0f} ms (p99 {drawn['p99']:.0f}) old")
    if json_to is not None:
        told = {
            f"{count}{'+stalled' if stalled else ''}": [vars(f) for f in all_of_it]
            for (count, stalled), all_of_it in figures.items()
        }
        json_to.write_text(json.dumps({"figures": told, "encode_ms": ms, "browser": drawn}, indent=1))


if __name__ == "__main__":
    cyclopts.run(main)
