"""One source's way through the pipeline: its ring, its estimator, its sinks, and what is known of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from stream.channel import Policy
from stream.errors import SinkError
from stream.frame import DepthFrame, SourceState
from stream.ports import Estimator, Sink, Source
from stream.ring import Ring, RingLease
from stream.sink_feed import SinkFeed
from stream.stats import Stats, Status
from stream.worker import ForeignCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A source, what makes depth of its frames, and where that goes.

    Attributes:
        source, estimator, sinks: closed at the end of the run.
        name: of the source in this run, for people, topics and file names.
    """

    source: Source
    estimator: Estimator
    sinks: Sequence[Sink]
    name: str = "camera"


class Lane:
    """What becomes of one :class:`Stream` in a run.

    Args:
        stream: what runs.
        policy: whether every frame counts (``block``) or the newest (``newest``).
        ring_slots, sink_queue: see :class:`stream.pipeline.PipelineConfig`.
        changed: what the rings of all lanes notify.
        report: called with every error that is not a sink's.

    Attributes:
        ring: from the source to the estimator.
        feeds: one per sink.
        reading: entered whenever the source is asked for something.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        policy: Policy,
        ring_slots: int,
        sink_queue: int,
        changed: threading.Condition,
        report: Callable[[BaseException], None],
    ) -> None:
        self.name, self.source, self.estimator = stream.name, stream.source, stream.estimator
        info = stream.source.info
        if policy == "block":
            info = replace(info, max_age_s=None)
        self.ring = Ring(
            slots=ring_slots,
            policy=policy,
            allocate=stream.estimator.allocate,
            device_slot=getattr(stream.estimator, "device_slot", None),
            max_age_s=info.max_age_s,
            changed=changed,
        )
        self.feeds = [SinkFeed(sink, capacity=sink_queue, policy=policy, info=info) for sink in stream.sinks]
        self.reading = ForeignCall()
        self._report = report
        self._with_image = any(sink.needs_image for sink in stream.sinks)
        self._submitted = self._offered = 0
        self._stopped = False
        self._stats = Stats(live=stream.source.info.live)
        self._state: SourceState | None = None
        self._error: BaseException | None = None
        self._ended = False

    @property
    def on_device(self) -> int:
        """Frames that have been submitted and whose depth has not been collected, but for those that only wait for
        later ones."""
        return max(self._in_flight - self.estimator.hindsight, 0)

    @property
    def waits_for_more(self) -> bool:
        """Whether frames have been submitted that wait for the rest of their batch, or for later ones, and those may
        still come."""
        return (self._submitted % self.estimator.batch > 0 or self.lacks_later) and not self.ring.is_over

    @property
    def lacks_later(self) -> bool:
        """Whether fewer frames are behind the oldest one that has been submitted than it is judged with."""
        return 0 < self._in_flight <= self.estimator.hindsight

    @property
    def is_cut_short(self) -> bool:
        """Whether the run was stopped and the oldest frame lacks later ones: without them it would become another."""
        return self._stopped and self.lacks_later

    @property
    def _in_flight(self) -> int:
        return self._submitted - self._offered

    def produce(self) -> None:
        """Move every frame of the source into the ring until either ends: the loop of the source's thread.

        What the ring already holds stays good when the source breaks off.
        """
        try:
            with self.reading:
                if (listen := getattr(self.source, "listen", None)) is not None:
                    listen(self._observe)
                frames = iter(self.source)
            while True:
                with self.reading:
                    frame = next(frames, None)
                if frame is None or not self.ring.put(frame):
                    return
        except BaseException as exc:  # noqa: BLE001 (a thread's last resort, and a source is foreign code)
            self.fail(exc)

    def close_source(self) -> None:
        """After ``produce``, in its thread."""
        with self.reading:
            self.source.close()

    def submit(self, lease: RingLease) -> None:
        """Have the estimator start on a frame.

        Raises:
            DepthStreamError: it cannot.
        """
        self.estimator.submit(lease, with_image=self._with_image)
        self._submitted += 1

    def offer(self, frame: DepthFrame) -> None:
        """Hand a frame that has got its depth to all sinks.

        Raises:
            SinkError: none of them works any longer.
        """
        self._offered += 1
        self._stats.count(frame)
        for feed in self.feeds:
            feed.offer(frame)
        if all(feed.error for feed in self.feeds):
            raise SinkError(f"no sink is left to write to; the first one said: {self.feeds[0].error}")

    def stop(self) -> None:
        """Let the source end soon; frames without depth are dropped. Safe from any thread."""
        self._stopped = True
        self.ring.cancel()
        if (stop := getattr(self.source, "stop", None)) is not None:
            stop()

    def end(self, error: BaseException | None = None) -> None:
        """No frame gets depth any longer: sinks finish, and the estimator is closed."""
        if self._ended:
            return
        self._ended = True
        if error is not None:
            self.fail(error)
        self.end_queues()
        try:
            self.estimator.close()
        except Exception as exc:  # noqa: BLE001 (foreign code, too)
            self.fail(exc)

    def end_queues(self) -> None:
        """No frame enters or leaves the inference thread any longer."""
        self.stop()
        for feed in self.feeds:
            feed.end()

    def fail(self, error: BaseException) -> None:
        """Report what ended this lane; the first error counts."""
        self._error = self._error or error
        self._report(error)

    def freeze(self) -> None:
        """The run has ended: from here on the status is a summary."""
        self._stats.end()

    def status(self) -> Status:
        return self._stats.status(
            camera=self.name,
            produced=self.ring.produced,
            dropped=self.ring.dropped,
            sinks=tuple(feed.status() for feed in self.feeds),
            source=self._state,
            error=self._error,
        )

    def _observe(self, state: SourceState) -> None:
        self._state = replace(state, camera=self.name)
        for feed in self.feeds:
            feed.observe(self._state)
