"""Bad weather for a live run: cameras that die, freeze and change size, hostile peers, slow and stopped subscribers.

::

    python benchmarks/soak.py [--minutes 20] [--seed 1] [--troubles killed attacked] [--json-to FILE]

``run_stream.py`` reads two RTSP cameras, servers of their own, and publishes both over ZeroMQ, with nano unless
``--model`` says otherwise. Each picture shows when it was made, so how old it really is can be read from the message. A
subscriber for each camera checks every one: pictures strictly later than the one before, none twice, frame numbers and
sequences ascending, K of the right size, none older than ``--max-age-s`` and two inferences. Meanwhile, every few
seconds, something goes wrong: see :class:`Weather`. The seed decides what and in which order. At the end a table, and
exit status 1 if anything did not hold: that 99 of 100 pictures between troubles are younger than one inference and two
frame intervals, for one.

Needs the RTSP server of tests/support (python3-gi, gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good).
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, get_args

import cv2
import cyclopts
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))  # the benchmarks run from a checkout, installed or not

from benchmarks.zmq_attack import ATTACKS, attack, child
from sinks.zeromq.depth_subscriber import DepthMessage, DepthSubscriber, DepthTimeout
from tests.support.dated import made_at
from tests.support.process import ROOT
from tests.support.rtsp import SYSTEM_PYTHON

NAMES = ("front", "rear")
SIZES = ("320x240", "240x320", "480x272", "160x120")
Trouble = Literal["killed", "resized", "frozen", "frozen_long", "attacked", "stopped"]
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)
MAX_AGE_S = 1.0
SLACK_S = 0.7  # two inferences and the way to the subscriber, on a busy machine

console = Console()


class Camera:
    """An RTSP server in a process of its own."""

    def __init__(self, name: str, rate: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as place:
            self.port = place.getsockname()[1]
        self.name, self.size, self._rate = name, SIZES[0], rate
        self._server: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/camera"

    def start(self) -> None:
        script = [SYSTEM_PYTHON, str(ROOT / "tests/support/rtsp_server.py"), "--dated", "--size", self.size]
        command = [*script, "--rate", str(self._rate), "--port", str(self.port)]
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._server.stdout is not None
        self._server.stdout.readline()

    def send(self, number: signal.Signals) -> None:
        assert self._server is not None
        self._server.send_signal(number)

    def kill(self) -> None:
        assert self._server is not None
        self._server.kill()
        with self._server:
            pass


@dataclass
class Watched:
    """What an honest subscriber has found out about one camera."""

    frames: int = 0
    wrong: list[str] = field(default_factory=list)
    ages_s: list[float] = field(default_factory=list)  # of frames at rest: not within some seconds of a trouble
    inference_s: float = float("inf")  # from arrival to depth, of the frame that waited for nothing
    oldest_s: float = 0.0
    last_at: float = 0.0
    last_size: str = ""
    at_rest: bool = True


class Watcher(threading.Thread):
    """Takes every frame of one camera and looks at it."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(daemon=True)
        self._url, self._name = url, name
        self.seen = Watched()
        self.over = threading.Event()

    def run(self) -> None:
        made, index, sequence = 0.0, -1, -1
        with DepthSubscriber(self._url, camera=self._name, timeout=1.0, hwm=64) as depths:
            while not self.over.is_set():
                with suppress(DepthTimeout):
                    frame = depths.receive()
                    made = self._check(frame, made)
                    for what, before in (("index", index), ("sequence", sequence)):
                        if frame.header[what] <= before:
                            self._complain(f"{what} {frame.header[what]} after {before}")
                    index, sequence = frame.header["index"], frame.header["sequence"]

    def _check(self, frame: DepthMessage, before: float) -> float:
        seen, now = self.seen, time.time()
        assert isinstance(frame.image, bytes)
        picture = cv2.imdecode(np.frombuffer(frame.image, np.uint8), cv2.IMREAD_COLOR)
        made = made_at(picture)
        age = now - made
        if made <= before:
            self._complain(f"a picture {before - made:.3f} s earlier than the one before")
        if age > MAX_AGE_S + SLACK_S:
            self._complain(f"a picture {age:.2f} s old")
        height, width = frame.values.shape
        if abs(frame.K[0, 2] - (width - 1) / 2) > 1e-6 or abs(frame.K[1, 2] - (height - 1) / 2) > 1e-6:
            self._complain(f"K of another size than {width}x{height}")
        if picture.shape[:2] != (height, width):
            self._complain(f"picture {picture.shape} and depth {frame.values.shape}")
        seen.oldest_s = max(seen.oldest_s, age)
        header = frame.header
        seen.inference_s = min(seen.inference_s, (header["inferred_ns"] - header["received_ns"]) * 1e-9)
        if seen.at_rest:
            seen.ages_s.append(age)
        seen.frames, seen.last_at, seen.last_size = seen.frames + 1, time.monotonic(), f"{width}x{height}"
        return made

    def _complain(self, what: str) -> None:
        self.seen.wrong.append(what)
        console.print(f"[red]{self._name}: {what}")


