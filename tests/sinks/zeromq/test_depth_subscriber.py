"""Publisher and subscriber together, over real sockets and, where it matters, in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
import zmq
import zstandard

from sinks.zeromq.depth_subscriber import DepthMessage, DepthSubscriber, DepthTimeout, Keys, ProtocolError
from sinks.zeromq.message import MessageOptions, MessageWriter
from sinks.zeromq.sink import ZmqOptions, ZmqSink
from stream.errors import SinkError
from stream.frame import CameraIntrinsics, DepthFrame
from tests.support.doubles import make_depth_frame, recaptured
from tests.support.process import ROOT

ANYWHERE = "tcp://127.0.0.1:*"


def scene(index: int = 1, *, width: int = 64, height: int = 48) -> DepthFrame:
    """Depth of all kinds, with both codes, and the picture it belongs to."""
    rng = np.random.default_rng(index)
    depth = rng.uniform(0.3, 60, (height, width)).astype(np.float32)
    depth[0, :4] = math.nan, math.inf, 65.5, 0.0004
    image = cv2.resize(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    frame = make_depth_frame(index, width=width, height=height)
    return replace(frame, depth=depth, image=np.asarray(image, np.uint8))


def exchange(
    frames: list[DepthFrame], options: ZmqOptions | None = None, **receiving: Any
) -> tuple[list[DepthMessage], dict[str, Any] | None]:
    """What a subscriber receives of ``frames``, and the status it has seen."""
    sink = ZmqSink(ANYWHERE, options)
    camera = (options or ZmqOptions()).camera
    with DepthSubscriber(sink.endpoint, camera=camera, **receiving) as depths:
        join(sink, depths)
        received = []
        for frame in frames:
            sink.write(frame)
            received.append(depths.receive())
        sink.close()
    return received, depths.status


def join(sink: ZmqSink, depths: DepthSubscriber) -> None:
    """Publish until the subscriber gets something, and then all of it: subscribing takes time nobody can know."""
    for _ in range(200):
        sink.write(scene(0))
        try:
            got = depths.latest(0.05)
        except DepthTimeout:
            continue
        while got.header["sequence"] + 1 < sink._sequence:  # the one before was only late
            got = depths.receive()
        return
    raise AssertionError("the subscriber never got anything")


# What arrives ---------------------------------------------------------------------------------------------------------


def test_who_expects_conflation_survives_messages_of_several_parts() -> None:
    """ZeroMQ would abort the process, so the client does not ask it to conflate."""
    sink = ZmqSink(ANYWHERE)
    with DepthSubscriber(sink.endpoint, conflate=True) as depths:
        join(sink, depths)
    sink.close()


def test_who_does_not_expect_conflation_is_told() -> None:
    sink = ZmqSink(ANYWHERE, ZmqOptions(conflate=True))
    with DepthSubscriber(sink.endpoint) as depths:
        until = time.monotonic() + 20
        for state in ("starting", "streaming"):
            while depths.status is None or depths.status["state"] != state:
                assert time.monotonic() < until
                with suppress(DepthTimeout):
                    depths.receive(0.1)
            sink.write(scene(0))
        with pytest.raises(DepthTimeout, match="say conflate=True here"):
            depths.receive(0.5)
    sink.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("K", [1.0]),
        ("K", "wide"),
        ("K", [True] * 9),
        ("published_ns", None),
        ("depth_unit", "x"),
        ("byte_order", "big"),
        ("sequence", -1),
        ("sequence", 1.5),
        ("session", [1]),
        ("width", "64"),
        ("capture_time_ns", None),
        ("rectified", "yes"),
        ("no_estimate", [0]),
        ("type", "foo"),
        ("K", [0.5] * 1_000_000),
    ],
)
def test_a_header_that_cannot_be_is_refused_where_it_arrives(field: str, value: object) -> None:
    parts = MessageWriter(MessageOptions(), "a" * 32).parts(scene(), sequence=3, retried_frames=0)
    header = {**json.loads(bytes(parts[1])), field: value}
    with zmq.Context() as context, context.socket(zmq.PUSH) as stranger:
        port = stranger.bind_to_random_port("tcp://127.0.0.1")
        with DepthSubscriber(f"tcp://127.0.0.1:{port}", pattern="pull") as depths:
            stranger.send_multipart([parts[0], json.dumps(header).encode(), parts[2]])
            with pytest.raises(ProtocolError, match=f"a message came whose .*{field} is") as error:
                depths.receive(10)
            assert len(str(error.value)) < 200
            stranger.send_multipart(parts)
            assert depths.receive(10).depth.shape == (48, 64)


def test_what_is_larger_or_smaller_than_it_says_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 20))
    monkeypatch.setattr(zstandard, "ZstdDecompressor", lambda: pytest.fail("it was decompressed"))
    bytes_as_pixels = cv2.imencode(".png", np.zeros((48, 128), np.uint8))[1].tobytes()
    parts = MessageWriter(MessageOptions(encoding="16UC1"), "a" * 32).parts(scene(), sequence=3, retried_frames=0)
    with zmq.Context() as context, context.socket(zmq.PUSH) as stranger:
        port = stranger.bind_to_random_port("tcp://127.0.0.1")
        with DepthSubscriber(f"tcp://127.0.0.1:{port}", pattern="pull") as depths:
            for compression, data in (("zstd", bomb), ("png", bytes_as_pixels)):
                header = {**json.loads(bytes(parts[1])), "compression": compression}
                stranger.send_multipart([parts[0], json.dumps(header).encode(), data])
                with pytest.raises(ProtocolError, match="not as large as its header says"):
                    depths.receive(10)


@pytest.mark.parametrize("compress", ["none", "zstd"])
@pytest.mark.parametrize("conflate", [False, True])
def test_metres_arrive_bit_by_bit(compress: Any, conflate: bool) -> None:
    frame = scene()
    (got,), _ = exchange([frame], ZmqOptions(compress=compress, conflate=conflate), conflate=conflate)
    assert got.depth.tobytes() == frame.depth.tobytes()
    assert got.values.base is not None  # a view of what was received
    np.testing.assert_array_equal(got.K, frame.camera.matrix)
    assert (got.lost, got.restarted) == (0, False)
    header = got.header
    assert (header["index"], header["frame_id"], header["focal"]["source"]) == (1, "camera_optical_frame", "estimated")
    assert header["received_ns"] <= header["inferred_ns"] <= header["published_ns"]
    assert 0 < got.age() < 10


@pytest.mark.parametrize("compress", ["none", "zstd", "png"])
def test_millimetres_are_lossless_and_keep_the_codes(compress: Any) -> None:
    frame = scene()
    (got,), _ = exchange([frame], ZmqOptions(encoding="16UC1", compress=compress))
    assert got.values.dtype == np.uint16
    assert got.values[0, :4].tolist() == [0, 65535, 65500, 1]
    assert math.isnan(got.depth[0, 0])
    assert math.isinf(got.depth[0, 1])
    np.testing.assert_allclose(got.depth[1:], frame.depth[1:], atol=0.00051)


def test_the_picture_comes_with_its_depth() -> None:
    frame = scene()
    assert frame.image is not None
    (raw,), _ = exchange([frame], ZmqOptions(image="raw"))
    assert isinstance(raw.image, np.ndarray)
    np.testing.assert_array_equal(raw.image, frame.image)
    (jpeg,), _ = exchange([frame], ZmqOptions(image="jpeg", quality=95))
    assert isinstance(jpeg.image, bytes)
    picture = cv2.imdecode(np.frombuffer(jpeg.image, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(picture.astype(int) - frame.image).mean() < 4
    (packed,), _ = exchange([frame], ZmqOptions(image="raw", conflate=True), conflate=True)
    np.testing.assert_array_equal(packed.image, frame.image)  # type: ignore[arg-type]
    np.testing.assert_array_equal(packed.depth, frame.depth)


def test_a_frame_without_picture_cannot_be_sent_with_one() -> None:
    sink = ZmqSink(ANYWHERE, ZmqOptions(image="jpeg"))
    assert sink.needs_image
    with pytest.raises(SinkError, match="comes without its picture"):
        sink.write(make_depth_frame())
    sink.close()


def test_depth_is_resized_without_inventing_any_and_k_follows() -> None:
    frame = replace(scene(), camera=CameraIntrinsics(fx=80, fy=70, cx=30.5, cy=20.5, width=64, height=48))
    (got,), _ = exchange([frame], ZmqOptions(size="32x24", max_depth=20))
    assert got.depth.shape == (24, 32)
    known = set(frame.depth[frame.depth <= 20].tolist())
    assert set(got.depth[np.isfinite(got.depth)].tolist()) <= known
    assert np.isposinf(got.depth).any()
    np.testing.assert_allclose(got.K, frame.camera.resized(32, 24).matrix)
    assert (got.header["source_width"], got.header["source_height"]) == (64, 48)


def test_points_are_where_the_camera_sees_them() -> None:
    camera = CameraIntrinsics(fx=50, fy=40, cx=3, cy=2, width=8, height=6)
    depth = np.full((6, 8), np.nan, np.float32)
    depth[2, 3], depth[2, 5], depth[4, 3], depth[0, 0] = 2.0, 2.0, 3.0, np.inf
    (got,), _ = exchange([replace(make_depth_frame(1), depth=depth, camera=camera)])
    np.testing.assert_allclose(got.points(), [[0, 0, 2], [2 / 50 * 2, 0, 2], [0, 2 / 40 * 3, 3]], rtol=1e-6)


def test_points_of_a_distorted_picture_are_refused() -> None:
    camera = CameraIntrinsics(
        fx=8, fy=8, cx=3, cy=2, width=8, height=6, distortion_model="plumb_bob", distortion=(0.1,)
    )
    (got,), _ = exchange([replace(make_depth_frame(1), camera=camera)])
    assert not got.header["rectified"]
    with pytest.raises(ValueError, match="not rectified"):
        got.points()


def test_the_age_is_counted_from_capture() -> None:
    now = time.monotonic_ns()
    frame = recaptured(scene(), clock="host-monotonic", time_ns=now - 3_000_000_000, received_ns=now)
    (got,), _ = exchange([frame])
    assert 3 < got.age() < 10
    frame = recaptured(scene(), clock="camera-rtcp", time_ns=time.time_ns() - 7_000_000_000)
    (got,), _ = exchange([frame])
    assert 7 < got.age() < 14


# Which arrive ---------------------------------------------------------------------------------------------------------


def test_cameras_with_like_names_are_not_mixed_up() -> None:
    sink = ZmqSink(ANYWHERE, ZmqOptions(camera="cam10"))
    with DepthSubscriber(sink.endpoint, camera="cam1") as other, DepthSubscriber(sink.endpoint, camera="") as every:
        join(sink, every)
        with pytest.raises(DepthTimeout, match="is it the right camera"):
            other.receive(0.2)
        sink.write(scene())
        assert every.latest(2).header["camera"] == "cam10"
    sink.close()


def test_latest_skips_what_is_old_and_gaps_are_counted() -> None:
    sink = ZmqSink(ANYWHERE, ZmqOptions(hwm=8))
    with DepthSubscriber(sink.endpoint, hwm=8) as depths:
        join(sink, depths)
        for index in range(1, 4):
            sink.write(scene(index))
        until = time.monotonic() + 10
        while len(depths._waiting) < 3:
            assert time.monotonic() < until
            time.sleep(0.01)
        newest = depths.latest(1)
        assert newest.header["index"] == 3
        assert newest.skipped == 2
        big = [scene(index, width=1280, height=720) for index in range(4, 44)]
        for frame in big:  # more than queues and kernel can hold
            sink.write(frame)
        received = [depths.receive(2)]
        while received[-1].header["index"] < 43:
            try:
                received.append(depths.receive(0.3))
            except DepthTimeout:
                sink.write(big[-1])
        assert sum(f.lost for f in received) == received[-1].header["sequence"] - newest.header["sequence"] - len(
            received
        )
        assert sum(f.lost for f in received) > 0
    sink.close()


def test_the_publisher_restarts_and_ends() -> None:
    first = ZmqSink(ANYWHERE)
    with DepthSubscriber(first.endpoint) as depths:
        join(first, depths)
        first.close()
        with pytest.raises(DepthTimeout, match="the publisher has ended"):
            depths.receive(0.3)
        second = ZmqSink(first.endpoint)
        until = time.monotonic() + 10
        while True:
            assert time.monotonic() < until
            second.write(scene(7))
            try:
                frame = depths.receive(0.1)
                break
            except DepthTimeout:
                pass
        assert frame.restarted
        assert frame.lost == 0
        second.write(scene(8))
        assert not depths.latest(2).restarted
        second.close()


def test_nobody_there_is_an_error_in_time() -> None:
    with DepthSubscriber("tcp://127.0.0.1:9", timeout=0.3) as depths:
        started = time.monotonic()
        with pytest.raises(
            DepthTimeout, match=r"no frame of camera 'camera' on tcp://127.0.0.1:9 in 0.3 s: nobody is there yet"
        ):
            next(iter(depths))
        assert time.monotonic() - started < 5


def test_status_tells_silence_from_death() -> None:
    sink = ZmqSink(ANYWHERE)
    with DepthSubscriber(sink.endpoint) as depths:
        with pytest.raises(DepthTimeout, match="the publisher lives, and its camera is starting"):
            depths.receive(2.5)
        sink.write(replace(scene(), dropped=3, retried=True))
        depths.receive(2)
        with pytest.raises(DepthTimeout):
            depths.receive(1.2)
        status = depths.status
        assert status is not None
        assert (status["state"], status["published"], status["dropped"], status["retried"]) == ("streaming", 1, 3, 1)
        assert status["sequence"] == 1
        assert status["latency_s"]["p50"] > 0
        with pytest.raises(DepthTimeout, match="camera is stalled"):
            depths.receive(2.2)
    sink.close()


@pytest.mark.parametrize("size", [(160, 120), (1280, 720)])
def test_latest_is_new_however_rarely_it_is_asked_for(size: tuple[int, int]) -> None:
    """Queues and the kernel's buffers hold seconds of small frames: none of them may come in place of a new one."""
    frame = scene(width=size[0], height=size[1])
    sink = ZmqSink(ANYWHERE)
    ended = threading.Event()

    def publish() -> None:
        index = 1
        while not ended.wait(0.02):
            sink.write(recaptured(frame, index=index))
            index += 1

    with DepthSubscriber(sink.endpoint) as depths:
        join(sink, depths)
        publisher = threading.Thread(target=publish)
        publisher.start()
        previous = depths.receive()
        for _ in range(3):
            time.sleep(0.7)
            newest = depths.latest()
            passed = newest.header["sequence"] - previous.header["sequence"]
            assert newest.skipped + newest.lost == passed - 1
            assert sink._sequence - newest.header["sequence"] <= 5
            previous = newest
        ended.set()
        publisher.join()
    sink.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pattern": "push"}, "pattern is sub, or pull"),
        ({"bind": True, "keys": Keys(secret="a", server="b")}, "does not encrypt"),
        ({"camera": "a/b"}, "camera is a name of letters"),
        ({"camera": None}, "camera is a name of letters"),
        ({"hwm": 0}, "hwm is a number of messages, at least 1, not 0"),
        ({"hwm": 1.5}, "hwm is a number of messages"),
        ({"url": "tcp://127.0.0.1:99999"}, "has no port from 1 to 65535"),
        ({"timeout": -1}, "seconds from 0 on"),
        ({"timeout": math.nan}, "seconds from 0 on"),
        ({"timeout": None}, "seconds from 0 on"),
        ({"url": "127.0.0.1:5555"}, "is no address"),
        ({"url": "tcp://127.0.0.1"}, "is no address"),
    ],
)
def test_arguments_that_cannot_be(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DepthSubscriber(**({"url": "tcp://127.0.0.1:9"} | arguments))


def test_an_address_is_taken_as_it_is_written_for_a_sink_and_closed_is_closed() -> None:
    sink = ZmqSink(ANYWHERE)
    depths = DepthSubscriber(sink.name)
    join(sink, depths)
    depths.close()
    depths.close()
    for ask in (depths.receive, depths.latest, depths.__iter__().__next__):
        with pytest.raises(ValueError, match="this subscriber is closed"):
            ask()
    with pytest.raises(OSError, match="cannot be bound"):
        DepthSubscriber(sink.endpoint, bind=True)
    sink.close()


def test_the_other_pattern_is_named() -> None:
    sink = ZmqSink(ANYWHERE)
    with (
        DepthSubscriber(sink.endpoint, pattern="pull") as worker,
        pytest.raises(DepthTimeout, match="use pattern='pull', and the other way round"),
    ):
        worker.receive(0.5)
    sink.close()


def test_asyncio_receives_the_same() -> None:
    frames = [scene(i) for i in range(1, 4)]

    async def receive(sink: ZmqSink) -> list[DepthMessage]:
        received = []
        async with DepthSubscriber(sink.endpoint) as depths:
            join(sink, depths)
            with pytest.raises(DepthTimeout):
                await depths.receive_async(0.1)
            for frame in frames:
                sink.write(frame)
            async for frame_ in depths:
                received.append(frame_)
                if len(received) == 2:
                    break
            received.append(await depths.latest_async(2))
        return received

    sink = ZmqSink(ANYWHERE, ZmqOptions(hwm=10))
    received = asyncio.run(receive(sink))
    sink.close()
    assert [f.header["index"] for f in received] == [1, 2, 3]


def test_workers_share_the_frames() -> None:
    sink = ZmqSink(ANYWHERE, ZmqOptions(pattern="push"))
    with (
        DepthSubscriber(sink.endpoint, pattern="pull") as one,
        DepthSubscriber(sink.endpoint, pattern="pull") as two,
    ):
        time.sleep(0.5)  # both are connected: ZeroMQ deals out to those who are there
        for index in range(6):
            sink.write(scene(index))
        taken = [[w.receive(2).header["index"] for _ in range(3)] for w in (one, two)]
    assert sorted(taken[0] + taken[1]) == list(range(6))
    sink.close()


def test_a_publisher_can_connect_to_a_bound_subscriber() -> None:
    with DepthSubscriber(ANYWHERE, bind=True) as depths:
        endpoint = depths._connection.url
        sink = ZmqSink(endpoint, ZmqOptions(connect=True))
        join(sink, depths)
        sink.close()


# What must not harm ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        [b"depth/camera/", b"{}", b""],
        [b"depth/camera/", b"[1]", b""],
        [b"depth/camera/", b"\xff\xfe", b""],
        [b"depth/camera/", b'{"schema":"depth-pro-stream/1","type":"depth"}', b""],
        [b"depth/camera/", b'{"schema":"depth-pro-stream/2","type":"depth"}', b""],
        [b"depth/camera/", b'{"schema":"depth-pro-stream/2","type":"depth"}'],
        [b"depth/camera/", b'{"schema":"depth-pro-stream/2"}', b""],
        [b"depth/camera/DPS2"],
        [b"depth/camera/DPS2" + b"\xff" * 60],
        [b"depth/camera/"],
        [b"depth/camera/", b"[" * 200_000, b""],
        [b"depth/camera/", b"@WITH compression lz4", bytes(64 * 48 * 4)],
        [b"depth/camera/", b"@WITH compression zstd", b"garbage"],
        [b"depth/camera/", b"@WITH compression png", b""],
        [b"depth/camera/", b"@WITH width -2", b""],
        [b"depth/camera/", b"@WITH width 1000000000", b""],
        [b"depth/camera/", b"@WITH type status", b""],
        [b"depth/camera/", b"@SHORT", bytes(7)],
    ],
)
def test_a_subscriber_says_what_is_no_message_and_goes_on(parts: list[bytes]) -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as hostile:
        hostile.linger = 0
        port = hostile.bind_to_random_port("tcp://127.0.0.1")
        good = capture(scene())
        sent = [manipulated(part, good[1]) for part in parts]
        with DepthSubscriber(f"tcp://127.0.0.1:{port}") as depths:
            for message, error in ((sent, ProtocolError), (good, None)):
                for _ in range(100):
                    hostile.send_multipart(message)
                    try:
                        depths.receive(0.1)
                    except DepthTimeout:
                        continue
                    except ProtocolError:
                        if error:
                            break
                        continue  # one of those sent before
                    assert error is None
                    break
                else:
                    raise AssertionError("nothing came")


