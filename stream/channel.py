"""A bounded, closable queue between two threads, with a named policy for when it is full."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

Policy = Literal["block", "newest"]
"""What a full queue does: ``block`` makes the sender wait, so nothing is lost; ``newest`` throws the oldest item away
and counts it, so what comes out is recent."""


class Closed(Exception):  # noqa: N818 (a state, not a fault)
    """The queue is closed and empty: there will never be another item."""


class Channel(Generic[T]):
    """First in, first out, from one or more senders to one or more receivers. Every item is received or counted in
    ``dropped``.

    Raises:
        ValueError: ``capacity`` is below 1.
    """

    def __init__(self, *, capacity: int, policy: Policy) -> None:
        if capacity < 1:
            raise ValueError(f"a channel needs room for at least one item, not {capacity}")
        self._capacity = capacity
        self._policy = policy
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Items that were accepted or offered and will never be received."""
        return self._dropped

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Hand over ``item``. Returns ``False``, counting it as dropped, where the channel is closed."""
        with self._changed:
            while self._policy == "block" and len(self._items) >= self._capacity and not self._closed:
                self._changed.wait()
            if self._closed:
                self._dropped += 1
                return False
            if len(self._items) >= self._capacity:
                self._items.popleft()
                self._dropped += 1
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, timeout: float | None = None) -> T:
        """Wait for the oldest item, at most ``timeout`` seconds.

        Raises:
            Closed: there will never be another one.
            TimeoutError: there was none in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._items or self._closed, timeout):
                raise TimeoutError
            if not self._items:
                raise Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def __iter__(self) -> Iterator[T]:
        """Items until the channel is closed and empty."""
        while True:
            try:
                item = self.get()
            except Closed:
                return
            yield item
            del item  # or this frame would live until the next one comes

    def close(self) -> None:
        """No more items go in; those inside can still be received. Closing twice is fine."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Close, and drop what is inside."""
        with self._changed:
            self._closed = True
            self._dropped += len(self._items)
            self._items.clear()
            self._changed.notify_all()
