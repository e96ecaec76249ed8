"""The server, with viewers that are programs: what they get, who is let in, and who cannot disturb."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import aiohttp
import cv2
import numpy as np
import psutil
import pytest

from sinks import for_camera, open_sink
from sinks.depth_codes import DepthCodes
from sinks.view.message import encode
from sinks.view.sink import ViewSink
from sinks.view.viewer import IN_FLIGHT, Pace
from stream.errors import ConfigError, SinkError
from stream.frame import SourceState
from tests.sinks.view.scenes import HEIGHT, WIDTH, address_of, frame_of, showing, slope

_LOG = DepthCodes(encoding="log")
_SHOWN = '{"type": "shown"}'
_TOKEN = "aPretendedSecret0123"


def taken_apart(message: bytes) -> tuple[dict[str, object], np.ndarray, bytes]:
    magic, header, depth, picture = struct.unpack_from("<4sIII", message)
    assert magic == b"DPV1"
    assert len(message) == 16 + header + depth + picture
    assert (16 + header) % 8 == 0
    about = json.loads(message[16 : 16 + header])
    codes = np.frombuffer(message, "<u2", depth // 2, 16 + header).reshape(about["height"], about["width"])
    return about, codes, message[16 + header + depth :]


@asynccontextmanager
async def viewer(sink: ViewSink, **headers: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session:
        link = sink.link.partition("#")[0]
        async with session.ws_connect(
            f"{link}live", protocols=["depth-pro-stream.view.1"], headers=headers, max_msg_size=0
        ) as ws:
            yield ws


async def next_frame(ws: aiohttp.ClientWebSocketResponse) -> tuple[dict[str, object], np.ndarray, bytes]:
    async with asyncio.timeout(10):
        while True:
            message = await ws.receive()
            assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
            if message.type is aiohttp.WSMsgType.BINARY:
                return taken_apart(message.data)


async def next_status(ws: aiohttp.ClientWebSocketResponse) -> dict[str, object]:
    async with asyncio.timeout(10):
        while True:
            message = await ws.receive()
            if message.type is aiohttp.WSMsgType.TEXT and (told := json.loads(message.data))["type"] == "status":
                return told


@contextmanager
def written_to(sink: ViewSink, rate: float = 30.0, width: int = WIDTH, height: int = HEIGHT) -> Iterator[list[float]]:
    """Writes frames all the time, as a pipeline does. Gives how long each write took, in seconds."""
    over = threading.Event()
    took: list[float] = []
    depth = slope(width, height)
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)

    def write() -> None:
        for index in itertools.count():
            frame = frame_of(index, depth, image=picture)
            before = time.monotonic()
            sink.write(frame)
            took.append(time.monotonic() - before)
            if over.wait(1 / rate):
                return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield took
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("view:8080", "write view: or view://127.0.0.1:8080"),
        ("view://127.0.0.1:99999", "write view: or"),
        ("view:?token=short", "16 to 128"),
        ("view:?token=", "16 to 128"),
        ("view:?viewers=0", "from 1 to"),
        ("view:?min=5&max=2", "depth range"),
        ("view:?encoding=png", "log, mm"),
        ("view:?quality=0", "from 1 to 100"),
        ("view:?camera=a/b", "letters, digits"),
        (f"view:?token={_TOKEN}&colour=x", "unknown option 'colour'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line_without_the_token(uri: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_sink(uri)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert _TOKEN not in str(refused.value)


def test_without_its_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("sinks.view.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigError, match=r"pip install '\.\[view\]'"):
        open_sink("view:")


def test_an_address_in_use_and_one_that_is_not_ours() -> None:
    with showing() as sink:
        _, port = address_of(sink)
        with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(SinkError, match="another port"):
            open_sink(f"view://127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(ConfigError, match="two cameras called"):
            open_sink(f"view://{sink.name.removeprefix('view://').replace(str(port), '0')}")
        with pytest.raises(ConfigError, match="same options"):
            open_sink("view://127.0.0.1:0?camera=b&viewers=2")
    with pytest.raises(SinkError, match="another port"):
        open_sink("view://192.0.2.1:8080")
    assert for_camera("view:", "front", several=True) == "view:?camera=front"


def test_another_interface_gets_a_token_which_is_shown_once_and_not_logged(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with showing(address="0.0.0.0:0") as sink:
        secret = sink.link.partition("#token=")[2]
        assert len(secret) >= 20
        assert capsys.readouterr().err.count(secret) == 1
        assert secret not in caplog.text
        assert secret not in sink.name

        async def look() -> list[int]:
            _, port = address_of(sink)
            found = []
            async with aiohttp.ClientSession() as session:
                for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {secret}"}):
                    for name in ("enter", "live"):
                        async with session.get(f"http://127.0.0.1:{port}/{name}", headers=headers) as answer:
                            found.append(answer.status)
                            await answer.read()
            return found

        assert asyncio.run(look()) == [401, 401, 401, 401, 204, 426]
        assert secret not in caplog.text


def test_names_and_pages_of_others_are_refused_and_no_file_but_the_page_is_there() -> None:
    async def look(sink: ViewSink, path: str, **headers: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session:
            url = f"{sink.link}{path}"
            async with session.get(aiohttp.client.URL(url, encoded=True), headers=headers) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert answer.headers["X-Frame-Options"] == "DENY"
                return answer.status, await answer.text()

    async def all_of_it() -> None:
        with showing("?hosts=depth.example&origins=https://ar.example") as sink:
            _, port = address_of(sink)
            for host in ("127.0.0.1", f"localhost:{port}", f"[::1]:{port}", "depth.example", "127.0.0.1:1"):
                assert (await look(sink, "enter", Host=host))[0] == 204, host
            for host in (
                "evil.example",
                "192.0.2.7",
                "localhost.evil.example",
                "",
                "a@127.0.0.1",
                "127.0.0.1:x",
                "[::1",
            ):
                assert (await look(sink, "", Host=host))[0] == 403, host
            for origin in (f"http://127.0.0.1:{port}", f"https://127.0.0.1:{port}", "https://ar.example"):
                assert (await look(sink, "enter", Origin=origin))[0] == 204, origin
            for origin in ("http://127.0.0.1:1", "null", "https://evil.example", "https://ar.example.evil.example"):
                assert (await look(sink, "enter", Origin=origin))[0] == 403, origin
            for path in (
                "../sink.py",
                "%2e%2e/sink.py",
                "three/../../sink.py",
                "..%2fsink.py",
                "page/index.html",
                "/etc/passwd",
            ):
                status, text = await look(sink, path)
                assert (status, text) == (404, "there is no such page\n"), path

    asyncio.run(all_of_it())


def test_what_a_viewer_gets_of_a_frame() -> None:
    async def all_of_it() -> None:
        depth = slope()
        with showing() as sink:
            sink.write(frame_of(3, depth, grey=77, scene_cut=True, dropped=2))
            async with viewer(sink) as ws:
                hello = json.loads(await ws.receive_str())
                assert (hello["type"], hello["cameras"], hello["max_m"]) == ("hello", ["camera"], 50)
                about, codes, picture = await next_frame(ws)
                assert np.array_equal(codes, _LOG.encode(depth))
                assert np.abs(cv2.imdecode(np.frombuffer(picture, np.uint8), 1).astype(int) - 77).max() <= 1
                assert (about["index"], about["sequence"], about["level"], about["scene_cut"]) == (3, 0, 0, True)
                await ws.send_str('{"type": "clock", "sent": 12.5}')
                answer = json.loads(await ws.receive_str())
                assert answer["sent"] == 12.5
                assert abs(answer["monotonic_ns"] - time.monotonic_ns()) < 5e9
                sink.observe(
                    SourceState(camera="camera", state="stalled", reason="dark", since_ns=0, clock_offset_s=2.0)
                )
                while (status := await next_status(ws))["source"] is None:
                    pass
                assert status["source"] == {
                    "state": "stalled",
                    "reason": "dark",
                    "attempt": 0,
                    "reconnects": 0,
                    "clock_offset_s": 2.0,
                }
                assert (status["dropped"], status["scene_cuts"], status["published"]) == (2, 1, 1)
                sink.write(frame_of(9, depth, dropped=4))  # two lost before the network, three behind it
                while (status := await next_status(ws))["published"] == 1:
                    pass
                assert (status["dropped"], status["lost_in_queue"]) == (4, 3)

    asyncio.run(all_of_it())


def test_smaller_sizes_are_single_pixels_with_the_camera_that_belongs_to_them() -> None:
    depth = slope(150, 90)
    message = encode(
        frame_of(0, depth), DepthCodes(encoding="mm"), camera="c", sequence=0, level=1, quality=80, taken_ns=1
    )
    about, codes, _ = taken_apart(message)
    assert (about["width"], about["height"], about["encoding"]) == (75, 45, "mm")
    assert np.isin(codes, DepthCodes(encoding="mm").encode(depth)).all()
    expected = frame_of(0, depth).camera.resized(75, 45).matrix.ravel().tolist()
    assert about["K"] == pytest.approx(expected)
    tiny = encode(frame_of(0, slope(40, 30)), _LOG, camera="c", sequence=0, level=3, quality=80, taken_ns=1)
    assert taken_apart(tiny)[0]["width"] == 40


def test_a_viewer_that_pauses_steps_and_chooses() -> None:
    async def all_of_it() -> None:
        with showing() as sink:
            async with viewer(sink) as ws:
                await ws.send_str('{"type": "watch", "cameras": null, "level": 1, "paused": true}')
                await ws.send_str('{"type": "clock", "sent": 0}')
                while json.loads(await ws.receive_str())["type"] != "clock":
                    pass
                for index in range(3):
                    sink.write(frame_of(index, slope()))
                await ws.send_str('{"type": "step"}')
                about, _, _ = await next_frame(ws)
                assert (about["index"], about["width"]) == (2, WIDTH // 2)  # the newest one, in half the size
                sink.write(frame_of(3, slope()))
                assert (await next_status(ws))["viewer"]["dropped"] == 0  # type: ignore[index]
                await ws.send_str('{"type": "watch", "cameras": null, "level": 0, "paused": false}')
                about, _, _ = await next_frame(ws)
                assert (about["index"], about["width"]) == (3, WIDTH)

    asyncio.run(all_of_it())


def test_a_known_distance_reaches_the_run_where_that_lets_viewers() -> None:
    asked: list[tuple[object, ...]] = []

    async def ask(sink: ViewSink, **known: object) -> str:
        async with viewer(sink) as ws:
            await ws.send_str(json.dumps({"type": "calibrate", "camera": "camera", **known}))
            await ws.send_str('{"type": "clock", "sent": 0}')
            while json.loads(await ws.receive_str())["type"] != "clock":
                pass
            return str((await next_status(ws))["calibration"])

    async def all_of_it() -> None:
        with showing("?calibrate=yes") as sink:
            sink.calibrate_by(lambda *known: (asked.append(known[:3]), known[3]("done")))
            assert await ask(sink, x=3, y=4, metres=1.5) == "done"
            for wrong in (
                {},
                {"x": -1, "y": 0, "metres": 1},
                {"x": 1.5, "y": 0, "metres": 1},
                {"x": True, "y": 0, "metres": 1},
            ):
                assert "not measured" in await ask(sink, **wrong)
            for metres in (0, -1, 1e9, "1", float("nan")):
                assert "not measured" in await ask(sink, x=1, y=1, metres=metres)
            assert asked == [(3, 4, 1.5)]
        with showing() as sink:
            assert (sink.calibrates, await ask(sink, x=3, y=4, metres=1.5)) == (False, "")

    asyncio.run(all_of_it())


def test_pace_follows_what_a_viewer_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pace = Pace()

    def show(took: float, seconds: float) -> None:
        for _ in range(int(seconds / 0.25)):
            now[0] += 0.25
            pace.shown(took)

    show(0.05, 10)
    assert pace.level == 0
    show(1.5, 10)
    assert pace.level == 3  # and no smaller
    show(0.05, 15)
    assert pace.level == 0
    levels = []
    for _ in range(400):  # the full size is too much, half of it is not
        now[0] += 0.25
        pace.shown(0.9 if pace.level == 0 else 0.05)
        levels.append(pace.level)
    assert levels.count(0) < 40
    assert max(levels) == 1


def test_as_many_viewers_as_may() -> None:
    async def all_of_it() -> None:
        with showing("?viewers=2") as sink:
            async with viewer(sink), viewer(sink):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    async with viewer(sink):
                        pass
                assert refused.value.status == 503
            sink.write(frame_of(0, slope()))
            for _ in range(100):  # a place is free once the server has noticed
                with contextlib.suppress(aiohttp.WSServerHandshakeError):
                    async with viewer(sink) as ws:
                        await next_frame(ws)
                        return
                await asyncio.sleep(0.02)
            raise AssertionError("no place became free")

    asyncio.run(all_of_it())


async def rate_of(sink: ViewSink, seconds: float) -> float:
    """Frames a second of a viewer that does what it should."""
    async with viewer(sink) as ws:
        await next_frame(ws)
        await ws.send_str(_SHOWN)
        began, count = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            await next_frame(ws)
            await ws.send_str(_SHOWN)
            count += 1
        return count / (time.monotonic() - began)


def connected(sink: ViewSink) -> socket.socket:
    return socket.create_connection(address_of(sink), timeout=5)


def shake_hands(sink: ViewSink, connection: socket.socket) -> None:
    host, port = address_of(sink)
    connection.sendall(
        f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert connection.recv(12) == b"HTTP/1.1 101"


def test_hundreds_of_idle_connections_a_viewer_that_never_reads_and_the_pipeline_does_not_notice() -> None:
    with showing() as sink, written_to(sink, width=640, height=360) as took, contextlib.ExitStack() as stack:
        before = asyncio.run(rate_of(sink, 1.0))
        quiet = list(took)
        for i in range(500):  # half of them say the beginning of something
            connection = stack.enter_context(connected(sink))
            if i % 2:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: 127")
        for _ in range(3):
            deaf = stack.enter_context(connected(sink))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            shake_hands(sink, deaf)
        memory = psutil.Process().memory_info().rss
        under = asyncio.run(rate_of(sink, 1.5))
        grown = psutil.Process().memory_info().rss - memory
        assert under > 0.5 * before, (before, under)
        assert np.median(took[len(quiet) :]) < 5 * np.median(quiet) + 1e-4
        assert grown < 40e6


def test_idle_connections_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.view.door._REQUEST_S", 0.2)
    with showing() as sink, connected(sink) as idle, connected(sink) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        for connection in (idle, slow):
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_a_viewer_that_shows_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.view.viewer._PATIENCE_S", 0.3)

    async def count() -> int:
        frames = 0
        async with viewer(sink) as ws, asyncio.timeout(10):
            async for message in ws:
                frames += message.type is aiohttp.WSMsgType.BINARY
        return frames

    with showing() as sink, written_to(sink):
        assert asyncio.run(count()) == IN_FLIGHT


@pytest.mark.parametrize(("clock", "offset_s"), [("host-monotonic", 0), ("camera-rtcp", 0), ("camera-rtcp", 3600.0)])
def test_age_counts_from_capture_on_any_clock(clock: str, offset_s: float) -> None:
    async def age() -> float:
        now = time.monotonic_ns() if clock == "host-monotonic" else time.time_ns() + round(offset_s * 1e9)
        frame = frame_of(0, slope())
        capture = replace(frame.capture, clock=clock, time_ns=now - 500_000_000)  # half a second ago
        with showing() as sink:
            sink.observe(SourceState(camera="camera", state="streaming", since_ns=0, clock_offset_s=offset_s))
            sink.write(replace(frame, capture=capture))
            async with viewer(sink) as ws:
                about, _, _ = await next_frame(ws)
                return (time.monotonic_ns() - int(about["taken_ns"])) * 1e-9  # type: ignore[call-overload]

    assert 0.5 <= asyncio.run(age()) < 1.5


def test_handshakes_and_messages_of_any_kind_disturb_nobody(caplog: pytest.LogCaptureFixture) -> None:
    dice = random.Random(16)
    words = [b"GET ", b"/live ", b"HTTP/1.1\r\n", b"Host: 127.0.0.1\r\n", b"Upgrade: websocket\r\n", b"\r\n", b"\0" * 9]
    words += [b"Sec-WebSocket-Key: x\r\n", b"Connection: Upgrade\r\n", b"Sec-WebSocket-Version: 13\r\n", b"\xff\xfe"]
    words += [b"Authorization: Bearer \xff\xfe\r\n", b"Origin: \xff\r\n"]
    words += [b"Transfer-Encoding: chunked\r\n", b"Content-Length: 99999999999\r\n", b"A: " + b"b" * 9000 + b"\r\n"]
    texts = [
        "",
        "[]",
        "{",
        "null",
        "1e999",
        "[" * 1000,
        '{"type": 1}',
        '{"type": "clock", "sent": "x"}',
        '{"type": "step"}',
    ]
    texts += [
        '{"type": "watch", "cameras": [[1], {}, null], "level": 1e9}',
        '{"type": "watch", "cameras": 3}',
        _SHOWN * 2,
    ]
    texts += [
        '{"type": "clock", "sent": NaN}',
        "é" * 900,
        "x" * 100_000,
        '{"type": "shown"}',
        '{"type": "clock", "sent": true}',
    ]

    async def talk(sink: ViewSink) -> None:
        for text in texts:
            async with viewer(sink) as ws:
                with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                    await (ws.send_str(text) if dice.random() < 0.8 else ws.send_bytes(text.encode()))
        async with viewer(sink) as flooding:
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                for _ in range(1000):
                    await flooding.send_str(_SHOWN)
            async with asyncio.timeout(10):
                while not (await flooding.receive()).type & aiohttp.WSMsgType.CLOSED:
                    pass

    with showing() as sink, written_to(sink):
        for _ in range(150):
            with connected(sink) as connection, contextlib.suppress(OSError):
                connection.sendall(b"".join(dice.choices(words, k=dice.randrange(1, 12))))
        for _ in range(20):
            with connected(sink) as connection, contextlib.suppress(OSError):
                shake_hands(sink, connection)
                connection.sendall(dice.randbytes(dice.randrange(1, 400)))
        asyncio.run(talk(sink))
        assert asyncio.run(rate_of(sink, 0.5)) > 5
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
