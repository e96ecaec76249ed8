"""Who disturbs the view disturbs no pipeline and no other viewer: idle, deaf, impolite and random connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket

import aiohttp
import numpy as np
import psutil
import pytest

from sinks.view.sink import ViewSink
from sinks.view.viewer import IN_FLIGHT
from tests.sinks.view.scenes import showing
from tests.sinks.view.viewers import (
    SHOWN,
    connected,
    rate_of,
    shake_hands,
    viewer,
    written_to,
)

pytestmark = pytest.mark.alone


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
        SHOWN * 2,
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
                    await flooding.send_str(SHOWN)
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
