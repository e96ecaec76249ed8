"""Every frame's way through the threads, and every way it can end."""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest

from stream.errors import ConfigError, DepthStreamError, ModelError, SinkError, SourceError
from stream.frame import DepthFrame
from stream.pipeline import Pipeline, PipelineConfig, Stream
from stream.stats import Status
from tests.support.doubles import Hook, ScriptedEstimator, ScriptedSink, ScriptedSource

SOON = 20.0  # seconds within which every run here must have ended, however slow the machine


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + SOON
    while leaked := [t for t in threading.enumerate() if t not in before]:
        assert time.monotonic() < deadline, f"threads left behind: {leaked}"
        leaked[0].join(deadline - time.monotonic())


def finish(pipeline: Pipeline) -> tuple[Status, ...]:
    """Run to the end, but never longer than ``SOON``."""
    pipeline.start()
    return await_end(pipeline)


def await_end(pipeline: Pipeline) -> tuple[Status, ...]:
    deadline = time.monotonic() + SOON
    while not pipeline.wait(0.05):
        assert time.monotonic() < deadline, "the run hangs"
    return pipeline.result()


def at(index: int, error: Exception) -> Hook:
    """Raise ``error`` when frame ``index`` comes."""

    def hook(i: int) -> None:
        if i == index:
            raise error

    return hook


def sleep(seconds: float) -> Hook:
    return lambda _index: time.sleep(seconds)


def test_without_a_sink_there_is_nothing_to_run() -> None:
    with pytest.raises(ConfigError, match="at least one sink"):
        Pipeline(Stream(source=ScriptedSource(1), estimator=ScriptedEstimator(), sinks=[]))


@pytest.mark.parametrize("capacity", [1, 2, 3])
def test_a_file_gives_every_frame_once_in_order_to_every_sink(capacity: int) -> None:
    sinks = [ScriptedSink(), ScriptedSink(hook=sleep(0.002))]
    source, estimator = ScriptedSource(100), ScriptedEstimator(capacity=capacity)
    (status,) = finish(Pipeline(Stream(source=source, estimator=estimator, sinks=sinks)))
    for sink in sinks:
        assert sink.written == list(range(100))
        assert sink.values == list(range(100))
        assert sink.closed == 1
    assert (source.closed, estimator.closed) == (1, 1)
    assert (status.produced, status.processed, status.dropped) == (100, 100, 0)
    assert [(s.written, s.lost, s.error) for s in status.sinks] == [(100, 0, None)] * 2
    assert status.latency_p50_s is None


def test_an_empty_source_ends_well() -> None:
    sink = ScriptedSink()
    (status,) = finish(Pipeline(Stream(source=ScriptedSource(0), estimator=ScriptedEstimator(), sinks=[sink])))
    assert (status.processed, sink.closed) == (0, 1)


def test_a_live_source_gives_the_newest_and_counts_the_rest() -> None:
    sink = ScriptedSink()
    estimator = ScriptedEstimator(on_collect=sleep(0.02))
    source = ScriptedSource(150, live=True, hook=sleep(0.002))
    (status,) = finish(Pipeline(Stream(source=source, estimator=estimator, sinks=[sink])))
    assert sink.written == sorted(set(sink.written))
    assert sink.written[-1] == 149
    assert status.produced == 150
    assert status.dropped > 0
    assert status.processed + status.dropped == status.produced
    assert status.latency_p50_s is not None
    assert 0 < status.latency_p50_s < 1


def test_a_slow_sink_on_a_live_source_loses_only_its_own_frames() -> None:
    slow, quick = ScriptedSink(hook=sleep(0.05)), ScriptedSink()
    source = ScriptedSource(60, live=True, hook=sleep(0.003))
    (status,) = finish(Pipeline(Stream(source=source, estimator=ScriptedEstimator(), sinks=[slow, quick])))
    assert len(quick.written) == status.processed
    assert status.sinks[0].lost > 0
    assert status.sinks[0].written + status.sinks[0].lost == status.processed
    assert status.sinks[1].lost == 0


@pytest.mark.parametrize("live", [False, True])
def test_a_sink_that_raises_does_not_stop_the_others(live: bool) -> None:
    bad = ScriptedSink(name="bad", hook=at(5, SinkError("disk full: free some space")))
    good = ScriptedSink()
    source = ScriptedSource(40, live=live, hook=sleep(0.003 if live else 0))
    (status,) = finish(Pipeline(Stream(source=source, estimator=ScriptedEstimator(), sinks=[bad, good])))
    assert len(good.written) == status.processed
    assert bad.written == [i for i in good.written if i < 5]
    assert str(status.sinks[0].error) == "disk full: free some space"
    assert status.sinks[0].written + status.sinks[0].lost == status.processed
    assert (bad.closed, good.closed) == (1, 1)


