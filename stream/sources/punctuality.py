"""How late a camera's pictures come: later than the quickest ones of their connection.

Nobody knows how long the quickest picture was on its way. But a picture that was held up, in the camera, in a server
that was frozen or in a socket's queue, is further behind its timestamp than they are, and by exactly that time.
"""

from __future__ import annotations

from collections import deque

QUIET_S = 0.1
"""A connection that gives nothing for so many seconds has handed over what had been waiting."""

_BUCKETS = 10
_BACKWARDS_S = 1.0  # timestamps that go back by more begin anew
_LIVE_SHARE = 0.5  # of the time between two pictures that must have passed between their arrivals
_UNTIMED_S = 0.02  # as much, where nobody knows the time between pictures: what has been waiting comes faster,
_UNTIMED = 2  # but for a moment in which this machine had something else to do: so often in a row
_LONGEST_DRAIN_S = 3.0


class Punctuality:
    """Compares arrivals with timestamps. One object a connection.

    The quickest picture is that of the last ``window_s`` seconds, because a camera's clock and ours drift apart.

    Args:
        window_s: longer than any stall that the connection survives.
    """

    def __init__(self, window_s: float) -> None:
        self._bucket_s = window_s / _BUCKETS
        self._least: deque[tuple[float, float]] = deque()  # when a bucket began, and the least delay in it
        self._last_pts_s: float | None = None

    def late_s(self, pts_s: float | None, arrived_s: float) -> float:
        """Seconds by which a picture is late; 0 where it has no timestamp. Call it with every picture, in order.

        Args:
            pts_s: presentation time in seconds.
            arrived_s: ``time.monotonic()`` when it arrived.
        """
        if pts_s is None:
            return 0.0
        if self._last_pts_s is not None and pts_s < self._last_pts_s - _BACKWARDS_S:
            self._least.clear()
        self._last_pts_s = pts_s
        delay = arrived_s - pts_s
        if not self._least or arrived_s - self._least[-1][0] >= self._bucket_s:
            self._least.append((arrived_s, delay))
            # The oldest goes only when another one takes its place: a stall alone does not make anybody forget.
            if len(self._least) > _BUCKETS:
                self._least.popleft()
        elif delay < self._least[-1][1]:
            self._least[-1] = (self._least[-1][0], delay)
        return delay - min(least for _, least in self._least)


class LiveEdge:
    """Tells when a new connection has handed over what had been waiting, so that the next picture is a fresh one.

    Pictures that had been waiting come faster than they were taken, or nothing comes after them for :data:`QUIET_S`.
    """

    def __init__(self, now_s: float) -> None:
        self._began_s = now_s
        self._last: tuple[float | None, float] | None = None
        self._apart = 0  # pictures in a row that did not come fast, where they have no times

    def is_reached(self, pts_s: float | None, arrived_s: float) -> bool:
        """Whether a picture that has just come is fresh."""
        last, self._last = self._last, (pts_s, arrived_s)
        if arrived_s - self._began_s > _LONGEST_DRAIN_S:
            return True  # it comes faster than it was taken for ever: no camera does that, but some servers do
        if last is None:
            return False
        since = arrived_s - last[1]
        if pts_s is None or last[0] is None:
            self._apart = self._apart + 1 if since >= _UNTIMED_S else 0
            return self._apart == _UNTIMED
        return since >= _LIVE_SHARE * (pts_s - last[0])
