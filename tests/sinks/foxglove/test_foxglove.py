"""Foxglove's server, with a client that speaks its protocol and decodes messages by the schemas it is told."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from mcap.records import Schema
from mcap_ros2.decoder import DecoderFactory

from sinks import for_camera, open_sink
from sinks.foxglove.sink import FoxgloveSink
from stream.errors import ConfigError, SinkError
from stream.frame import DepthFrame, ScaleCorrection, SourceState
from tests.sinks.ros.test_mcap import read, scene
from tests.support.doubles import POSE, make_depth_frame, recaptured
from tests.support.outputs import record

ROOT = Path(__file__).parents[3]
DEPTH, INFO = "/camera/depth/image_raw", "/camera/depth/camera_info"


@contextmanager
def offered(options: str = "", *, host: str = "127.0.0.1") -> Iterator[FoxgloveSink]:
    sink = open_sink(f"foxglove://{host}:0{options}")
    assert isinstance(sink, FoxgloveSink)
    try:
        yield sink
    finally:
        sink.close()


class Client:
    """A viewer. It subscribes to whatever is advertised, and decodes by the schema that is advertised with it."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws
        self._decoders: dict[int, Any] = {}
        self.channels: dict[int, dict[str, Any]] = {}
        self.statuses: list[dict[str, Any]] = []
        self.gone: list[int] = []

    async def subscribed_to(self, topics: set[str]) -> None:
        """Wait until all of them are advertised, and subscribe."""
        while not topics <= self.topics:
            assert await self._next() is None
        wanted = [{"id": n, "channelId": n} for n, c in self.channels.items() if c["topic"] in topics]
        await self._ws.send_json({"op": "subscribe", "subscriptions": wanted})

    @property
    def topics(self) -> set[str]:
        return {channel["topic"] for channel in self.channels.values()}

    async def messages(self, count: int) -> list[tuple[str, int, Any]]:
        """The next so many: topic, time of logging, decoded message."""
        got: list[tuple[str, int, Any]] = []
        while len(got) < count:
            if (message := await self._next()) is not None:
                got.append(message)
        return got

    async def control(self) -> None:
        """Take one message that is not data."""
        assert await self._next() is None

    async def _next(self) -> tuple[str, int, Any] | None:
        message = await self._ws.receive(timeout=10)
        if message.type is aiohttp.WSMsgType.BINARY:
            opcode, subscription, log_time = struct.unpack_from("<BIQ", message.data)
            assert opcode == 1
            decode = self._decoders[subscription]
            return self.channels[subscription]["topic"], log_time, decode(message.data[13:])
        assert message.type is aiohttp.WSMsgType.TEXT, message
        told = json.loads(message.data)
        if told["op"] == "advertise":
            for channel in told["channels"]:
                self.channels[channel["id"]] = channel
                schema = Schema(0, channel["schema"].encode(), channel["schemaEncoding"], channel["schemaName"])
                self._decoders[channel["id"]] = DecoderFactory().decoder_for(channel["encoding"], schema)
        elif told["op"] == "unadvertise":
            self.gone += told["channelIds"]
        elif told["op"] == "status":
            self.statuses.append(told)
        return None


@asynccontextmanager
async def client_of(sink: FoxgloveSink) -> AsyncIterator[Client]:
    address = sink.name.removeprefix("foxglove://")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://{address}", protocols=["foxglove.sdk.v1"], max_msg_size=0) as ws,
    ):
        assert ws.protocol == "foxglove.sdk.v1"
        yield Client(ws)


async def until_subscribed(sink: FoxgloveSink, topics: set[str]) -> None:
    async with asyncio.timeout(10):
        while not all(sink._channels[topic].has_sinks() for topic in topics):
            await asyncio.sleep(0.01)


async def exchange(sink: FoxgloveSink, frames: list[DepthFrame], topics: set[str]) -> list[tuple[str, int, Any]]:
    """A client gets ``topics`` of all ``frames``; the first is written once more, before it subscribes."""
    async with client_of(sink) as client:
        sink.write(frames[0])
        await client.subscribed_to(topics)
        await until_subscribed(sink, topics)
        for frame in frames:
            sink.write(frame)
        return await client.messages(len(frames) * len(topics))


