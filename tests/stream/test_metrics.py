"""Metrics and health by a real client over a real socket, of real pipelines."""

from __future__ import annotations

import math
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream.errors import ConfigError
from stream.frame import ScaleCorrection
from stream.metrics import MetricsServer, StatusOf, serve
from stream.pipeline import Pipeline, Stream
from stream.stats import SinkStatus, Status
from tests.support import media
from tests.support.doubles import ScriptedEstimator, ScriptedSink, ScriptedSource
from tests.support.process import Process

STATUS = Status(
    seconds=1,
    produced=7,
    processed=5,
    dropped=2,
    retried=1,
    invalid=0,
    fps=5,
    latency_p50_s=0.02,
    latency_p99_s=0.05,
    focal=None,
    sinks=(),
    live=True,
    idle_s=0.1,
)

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def get(server: MetricsServer | str, path: str, method: str = "GET") -> tuple[int, str, str]:
    """Status, content type and content of a page."""
    base = server if isinstance(server, str) else f"http://{server.host}:{server.port}"
    try:
        with urllib.request.urlopen(urllib.request.Request(base + path, method=method), timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.headers["Content-Type"], refused.read().decode()


def scrape(server: MetricsServer | str) -> Series:
    """Every series by name and labels. A series that comes twice fails, as it does in Prometheus."""
    status, kind, text = get(server, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=0.0.4")
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(series: Series, name: str, **labels: str) -> float:
    return series[f"depth_stream_{name}", frozenset({"camera": "front", **labels}.items())]


@pytest.fixture
def start() -> Iterator[Callable[[StatusOf], MetricsServer]]:
    servers: list[MetricsServer] = []

    def start(status: StatusOf) -> MetricsServer:
        servers.append(serve("127.0.0.1:0", status))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_a_running_pipeline_tells_its_numbers_and_its_health(start: Callable[[StatusOf], MetricsServer]) -> None:
    first, go_on = threading.Event(), threading.Event()

    def wait(index: int) -> None:
        assert (first if index == 0 else go_on).wait(30) if index in (0, 10) else True

    written = threading.Event()
    sink = ScriptedSink(name='a "sink"\n', hook=lambda index: written.set() if index == 9 else None)
    source = ScriptedSource(20, live=True, hook=wait)
    pipeline = Pipeline(Stream(source=source, estimator=ScriptedEstimator(), sinks=[sink], name="front"))
    server = start(pipeline.status)
    pipeline.start()
    assert get(server, "/health")[0] == 503
    assert value(scrape(server), "frames_processed_total") == 0
    first.set()
    assert written.wait(30)
    status, _, text = get(server, "/health")
    assert status == 200
    assert text.startswith("front: ok, streaming, ")
    series = scrape(server)
    assert value(series, "frames_produced_total") == 10
    assert (
        0 < value(series, "latency_seconds", quantile="0.5") <= value(series, "latency_seconds", quantile="0.99") < 30
    )
    assert value(series, "focal_length_pixels") == 8
    assert value(series, "focal_length_deviation_ratio") == 0.01
    assert 0 <= value(series, "frame_age_seconds") < 30
    go_on.set()
    while not pipeline.wait(0.1):
        pass
    (status_now,), series = pipeline.result(), scrape(server)
    assert value(series, "frames_produced_total") == 20
    assert value(series, "frames_processed_total") == status_now.processed
    assert value(series, "frames_dropped_total") == 20 - status_now.processed
    assert value(series, "sink_frames_written_total", sink='a "sink"\n') == len(sink.written)
    assert value(series, "sink_failed", sink='a "sink"\n') == 0
    assert series["process_threads", frozenset()] >= 1
    assert series["process_resident_memory_bytes", frozenset()] > 1e6


def test_every_state_has_a_gauge_and_every_camera_and_sink_its_own_series(
    start: Callable[[StatusOf], MetricsServer],
) -> None:
    sinks = (
        SinkStatus(name="null:", written=3, lost=2, error=None),
        SinkStatus(name="null:", written=1, lost=4, error=OSError("full")),
    )
    lost = replace(STATUS, source_state="reconnecting", reconnects=3, sinks=sinks)
    series = scrape(start(lambda: [replace(lost, camera="front"), replace(STATUS, camera="rear")]))
    states = ("connecting", "streaming", "stalled", "reconnecting", "failed", "ended")
    assert [value(series, "source_state", state=s) for s in states] == [0, 0, 0, 1, 0, 0]
    assert [value(series, "source_state", camera="rear", state=s) for s in states] == [0, 1, 0, 0, 0, 0]
    assert value(series, "source_reconnects_total") == 3
    assert value(series, "source_reconnects_total", camera="rear") == 0
    for sink, numbers in (("null:", (3, 2, 0)), ("null: #2", (1, 4, 1))):
        names = ("sink_frames_written_total", "sink_frames_lost_total", "sink_failed")
        assert tuple(value(series, name, sink=sink) for name in names) == numbers
    counted = ("produced", "processed", "dropped", "retried", "invalid")
    assert [value(series, f"frames_{name}_total") for name in counted] == [7, 5, 2, 1, 0]
    assert ("depth_stream_focal_length_pixels", frozenset({("camera", "front")})) not in series


@pytest.mark.parametrize(
    ("cameras", "status", "says"),
    [
        ([], 503, "starting"),
        ([STATUS], 200, "0: ok, streaming"),
        ([replace(STATUS, idle_s=9.9)], 200, "0: ok"),
        ([replace(STATUS, idle_s=10.1)], 503, "0: NO FRAMES, streaming, 5 frames, 10.1 s since the last"),
        ([replace(STATUS, idle_s=1, processed=0)], 503, "0: NO FRAMES"),
        ([replace(STATUS, idle_s=60, live=False)], 200, "0: ok"),
        ([replace(STATUS, idle_s=60, live=False, processed=0)], 200, "0: ok"),
        ([STATUS, replace(STATUS, idle_s=60, source_state="reconnecting")], 503, "1: NO FRAMES, reconnecting"),
    ],
)
def test_health_is_that_frames_come(
    start: Callable[[StatusOf], MetricsServer], cameras: Sequence[Status], status: int, says: str
) -> None:
    server = start(lambda: [replace(camera, camera=str(i)) for i, camera in enumerate(cameras)])
    got, kind, text = get(server, "/health")
    assert got == status
    assert kind.startswith("text/plain")
    assert says in text
    assert get(server, "/health?verbose=1")[0] == status
    assert get(server, "/health", method="HEAD") == (status, kind, "")


def test_other_pages_say_which_there_are(start: Callable[[StatusOf], MetricsServer]) -> None:
    assert get(start(list), "/")[::2] == (404, "there is /metrics and /health\n")


def test_a_client_that_goes_away_or_says_nothing_harms_nobody(start: Callable[[StatusOf], MetricsServer]) -> None:
    server = start(lambda: [replace(STATUS, camera="front")])
    with (
        socket.create_connection((server.host, server.port)),
        socket.create_connection((server.host, server.port)) as c,
    ):
        c.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        c.close()
        assert get(server, "/health")[0] == 200


@pytest.mark.parametrize("address", ["{port}", ":{port}", "127.0.0.1:{port}"])
def test_without_a_host_this_machine_alone_may_ask(address: str) -> None:
    server = serve(address.format(port=0), list)
    with closing(server):
        assert (server.host, server.port > 0) == ("127.0.0.1", True)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", server.port), timeout=5).close()
    again = serve(f"127.0.0.1:{server.port}", list)  # the port is free once more
    again.close()


def test_a_host_that_is_named_is_listened_on() -> None:
    with closing(serve("0.0.0.0:0", list)) as server:
        assert get(f"http://127.0.0.1:{server.port}", "/health")[0] == 503
        with pytest.raises(ConfigError, match=rf"`metrics=0\.0\.0\.0:{server.port}` cannot be opened \(.*in use"):
            serve(f"0.0.0.0:{server.port}", list)


@pytest.mark.parametrize(
    "address", ["", "here", "127.0.0.1", "1:2:3", "127.0.0.1:99999", "http://h:1", "a b:1", "::1:9"]
)
def test_what_is_no_address_gets_one_line(address: str) -> None:
    with pytest.raises(ConfigError, match="`metrics"):
        serve(address, list)


@pytest.mark.parametrize("package", ["prometheus_client", "psutil"])
def test_without_the_extra_it_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"no {package} here.*'\.\[metrics\]'"):
        serve("127.0.0.1:0", list)


def test_the_command_line_serves_while_it_runs(tmp_path: Path) -> None:
    media.write_video(tmp_path / "clip.mp4", [media.numbered(i % 20) for i in range(2000)])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Process("clip.mp4", "--sink", "null:", "--metrics", port, cwd=tmp_path) as refused:
            status, _ = refused.end()
        assert status == 2
        assert refused.err == [
            f"run_stream.py: --metrics {port} cannot be opened (Address already in use); give another port or host\n"
        ]
    with Process("clip.mp4", "--sink", "null:", "--metrics", port, cwd=tmp_path) as started:
        started.wait_for(" on cpu")
        deadline = time.monotonic() + 60
        base = f"http://127.0.0.1:{port}"
        while not (series := scrape(base)).get(
            ("depth_stream_frames_processed_total", frozenset({("camera", "camera")}))
        ):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert value(series, "sink_failed", camera="camera", sink="null:") == 0
        assert get(base, "/health")[0] == 200
        started.process.terminate()
        status, _ = started.end()
    assert status == 0, started.err


def test_what_steadies_the_scale_is_told_where_it_is_steadied(start: Callable[[StatusOf], MetricsServer]) -> None:
    steady = ScaleCorrection(log=math.log(0.98), log_std=0.004, inliers=90, resets=3)
    series = scrape(start(lambda: (replace(STATUS, camera="front", steady=steady),)))
    assert value(series, "scale_correction_ratio") == pytest.approx(0.98)
    assert value(series, "scale_correction_inliers") == 90
    assert value(series, "scale_correction_resets_total") == 3
    series = scrape(start(lambda: (replace(STATUS, camera="front"),)))
    assert not any(name.startswith("depth_stream_scale_correction") for name, _ in series)
