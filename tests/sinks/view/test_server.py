"""The server, with viewers that are programs: what they get, and who is let in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import sys
import time
from dataclasses import replace

import aiohttp
import cv2
import numpy as np
import pytest

from sinks import for_camera, open_sink
from sinks.depth_codes import DepthCodes
from sinks.view.message import encode
from sinks.view.sink import ViewSink
from sinks.view.viewer import Pace
from stream.errors import ConfigError, SinkError
from stream.frame import SourceState
from tests.sinks.view.scenes import WIDTH, address_of, frame_of, showing, slope
from tests.sinks.view.viewers import (
    next_frame,
    next_status,
    taken_apart,
    viewer,
)

_LOG = DepthCodes(encoding="log")
_TOKEN = "aPretendedSecret0123"


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
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[view\]'"):
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


def test_what_a_viewer_gets_of_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.view.server._TICK_S", 0.02)

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


def test_a_viewer_that_pauses_steps_and_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.view.server._TICK_S", 0.02)

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


def test_a_known_distance_reaches_the_run_where_that_lets_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.view.server._TICK_S", 0.02)
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