def test_a_client_gets_what_a_recording_has(tmp_path: Path) -> None:
    corrected = ScaleCorrection(log=0.125, log_std=0.01, inliers=12, resets=1)
    frames = [replace(scene(i), steady=corrected, odometry=POSE) for i in range(4)]
    record(f"{tmp_path}/a.mcap", frames)
    recorded = read(tmp_path / "a.mcap")
    with offered() as sink:
        got = asyncio.run(exchange(sink, frames, set(recorded)))
    assert {topic for topic, _, _ in got} == set(recorded)
    for topic, messages in recorded.items():
        live = [(log_time, message) for name, log_time, message in got if name == topic]
        assert len(live) == 4
        expected = messages * 4 if topic == "/tf_static" else messages
        for (log_time, message), (stored, decoded), frame in zip(live, expected, frames, strict=True):
            assert log_time == frame.capture.time_ns
            if topic != "/tf_static":
                assert log_time == stored.log_time
                assert str(message) == str(decoded)
    depths = [message for topic, _, message in got if topic == DEPTH]
    assert [bytes(m.data) for m in depths] == [f.depth.tobytes() for f in frames]  # NaN and Inf too
    assert depths[0].encoding == "32FC1"
    infos = [message for topic, _, message in got if topic == INFO]
    assert [np.reshape(m.k, (3, 3)).tolist() for m in infos] == [f.camera.matrix.tolist() for f in frames]
    jpeg = next(message for topic, _, message in got if topic.endswith("/compressed"))
    picture = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert frames[0].image is not None
    assert np.abs(picture[:, :, ::-1].astype(int) - frames[0].image).mean() < 2
    (moved,) = next(message for topic, _, message in got if topic == "/tf_static").transforms
    assert (moved.header.frame_id, moved.child_frame_id) == ("camera_link", "camera_optical_frame")


def test_schemas_are_those_of_the_recording(tmp_path: Path) -> None:
    from mcap.reader import make_reader

    record(f"{tmp_path}/a.mcap", [scene(0)])
    with (tmp_path / "a.mcap").open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    recorded = {
        c.topic: (c.message_encoding, s.name, s.encoding, s.data.decode())
        for c in summary.channels.values()
        for s in [summary.schemas[c.schema_id]]
    }

    async def advertised(sink: FoxgloveSink) -> dict[str, Any]:
        async with client_of(sink) as client:
            sink.write(scene(0))
            await client.subscribed_to(set(recorded))
            return {
                c["topic"]: (c["encoding"], c["schemaName"], c["schemaEncoding"], c["schema"])
                for c in client.channels.values()
            }

    with offered() as sink:
        assert asyncio.run(advertised(sink)) == recorded


def test_millimetres_and_the_raw_picture() -> None:
    topics = {"/front/depth/image_raw", "/front/color/image_raw"}
    with offered("?camera=front&encoding=16UC1&image=raw") as sink:
        got = {topic: message for topic, _, message in asyncio.run(exchange(sink, [scene(0)], topics))}
    depth = np.frombuffer(got["/front/depth/image_raw"].data, "<u2").reshape(48, 64)
    inside = (scene(0).depth > 0.001) & (scene(0).depth < 65.5)
    assert np.abs(depth / 1000 - scene(0).depth)[inside].max() <= 0.00051
    assert depth[0, :2].tolist() == [0, 0]  # NaN and Inf
    assert bytes(got["/front/color/image_raw"].data) == scene(0).image.tobytes()  # type: ignore[union-attr]


