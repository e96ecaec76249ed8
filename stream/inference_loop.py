"""The second thread: from the rings of all cameras through the network to their sinks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from stream.channel import Closed, Policy
from stream.frame import DepthFrame
from stream.lane import Lane
from stream.ring import RingLease
from stream.worker import ForeignCall


class InferenceLoop:
    """Keeps the device as busy as the policy allows, one thread's loop. Lanes take turns, frame by frame.

    ``block``, for files: as many frames are in flight as the estimator takes, its batches are full, and as many frames
    are behind each one as it is judged with. Only at the end there may be fewer.

    ``newest``, for cameras: the next frame is taken at the moment the network has finished the one before, when it is
    as new as it can be. The device then works on it while the host scales and copies the frame before, so the device
    never waits for the host, and no frame ages in a queue.

    A lane whose estimator or last sink fails ends; the others go on.

    Args:
        lanes: one for each source; their estimators share a device.
        policy: ``block`` or ``newest``.
        changed: that of all rings.
        call: entered whenever an estimator is asked for something.
    """

    def __init__(
        self, lanes: Sequence[Lane], *, policy: Policy, changed: threading.Condition, call: ForeignCall
    ) -> None:
        self._open = list(lanes)  # the next one to be served first
        self._policy, self._changed, self._call = policy, changed, call
        self._in_flight: deque[Lane] = deque()

    def run(self) -> None:
        """Until all rings are closed and empty."""
        while self._fill():
            lane = self._in_flight[0]
            if lane.is_cut_short:
                self._end(lane)
                continue
            try:
                with self._call:
                    lane.estimator.wait()
                if self._policy == "newest":
                    self._submit(wait=False)
                if not self._in_flight or self._in_flight[0] is not lane:
                    continue  # this lane has just failed
                with self._call:
                    frame: DepthFrame = lane.estimator.collect()
                self._in_flight.popleft()
                lane.offer(frame)
                del frame  # or it would live until the next one comes
            except Exception as exc:  # noqa: BLE001 (whatever one camera's estimator raises must not end the others)
                self._end(lane, exc)
            self._end_those_that_are_over()

    def _fill(self) -> bool:
        """Submit what may be in flight together. Returns whether anything is."""
        if self._policy == "newest":
            return bool(self._in_flight) or self._submit(wait=True)
        # Frames of a file wait for the rest of their batch, and for those that tell of them in hindsight, which costs
        # nothing but time that the decoder needs anyway.
        while self._submit(wait=not self._in_flight or any(lane.waits_for_more for lane in self._open)):
            pass
        return bool(self._in_flight)

    def _submit(self, *, wait: bool) -> bool:
        """Submit the next frame, if there is one and room for it. Returns whether that happened."""
        while (taken := self._take(wait=wait)) is not None:
            lane, lease = taken
            try:
                with self._call:
                    lane.submit(lease)
            except Exception as exc:  # noqa: BLE001 (as above)
                self._end(lane, exc)
            else:
                self._in_flight.append(lane)
                return True
        return False

    def _take(self, *, wait: bool) -> tuple[Lane, RingLease] | None:
        """The next frame of whose turn it is, ``None`` if there is none, or none yet."""
        with self._changed:
            while True:
                self._end_those_that_are_over()
                for place, lane in enumerate(self._open):
                    lease = None
                    if not self._is_full(lane):
                        with suppress(Closed):  # it ends as soon as none of its frames is in flight
                            lease = lane.ring.take(wait=False)
                    if lease is not None:
                        # Whoever was passed over because nothing was there stays in front.
                        self._open.append(self._open.pop(place))
                        return lane, lease
                if not wait or all(lane.ring.is_over or self._is_full(lane) for lane in self._open):
                    return None
                self._changed.wait()

    def _is_full(self, lane: Lane) -> bool:
        return sum(other.on_device for other in self._open) >= lane.estimator.capacity and not lane.lacks_later

    def _end_those_that_are_over(self) -> None:
        for lane in [lane for lane in self._open if lane.ring.is_over and lane not in self._in_flight]:
            self._end(lane)

    def _end(self, lane: Lane, error: Exception | None = None) -> None:
        """Nothing more goes through ``lane``."""
        self._open.remove(lane)
        self._in_flight = deque(other for other in self._in_flight if other is not lane)
        with self._call:
            lane.end(error)
