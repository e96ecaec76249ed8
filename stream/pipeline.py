"""The whole way of a frame: source → ring → estimator → one feed per sink. Several cameras share one network.

::

    p = Pipeline(Stream(source=…, estimator=…, sinks=[…]))
    (status,) = p.run()                   # to the end

    p.start()                             # or: watch it
    while not p.wait(0.2):
        print(p.status())
    (status,) = p.result()

Threads: one for each source (:meth:`stream.lane.Lane.produce`), one for the network
(:class:`stream.inference_loop.InferenceLoop`), one for each sink (:class:`stream.sink_feed.SinkFeed`). Every loop ends
by closing the queues on both of its sides, so an end or an error anywhere runs through to both ends of its lane, and to
no other lane.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stream.channel import Policy
from stream.errors import ConfigError, ModelError, SinkError
from stream.inference_loop import InferenceLoop
from stream.lane import Lane, Stream
from stream.sink_feed import SinkFeed
from stream.stats import Status
from stream.worker import ForeignCall, Workers

__all__ = ["Pipeline", "PipelineConfig", "Stream"]

_log = logging.getLogger(__name__)
_INFERENCE = "inference"
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
    """Runs streams to their ends. Used once.

    A sink that fails, blocks or is slow loses its own frames on a live source and holds its stream back on a file; it
    never takes another sink down, and no stream another stream.

    Args:
        streams: at least one, each with at least one sink. Their estimators share the device of the first one.
        config: queue lengths and policy.

    Raises:
        ConfigError: no stream, no sink, or two streams of one name.
    """

    def __init__(self, *streams: Stream, config: PipelineConfig | None = None) -> None:
        self._config = config or PipelineConfig()
        _check(streams)
        changed = threading.Condition()
        self._workers = Workers()
        self._lanes = [
            Lane(
                stream,
                policy=self._policy(stream),
                ring_slots=self._config.ring_slots,
                sink_queue=self._config.sink_queue,
                changed=changed,
                report=self._report,
            )
            for stream in streams
        ]
        self._inferring = ForeignCall()
        policies: set[Policy] = {self._policy(stream) for stream in streams}
        self._inference = InferenceLoop(
            self._lanes, policy="newest" if "newest" in policies else "block", changed=changed, call=self._inferring
        )
        self._left_behind: set[str] = set()  # threads that nobody waits for any longer
        self._ends_since: float | None = None  # when the run was stopped, or the last frame had got its depth
        self._ended = False

    def run(self) -> tuple[Status, ...]:
        """Run to the end and return the summary of each stream.

        Raises:
            DepthStreamError: a source, an estimator or the last sink of a stream failed. Outputs are finished all the
                same, and the other streams ran to their ends.
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
        for lane in self._lanes:
            for name, feed in _sinks(lane):
                self._workers.start(name, feed.run)
        self._workers.start(_INFERENCE, self._inference.run, cleanup=[self._end_all])
        for lane in self._lanes:
            self._workers.start(_producer(lane), lane.produce, cleanup=(lane.ring.close, lane.close_source))

    def stop(self) -> None:
        """End early and in order: frames with depth are written and files finished; frames without are dropped.

        Returns at once; safe from signal handlers and any thread.
        """
        if self._ends_since is None:
            self._ends_since = time.monotonic()
        for lane in self._lanes:
            lane.stop()

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
                for lane in self._lanes:
                    lane.freeze()
                break
            if _INFERENCE not in alive and self._ends_since is None:
                self._ends_since = time.monotonic()
            if self._ends_since is not None:
                self._leave_behind(alive, self._ends_since)
            if left <= 0:
                break
        return self._ended

    def status(self) -> tuple[Status, ...]:
        """Each stream so far, in the order they were given; summaries once the run has ended."""
        return tuple(lane.status() for lane in self._lanes)

    def result(self) -> tuple[Status, ...]:
        """The summaries of a run that has ended.

        Raises:
            DepthStreamError: what ended a stream first, if that was not its source's end or ``stop``.
        """
        if self._workers.error is not None:
            raise self._workers.error
        return self.status()

    def _policy(self, stream: Stream) -> Policy:
        return self._config.policy or ("newest" if stream.source.info.live else "block")

    def _report(self, error: BaseException) -> None:
        if len(self._lanes) > 1:  # the others go on: nobody else would say so before the end
            _log.error("a stream has ended: %s", error)
        self._workers.fail(error)

    def _end_all(self) -> None:
        """The inference thread has ended, in whatever way."""
        for lane in self._lanes:
            with self._inferring:
                lane.end()

    def _leave_behind(self, alive: list[str], since: float) -> None:
        """Give up on what hangs: its thread cannot be ended, but the others need not wait for it."""
        limit = self._config.stop_timeout_s
        for lane in self._lanes:
            if _producer(lane) in alive and lane.reading.hangs(limit_s=limit, since=since):
                _log.warning("%s did not stop within %g s and is left behind", lane.source.info.name, limit)
                self._left_behind.add(_producer(lane))
        if _INFERENCE in alive and self._inferring.hangs(limit_s=limit, since=since):
            self._workers.fail(ModelError(f"the network did not stop within {limit:g} s and is left behind"))
            self._left_behind.add(_INFERENCE)
            for lane in self._lanes:
                lane.end_queues()
        for lane in self._lanes:
            for name, feed in _sinks(lane):
                if name in alive and feed.call.hangs(limit_s=limit, since=since):
                    feed.leave_behind(SinkError(f"{feed.name} has taken nothing for {limit:g} s and is left behind"))
                    self._left_behind.add(name)


def _check(streams: Iterable[Stream]) -> None:
    names = [stream.name for stream in streams]
    if not names:
        raise ConfigError("a pipeline needs at least one stream")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"two streams are called {twice[0]}; give each a name of its own")
    if not all(stream.sinks for stream in streams):
        raise ConfigError("a stream needs at least one sink; null: is one that throws its frames away")


def _producer(lane: Lane) -> str:
    """Name of the thread."""
    return f"{lane.name}: producer"


def _sinks(lane: Lane) -> Iterator[tuple[str, SinkFeed]]:
    """Feeds by the names of their threads."""
    for number, feed in enumerate(lane.feeds, 1):
        yield f"{lane.name}: sink {number} {feed.name}", feed