class Weather:
    """Causes trouble, and measures how long it takes until all is well again."""

    def __init__(
        self, cameras: list[Camera], watchers: list[Watcher], port: int, seed: int, kinds: tuple[str, ...]
    ) -> None:
        self._chance = random.Random(seed)
        self._kinds = kinds
        self._began = time.monotonic()
        self._cameras = dict(zip(NAMES, cameras, strict=True))
        self._watchers = dict(zip(NAMES, watchers, strict=True))
        self._port = port
        self.recovery_s: dict[str, list[float]] = defaultdict(list)
        self.troubles: list[tuple[float, str, str]] = []  # seconds since the beginning, kind, what exactly

    def killed(self) -> None:
        """A camera dies and is started again some seconds later."""
        camera = self._cameras[self._chance.choice(NAMES)]
        down_s = self._chance.uniform(0.5, 8)
        self._outage("killed", camera, f"{down_s:.1f} s", lambda: (camera.kill(), time.sleep(down_s), camera.start()))

    def resized(self) -> None:
        """A camera comes back at another size."""
        camera = self._cameras[self._chance.choice(NAMES)]

        def change() -> None:
            camera.kill()
            camera.size = self._chance.choice([size for size in SIZES if size != camera.size])
            camera.start()

        self._outage("another size", camera, "", change)

    def frozen(self, least_s: float = 0.3, most_s: float = 2.5, name: str = "frozen briefly") -> None:
        """A camera stands still and goes on, with what it had to send."""
        camera = self._cameras[self._chance.choice(NAMES)]
        still_s = self._chance.uniform(least_s, most_s)

        def freeze() -> None:
            camera.send(signal.SIGSTOP)
            time.sleep(still_s)
            camera.send(signal.SIGCONT)

        self._outage(name, camera, f"{still_s:.1f} s", freeze)

    def frozen_long(self) -> None:
        """Longer than a read may take."""
        self.frozen(4, 20, "frozen")

    def attacked(self) -> None:
        """Hostile peers for ten seconds, at the lowest priority."""
        name = self._chance.choice([name for name in ATTACKS if name not in ("nothing", "all")])
        self._say("attack", name)
        with child(attack, name, self._port):
            time.sleep(10)
        self._wait_for_rest("attack", NAMES)

    def stopped(self) -> None:
        """A subscriber stops for some seconds, as in a debugger, and goes on."""
        self._say("subscriber stopped", "")
        code = f"import sys; from {DepthSubscriber.__module__} import *\nfor _ in DepthSubscriber(sys.argv[1]): pass"
        command = [sys.executable, "-c", code, f"tcp://127.0.0.1:{self._port}"]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as other:
            time.sleep(3)
            other.send_signal(signal.SIGSTOP)
            time.sleep(self._chance.uniform(3, 12))
            other.send_signal(signal.SIGCONT)
            time.sleep(2)
            if other.poll() is not None:
                self._watchers["front"].seen.wrong.append(f"a stopped subscriber ended with {other.returncode}")
            other.kill()
        self._wait_for_rest("subscriber stopped", NAMES)

    def _outage(self, kind: str, camera: Camera, detail: str, cause: Callable[[], object]) -> None:
        self._say(kind, f"{camera.name} {detail}")
        cause()
        self._wait_for_rest(kind, (camera.name,), size=camera.size)

    def _wait_for_rest(self, kind: str, names: tuple[str, ...], size: str = "") -> None:
        """Until frames come again, of the right size; measured from when nothing stood in their way any more."""
        free = time.monotonic()
        for name in names:
            seen = self._watchers[name].seen
            while seen.last_at <= free or (size and seen.last_size != size):
                if time.monotonic() - free > 60:
                    seen.wrong.append(f"{kind}: no frame for 60 s")
                    console.print(f"[red]{name}: no frame for 60 s after: {kind}")
                    return
                time.sleep(0.01)
        self.recovery_s[kind].append(time.monotonic() - free)

    def _say(self, kind: str, detail: str) -> None:
        self.troubles.append((round(time.monotonic() - self._began, 1), kind, detail))
        console.print(f"[dim]{time.strftime('%H:%M:%S')} {kind} {detail}")

    def rage(self, until: float) -> None:
        while time.monotonic() < until:
            self._at_rest(False)
            getattr(self, self._chance.choice(self._kinds))()
            time.sleep(3)
            self._at_rest(True)
            time.sleep(self._chance.uniform(4, 10))

    def _at_rest(self, whether: bool) -> None:
        for watcher in self._watchers.values():
            watcher.seen.at_rest = whether