def test_a_foreign_error_in_a_sink_is_contained_too(caplog: pytest.LogCaptureFixture) -> None:
    bad, good = ScriptedSink(name="bad", hook=at(0, KeyError("k"))), ScriptedSink()
    (status,) = finish(Pipeline(Stream(source=ScriptedSource(10), estimator=ScriptedEstimator(), sinks=[bad, good])))
    assert len(good.written) == 10
    assert isinstance(status.sinks[0].error, KeyError)
    assert "sink bad failed: KeyError: 'k'" in caplog.text


def test_a_sink_that_cannot_close_is_reported() -> None:
    def fail() -> None:
        raise SinkError("cannot finish the file")

    (status,) = finish(
        Pipeline(Stream(source=ScriptedSource(3), estimator=ScriptedEstimator(), sinks=[ScriptedSink(on_close=fail)]))
    )
    assert str(status.sinks[0].error) == "cannot finish the file"
    assert status.sinks[0].written == 3


def test_the_run_ends_when_no_sink_is_left() -> None:
    sinks = [ScriptedSink(name=n, hook=at(2, SinkError(f"{n} is gone"))) for n in "ab"]
    source = ScriptedSource(100_000)
    with pytest.raises(SinkError, match=r"no sink is left.*a is gone"):
        finish(Pipeline(Stream(source=source, estimator=ScriptedEstimator(), sinks=sinks)))
    assert source.closed == 1


def test_a_source_that_breaks_off_ends_the_run_with_its_message_and_finished_outputs() -> None:
    sink = ScriptedSink()
    source = ScriptedSource(100, hook=at(30, SourceError("the camera is gone")))
    pipeline = Pipeline(Stream(source=source, estimator=ScriptedEstimator(), sinks=[sink]))
    with pytest.raises(SourceError, match="the camera is gone"):
        finish(pipeline)
    assert sink.written == list(range(30))
    assert (sink.closed, source.closed) == (1, 1)
    assert pipeline.status()[0].processed == 30


@pytest.mark.parametrize("stage", ["submit", "collect"])
def test_an_estimator_that_raises_ends_the_run_and_finishes_outputs(stage: str) -> None:
    hook = at(7, ModelError("out of memory"))
    estimator = ScriptedEstimator(**{f"on_{stage}": hook})
    sink, source = ScriptedSink(), ScriptedSource(100_000)
    pipeline = Pipeline(Stream(source=source, estimator=estimator, sinks=[sink]))
    with pytest.raises(ModelError, match="out of memory"):
        finish(pipeline)
    assert sink.written == list(range(len(sink.written)))
    assert (sink.closed, source.closed, estimator.closed) == (1, 1, 1)
    (status,) = pipeline.status()
    assert status.processed + status.dropped == status.produced


def test_stop_writes_what_has_depth_and_drops_the_rest() -> None:
    started = threading.Event()
    sink = ScriptedSink(hook=lambda _i: started.set())
    pipeline = Pipeline(Stream(source=ScriptedSource(100_000), estimator=ScriptedEstimator(), sinks=[sink]))
    pipeline.start()
    assert started.wait(SOON)
    pipeline.stop()
    (status,) = await_end(pipeline)
    assert sink.closed == 1
    assert len(sink.written) == status.processed < 100_000
    assert status.processed + status.dropped == status.produced


@pytest.mark.parametrize("live", [True, False])
def test_a_sink_that_hangs_is_left_behind_after_a_stop(live: bool) -> None:
    release, hanging = threading.Event(), threading.Event()

    def hang(_index: int) -> None:
        hanging.set()
        release.wait(SOON)

    stuck, good = ScriptedSink(name="stuck", hook=hang), ScriptedSink()
    pipeline = Pipeline(
        Stream(
            source=ScriptedSource(100_000, live=live),
            estimator=ScriptedEstimator(on_collect=sleep(0.001)),
            sinks=[stuck, good],
        ),
        config=PipelineConfig(stop_timeout_s=0.2),
    )
    pipeline.start()
    assert hanging.wait(SOON)
    pipeline.stop()
    (status,) = await_end(pipeline)
    assert "stuck has taken nothing for 0.2 s" in str(status.sinks[0].error)
    assert good.closed == 1
    assert status.sinks[1].error is None
    release.set()


