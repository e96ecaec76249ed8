"""The second thread: from the ring through the estimator to the sinks' feeds."""

from __future__ import annotations

from collections.abc import Callable

from stream.channel import Closed, Policy
from stream.frame import DepthFrame
from stream.ports import Estimator
from stream.ring import Ring
from stream.worker import ForeignCall


class InferenceLoop:
    """Keeps the estimator as busy as the policy allows, one thread's loop.

    ``block``, for files: as many frames are in flight as the estimator takes, and its batches are full. Only the last
    one may not be.

    ``newest``, for cameras: the next frame is taken at the moment the network has finished the one before, when it is
    as new as it can be. The device then works on it while the host scales and copies the frame before, so the device
    never waits for the host, and no frame ages in a queue.

    Args:
        ring: where frames come from.
        estimator: what gives them depth.
        offer: called with each frame that has got its depth, in order.
        policy: ``block`` or ``newest``, that of the ring.
        with_image: whether pictures are wanted beside depth.
        call: entered whenever the estimator is asked for something.
    """

    def __init__(
        self,
        ring: Ring,
        estimator: Estimator,
        *,
        offer: Callable[[DepthFrame], None],
        policy: Policy,
        with_image: bool,
        call: ForeignCall,
    ) -> None:
        self._ring, self._estimator, self._offer = ring, estimator, offer
        self._policy, self._with_image, self._call = policy, with_image, call
        self._submitted = self._collected = 0

    def run(self) -> None:
        """Until the ring is closed and empty.

        Raises:
            DepthStreamError: the estimator failed, or ``offer`` refused a frame.
        """
        while self._fill():
            with self._call:
                self._estimator.wait()
            if self._policy == "newest":
                self._submit(wait=False)
            with self._call:
                frame = self._estimator.collect()
            self._collected += 1
            self._offer(frame)
            del frame  # or it would live until the next one comes

    @property
    def _in_flight(self) -> int:
        return self._submitted - self._collected

    def _fill(self) -> bool:
        """Submit what may be in flight together. Returns whether anything is."""
        if self._policy == "newest":
            return self._in_flight > 0 or self._submit(wait=True)
        # Frames of a file wait for the rest of their batch, which costs nothing but time that the decoder needs anyway.
        while self._submit(wait=self._in_flight == 0 or self._submitted % self._estimator.batch > 0):
            pass
        return self._in_flight > 0

    def _submit(self, *, wait: bool) -> bool:
        """Submit the next frame, if the estimator takes one more and there is one. Returns whether it did."""
        if self._in_flight >= self._estimator.capacity:
            return False
        try:
            lease = self._ring.take(wait=wait)
        except Closed:
            return False
        if lease is None:
            return False
        with self._call:
            self._estimator.submit(lease, with_image=self._with_image)
        self._submitted += 1
        return True