def manipulated(part: bytes, header: bytes) -> bytes:
    """``header`` as ``part`` says: as it is, or with another value for one of its fields."""
    if part == b"@SHORT":
        return header
    if not part.startswith(b"@WITH"):
        return part
    _, name, value = part.decode().split()
    return json.dumps({**json.loads(header), name: int(value) if name == "width" else value}).encode()


def capture(frame: DepthFrame) -> list[bytes]:
    """The parts of a frame's message."""
    sink = ZmqSink(ANYWHERE)
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.linger = 0
        sub.connect(sink.endpoint)
        sub.subscribe("depth/")
        while not sub.poll(20):
            sink.write(frame)
        parts = sub.recv_multipart()
    sink.close()
    return parts


_SLEEPER = """
import sys, time
from sinks.zeromq.depth_subscriber import DepthSubscriber
with DepthSubscriber(sys.argv[1]) as depths:
    depths.receive(20)
    print("ready", flush=True)
    time.sleep(60)
"""

_HEALTHY = """
import sys
from sinks.zeromq.depth_subscriber import DepthSubscriber
with DepthSubscriber(sys.argv[1], hwm=30, timeout=20) as depths:
    lost = 0
    first = None
    for frame in depths:
        if first is None:
            first = frame.header["sequence"]
            print("ready", flush=True)
        lost += frame.lost
        if frame.header["index"] == 1000:
            break
print(frame.header["sequence"] - first, lost, flush=True)
"""


