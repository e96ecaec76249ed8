"""How a run fares, over HTTP: ``/metrics`` for Prometheus, ``/health`` for whoever restarts it.

Numbers are taken from the run when somebody asks for them, so nothing of this is on a frame's way.

::

    server = serve("127.0.0.1:9464", pipeline.status)
    …
    server.close()
"""

from __future__ import annotations

import logging
import math
import os
import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast, get_args

from stream.errors import ConfigError
from stream.frame import SourcePhase
from stream.stats import Status

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_LOOPBACK = "127.0.0.1"
_ADDRESS = re.compile(r"(?:(\[[^\]]+\]|[^:\[\]]*):)?(\d{1,5})")
_STALE_S = 10.0  # without a frame of a camera, a run is not healthy
_TEXT = "text/plain; version=0.0.4; charset=utf-8"  # the format that every Prometheus reads
_log = logging.getLogger(__name__)

StatusOf = Callable[[], Sequence[Status]]
"""How each camera of a run fares. Called by any thread, at any time; empty before the first camera."""


class MetricsServer:
    """The server of :func:`serve`, on a thread of its own.

    Attributes:
        host, port: where it listens; the port it was given where 0 was asked for.
    """

    def __init__(self, server: _Server) -> None:
        self._server = server
        self.host, self.port = server.server_address[:2]
        self._thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(address: str, status: StatusOf) -> MetricsServer:
    """Answer ``GET /metrics`` and ``GET /health`` until the server is closed.

    Health is 200 while every camera gives frames, the last one less than ten seconds ago, and while files run; else
    503, with a line on each camera.

    Args:
        address: ``host:port``, ``:port`` or ``port``. Without a host, programs of this machine alone may ask.
        status: asked anew for every answer.

    Raises:
        ConfigError: no such address, its port is in use, or the extra ``metrics`` is not installed.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match[2]) > 65535:
        raise ConfigError(f"`metrics` must be host:port such as {_LOOPBACK}:9464, not {address!r}")
    host, port = (match[1] or _LOOPBACK).strip("[]"), int(match[2])
    render = _renderer(status)
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return MetricsServer(_Server(family, place, {"/metrics": render, "/health": lambda: _health(status())}))
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise ConfigError(f"`metrics={address}` cannot be opened ({reason}); give another port or host") from exc


Answer = tuple[int, str, bytes]
"""Status, type and content of a page."""


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # on Windows it would let two programs share the port

    def __init__(self, family: int, place: Any, pages: dict[str, Callable[[], Answer]]) -> None:
        self.address_family = family
        self.pages = pages
        super().__init__(place, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 (a name that is given)
        _log.debug("a client of the metrics went away", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = 10  # seconds for a client to say what it wants

    def do_GET(self) -> None:
        pages = cast(_Server, self.server).pages
        page = pages.get(self.path.partition("?")[0])
        there = f"there is {' and '.join(pages)}\n".encode()
        status, kind, content = (404, _TEXT, there) if page is None else page()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing: somebody asks every few seconds."""


def _health(cameras: Sequence[Status]) -> Answer:
    lines = []
    well = bool(cameras)
    for status in cameras:
        late = status.live and (status.idle_s >= _STALE_S or not status.processed)
        well &= not late
        state = f"{status.source_state}, {status.processed} frames, {status.idle_s:.1f} s since the last"
        lines.append(f"{status.camera}: {'NO FRAMES' if late else 'ok'}, {state}\n")
    return (200 if well else 503), _TEXT, "".join(lines or ["starting\n"]).encode()


def _renderer(status: StatusOf) -> Callable[[], Answer]:
    try:
        import psutil
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.core import GaugeMetricFamily
    except ImportError as exc:
        raise ConfigError(
            f"`metrics` needs a package (no {exc.name} here); install it with: pip install -e '.[metrics]'"
        ) from exc
    process = psutil.Process()

    class Collector:
        def collect(self) -> Iterator[Metric]:
            yield from _cameras(status())
            memory, threads = process.memory_info().rss, process.num_threads()
            yield GaugeMetricFamily("process_resident_memory_bytes", "Memory of this process in RAM", memory)
            yield GaugeMetricFamily("process_threads", "Threads of this process, also those of libraries", threads)

    registry = CollectorRegistry()
    registry.register(cast(Any, Collector()))
    return lambda: (200, _TEXT, generate_latest(registry))


