"""The whole way of a frame: source → producer → ring → estimator → one feed per sink.

::

    p = Pipeline(source=…, estimator=…, sinks=[…])
    status = p.run()                      # to the end

    p.start()                             # or: watch it
    while not p.wait(0.2):
        print(p.status())
    status = p.result()

Every loop ends by closing the queues on both of its sides, so an end or an error anywhere runs through to both ends.
What one stage needs to know of another is asked here, once: how the estimator wants memory, whether a sink wants
pictures.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stream.channel import Policy
from stream.errors import ConfigError, ModelError, SinkError
from stream.frame import DepthFrame
from stream.inference_loop import InferenceLoop
from stream.ports import Estimator, Sink, Source
from stream.producer import produce
from stream.ring import Ring
from stream.sink_feed import SinkFeed
from stream.stats import Stats, Status
from stream.worker import ForeignCall, Workers

_log = logging.getLogger(__name__)
_PRODUCER, _INFERENCE = "producer", "inference"
_POLL_S = 0.1  # how often the end of a run is looked for
_MOST_SLOTS = 1024  # page-locked memory is scarce, and a longer queue only makes frames older


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineConfig:
    """How frames wait between the stages."""

    policy: Policy | None = None
    """Keep every frame (block) or the newest (newest). Default: newest for cameras, block for files."""

    ring_slots: int = 4
    """Decoded frames being filled, waiting or uploading; on a GPU in page-locked memory."""

    sink_queue: int = 4
    """Finished frames that may wait for one sink."""

    stop_timeout_s: float = 10.0
    """Seconds without progress, once a run ends, after which a source, network or sink that hangs is left behind."""

    def __post_init__(self) -> None:
        if not 2 <= self.ring_slots <= _MOST_SLOTS:
            raise ConfigError(
                f"`ring_slots` must be at least 2, one to fill and one to read, and at most {_MOST_SLOTS}, "
                f"not {self.ring_slots}"
            )
        if self.sink_queue < 1:
            raise ConfigError(f"`sink_queue` must be at least 1, not {self.sink_queue}")
        if not self.stop_timeout_s > 0:
            raise ConfigError(f"`stop_timeout_s` must be a positive number of seconds, not {self.stop_timeout_s}")


class Pipeline:
    """Runs one source through one estimator into any number of sinks. Used once.

    Args:
        source: closed at the end of the run, as are estimator and sinks.
        estimator: does the work.
        sinks: at least one. One that fails, blocks or is slow loses its own frames on a live source and holds the
            pipeline back on a file; it never takes another one down.
        config: queue lengths and policy.

    Raises:
        ConfigError: no sink.
    """

    def __init__(
        self, *, source: Source, estimator: Estimator, sinks: Sequence[Sink], config: PipelineConfig | None = None
    ) -> None:
        if not sinks:
            raise ConfigError("a pipeline needs at least one sink; null: is one that throws its frames away")
        self._config = config or PipelineConfig()
        policy = self._config.policy or ("newest" if source.info.live else "block")
        self._source = source
        self._estimator = estimator
        self._ring = Ring(slots=self._config.ring_slots, policy=policy, allocate=estimator.allocate)
        self._feeds = {  # by the name of their thread
            f"sink {number} {sink.name}": SinkFeed(sink, capacity=self._config.sink_queue, policy=policy)
            for number, sink in enumerate(sinks, 1)
        }
        self._reading, self._inferring = ForeignCall(), ForeignCall()
        self._inference = InferenceLoop(
            self._ring,
            estimator,
            offer=self._offer,
            policy=policy,
            with_image=any(sink.needs_image for sink in sinks),
            call=self._inferring,
        )
        self._stats = Stats(live=source.info.live)
        self._workers = Workers()
        self._left_behind: set[str] = set()  # threads that nobody waits for any longer
        self._ends_since: float | None = None  # when the run was stopped, or the last frame had got its depth
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
        for name, feed in self._feeds.items():
            self._workers.start(name, feed.run)
        self._workers.start(
            _INFERENCE,
            self._inference.run,
            cleanup=(self._end_queues, _entered(self._inferring, self._estimator.close)),
        )
        self._workers.start(
            _PRODUCER,
            lambda: produce(self._source, self._ring, self._reading),
            cleanup=(self._ring.close, _entered(self._reading, self._source.close)),
        )

    def stop(self) -> None:
        """End early and in order: frames with depth are written and files finished; frames without are dropped.

        Returns at once; safe from signal handlers and any thread.
        """
        if self._ends_since is None:
            self._ends_since = time.monotonic()
        self._ring.cancel()

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for the end; returns whether it has come.

        From the moment the run is stopped, or the last frame has got its depth, a source, estimator or sink that hangs
        is given ``stop_timeout_s`` and then left behind.
        """
        deadline = time.monotonic() + timeout
        while not self._ended:
            left = deadline - time.monotonic()
            alive = [n for n in self._workers.join(min(max(left, 0.0), _POLL_S)) if n not in self._left_behind]
            if not alive:
                self._ended = True
                self._stats.end()
                break
            if _INFERENCE not in alive and self._ends_since is None:
                self._ends_since = time.monotonic()
            if self._ends_since is not None:
                self._leave_behind(alive, self._ends_since)
            if left <= 0:
                break
        return self._ended

    def status(self) -> Status:
        """The run so far; the summary once it has ended."""
        return self._stats.status(
            produced=self._ring.produced,
            dropped=self._ring.dropped,
            sinks=tuple(feed.status() for feed in self._feeds.values()),
        )

    def result(self) -> Status:
        """The summary of a run that has ended.

        Raises:
            DepthStreamError: what ended it, if that was not the source's end or ``stop``.
        """
        if self._workers.error is not None:
            raise self._workers.error
        return self.status()

    def _offer(self, frame: DepthFrame) -> None:
        self._stats.count(frame)
        feeds = self._feeds.values()
        for feed in feeds:
            feed.offer(frame)
        if all(feed.error for feed in feeds):
            raise SinkError(f"no sink is left to write to; the first one said: {next(iter(feeds)).error}")

    def _end_queues(self) -> None:
        """No frame enters or leaves the inference thread any longer."""
        self._ring.cancel()
        for feed in self._feeds.values():
            feed.end()

    def _leave_behind(self, alive: list[str], since: float) -> None:
        """Give up on what hangs: its thread cannot be ended, but the others need not wait for it."""
        limit = self._config.stop_timeout_s
        if _PRODUCER in alive and self._reading.hangs(limit_s=limit, since=since):
            _log.warning("%s did not stop within %g s and is left behind", self._source.info.name, limit)
            self._left_behind.add(_PRODUCER)
        if _INFERENCE in alive and self._inferring.hangs(limit_s=limit, since=since):
            self._workers.fail(ModelError(f"the network did not stop within {limit:g} s and is left behind"))
            self._left_behind.add(_INFERENCE)
            self._end_queues()
        for name, feed in self._feeds.items():
            if name in alive and feed.call.hangs(limit_s=limit, since=since):
                feed.leave_behind(SinkError(f"{feed.name} has taken nothing for {limit:g} s and is left behind"))
                self._left_behind.add(name)


def _entered(call: ForeignCall, step: Callable[[], None]) -> Callable[[], None]:
    """``step`` as a foreign call."""

    def inside() -> None:
        with call:
            step()

    return inside