def start(code: str, endpoint: str, *, folder: Path = ROOT) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, endpoint], cwd=folder, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for child in started:
        child.kill()
        with child:
            pass


def test_one_sleeps_one_is_killed_one_comes_late_and_the_healthy_one_gets_all(
    children: list[subprocess.Popen[str]],
) -> None:
    sink = ZmqSink(ANYWHERE, ZmqOptions(hwm=30))
    memory = psutil.Process()
    hd = [scene(index, width=1280, height=720).depth for index in range(3)]

    def publish(index: int) -> None:
        sink.write(replace(scene(index, width=1280, height=720), depth=hd[index % 3].copy()))
        time.sleep(1 / 30)

    children += [start(code, sink.endpoint) for code in (_HEALTHY, _SLEEPER, _SLEEPER)]
    waiting = set(children)
    until = time.monotonic() + 60
    while waiting:
        assert time.monotonic() < until
        publish(0)
        waiting -= {child for child in waiting if is_ready(child)}
    for index in range(1, 60):
        publish(index)
    before = memory.memory_info().rss
    children[2].send_signal(signal.SIGKILL)
    late = start(_HEALTHY, sink.endpoint)
    children.append(late)
    for index in range(60, 150):
        publish(index)
    growth = memory.memory_info().rss - before
    until = time.monotonic() + 60
    while not is_ready(late):
        assert time.monotonic() < until
        publish(150)
    publish(1000)
    for child in (children[0], late):
        assert child.stdout is not None
        received, lost = map(int, child.stdout.readline().split())
        assert lost == 0
    sink.close()
    assert received > 0
    assert growth < 80e6  # 90 frames are 332 MB; the sleeper's queue may hold 30 of them, which were there before


