"""How late pictures are told to be, and when a new connection has caught up."""

from __future__ import annotations

import random

import pytest

from stream.sources.punctuality import LiveEdge, Punctuality
from stream.sources.retry import Backoff


def test_lateness_is_the_time_behind_the_quickest() -> None:
    punctuality = Punctuality(30)
    late = [punctuality.late_s(n / 25, 100 + n / 25 + jitter) for n, jitter in enumerate([0.02, 0, 0.05, 0, 3.0, 0.01])]
    assert late == pytest.approx([0, 0, 0.05, 0, 3.0, 0.01])


def test_a_stall_does_not_make_anybody_forget() -> None:
    punctuality = Punctuality(30)
    for n in range(100):
        punctuality.late_s(n / 25, 100 + n / 25)
    assert punctuality.late_s(4.0, 100 + 4.0 + 25) == pytest.approx(25)


def test_clocks_that_drift_apart_are_followed() -> None:
    punctuality = Punctuality(30)
    late = [punctuality.late_s(n / 10, 100 + n / 10 * 1.01) for n in range(10_000)]  # the camera is 1 % slow
    assert max(late) < 0.4


def test_timestamps_that_begin_anew_are_not_late() -> None:
    punctuality = Punctuality(30)
    for n in range(100):
        punctuality.late_s(5000 + n / 25, 100 + n / 25)
    assert punctuality.late_s(0.0, 104.0) == 0
    assert punctuality.late_s(None, 104.0) == 0


def test_what_had_been_waiting_is_not_fresh() -> None:
    edge = LiveEdge(100.0)
    burst = [edge.is_reached(n / 25, 100 + n / 1000) for n in range(20)]
    assert burst == [False] * 20
    assert edge.is_reached(20 / 25, 100.019 + 0.04)


def test_without_times_what_had_been_waiting_comes_fast() -> None:
    edge = LiveEdge(100.0)
    came_s = [0, 0.001, 0.002, 0.032, 0.033, 0.073, 0.113]  # one stall of 30 ms, and then 25 pictures a second
    assert [edge.is_reached(None, 100 + s) for s in came_s] == [False] * 6 + [True]


def test_a_server_that_sends_faster_for_ever_is_taken_as_it_is() -> None:
    edge = LiveEdge(100.0)
    assert [edge.is_reached(n / 25, 100 + n / 100) for n in (0, 100, 200, 301)] == [False, False, False, True]


def test_waits_double_up_to_the_cap_and_start_small_again() -> None:
    backoff = Backoff(cap_s=5, retries=None, rng=random.Random(1))
    waits = [backoff.next_s() or 0 for _ in range(10)]
    assert 0.18 < waits[0] < 0.32
    assert 0.75 < waits[2] < 1.25
    assert all(wait <= 5 for wait in waits)
    assert waits[-1] > 3.7
    backoff.reset()
    assert (backoff.next_s() or 0) < 0.32
    assert [Backoff(cap_s=5, retries=0).next_s(), Backoff(cap_s=5, retries=1).next_s() is None] == [None, False]