_COUNTERS = (
    ("frames_produced", "produced", "Frames decoded"),
    ("frames_processed", "processed", "Frames that got depth"),
    ("frames_dropped", "dropped", "Frames decoded that got no depth"),
    ("frames_retried", "retried", "Frames computed again because the first attempt was not finite"),
    ("frames_invalid", "invalid", "Frames without any finite depth"),
    ("source_reconnects", "reconnects", "How often the connection to the camera was lost and came back"),
)


def _cameras(cameras: Sequence[Status]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

    def name(of: str) -> str:
        return f"depth_stream_{of}"

    for metric, field, text in _COUNTERS:
        counter = CounterMetricFamily(name(metric), text, labels=["camera"])
        for status in cameras:
            counter.add_metric([status.camera], getattr(status, field))
        yield counter

    age = GaugeMetricFamily(name("frame_age_seconds"), "Since the last frame got its depth", labels=["camera"])
    focal = GaugeMetricFamily(name("focal_length_pixels"), "Focal length in use", labels=["camera"])
    spread = GaugeMetricFamily(
        name("focal_length_deviation_ratio"), "Standard deviation of the focal length, relative", labels=["camera"]
    )
    factor = GaugeMetricFamily(
        name("scale_correction_ratio"),
        "What steadies the last frame's depth: it was multiplied with this",
        labels=["camera"],
    )
    inliers = GaugeMetricFamily(
        name("scale_correction_inliers"), "Points that told the correction; 0: nothing did", labels=["camera"]
    )
    resets = CounterMetricFamily(
        name("scale_correction_resets"),
        "How often a shot began, or what was known of the scale was lost",
        labels=["camera"],
    )
    latency = SummaryMetricFamily(
        name("latency_seconds"), "From a frame's arrival to its depth, over the last 512 frames", labels=["camera"]
    )
    state = GaugeMetricFamily(name("source_state"), "1 for the state the source is in", labels=["camera", "state"])
    for status in cameras:
        age.add_metric([status.camera], status.idle_s)
        if status.focal is not None:
            focal.add_metric([status.camera], status.focal.smoothed_px)
            spread.add_metric([status.camera], status.focal.log_std)
        if status.steady is not None:
            factor.add_metric([status.camera], math.exp(status.steady.log))
            inliers.add_metric([status.camera], status.steady.inliers)
            resets.add_metric([status.camera], status.steady.resets)
        for quantile, seconds in (("0.5", status.latency_p50_s), ("0.99", status.latency_p99_s)):
            if seconds is not None:
                latency.add_sample(latency.name, {"camera": status.camera, "quantile": quantile}, seconds)
        for phase in dict.fromkeys((*get_args(SourcePhase), status.source_state)):
            state.add_metric([status.camera, phase], float(phase == status.source_state))
    yield from (age, focal, spread, factor, inliers, resets, latency, state)

    labels = ["camera", "sink"]
    written = CounterMetricFamily(name("sink_frames_written"), "Frames written", labels=labels)
    lost = CounterMetricFamily(
        name("sink_frames_lost"), "Frames the sink was too slow for, or failed on", labels=labels
    )
    failed = GaugeMetricFamily(name("sink_failed"), "1 for a sink that has failed", labels=labels)
    for status in cameras:
        for sink, told in _distinct((sink.name, sink) for sink in status.sinks):
            written.add_metric([status.camera, sink], told.written)
            lost.add_metric([status.camera, sink], told.lost)
            failed.add_metric([status.camera, sink], float(told.error is not None))
    yield from (written, lost, failed)


def _distinct(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The same with names that occur again numbered, because Prometheus refuses two series of one name."""
    seen: dict[str, int] = {}
    for name, value in named:
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name} #{seen[name]}"), value
