"""Motion JPEG over HTTP, as small cameras send it: pictures one behind the other, and nothing about time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from stream.frame import SourceState
from stream.sources import SourceConfig, open_source

Script = list[tuple[float, int]]
"""Seconds to wait before each picture, and its number."""

_HEADER = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=next\r\n\r\n"


def _part(number: int) -> bytes:
    _, jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 8 * number, np.uint8))
    data = jpeg.tobytes()
    return b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(data), data)


@pytest.fixture
def serve() -> Iterator[Callable[[Script], str]]:
    """Starts a camera that sends to whoever connects; returns its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def run(script: Script) -> None:
            while not ended.is_set():
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(65536)
                    try:
                        peer.sendall(_HEADER)
                        for wait_s, number in script:
                            if ended.wait(wait_s):
                                return
                            peer.sendall(_part(number))
                    except OSError:
                        continue

        threads: list[threading.Thread] = []

        def start(script: Script) -> str:
            threads.append(threading.Thread(target=run, args=(script,)))
            threads[-1].start()
            return f"http://127.0.0.1:{server.getsockname()[1]}/"

        yield start
        ended.set()
        server.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def seen(url: str, last: int, **config: float) -> tuple[list[int], list[str]]:
    """Numbers of the pictures up to ``last``, and the states of the source meanwhile."""
    source = open_source(url, config=SourceConfig(**config))  # type: ignore[arg-type]
    states: list[str] = []

    def listen(state: SourceState) -> None:
        states.append(state.state)

    source.listen(listen)  # type: ignore[attr-defined]
    numbers: list[int] = []
    for frame in source:
        assert frame.capture.late_ns == 0
        numbers.append(round(float(frame.planes[0].mean()) / 8))
        if numbers[-1] == last:
            break
    source.close()
    return numbers, states


def test_a_camera_of_few_pictures_a_second_is_not_late(serve: Callable[[Script], str]) -> None:
    """FFmpeg makes up times for it, 25 a second: by them it would be 4 s behind in the end."""
    numbers, states = seen(serve([(0.25, n) for n in range(24)]), 18)
    assert numbers == list(range(numbers[0], 19))
    assert "reconnecting" not in states


def test_what_waited_in_a_frozen_server_is_skipped(serve: Callable[[Script], str]) -> None:
    before, burst, after = ([(0.1, n) for n in range(5)], [(0.0, n) for n in range(6, 25)], [(0.2, 25), (0.2, 26)])
    numbers, states = seen(serve([*before, (1.2, 5), *burst, *after]), 26, max_age_s=0.6)
    assert numbers == sorted(set(numbers))
    assert numbers[-3:] == [24, 25, 26]
    assert sum(5 <= n < 24 for n in numbers) < 4  # none, unless this machine stands still meanwhile
    assert "reconnecting" not in states
