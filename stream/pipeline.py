"""The whole way of a frame: source → producer → ring → estimator → one feed per sink.

::

    p = Pipeline(source=…, estimator=…, sinks=[…])
    status = p.run()                      # to the end

    p.start()                             # or: watch it
    while not p.wait(0.2):
        print(p.status())
    status = p.result()

Every loop ends by closing the queues on both of its sides, so an end or an error anywhere runs through to both ends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from stream.channel import Closed, Policy
from stream.errors import ConfigError, SinkError
from stream.feed import Feed
from stream.frame import DepthFrame
from stream.ports import Estimator, Lease, Sink, Source
from stream.producer import produce
from stream.ring import Ring
from stream.stats import Stats, Status
from stream.worker import Workers

_log = logging.getLogger(__name__)
_PRODUCER, _INFERENCE = "producer", "inference"
_MOST_SLOTS = 1024  # page-locked memory is scarce, and a longer queue only makes frames older


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineConfig:
    """How frames wait between the stages."""

    policy: Policy | None = None
    """Keep every frame (block) or the newest (newest). Default: newest for cameras, block for files."""

    ring_slots: int = 4
    """Decoded frames in page-locked memory, being filled, waiting or uploading."""

    sink_queue: int = 4
    """Finished frames that may wait for one sink."""

    stop_timeout_s: float = 10.0
    """Seconds without progress after which a source or sink that hangs at the end of a run is left behind."""

    def __post_init__(self) -> None:
        if not 2 <= self.ring_slots <= _MOST_SLOTS:
            raise ConfigError(
                f"--ring-slots must be at least 2, one to fill and one to read, and at most {_MOST_SLOTS}, "
                f"not {self.ring_slots}"
            )
        if self.sink_queue < 1:
            raise ConfigError(f"--sink-queue must be at least 1, not {self.sink_queue}")
        if not self.stop_timeout_s > 0:
            raise ConfigError(f"--stop-timeout-s must be a positive number of seconds, not {self.stop_timeout_s}")


class Pipeline:
    """Runs one source through one estimator into any number of sinks. Used once.

    Args:
        source: closed at the end of the run, as are estimator and sinks.
        estimator: does the work.
        sinks: at least one. One that fails, blocks or is slow loses its own frames on a live source and holds the
            pipeline back on a file; it never takes another one down.
        config: queue lengths and policy.
        pinned: put frames into page-locked memory; needs a CUDA device.

    Raises:
        ConfigError: no sink.
    """

    def __init__(
        self,
        *,
        source: Source,
        estimator: Estimator,
        sinks: Sequence[Sink],
        config: PipelineConfig | None = None,
        pinned: bool = False,
    ) -> None:
        if not sinks:
            raise ConfigError("a pipeline needs at least one sink; null: is one that throws its frames away")
        self._config = config or PipelineConfig()
        policy = self._config.policy or ("newest" if source.info.live else "block")
        self._source = source
        self._estimator = estimator
        self._ring = Ring(slots=self._config.ring_slots + estimator.capacity - 1, policy=policy, pinned=pinned)
        self._feeds = [Feed(sink, capacity=self._config.sink_queue, policy=policy) for sink in sinks]
        self._stats = Stats()
        self._workers = Workers()
        self._stopping = False
        self._inferred_at: float | None = None  # when the last frame had got its depth
        self._ended = False

    def run(self) -> Status:
        """Run to the end and return the summary.

        Raises:
            DepthStreamError: the source, the estimator or the last sink failed. Outputs are finished all the same.
        """
        self.start()
        try:
            while not self.wait(1.0):
                pass
        except BaseException:
            self.stop()
            while not self.wait(1.0):
                pass
            raise
        return self.result()

    def start(self) -> None:
        """Start all threads."""
        for feed in self._feeds:
            self._workers.start(f"sink {feed.name}", feed.run)
        self._workers.start(_INFERENCE, self._infer)
        self._workers.start(_PRODUCER, lambda: produce(self._source, self._ring))

    def stop(self) -> None:
        """End early and in order: frames with depth are written and files finished; frames without are dropped.

        Returns at once; safe from signal handlers and any thread.
        """
        self._stopping = True
        self._ring.cancel()

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for the end; returns whether it has come.

        A source or sink that hangs after the last frame got its depth is given ``stop_timeout_s`` and then left behind.
        """
        alive = self._workers.join(timeout)
        if alive and (self._stopping or self._inferred_at is not None):
            self._leave_stuck_sinks()
        if not self._ended and (not alive or self._only_stragglers(alive)):
            self._ended = True
            self._stats.end()
        return self._ended

    def status(self) -> Status:
        """The run so far; the summary once it has ended."""
        return self._stats.status(
            produced=self._ring.produced,
            dropped=self._ring.dropped,
            sinks=tuple(feed.status() for feed in self._feeds),
        )

    def result(self) -> Status:
        """The summary of a run that has ended.

        Raises:
            DepthStreamError: what ended it, if that was not the source's end or ``stop``.
        """
        if self._workers.error is not None:
            raise self._workers.error
        return self.status()

    def _infer(self) -> None:
        try:
            in_flight = 0
            while True:
                lease = self._next_lease(in_flight)
                if lease is not None:
                    self._estimator.submit(lease)
                    in_flight += 1
                elif in_flight:
                    self._offer(self._estimator.collect())
                    in_flight -= 1
                else:
                    return
        finally:
            self._ring.cancel()
            for feed in self._feeds:
                feed.end()
            self._estimator.close()
            self._inferred_at = time.monotonic()

    def _next_lease(self, in_flight: int) -> Lease | None:
        """A frame to submit now. Waits for one only when the estimator is idle; ``None``: collect first, or the end."""
        if in_flight >= self._estimator.capacity:
            return None
        try:
            return self._ring.take(wait=in_flight == 0)
        except Closed:
            return None

    def _offer(self, frame: DepthFrame) -> None:
        self._stats.count(frame)
        for feed in self._feeds:
            feed.offer(frame)
        if all(feed.error for feed in self._feeds):
            raise SinkError(f"no sink is left to write to; the first to fail said: {self._feeds[0].error}")

    def _leave_stuck_sinks(self) -> None:
        limit = self._config.stop_timeout_s
        for feed in self._feeds:
            if not feed.done and feed.stuck_s > limit:
                feed.leave_behind(SinkError(f"{feed.name} has taken nothing for {limit:g} s and is left behind"))

    def _only_stragglers(self, alive: list[str]) -> bool:
        """Whether the threads still alive are ones that nobody waits for any longer."""
        if self._inferred_at is None or not all(feed.done for feed in self._feeds):
            return False
        waited = time.monotonic() - self._inferred_at
        if _PRODUCER in alive and waited <= self._config.stop_timeout_s:
            return False
        if _PRODUCER in alive:
            _log.warning("%s did not stop within %.0f s and is left behind", self._source.info.name, waited)
        return True
