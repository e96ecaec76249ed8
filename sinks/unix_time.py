"""Capture times of one run on one clock, for formats that know a single one."""

from __future__ import annotations

import time

from stream.frame import Clock, DepthFrame


class UnixTime:
    """Capture times as nanoseconds since 1970, on one clock throughout: that of the first frame.

    ``camera-rtcp`` is Unix time already. ``host-monotonic`` becomes Unix time by the distance between this machine's
    two clocks at the moment this object is made; a later step of the system clock does not tear the times apart.
    A camera whose clock is known only after the first frames is timed by the host's throughout; one whose clock is
    lost on the way goes on by the host's, put right by the last difference between the two.
    ``media`` stays what it is, time since the start of the file: when a file was filmed is not known, and so the same
    file gives the same times each time.

    Attributes:
        clock: of the first frame, ``None`` before it.
    """

    def __init__(self) -> None:
        self._unix_minus_monotonic_ns = time.time_ns() - time.monotonic_ns()
        self.clock: Clock | None = None
        self._camera_minus_host_ns = 0

    def of_frame(self, frame: DepthFrame) -> int:
        """When ``frame`` was taken, in nanoseconds. Call it with every frame, in order."""
        capture = frame.capture
        self.clock = self.clock or capture.clock
        if self.clock == "media":
            return capture.time_ns
        by_host = capture.clock == "host-monotonic"
        arrived_ns = capture.time_ns if by_host else capture.received_ns - capture.late_ns
        host_ns = arrived_ns + self._unix_minus_monotonic_ns
        if self.clock == "host-monotonic":
            return host_ns
        if not by_host:
            self._camera_minus_host_ns = capture.time_ns - host_ns
            return capture.time_ns
        return host_ns + self._camera_minus_host_ns

    def of_moment(self, monotonic_ns: int) -> int:
        """The same time for what happened at ``monotonic_ns`` of ``time.monotonic_ns()``; not of a file."""
        return monotonic_ns + self._unix_minus_monotonic_ns + self._camera_minus_host_ns
