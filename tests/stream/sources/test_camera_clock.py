"""The camera's clock when cameras misbehave; ``test_rtsp.py`` has one that does not."""

from __future__ import annotations

import logging
import struct
from fractions import Fraction
from typing import Any

import av
import pytest
from av.packet import PacketSideData

from stream.sources.camera_clock import CameraClock

TICK = Fraction(1, 90_000)
NOON_NS = 1_800_000_000 * 10**9  # in 2027
FRAME, FRAME_NS = 3600, 40_000_000
SECOND = 10**9


def packet(pts: int, wall_ns: int | None) -> av.Packet[Any]:
    """A packet as FFmpeg's RTP demuxer gives it, with a reference time after the first report."""
    made: av.Packet[Any] = av.Packet(b"x")
    made.pts, made.time_base = pts, TICK
    if wall_ns is not None:
        prft = PacketSideData(27, 16)  # type: ignore[call-arg]  # AV_PKT_DATA_PRFT
        prft.update(struct.pack("=qi4x", wall_ns // 1000, 24))
        made.set_sidedata(prft)
    return made


def a_clock(**arguments: Any) -> CameraClock:
    """Of a camera beside a machine that was started at noon."""
    return CameraClock("camera", to_unix_ns=lambda: NOON_NS, **arguments)


def times(wall_ns: list[int | None], clock: CameraClock | None = None) -> list[int | None]:
    """Capture times of frames 40 ms apart, whose packets have these reference times and come at once."""
    clock = clock or a_clock()
    result = []
    for n, wall in enumerate(wall_ns):
        clock.observe(packet(n * FRAME, wall))
        result.append(clock.capture_time_ns(n * FRAME, TICK, n * FRAME_NS))
    return result


def steady(count: int, ahead_ns: int = 0) -> list[int | None]:
    return [NOON_NS + ahead_ns + n * FRAME_NS for n in range(count)]


def test_the_first_reference_time_is_left_to_the_frame_it_may_belong_to() -> None:
    assert times([None, NOON_NS + 123_000_000, *steady(3)]) == [None, None, *steady(3)]


def test_later_reports_correct_the_drift() -> None:
    late = [w and w + 3_000_000 for w in steady(6)[3:]]
    assert times([*steady(3), *late]) == [None, *steady(3)[1:], *late]


def test_a_frame_that_the_decoder_held_back_keeps_its_own_time() -> None:
    clock = a_clock()
    for n in range(5):
        clock.observe(packet(n * FRAME, NOON_NS + n * FRAME_NS))
    assert [clock.capture_time_ns(n * FRAME, TICK, n) for n in (2, 3)] == steady(4)[2:]


@pytest.mark.parametrize("start_ns", [-2_208_988_800 * SECOND, -2_208_988_700 * SECOND, 60 * SECOND])
def test_a_camera_whose_clock_was_never_set_has_none(start_ns: int, caplog: pytest.LogCaptureFixture) -> None:
    clock = a_clock()
    assert times([start_ns + n * FRAME_NS for n in range(5)], clock) == [None] * 5
    assert clock.offset_s is None
    assert not caplog.records


@pytest.mark.parametrize(("ahead_s", "told"), [(3600, "3600.0 s ahead of"), (-3600, "3600.0 s behind")])
def test_a_clock_that_is_wrong_is_told_once_and_not_used(
    ahead_s: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = a_clock()
    assert times(steady(6, ahead_s * SECOND), clock) == [None] * 6
    assert clock.offset_s == pytest.approx(ahead_s)
    assert clock.is_wrong
    assert [told in r.getMessage() for r in caplog.records] == [True]
    again = a_clock(quiet=True)  # the next connection of the same run
    assert times(steady(6, ahead_s * SECOND), again) == [None] * 6
    assert again.offset_s == pytest.approx(ahead_s)
    assert len(caplog.records) == 1


def test_a_few_seconds_are_the_cameras_business() -> None:
    assert times(steady(4, 4 * SECOND)) == [None, *steady(4, 4 * SECOND)[1:]]


@pytest.mark.parametrize("jump_s", [-2, 3])
def test_a_clock_that_is_set_counts_again_when_it_has_settled(jump_s: int, caplog: pytest.LogCaptureFixture) -> None:
    after = steady(200, jump_s * SECOND)[10:]
    with caplog.at_level(logging.WARNING):
        taken = times([*steady(10), *after])
    assert taken[:10] == [None, *steady(10)[1:]]
    assert taken[10:60] == [None] * 50
    assert taken[-90:] == after[-90:]
    given = [t for t in taken if t is not None]
    assert given == sorted(given)
    assert len(caplog.records) == 1


def test_a_clock_that_becomes_right_is_used() -> None:
    taken = times([*steady(10, -3600 * SECOND), *steady(200)[10:]])
    assert taken[:60] == [None] * 60
    assert taken[-100:] == steady(200)[-100:]


def test_a_frame_without_a_timestamp_has_no_camera_time() -> None:
    clock = a_clock()
    for n in range(2):
        clock.observe(packet(n * FRAME, NOON_NS + n * FRAME_NS))
    assert clock.capture_time_ns(None, TICK, 0) is None
    assert clock.capture_time_ns(FRAME, TICK, FRAME_NS) == NOON_NS + FRAME_NS
