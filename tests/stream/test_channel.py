"""The queue between threads: order, policies, closing."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.channel import Channel, Closed


def test_a_channel_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Channel[int](capacity=0, policy="block")


def test_newest_keeps_the_latest_and_counts_the_rest() -> None:
    channel = Channel[int](capacity=2, policy="newest")
    assert all(channel.put(i) for i in range(5))
    channel.close()
    assert list(channel) == [3, 4]
    assert channel.dropped == 3


def test_close_lets_the_rest_out_and_nothing_in() -> None:
    channel = Channel[int](capacity=3, policy="block")
    channel.put(1)
    channel.close()
    channel.close()
    assert not channel.put(2)
    assert channel.get() == 1
    with pytest.raises(Closed):
        channel.get()
    assert channel.dropped == 1


def test_cancel_drops_what_is_inside() -> None:
    channel = Channel[int](capacity=3, policy="block")
    channel.put(1)
    channel.put(2)
    channel.cancel()
    assert list(channel) == []
    assert channel.dropped == 2


@pytest.mark.parametrize("end", ["close", "cancel"])
def test_closing_frees_a_waiting_sender_and_a_waiting_receiver(end: str) -> None:
    full, empty = Channel[int](capacity=1, policy="block"), Channel[int](capacity=1, policy="block")
    full.put(0)
    accepted: list[bool] = []
    sender = threading.Thread(target=lambda: accepted.append(full.put(1)))
    receiver = threading.Thread(target=lambda: list(empty))
    sender.start()
    receiver.start()
    getattr(full, end)()
    getattr(empty, end)()
    sender.join(5)
    receiver.join(5)
    assert not sender.is_alive()
    assert not receiver.is_alive()
    assert accepted == [False]


@given(
    policy=st.sampled_from(["block", "newest"]),
    capacity=st.integers(1, 4),
    steps=st.lists(st.sampled_from(["put", "get", "close", "cancel"]), max_size=40),
)
def test_every_item_comes_out_once_in_order_or_is_counted(policy: str, capacity: int, steps: list[str]) -> None:
    channel = Channel[int](capacity=capacity, policy=policy)  # type: ignore[arg-type]
    offered, received, closed = 0, [], False
    for step in steps:
        if step == "put" and (closed or policy == "newest" or len(channel) < capacity):
            assert channel.put(offered) is not closed
            offered += 1
        elif step == "get" and len(channel):
            received.append(channel.get())
        elif step in ("close", "cancel"):
            getattr(channel, step)()
            closed = True
        assert len(channel) <= capacity
        assert len(received) + channel.dropped + len(channel) == offered
    assert received == sorted(set(received))
    if policy == "block" and not closed:
        assert channel.dropped == 0


def test_many_senders_and_receivers_lose_nothing() -> None:
    channel = Channel[int](capacity=3, policy="block")
    received: list[int] = []

    def send(sender: int) -> None:
        for i in range(500):
            channel.put(sender * 500 + i)

    receivers = [threading.Thread(target=lambda: received.extend(channel)) for _ in range(3)]
    senders = [threading.Thread(target=send, args=(k,)) for k in range(3)]
    for thread in senders + receivers:
        thread.start()
    for thread in senders:
        thread.join(20)
    channel.close()
    for thread in receivers:
        thread.join(20)
    assert sorted(received) == list(range(1500))