def test_a_sink_that_blocks_a_live_source_loses_its_own_frames_only() -> None:
    release = threading.Event()
    stuck, good = ScriptedSink(name="stuck", hook=lambda _i: release.wait(SOON)), ScriptedSink()
    source = ScriptedSource(50, live=True, hook=sleep(0.002))
    config = PipelineConfig(stop_timeout_s=0.2)
    (status,) = finish(
        Pipeline(Stream(source=source, estimator=ScriptedEstimator(), sinks=[stuck, good]), config=config)
    )
    assert len(good.written) == status.processed > 4
    assert isinstance(status.sinks[0].error, SinkError)
    assert status.sinks[0].lost == status.processed
    release.set()


def test_a_source_that_hangs_is_left_behind_after_a_stop(caplog: pytest.LogCaptureFixture) -> None:
    release, hanging = threading.Event(), threading.Event()

    def hang(index: int) -> None:
        if index == 3:
            hanging.set()
            release.wait(SOON)

    sink = ScriptedSink()
    pipeline = Pipeline(
        Stream(source=ScriptedSource(10, live=True, hook=hang), estimator=ScriptedEstimator(), sinks=[sink]),
        config=PipelineConfig(stop_timeout_s=0.2),
    )
    pipeline.start()
    assert hanging.wait(SOON)
    pipeline.stop()
    await_end(pipeline)
    assert sink.closed == 1
    assert "scripted did not stop" in caplog.text
    release.set()


def test_an_error_while_closing_does_not_hide_the_real_one_and_the_run_ends() -> None:
    release = threading.Event()

    def hang(index: int) -> None:
        if index == 3:
            release.wait(SOON)

    def refuse() -> None:
        raise ModelError("cannot close")

    sink = ScriptedSink()
    estimator = ScriptedEstimator(on_collect=at(1, ModelError("the real error")), on_close=refuse)
    pipeline = Pipeline(
        Stream(source=ScriptedSource(10, live=True, hook=hang), estimator=estimator, sinks=[sink]),
        config=PipelineConfig(policy="block", stop_timeout_s=0.3),
    )
    with pytest.raises(ModelError, match="the real error"):
        finish(pipeline)
    assert (estimator.closed, sink.closed) == (1, 1)
    release.set()


