"""The subscriber's asynchronous waits: what they leave behind."""

from __future__ import annotations

import asyncio
import gc

import pytest

from sinks.zeromq.depth_subscriber import DepthSubscriber, DepthTimeout


def events() -> int:
    """How many of asyncio's events there are."""
    gc.collect()
    return sum(type(thing) is asyncio.Event for thing in gc.get_objects())


def test_a_wait_that_times_out_or_is_cancelled_leaves_nothing_behind() -> None:
    async def wait_in_vain() -> int:
        async with DepthSubscriber("tcp://127.0.0.1:1") as depths:
            before = events()
            for _ in range(100):
                with pytest.raises(DepthTimeout):
                    await depths.receive_async(0.001)
            for _ in range(100):
                waiting = asyncio.ensure_future(depths.latest_async(60))
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            return events() - before

    assert asyncio.run(wait_in_vain()) < 10  # not 200; the last ones may still be in a traceback