def is_ready(child: subprocess.Popen[str], *, within: float = 0) -> bool:
    """Whether the child has printed its first line; waits for it, ``within`` seconds at most."""
    assert child.stdout is not None
    readable, _, _ = select.select([child.stdout], [], [], within)
    return bool(readable) and child.stdout.readline().strip() == "ready"


_ALONE = """
import sys
# what a robot does not have
sys.modules.update(dict.fromkeys(("orjson", "torch", "cv2", "zstandard", "sinks", "stream", "model")))
from depth_subscriber import DepthSubscriber, _from_json

too_long = (b'[%d]' % 2**64, b'[%d]' % 10**400, b'[' * 9**5)
for header in (b'[NaN]', b'[-Infinity]', b'[1e999]', '{}'.encode('utf-16'), *too_long):
    try:
        sys.exit(f"{header[:20]} was read as {_from_json(header)}")
    except (ValueError, RecursionError):
        pass
with DepthSubscriber(sys.argv[1], timeout=20) as depths:
    print("ready" if depths.receive().points().shape[1] == 3 else "", flush=True)
"""


def test_the_file_alone_receives_with_nothing_but_pyzmq_and_numpy(
    children: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    shutil.copy(ROOT / "sinks" / "zeromq" / "depth_subscriber.py", tmp_path)
    sink = ZmqSink(ANYWHERE)
    children.append(start(_ALONE, sink.endpoint, folder=tmp_path))
    until = time.monotonic() + 60
    while not is_ready(children[0], within=0.02):
        assert time.monotonic() < until
        sink.write(scene())
    sink.close()


_STANDS_STILL = """
import ctypes, sys
from sinks.zeromq.depth_subscriber import DepthSubscriber
with DepthSubscriber(sys.argv[1], timeout=20) as depths:
    before = depths.receive()
    print("ready", flush=True)
    if %(in_python)r:
        ctypes.PyDLL(None).sleep(9)  # keeps the interpreter's lock
    while True:
        frame = depths.%(ask)s(5)  # the stop is longer
        gap = frame.header["sequence"] - before.header["sequence"] - 1
        if gap > 100:
            print(frame.age(), gap, frame.lost + frame.skipped, flush=True)
            sys.exit()
        assert gap == frame.lost + frame.skipped
        assert frame.age() < 1, "an old frame came first"
        before = frame
"""


def test_a_subscriber_that_stood_still_lives_and_goes_on_with_the_newest(
    children: list[subprocess.Popen[str]],
) -> None:
    """Stopped as by a debugger, or in a long call that keeps the interpreter: ZeroMQ's own thread goes on there."""
    sink = ZmqSink(ANYWHERE)
    ended = threading.Event()

    def publish() -> None:
        for index in itertools.count():
            if ended.wait(0.05):
                return
            sink.write(make_depth_frame(index, width=320, height=240))

    publishing = threading.Thread(target=publish)
    publishing.start()
    try:
        for ask, in_python in (("receive", False), ("latest", False), ("receive", True), ("latest", True)):
            children.append(start(_STANDS_STILL % {"ask": ask, "in_python": in_python}, sink.endpoint))
        assert all(is_ready(child, within=30) for child in children)
        for child in children[:2]:
            child.send_signal(signal.SIGSTOP)
        time.sleep(10)  # it is the length of the stop that is tested
        for child in children[:2]:
            child.send_signal(signal.SIGCONT)
        for child in children:
            said, _ = child.communicate(timeout=30)
            assert child.returncode == 0
            age, gap, told = map(float, said.split())
            assert age < 1
            assert gap == told > 100
    finally:
        ended.set()
        publishing.join()
        sink.close()


def test_publishers_of_several_cameras_do_not_restart_each_other() -> None:
    with DepthSubscriber(ANYWHERE, camera="", bind=True, hwm=100) as depths:
        names = ("front", "rear", "left")
        here, frames = depths._connection.url, []
        sinks = [ZmqSink(here, ZmqOptions(connect=True, camera=name)) for name in names]
        until = time.monotonic() + 20

        def exchange_one_each() -> None:
            assert time.monotonic() < until
            for sink in sinks:
                sink.write(make_depth_frame())
            with suppress(DepthTimeout):
                while True:
                    frames.append(depths.receive(0.05))

        while {f.header["camera"] for f in frames} != set(names) or len(frames) < 30:
            exchange_one_each()
        sinks[0].close()
        sinks[0] = ZmqSink(here, ZmqOptions(connect=True, camera="front"))
        while len({f.header["session"] for f in frames}) < 4:
            exchange_one_each()
        for sink in sinks:
            sink.close()
    assert [f.header["camera"] for f in frames if f.restarted] == ["front"]
    assert {f.lost for f in frames} == {0}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"state": "reconnecting", "reason": "connection refused"}, "is reconnecting: connection refused"),
        ({"state": "reconnecting", "reason": None, "attempt": "x"}, "is reconnecting"),
        ({"state": "reconnecting", "reason": ["x"]}, "is reconnecting"),
        ({"state": "failed", "reason": "a\x1b[2J\r\n\u202eb\x00" + "x" * 10**6}, "is failed: a [2J b " + "x" * 152),
        ({"state": "f" * 10**6}, "is " + "f" * 40),
        ({"state": 7, "reason": "x"}, "is stalled"),
        (["reconnecting"], "is stalled"),
        (None, "is stalled"),
        (..., "is stalled"),  # a publisher from before this field
    ],
)
def test_a_timeout_tells_how_the_camera_fares_whatever_the_status_holds(source: object, said: str) -> None:
    status = {"schema": "depth-pro-stream/2", "type": "status", "camera": "camera", "state": "stalled"}
    if source is not ...:
        status["source"] = source  # type: ignore[assignment]
    with zmq.Context() as context, context.socket(zmq.PUB) as stranger:
        stranger.linger = 0
        port = stranger.bind_to_random_port("tcp://127.0.0.1")
        with DepthSubscriber(f"tcp://127.0.0.1:{port}") as depths:
            until = time.monotonic() + 20
            while depths.status is None:
                assert time.monotonic() < until
                stranger.send_multipart([b"status/camera/", json.dumps(status).encode()])
                with suppress(DepthTimeout):
                    depths.receive(0.05)
            with pytest.raises(DepthTimeout) as timeout:
                depths.receive(0)
    assert str(timeout.value).endswith(f": the publisher lives, and its camera {said}")