def test_an_error_of_closing_the_source_comes_after_the_one_of_reading_it(caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> None:
        raise SourceError("cannot close")

    source = ScriptedSource(10, hook=at(4, SourceError("cannot read")), on_close=refuse)
    sink = ScriptedSink()
    with pytest.raises(SourceError, match="cannot read"):
        finish(Pipeline(Stream(source=source, estimator=ScriptedEstimator(), sinks=[sink])))
    assert sink.written == [0, 1, 2, 3]
    assert "cannot close" in caplog.text


@pytest.mark.parametrize("stage", ["submit", "wait", "collect"])
def test_an_estimator_that_hangs_is_left_behind_after_a_stop(stage: str) -> None:
    release, hanging = threading.Event(), threading.Event()

    def hang(index: int) -> None:
        if index == 2:
            hanging.set()
            release.wait(SOON)

    sink = ScriptedSink()
    pipeline = Pipeline(
        Stream(
            source=ScriptedSource(100_000),
            estimator=ScriptedEstimator(capacity=1, **{f"on_{stage}": hang}),
            sinks=[sink],
        ),
        config=PipelineConfig(stop_timeout_s=0.2),
    )
    pipeline.start()
    assert hanging.wait(SOON)
    pipeline.stop()
    with pytest.raises(ModelError, match=r"did not stop within 0\.2 s"):
        await_end(pipeline)
    assert (sink.written, sink.closed) == ([0, 1], 1)
    release.set()


def test_the_grace_of_a_slow_sink_begins_when_the_run_is_stopped() -> None:
    release, writing = threading.Event(), threading.Event()

    def hold(_index: int) -> None:
        writing.set()
        release.wait(SOON)

    sink = ScriptedSink(hook=hold)
    config = PipelineConfig(stop_timeout_s=0.5)
    pipeline = Pipeline(
        Stream(source=ScriptedSource(100_000), estimator=ScriptedEstimator(), sinks=[sink]), config=config
    )
    pipeline.start()
    assert writing.wait(SOON)
    assert not pipeline.wait(0.7)  # longer in its call than the timeout, before anybody asked it to end
    pipeline.stop()
    assert not pipeline.wait(0.2)
    release.set()
    (status,) = await_end(pipeline)
    assert status.sinks[0].error is None
    assert sink.closed == 1


def test_a_file_fills_its_batches() -> None:
    submitted: list[int] = []
    sizes: list[int] = []
    estimator = ScriptedEstimator(
        capacity=8, batch=4, on_submit=submitted.append, on_wait=lambda _i: sizes.append(len(submitted))
    )
    source = ScriptedSource(22, hook=sleep(0.003))  # slower than the estimator, which could run ahead with less
    (status,) = finish(
        Pipeline(
            Stream(source=source, estimator=estimator, sinks=[ScriptedSink()]), config=PipelineConfig(ring_slots=12)
        )
    )
    assert status.processed == 22
    first_of_batch = sizes[::4]
    assert all(size % 4 == 0 or size == 22 for size in first_of_batch), sizes


@pytest.mark.parametrize(("capacity", "batch"), [(1, 1), (4, 2)])
def test_a_file_s_frame_is_collected_once_those_behind_it_that_tell_of_it_are_there(capacity: int, batch: int) -> None:
    submitted: list[int] = []
    ahead: list[int] = []
    estimator = ScriptedEstimator(
        capacity=capacity,
        batch=batch,
        hindsight=5,
        on_submit=submitted.append,
        on_collect=lambda i: ahead.append(submitted[-1] - i),
    )
    source = ScriptedSource(30, hook=sleep(0.003))  # slower than the estimator
    sink = ScriptedSink()
    config = PipelineConfig(ring_slots=12)
    (status,) = finish(Pipeline(Stream(source=source, estimator=estimator, sinks=[sink]), config=config))
    assert sink.written == list(range(30))
    assert status.processed == 30
    assert all(5 <= count < 5 + capacity for count in ahead[:-5]), ahead
    assert ahead[-5:] == [4, 3, 2, 1, 0]


def test_frames_that_wait_for_later_ones_take_no_place_on_the_device() -> None:
    submitted: list[int] = []
    ahead: list[int] = []

    def collected(index: int) -> None:
        ahead.append(submitted[-1] - index)
        time.sleep(0.005)  # slower than the source

    estimator = ScriptedEstimator(capacity=3, hindsight=5, on_submit=submitted.append, on_collect=collected)
    config = PipelineConfig(ring_slots=12)
    finish(Pipeline(Stream(source=ScriptedSource(30), estimator=estimator, sinks=[ScriptedSink()]), config=config))
    assert max(ahead) == 5 + 3 - 1


def test_frames_that_lack_those_behind_them_are_given_up_where_a_run_is_stopped() -> None:
    held = threading.Event()
    source = ScriptedSource(1000, hook=lambda index: held.wait(SOON) if index == 12 else None)
    estimator, sink = ScriptedEstimator(capacity=1, hindsight=5), ScriptedSink()
    config = PipelineConfig(ring_slots=12)
    pipeline = Pipeline(Stream(source=source, estimator=estimator, sinks=[sink]), config=config)
    pipeline.start()
    deadline = time.monotonic() + SOON
    while len(sink.written) < 7:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    pipeline.stop()
    held.set()
    (status,) = await_end(pipeline)
    assert sink.written == list(range(7))  # not 7 to 11, of which each has fewer than five behind it
    assert (status.processed, estimator.closed, sink.closed) == (7, 1, 1)


def test_files_side_by_side_have_their_later_frames_each() -> None:
    ahead: list[list[int]] = [[], []]

    def stream(number: int, seconds: float) -> Stream:
        submitted: list[int] = []
        estimator = ScriptedEstimator(
            capacity=2,
            hindsight=4,
            on_submit=submitted.append,
            on_collect=lambda i: ahead[number].append(submitted[-1] - i),
        )
        source = ScriptedSource(40, hook=sleep(seconds))
        return Stream(source=source, estimator=estimator, sinks=[ScriptedSink()], name=str(number))

    finish(Pipeline(stream(0, 0.0), stream(1, 0.004), config=PipelineConfig(ring_slots=12)))
    for counts in ahead:
        assert len(counts) == 40
        assert all(count >= 4 for count in counts[:-4]), counts


def test_a_camera_s_next_frame_is_submitted_between_the_network_and_the_rest_of_the_frame_before() -> None:
    log: list[tuple[str, int]] = []

    def note(what: str, seconds: float) -> Hook:
        def hook(index: int) -> None:
            log.append((what, index))
            time.sleep(seconds)

        return hook

    estimator = ScriptedEstimator(
        on_submit=note("submit", 0), on_wait=note("wait", 0.03), on_collect=note("collect", 0.003)
    )
    sink = ScriptedSink()
    finish(Pipeline(Stream(source=ScriptedSource(60, live=True, hook=sleep(0.005)), estimator=estimator, sinks=[sink])))
    assert len(sink.written) > 5
    waits = [i for i, (what, _) in enumerate(log) if what == "wait"][1:-2]
    for i in waits:
        (_, old), (after, new), (then, collected) = log[i : i + 3]
        assert (after, then, collected) == ("submit", "collect", old)
        assert new > old
        assert new - old > 2, "the frame that was submitted had waited, although newer ones had come"


@pytest.mark.parametrize("wanted", [False, True])
def test_pictures_are_asked_for_if_a_sink_wants_them(wanted: bool) -> None:
    estimator, sinks = ScriptedEstimator(), [ScriptedSink(), ScriptedSink()]
    sinks[1].needs_image = wanted
    finish(Pipeline(Stream(source=ScriptedSource(3), estimator=estimator, sinks=sinks)))
    assert estimator.with_image == {wanted}


def test_a_sink_that_wants_to_end_the_program_ends_itself() -> None:
    def leave(index: int) -> None:
        if index == 2:
            raise SystemExit(3)

    bad, good = ScriptedSink(name="bad", hook=leave), ScriptedSink()
    (status,) = finish(Pipeline(Stream(source=ScriptedSource(10), estimator=ScriptedEstimator(), sinks=[bad, good])))
    assert good.written == list(range(10))
    assert str(status.sinks[0].error) == "bad raised SystemExit: 3"


def test_an_idle_sink_keeps_no_frame() -> None:
    release, kept = threading.Event(), []

    class Sink(ScriptedSink):
        def write(self, frame: DepthFrame) -> None:
            kept.append(weakref.ref(frame.depth))

    def hang(index: int) -> None:
        if index == 2:
            release.wait(SOON)

    pipeline = Pipeline(Stream(source=ScriptedSource(3, hook=hang), estimator=ScriptedEstimator(), sinks=[Sink()]))
    pipeline.start()
    deadline = time.monotonic() + SOON
    while len(kept) < 2 or any(depth() is not None for depth in kept):
        assert time.monotonic() < deadline, "the memory of a written frame is still held"
        time.sleep(0.001)
    release.set()
    await_end(pipeline)


def test_slots_are_those_that_were_asked_for() -> None:
    sizes: list[int] = []

    class Estimator(ScriptedEstimator):
        def allocate(self, size: int) -> npt.NDArray[np.uint8]:
            sizes.append(size)
            return super().allocate(size)

    (status,) = finish(
        Pipeline(
            Stream(source=ScriptedSource(50), estimator=Estimator(capacity=3), sinks=[ScriptedSink()]),
            config=PipelineConfig(ring_slots=5),
        )
    )
    assert status.processed == 50
    assert len(sizes) == 5, "each slot takes its memory from the estimator, once"


def test_run_finishes_outputs_when_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = ScriptedSink()
    pipeline = Pipeline(Stream(source=ScriptedSource(100_000), estimator=ScriptedEstimator(), sinks=[sink]))
    wait, calls = pipeline.wait, []

    def interrupted(timeout: float) -> bool:
        calls.append(timeout)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return wait(timeout)

    monkeypatch.setattr(pipeline, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run()
    assert sink.closed == 1


def _unreliable(rng: random.Random, error_at: int | None, error: Callable[[], Exception]) -> Hook:
    def hook(index: int) -> None:
        if rng.random() < 0.1:
            time.sleep(rng.random() * 0.004)
        if index == error_at:
            raise error()

    return hook


@pytest.mark.parametrize("seed", range(40))
def test_delays_and_errors_anywhere_never_hang_a_run(seed: int) -> None:
    rng = random.Random(seed)
    live, count = rng.random() < 0.5, 60
    where = rng.choice(["source", "submit", "collect", "sink", "stop", "nothing"])
    when = rng.randrange(count)
    errors: dict[str, Callable[[], Exception]] = {
        "source": lambda: SourceError("source"),
        "submit": lambda: ModelError("submit"),
        "collect": lambda: ModelError("collect"),
        "sink": lambda: SinkError("sink"),
    }

    def hook(stage: str) -> Hook:
        return _unreliable(rng, when if where == stage else None, errors.get(stage, RuntimeError))

    source = ScriptedSource(count, live=live, hook=hook("source"), width=lambda i: 8 + i // 20)
    estimator = ScriptedEstimator(capacity=rng.randint(1, 3), on_submit=hook("submit"), on_collect=hook("collect"))
    sinks = [ScriptedSink(name="unreliable", hook=hook("sink")), ScriptedSink(hook=hook("other"))]
    pipeline = Pipeline(
        Stream(source=source, estimator=estimator, sinks=sinks), config=PipelineConfig(ring_slots=rng.randint(2, 5))
    )
    if where == "stop":
        timer = threading.Timer(rng.random() * 0.1, pipeline.stop)
        timer.start()
    error: DepthStreamError | None = None
    try:
        finish(pipeline)
    except DepthStreamError as exc:
        error = exc
    (status,) = pipeline.status()
    assert (source.closed, estimator.closed, [s.closed for s in sinks]) == (1, 1, [1, 1])
    assert status.processed + status.dropped == status.produced
    assert sinks[1].written == sorted(set(sinks[1].written))
    assert sinks[1].values == [float(i) for i in sinks[1].written]
    for sink in status.sinks:
        assert sink.written + sink.lost == status.processed
    if where in ("source", "submit", "collect") and not live:
        assert str(error) == where
    if where in ("sink", "stop", "nothing"):
        assert error is None
    if not live and where in ("nothing", "sink"):
        assert sinks[1].written == list(range(count))


def test_streams_take_turns() -> None:
    order: list[str] = []

    def stream(name: str) -> Stream:
        return Stream(
            source=ScriptedSource(200, live=True, hook=sleep(0.002)),
            estimator=ScriptedEstimator(on_collect=sleep(0.01)),
            sinks=[ScriptedSink(hook=lambda _index: order.append(name))],
            name=name,
        )

    statuses = finish(Pipeline(stream("front"), stream("rear")))
    assert [status.camera for status in statuses] == ["front", "rear"]
    counts = [status.processed for status in statuses]
    assert min(counts) > 10
    assert abs(counts[0] - counts[1]) <= 3
    assert all(status.processed + status.dropped == status.produced == 200 for status in statuses)


def test_files_of_several_streams_lose_nothing() -> None:
    sinks = [ScriptedSink(), ScriptedSink(hook=sleep(0.001))]
    finish(
        Pipeline(
            *(
                Stream(
                    source=ScriptedSource(count),
                    estimator=ScriptedEstimator(capacity=4, batch=2),
                    sinks=[sink],
                    name=str(count),
                )
                for count, sink in zip((51, 80), sinks, strict=True)
            )
        )
    )
    assert [sink.written for sink in sinks] == [list(range(51)), list(range(80))]


@pytest.mark.parametrize("stage", ["source", "submit", "wait", "collect", "sink"])
def test_what_ends_one_stream_leaves_the_others_alone(stage: str) -> None:
    error: DepthStreamError = {"source": SourceError("lost"), "sink": SinkError("full")}.get(stage, ModelError("lost"))
    hook = at(5, error)
    estimator = ScriptedEstimator(**({f"on_{stage}": hook} if stage in ("submit", "wait", "collect") else {}))
    bad = Stream(
        source=ScriptedSource(60, hook=hook if stage == "source" else sleep(0.001)),
        estimator=estimator,
        sinks=[ScriptedSink(hook=hook) if stage == "sink" else ScriptedSink()],
        name="bad",
    )
    sink = ScriptedSink()
    good = Stream(
        source=ScriptedSource(60, hook=sleep(0.001)), estimator=ScriptedEstimator(), sinks=[sink], name="good"
    )
    pipeline = Pipeline(bad, good)
    with pytest.raises(type(error)):
        finish(pipeline)
    assert sink.written == list(range(60))
    assert estimator.closed == 1
    lost, well = pipeline.status()
    assert isinstance(lost.error, type(error))
    assert well.error is None


def test_streams_need_names_of_their_own() -> None:
    def stream() -> Stream:
        return Stream(source=ScriptedSource(1), estimator=ScriptedEstimator(), sinks=[ScriptedSink()])

    with pytest.raises(ConfigError, match="two streams are called camera"):
        Pipeline(stream(), stream())
