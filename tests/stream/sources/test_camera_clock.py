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


def packet(pts: int, wall_ns: int | None) -> av.Packet[Any]:
    """A packet as FFmpeg's RTP demuxer gives it, with a reference time after the first report."""
    made: av.Packet[Any] = av.Packet(b"x")
    made.pts, made.time_base = pts, TICK
    if wall_ns is not None:
        prft = PacketSideData(27, 16)  # type: ignore[call-arg]  # AV_PKT_DATA_PRFT
        prft.update(struct.pack("=qi4x", wall_ns // 1000, 24))
        made.set_sidedata(prft)
    return made


def times(wall_ns: list[int | None], pts: list[int] | None = None) -> list[int | None]:
    """Capture times of frames 40 ms apart, whose packets have these reference times."""
    clock = CameraClock("camera")
    result = []
    for n, wall in enumerate(wall_ns):
        clock.observe(packet(n * FRAME if pts is None else pts[n], wall))
        result.append(clock.capture_time_ns(n * FRAME if pts is None else pts[n], TICK, n * FRAME_NS))
    return result


def steady(count: int, start_ns: int = NOON_NS) -> list[int | None]:
    return [start_ns + n * FRAME_NS for n in range(count)]


def test_the_first_reference_time_is_left_to_the_frame_it_may_belong_to() -> None:
    assert times([None, NOON_NS + 123_000_000, *steady(3)]) == [None, None, *steady(3)]


def test_later_reports_correct_the_drift() -> None:
    late = [w and w + 3_000_000 for w in steady(6)[3:]]
    assert times([*steady(3), *late]) == [None, *steady(3)[1:], *late]


def test_a_frame_that_the_decoder_held_back_keeps_its_own_time() -> None:
    clock = CameraClock("camera")
    for n in range(5):
        clock.observe(packet(n * FRAME, NOON_NS + n * FRAME_NS))
    assert [clock.capture_time_ns(n * FRAME, TICK, n) for n in (2, 3)] == steady(4)[2:]


@pytest.mark.parametrize("start_ns", [-2_208_988_800 * 10**9, -2_208_988_700 * 10**9])
def test_a_camera_without_a_wall_clock_reports_zero_or_elapsed_time_and_has_none(start_ns: int) -> None:
    assert times(steady(5, start_ns)) == [None] * 5


def test_a_clock_that_is_wrong_but_steady_is_passed_on() -> None:
    reset_ns = 60 * 10**9  # 1970, a minute after the camera was switched on
    assert times(steady(4, reset_ns))[1:] == steady(4, reset_ns)[1:]


@pytest.mark.parametrize("jump_ns", [-(10**9), -FRAME_NS - 1_000_000, 11 * 10**9, -NOON_NS])
def test_a_clock_that_is_set_counts_no_more(jump_ns: int, caplog: pytest.LogCaptureFixture) -> None:
    jumped = [w and w + jump_ns for w in steady(6)[3:]]
    with caplog.at_level(logging.WARNING):
        assert times([*steady(3), *jumped, *steady(9)[6:]]) == [None, *steady(3)[1:], *[None] * 6]
    assert len(caplog.records) == 1


def test_timestamps_that_start_anew_end_the_cameras_time_only_if_it_runs_backwards() -> None:
    assert times(steady(6), pts=[0, 3600, 7200, 0, 3600, 7200]) == [None, *steady(6)[1:]]
    assert times(steady(3) * 2, pts=[0, 3600, 7200] * 2) == [None, *steady(3)[1:], None, None, None]


def test_a_gap_is_not_a_jump() -> None:
    clock = CameraClock("camera")
    for n in (0, 1, 750):  # half a minute without a frame, then one that was 9 s late
        clock.observe(packet(n * FRAME, NOON_NS + n * FRAME_NS))
        late_ns = 9 * 10**9 if n == 1 else 0
        taken = clock.capture_time_ns(n * FRAME, TICK, n * FRAME_NS + late_ns)
    assert taken == NOON_NS + 750 * FRAME_NS


def test_a_frame_without_a_timestamp_has_no_camera_time() -> None:
    clock = CameraClock("camera")
    for n in range(2):
        clock.observe(packet(n * FRAME, NOON_NS + n * FRAME_NS))
    assert clock.capture_time_ns(None, TICK, 0) is None
    assert clock.capture_time_ns(FRAME, TICK, FRAME_NS) == NOON_NS + FRAME_NS
