"""docs/protocol.md against what is really sent: its schema, its snippet, its tables."""

from __future__ import annotations

import dataclasses
import json
import re
import select
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import zmq
from jsonschema import Draft202012Validator

from sinks.zeromq.message import MessageWriter
from sinks.zeromq.sink import ZmqOptions, ZmqSink
from stream.frame import CameraIntrinsics, DepthFrame, DepthScale, ScaleCorrection
from tests.support.doubles import POSE, make_depth_frame, recaptured
from tests.support.process import ROOT

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
SCHEMA = json.loads((ROOT / "docs" / "protocol.schema.json").read_text(encoding="utf-8"))


def frames() -> list[DepthFrame]:
    """Plain, and with everything in it."""
    plain = replace(make_depth_frame(0), image=np.zeros((6, 8, 3), np.uint8))
    lens = CameraIntrinsics(
        fx=8, fy=8, cx=3, cy=2, width=8, height=6, distortion_model="plumb_bob", distortion=(0.1, 0.0)
    )
    rich = replace(
        plain,
        camera=lens,
        retried=True,
        focal=replace(plain.focal, raw_px=None, source="given"),
        scale=DepthScale(factor=1.25, date="2026-01-02T03:04:05+00:00", source="file"),
        steady=ScaleCorrection(log=-0.03, log_std=0.004, inliers=120, resets=1),
        odometry=POSE,
    )
    return [plain, recaptured(rich, index=7, pts=None, rotation=90, uncertainty_ns=500, clock="camera-rtcp")]


def headers(options: ZmqOptions) -> list[dict[str, Any]]:
    """Of both kinds, as a subscriber gets them."""
    sink = ZmqSink("tcp://127.0.0.1:*", options)
    found: dict[tuple[str, Any], dict[str, Any]] = {}
    with zmq.Context() as context, context.socket(zmq.SUB) as sub:
        sub.linger = 0
        sub.connect(sink.endpoint)
        sub.subscribe("")
        until = time.monotonic() + 15
        while len(found) < 3:
            assert time.monotonic() < until
            for frame in frames():
                sink.write(frame)
            while sub.poll(50):
                _, header, *_ = sub.recv_multipart()
                told = json.loads(header, parse_constant=pytest.fail)
                found[told["type"], told.get("index")] = told
        sink.close()
    return list(found.values())


@pytest.mark.parametrize(
    "options",
    [
        ZmqOptions(),
        ZmqOptions(encoding="16UC1", compress="png", image="raw"),
        ZmqOptions(camera="front.left-1", compress="zstd", image="jpeg", size="4x3"),
    ],
)
def test_live_messages_are_valid_and_nothing_is_left_out(options: ZmqOptions) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA)
    for header in headers(options):
        validator.validate(header)
        assert set(header) == set(SCHEMA["$defs"][header["type"]]["properties"])


def test_frames_may_change_their_size() -> None:
    writer = MessageWriter(ZmqOptions(), "session")
    for index, (width, height) in enumerate([(8, 6), (4, 3), (8, 6)]):
        frame = make_depth_frame(index, width=width, height=height)
        _, header, depth = writer.parts(frame, sequence=index, retried_frames=0)
        told = json.loads(bytes(header))
        assert (told["width"], told["height"]) == (width, height)
        assert told["K"] == frame.camera.matrix.ravel().tolist()
        assert np.array_equal(np.frombuffer(depth, np.float32).reshape(height, width), frame.depth)


def test_the_schema_refuses_what_is_wrong() -> None:
    validator = Draft202012Validator(SCHEMA)
    good = next(h for h in headers(ZmqOptions()) if h["type"] == "depth")
    for wrong in (
        {"schema": "depth-pro-stream/1"},
        {"K": [1.0]},
        {"clock": "sundial"},
        {"width": 0},
        {"focal": {}},
        {"scale": 2},
        {"odometry": {"stretch": 0}},
    ):
        assert not validator.is_valid({**good, **wrong})
    assert not validator.is_valid({key: value for key, value in good.items() if key != "session"})
    assert validator.is_valid({key: value for key, value in good.items() if key != "scale"})  # it came later


def test_the_page_explains_every_field_and_option() -> None:
    for kind in SCHEMA["$defs"].values():
        missing = [name for name in kind["properties"] if f"`{name}`" not in PAGE]
        assert not missing
    assert not [field.name for field in dataclasses.fields(ZmqOptions) if f"`{field.name}`" not in PAGE]


SNIPPET = re.findall(r"```python\n(import json.*?)```", PAGE, re.DOTALL)[0]


def test_a_slow_reader_of_the_snippet_stays_new() -> None:
    slow = SNIPPET + "    import time; time.sleep(1)\n"
    sink = ZmqSink("tcp://127.0.0.1:*")
    child = subprocess.Popen([sys.executable, "-u", "-c", slow, sink.endpoint], stdout=subprocess.PIPE, text=True)
    behind: list[int] = []
    try:
        until = time.monotonic() + 40
        assert child.stdout is not None
        while len(behind) < 5:
            assert time.monotonic() < until
            assert child.poll() is None
            sink.write(make_depth_frame(width=160, height=120))
            time.sleep(0.02)
            if select.select([child.stdout], [], [], 0)[0]:
                behind.append(sink._sequence - 1 - int(child.stdout.readline().split()[0]))
    finally:
        child.kill()
        child.communicate()
        sink.close()
    assert max(behind) <= 5  # 50 frames a second; without draining it is 50 more after each frame


def test_the_snippet_runs_as_it_is_written() -> None:
    code = SNIPPET
    sink = ZmqSink("tcp://127.0.0.1:*")
    child = subprocess.Popen(
        [sys.executable, "-u", "-c", code, sink.endpoint], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        lines: list[str] = []
        until = time.monotonic() + 30
        assert child.stdout is not None
        while not lines:
            assert time.monotonic() < until
            assert child.poll() is None, child.communicate()[1]
            for _ in range(20):
                sink.write(make_depth_frame(value=2.5))
                time.sleep(0.02)
            if select.select([child.stdout], [], [], 0)[0]:
                lines.append(child.stdout.readline())
    finally:
        child.kill()
        child.communicate()
        sink.close()
    assert re.fullmatch(r"\d+ camera 2\.50 m fx = 8\.0\n", lines[0])