@dataclass
class Weight:
    """The publisher's process, once a second: resident MB, threads, open files."""

    samples: list[tuple[float, int, int]] = field(default_factory=list)

    def take(self, process: psutil.Process) -> None:
        with process.oneshot():
            self.samples.append((process.memory_info().rss / 2**20, process.num_threads(), process.num_fds()))

    def quarters(self, column: int) -> tuple[float, float]:
        """Median of the second and of the last quarter."""
        values = [sample[column] for sample in self.samples]
        quarter = max(len(values) // 4, 1)
        return statistics.median(values[quarter : 2 * quarter] or values), statistics.median(values[-quarter:])


def main(
    *,
    minutes: float = 20.0,
    seed: int = 1,
    rate: int = 5,
    model: str = "nano",
    troubles: Annotated[tuple[Trouble, ...], cyclopts.Parameter(consume_multiple=True)] = TROUBLES,
    json_to: Path | None = None,
    log_to: Path | None = None,
) -> None:
    """Run; print what was seen.

    RATE: pictures a second of each camera, which two cores with nano just take. TROUBLES: which may come.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cameras = [Camera(name, rate) for name in NAMES]
        for camera in cameras:
            stack.callback(camera.kill)
        with socket.create_server(("127.0.0.1", 0)) as place:
            port = place.getsockname()[1]
        log = (log_to or folder / "log").open("w")
        sources = [f"{camera.name}={camera.address}" for camera in cameras]
        sink = f"zmq+tcp://127.0.0.1:{port}?image=jpeg&encoding=16UC1"
        options = ["--model", model, "--max-age-s", str(MAX_AGE_S), "--read-timeout-s", "3", "--retry-max-s", "2"]
        command = [sys.executable, str(ROOT / "run_stream.py"), *sources, "--sink", sink, *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        publisher = stack.enter_context(
            subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=environment)
        )
        stack.callback(publisher.kill)
        watchers = [Watcher(f"tcp://127.0.0.1:{port}", name) for name in NAMES]
        slow = stack.enter_context(DepthSubscriber(f"tcp://127.0.0.1:{port}", hwm=1))
        for watcher in watchers:
            watcher.start()
        started = time.monotonic()
        while not all(watcher.seen.frames for watcher in watchers):
            if publisher.poll() is not None or time.monotonic() - started > 120:
                sys.exit(f"no frames came: {Path(log.name).read_text()}")
            time.sleep(0.1)
        weather = Weather(cameras, watchers, port, seed, troubles)
        until = time.monotonic() + minutes * 60
        raging = threading.Thread(target=weather.rage, args=(until,), daemon=True)
        raging.start()
        weight, process = Weight(), psutil.Process(publisher.pid)
        while raging.is_alive() and publisher.poll() is None:
            weight.take(process)
            with suppress(DepthTimeout):
                slow.receive(0)  # one frame a second: it skips the others
            time.sleep(1)
        alive = publisher.poll() is None
        publisher.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            publisher.wait(20)
        for watcher in watchers:
            watcher.over.set()
            watcher.join()
    report(weather, watchers, weight, alive, publisher.returncode, minutes, rate, json_to)


def report(
    weather: Weather,
    watchers: list[Watcher],
    weight: Weight,
    alive: bool,
    status: int | None,
    minutes: float,
    rate: int,
    json_to: Path | None,
) -> None:
    """Print the tables; exit with 1 if something did not hold."""
    table = Table(title=f"{minutes:g} minutes, {len(weather.troubles)} troubles")
    for heading in ("trouble", "times", "frames again after, median s", "worst s"):
        table.add_column(heading)
    for kind, times in sorted(weather.recovery_s.items()):
        table.add_row(kind, str(len(times)), f"{statistics.median(times):.2f}", f"{max(times):.2f}")
    console.print(table)
    wrong = []
    for name, watcher in zip(NAMES, watchers, strict=True):
        seen = watcher.seen
        p50, p99 = np.percentile(seen.ages_s, [50, 99]) if seen.ages_s else (np.nan, np.nan)
        most_s = seen.inference_s + 2 / rate
        console.print(
            f"{name}: {seen.frames} frames; age at rest p50 {p50:.2f} s, p99 {p99:.2f} s; ever {seen.oldest_s:.2f} s; "
            f"one inference {seen.inference_s:.2f} s"
        )
        if not p99 <= most_s:
            wrong.append(f"{name}: at rest, p99 of the age is above an inference and two intervals, {most_s:.2f} s")
        wrong += [f"{name}: {what}" for what in seen.wrong]
    (early_mb, late_mb), (early, late) = weight.quarters(0), weight.quarters(1)
    files = weight.quarters(2)
    console.print(
        f"publisher: {early_mb:.0f} MB in the second quarter, {late_mb:.0f} in the last; "
        f"{early:.0f} and {late:.0f} threads, {files[0]:.0f} and {files[1]:.0f} files"
    )
    if not alive or status != 0:
        wrong.append(f"the publisher ended with {status}{'' if alive else ', early'}")
    if late_mb > early_mb * 1.05 + 10:
        wrong.append("memory grows")
    if late > early + 1:
        wrong.append("threads grow")
    for what in wrong:
        console.print(f"[red]WRONG {what}")
    if json_to is not None:
        of = {name: vars(w.seen) for name, w in zip(NAMES, watchers, strict=True)}
        facts = {"minutes": minutes, "rate": rate, "troubles": weather.troubles, "recovery_s": weather.recovery_s}
        facts |= {"cameras": of, "wrong": wrong, "publisher": weight.samples}
        json_to.write_text(json.dumps(facts, indent=2) + "\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    cyclopts.run(main)
