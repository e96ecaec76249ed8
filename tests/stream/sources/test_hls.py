"""Live HLS: segments of a second, handed on at the rate at which they were filmed."""

from __future__ import annotations

import functools
import http.server
import itertools
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stream.sources import SourceConfig, open_source
from stream.sources.pacer import Pacer
from tests.support import media

RATE = 20


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def live_hls(tmp_path: Path) -> Iterator[str]:
    """The address of a stream that is encoded while it is watched."""
    ended = threading.Event()

    def film() -> None:
        options = {"hls_time": "1", "hls_list_size": "4", "hls_flags": "delete_segments"}
        with av.open(str(tmp_path / "live.m3u8"), "w", format="hls", options=options) as out:
            stream = out.add_stream("libx264", rate=RATE, options={"g": str(RATE), "tune": "zerolatency"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            began = time.monotonic()
            for n in itertools.count():
                if ended.wait(max(began + n / RATE - time.monotonic(), 0)):
                    return
                picture = media.video_frame(media.numbered(n % 30), "yuv420p")
                picture.pts, picture.time_base = n, Fraction(1, RATE)
                out.mux(stream.encode(picture))

    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threads = [threading.Thread(target=film), threading.Thread(target=server.serve_forever, args=(0.01,))]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob("live1.ts")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"http://127.0.0.1:{server.server_address[1]}/live.m3u8"
        ended.set()
        server.shutdown()
        for thread in threads:
            thread.join()


def test_segments_are_spread_over_the_time_in_which_they_were_filmed(live_hls: str) -> None:
    source = open_source(live_hls, config=SourceConfig())
    assert source.info.live
    taken, arrived = [], []
    for frame in itertools.islice(source, 6 * RATE):
        taken.append(float((frame.capture.pts or 0) * frame.capture.time_base))
        arrived.append(time.monotonic())
    source.close()
    steps = np.diff(taken) * RATE
    assert (steps.round() == 1).mean() > 0.95  # every frame, but where a late segment was joined
    assert (steps > 0).all()
    gaps = np.diff(arrived[RATE:]) * RATE
    assert np.median(gaps) == pytest.approx(1, abs=0.3)
    assert (gaps < 0.2).mean() < 0.2  # not in bursts


def packet(n: int, seconds: float) -> av.Packet[av.VideoStream]:
    made: av.Packet[av.VideoStream] = av.Packet(b"x")
    made.pts = made.dts = n * 90_000 + round(seconds * 90_000)
    made.time_base = Fraction(1, 90_000)
    return made


def test_a_late_segment_puts_off_what_follows_once() -> None:
    pacer = Pacer()
    assert pacer.wait_s(packet(5, 0), 100.0) == 0
    assert pacer.wait_s(packet(5, 0.5), 100.0) == pytest.approx(0.5)
    assert pacer.wait_s(packet(6, 0), 101.4) == 0  # 0.4 s late
    assert pacer.wait_s(packet(6, 0.5), 101.4) == pytest.approx(0.5)
    assert pacer.wait_s(packet(7, 0), 102.2) == pytest.approx(0.2)
    assert not pacer.is_behind
    assert pacer.wait_s(packet(8, 0), 115.0) == 0
    assert pacer.is_behind


def test_timestamps_that_begin_anew_are_followed() -> None:
    pacer = Pacer()
    pacer.wait_s(packet(1000, 0), 10.0)
    assert pacer.wait_s(packet(0, 0), 10.04) == 0
    assert pacer.wait_s(packet(0, 0.04), 10.04) == pytest.approx(0.04)
    assert not pacer.is_behind
