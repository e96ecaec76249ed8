"""Viewers that are programs, and a pipeline that writes for them."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import numpy as np

from sinks.view.sink import ViewSink
from tests.sinks.view.scenes import HEIGHT, WIDTH, address_of, frame_of, slope

SHOWN = '{"type": "shown"}'


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


async def rate_of(sink: ViewSink, seconds: float) -> float:
    """Frames a second of a viewer that does what it should."""
    async with viewer(sink) as ws:
        await next_frame(ws)
        await ws.send_str(SHOWN)
        began, count = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            await next_frame(ws)
            await ws.send_str(SHOWN)
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
