"""What the bridge says of itself on ``/diagnostics``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ros2_depth_bridge.diagnostics import Health
from sinks.zeromq.depth_subscriber import DepthMessage
from tests.sinks.ros.ros2_messages import DIAGNOSTIC_MSGS, over_the_wire
from tests.sinks.ros.test_bridge_messages import receive
from tests.sinks.zeromq.test_depth_subscriber import scene

OK, WARN, ERROR = range(3)
STREAMING = {"state": "streaming", "fps": 25.0, "dropped": 3, "refused": 0}


@pytest.fixture(scope="module")
def frame() -> DepthMessage:
    return receive(scene())


def told(health: Health, now: float, publisher: dict[str, Any] | None = STREAMING) -> tuple[int, str, dict[str, str]]:
    status = over_the_wire(health.status(publisher, now, DIAGNOSTIC_MSGS))
    return status.level, status.message, {pair.key: pair.value for pair in status.values}


def test_frames_that_come_are_counted(frame: DepthMessage) -> None:
    health = Health(0.0)
    for n in range(41):
        health.received(replace(frame, skipped=1), n * 0.5)
    level, message, values = told(health, 20.0)
    assert level == OK
    assert message.startswith("2.1 frames a second, ")
    assert float(values.pop("age (s)")) >= 0
    assert values == {
        "rate (Hz)": "2.1",
        "since last frame (s)": "0.0",
        "lost": "0",
        "skipped": "41",
        "unreadable": "0",
        "publisher": "streaming",
        "publisher: fps": "25.0",
        "publisher: dropped": "3",
        "publisher: refused": "0",
    }


def test_before_the_first_frame_and_in_silence_nothing_is_well(frame: DepthMessage) -> None:
    health = Health(0.0)
    assert told(health, 1.0, None)[:2] == (WARN, "no frame has come yet")
    health.silent("no frame in 1 s: nobody is there yet")
    assert told(health, 3.5, None)[:2] == (ERROR, "no frame in 1 s: nobody is there yet")
    health.received(frame, 4.0)
    assert told(health, 4.0)[0] == OK
    health.silent("no frame in 1 s: the publisher has ended")
    assert told(health, 7.5)[:2] == (ERROR, "no frame in 1 s: the publisher has ended")


def test_losses_are_told_for_a_while_and_counted_for_ever(frame: DepthMessage) -> None:
    health = Health(0.0)
    health.received(replace(frame, lost=4), 0.0)
    level, message, _ = told(health, 1.0)
    assert (level, message) == (WARN, "4 frames were lost on their way")
    health.received(frame, 11.0)
    level, _, values = told(health, 11.0)
    assert (level, values["lost"]) == (OK, "4")


def test_messages_that_cannot_be_read_are_told(frame: DepthMessage) -> None:
    health = Health(0.0)
    health.received(frame, 0.0)
    health.unreadable("a message is skipped: its K is 'wide'", 0.5)
    level, message, values = told(health, 1.0)
    assert (level, message, values["unreadable"]) == (WARN, "a message is skipped: its K is 'wide'", "1")


@pytest.mark.parametrize("state", ["stalled", "ended"])
def test_the_publishers_own_trouble_is_told(frame: DepthMessage, state: str) -> None:
    health = Health(0.0)
    health.received(frame, 0.0)
    level, message, _ = told(health, 1.0, {**STREAMING, "state": state})
    assert (level, message) == (WARN, f"the publisher says that its camera is {state}")