def test_two_cameras_share_a_server_which_ends_with_the_last() -> None:
    assert for_camera("foxglove:", "front", several=True) == "foxglove:?camera=front"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uri = f"foxglove://127.0.0.1:{port}?image=none"
    front, rear = (open_sink(f"{uri}&camera={name}") for name in ("front", "rear"))
    assert front.name == rear.name == f"foxglove://127.0.0.1:{port}"
    with pytest.raises(ConfigError, match="two cameras called front cannot be offered at one address"):
        open_sink(f"{uri}&camera=front")
    with pytest.raises(ConfigError, match="need the same hwm"):
        open_sink(f"{uri}&camera=third&hwm=5")

    async def watch() -> None:
        assert isinstance(rear, FoxgloveSink)
        async with client_of(rear) as client:
            for sink in (front, rear):
                sink.write(make_depth_frame())
            await client.subscribed_to({"/front/depth/image_rect", "/rear/depth/image_rect"})
            front.close()
            while len(client.gone) < 3:
                await client.control()
            gone = {client.channels[n]["topic"] for n in client.gone}
            assert gone == {"/tf_static", "/front/depth/image_rect", "/front/depth/camera_info"}

    asyncio.run(watch())
    rear.close()
    end = time.monotonic() + 10
    while True:  # the port is free again
        try:
            open_sink(uri).close()
            break
        except SinkError:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_what_happens_to_the_camera_is_told() -> None:
    async def watch(sink: FoxgloveSink) -> list[dict[str, Any]]:
        async with client_of(sink) as client:
            await client.control()  # its greeting
            told = (("stalled", "no picture for 5 s"), ("failed", ""), ("streaming", ""))
            for count, (state, reason) in enumerate(told, 1):
                sink.observe(
                    SourceState(camera="x", state=state, reason=reason, since_ns=time.monotonic_ns())  # type: ignore[arg-type]
                )
                while len(client.statuses) < count:  # the server keeps no order
                    await client.control()
            return client.statuses

    with offered("?camera=front") as sink:
        told = asyncio.run(watch(sink))
    assert [(t["level"], t["message"], t["id"]) for t in told] == [
        (1, "camera front is stalled: no picture for 5 s", "front"),
        (2, "camera front is failed", "front"),
        (0, "camera front is streaming", "front"),
    ]


def test_a_client_that_does_not_read_costs_nobody() -> None:
    """Its messages beyond ``hwm`` are lost to it alone, and the sink does not wait."""

    async def watch(sink: FoxgloveSink) -> None:
        frames = [scene(i, width=640, height=480) for i in range(4)]
        async with client_of(sink) as deaf, client_of(sink) as client:
            sink.write(frames[0])
            for one in (deaf, client):
                await one.subscribed_to({DEPTH})
            await until_subscribed(sink, {DEPTH})
            await asyncio.sleep(0.1)  # both
            slowest = 0.0
            for index in range(200):
                frame = recaptured(frames[index % 4], time_ns=index * 10**6)
                began = time.monotonic()
                sink.write(frame)
                slowest = max(slowest, time.monotonic() - began)
                ((_, log_time, _),) = await client.messages(1)
                assert log_time == index * 10**6
            assert slowest < 2
            seen = [log_time // 10**6 for _, log_time, _ in await deaf.messages(3)]
            assert seen[0] < 3  # what the system's buffers hold
            last = seen[-1]
            while last < 199:
                ((_, log_time, _),) = await deaf.messages(1)
                seen.append(last := log_time // 10**6)
            assert len(seen) < 100

    with offered("?image=none&hwm=8") as sink:
        asyncio.run(watch(sink))


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("foxglove://*:8765", "0.0.0.0:8765 can be reached from the network, and viewers need no key; say insecure=1"),
        ("foxglove://192.0.2.1", "192.0.2.1:8765 can be reached from the network"),
        ("foxglove:8765", "foxglove:8765 is no address; write foxglove: or foxglove://127.0.0.1:8765"),
        ("foxglove://127.0.0.1:99999", "foxglove://127.0.0.1:99999: there is no port above 65535; write foxglove:"),
        ("foxglove:?hwm=0", "hwm must be from 1 to 10000 messages, not 0"),
        ("foxglove:?camera=a.b", "camera must be letters, digits and single underscores"),
        ("foxglove:?compress=zstd", "unknown option 'compress'"),
    ],
)
def test_wrong_addresses_and_options_are_refused(uri: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_sink(uri)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_address_that_cannot_be_had_is_one_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SinkError) as error:
            open_sink(f"foxglove://127.0.0.1:{port}")
    assert str(error.value) == (
        f"depth cannot be offered on 127.0.0.1:{port} (Address already in use); give another port, as in "
        "foxglove://127.0.0.1:8766"
    )
    with pytest.raises(SinkError, match=r"192\.0\.2\.1:8765 \(Cannot assign requested address\)"):
        open_sink("foxglove://192.0.2.1?insecure=1")


def test_others_may_look_in_where_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with offered("?insecure=1", host="*") as sink:
        assert sink.name.startswith("foxglove://0.0.0.0:")
    assert "can be reached from the network, and depth is sent without encryption" in caplog.text


@pytest.mark.parametrize("package", ["foxglove", "rosbags"])
def test_a_missing_package_is_told_before_work_starts(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from sinks import open_sink; open_sink('foxglove:')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert f"foxglove: needs the Python packages foxglove-sdk and rosbags (no {package}" in done.stderr
    assert "pip install -e '.[foxglove]'" in done.stderr