def test_a_state_of_a_megabyte_and_a_session_without_end_are_not_kept() -> None:
    parts = MessageWriter(MessageOptions(), "a" * 32).parts(scene(), sequence=3, retried_frames=0)
    header = {**json.loads(bytes(parts[1])), "session": "s" * 10**6}
    status = {"schema": "depth-pro-stream/2", "type": "status", "state": "\n" + "s" * 10**6, "camera": ["c"] * 10**5}
    with zmq.Context() as context, context.socket(zmq.PUSH) as stranger:
        port = stranger.bind_to_random_port("tcp://127.0.0.1")
        with DepthSubscriber(f"tcp://127.0.0.1:{port}", pattern="pull") as depths:
            stranger.send_multipart([b"status/camera/", json.dumps(status).encode()])
            stranger.send_multipart([parts[0], json.dumps(header).encode(), parts[2]])
            with pytest.raises(ProtocolError, match="whose session is"):
                depths.receive(10)
            with pytest.raises(DepthTimeout) as timeout:
                depths.receive(0)
            assert len(str(timeout.value)) < 300
            assert "\n" not in str(timeout.value)


def test_who_forgets_conflation_on_either_side_is_told() -> None:
    ended = threading.Event()
    for here, there, said in ((False, True, "say conflate=True here"), (True, False, "leave conflate=True out here")):
        ended.clear()
        sink = ZmqSink(ANYWHERE, ZmqOptions(conflate=there))

        def publish(sink: ZmqSink = sink) -> None:
            while not ended.wait(0.05):
                sink.write(make_depth_frame())

        publishing = threading.Thread(target=publish)
        publishing.start()
        try:
            with DepthSubscriber(sink.endpoint, conflate=here) as depths:
                if here:
                    assert depths.receive(20).header["camera"] == "camera"  # it works, but without status
                else:
                    with pytest.raises(DepthTimeout, match=f"connected, and nothing comes.*{said}"):
                        depths.receive(1.5)
                ended.set()
                with suppress(DepthTimeout):  # what had arrived before
                    while True:
                        depths.receive(2.2)
                with pytest.raises(DepthTimeout, match=said):
                    depths.receive(0.1)
        finally:
            ended.set()
            publishing.join()
            sink.close()


def test_the_share_of_other_workers_is_not_lost_and_two_publishers_do_not_restart_each_other() -> None:
    for pattern, options in (("pull", {"pattern": "push"}), ("sub", {"pattern": "pub"})):
        with DepthSubscriber("tcp://127.0.0.1:*", pattern=pattern, bind=True, timeout=20) as depths:  # type: ignore[arg-type]
            sinks = [ZmqSink(depths._connection.url, ZmqOptions(connect=True, **options)) for _ in range(2)]  # type: ignore[arg-type]
            try:
                sinks[0]._sequence = 7  # as if other workers had had the first ones
                frames = []
                while len({f.header["session"] for f in frames}) < 2 or len(frames) < 8:
                    for sink in sinks:
                        sink.write(make_depth_frame(0))
                        sink._sequence += pattern == "pull"
                    with contextlib.suppress(DepthTimeout):
                        frames.append(depths.receive(0.2))
                if pattern == "pull":
                    assert [f.lost for f in frames] == [0] * len(frames)
                assert sum(f.restarted for f in frames) <= 1  # the second one may have taken over from the first
            finally:
                for sink in sinks:
                    sink.close()
