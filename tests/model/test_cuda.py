"""What only a GPU can get wrong: the order of streams, overlap against serial, half precision that overflows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.engine.device_streams import CudaStreams
from model.engine.graphs import GraphedNetwork
from model.estimator import DepthProEstimator, EstimatorConfig
from model.focal import FocalConfig
from model.weights import load
from stream.frame import DepthFrame
from stream.pipeline import Pipeline
from stream.ring import Ring
from tests.support.doubles import ScriptedSink, ScriptedSource
from tests.support.tiny import LooseLease, bright_frame, random_frame, tiny_model

pytestmark = pytest.mark.needs_cuda

RAW = FocalConfig(mode="off")
FP32 = EstimatorConfig(device="cuda", precision="fp32")
A_WHILE = 400_000_000  # clock cycles for the device to sleep: about 0.2 s


@pytest.fixture(autouse=True)
def exact_arithmetic() -> Iterator[None]:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.cuda.synchronize()


def stream_of(estimator: DepthProEstimator, queue: str) -> torch.cuda.Stream:
    assert isinstance(estimator._streams, CudaStreams)
    return estimator._streams._streams[queue]  # type: ignore[index]


def run_all(estimator: DepthProEstimator, count: int) -> list[DepthFrame]:
    """As the pipeline does it: keep as many frames in flight as the estimator takes."""
    results: list[DepthFrame] = []
    for index in range(count):
        if index >= estimator.capacity:
            results.append(estimator.collect())
        estimator.submit(LooseLease(random_frame(index)))
    while len(results) < count:
        results.append(estimator.collect())
    return results


def test_ring_slots_are_page_locked() -> None:
    ring = Ring(slots=2, policy="block", pinned=True)
    ring.put(random_frame(0))
    lease = ring.take()
    assert lease is not None
    assert all(torch.from_numpy(p).is_pinned() for p in lease.frame.planes)


def test_a_slot_is_never_overwritten_before_its_upload_has_ended() -> None:
    """Poison: the producer has new content ready for the slot all the time that the upload stream is held up."""
    estimator = DepthProEstimator(model=tiny_model(), focal=RAW, config=FP32)
    expected = estimator_result(estimator, index=0)
    ring = Ring(slots=2, policy="block", pinned=True)
    ring.put(random_frame(0))
    ring.put(random_frame(1))
    with torch.cuda.stream(stream_of(estimator, "upload")):
        torch.cuda._sleep(A_WHILE)
    lease = ring.take()
    assert lease is not None
    slot = lease.frame.planes
    estimator.submit(lease)
    poison = threading.Thread(target=ring.put, args=(bright_like(random_frame(0)),))
    poison.start()
    assert all((p == q).all() for p, q in zip(slot, random_frame(0).planes, strict=True))
    result = estimator.collect()
    poison.join(20)
    assert not poison.is_alive()
    assert all((p == 255).all() for p in slot)
    np.testing.assert_array_equal(result.depth, expected.depth)


def bright_like(frame):  # type: ignore[no-untyped-def]
    return replace(frame, planes=tuple(np.full_like(p, 255) for p in frame.planes))


def estimator_result(estimator: DepthProEstimator, *, index: int) -> DepthFrame:
    estimator.submit(LooseLease(random_frame(index)))
    return estimator.collect()


@pytest.mark.parametrize("held_up", ["upload", "compute", "download"])
def test_overlapped_frames_are_bit_equal_to_serial_ones(held_up: str) -> None:
    serial = DepthProEstimator(model=tiny_model(), focal=RAW, config=replace(FP32, in_flight=1), with_image=True)
    expected = run_all(serial, 8)
    overlapped = DepthProEstimator(model=tiny_model(), focal=RAW, config=replace(FP32, in_flight=3), with_image=True)
    with torch.cuda.stream(stream_of(overlapped, held_up)):
        torch.cuda._sleep(A_WHILE)
    for ours, theirs in zip(run_all(overlapped, 8), expected, strict=True):
        assert ours.index == theirs.index
        assert ours.focal == theirs.focal
        np.testing.assert_array_equal(ours.depth, theirs.depth)
        np.testing.assert_array_equal(ours.image, theirs.image)


def test_submitting_does_not_wait_for_the_device() -> None:
    estimator = DepthProEstimator(model=tiny_model(), focal=RAW, config=FP32)
    run_all(estimator, 3)  # warm
    with torch.cuda.stream(stream_of(estimator, "compute")):
        torch.cuda._sleep(A_WHILE)
        asleep = torch.cuda.Event()
        asleep.record()
    estimator.submit(LooseLease(random_frame(0)))
    estimator.submit(LooseLease(random_frame(1)))
    assert not asleep.query()
    assert [estimator.collect().index, estimator.collect().index] == [0, 1]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_close_to_fp32(precision: str) -> None:
    exact = run_all(DepthProEstimator(model=tiny_model(), focal=RAW, config=FP32), 2)
    config = EstimatorConfig(device="cuda", precision=precision)  # type: ignore[arg-type]
    rounded = run_all(DepthProEstimator(model=tiny_model(), focal=RAW, config=config), 2)
    for ours, theirs in zip(rounded, exact, strict=True):
        assert ours.precision == precision
        assert np.median(np.abs(ours.depth / theirs.depth - 1)) < 0.01


def test_fp16_that_overflows_falls_back_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model()
    model.network.head[0].weight.data.mul_(1e7)
    model.network.head[2].weight.data.mul_(1e-7)
    estimator = DepthProEstimator(model=model, config=EstimatorConfig(device="cuda", precision="fp16"))
    assert estimator.precision == "fp32"
    assert "no finite output in fp16" in caplog.text


def test_fp16_that_overflows_for_one_frame_is_retried() -> None:
    model = tiny_model()
    config = EstimatorConfig(device="cuda", precision="fp16", fast="off")
    estimator = DepthProEstimator(model=model, focal=RAW, config=config)
    half = estimator._engine._networks["fp16"]
    half.register_forward_hook(lambda _m, _a, out: (out[0] * torch.inf, out[1]))
    result = estimator_result(estimator, index=0)
    exact = estimator_result(DepthProEstimator(model=tiny_model(), focal=RAW, config=FP32), index=0)
    assert (result.precision, result.retried) == ("fp32", True)
    np.testing.assert_array_equal(result.depth, exact.depth)


@pytest.mark.parametrize("fast", ["graph", "compile"])
@pytest.mark.parametrize("batch", [1, 3])
def test_recorded_graphs_give_what_plain_launches_give(fast: str, batch: int, caplog: pytest.LogCaptureFixture) -> None:
    plain = run_all(DepthProEstimator(model=tiny_model(), config=replace(FP32, fast="off", batch=batch)), 20)
    config = replace(FP32, fast=fast, batch=batch, fov_every=2)  # with and without field of view, full batches and not
    estimator = DepthProEstimator(model=tiny_model(), config=config)
    assert isinstance(estimator._engine._networks["fp32"], GraphedNetwork)
    assert "going on without" not in caplog.text
    for ours, theirs in zip(run_all(estimator, 20), plain, strict=True):
        if ours.focal.raw_px is not None:
            assert ours.focal.raw_px == pytest.approx(theirs.focal.raw_px, rel=1e-3)
        ratio = ours.focal.smoothed_px / theirs.focal.smoothed_px
        np.testing.assert_allclose(ours.depth / ratio, theirs.depth, rtol=1e-3)


def test_a_graph_recorded_in_mid_stream_disturbs_nobody() -> None:
    """The producer goes on waiting for uploads and sinks give memory back while a graph is recorded."""
    estimator = DepthProEstimator(model=tiny_model(), config=replace(FP32, fast="graph", batch=4))
    estimator._engine._networks["fp32"]._recordings.clear()
    sink = ScriptedSink()
    Pipeline(source=ScriptedSource(42), estimator=estimator, sinks=[sink], pinned=True).run()
    assert sink.written == list(range(42))


def test_fp8_is_close_to_fp32() -> None:
    if torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("this GPU has no fp8")
    exact = run_all(DepthProEstimator(model=load("nano"), focal=RAW, config=FP32), 2)
    config = EstimatorConfig(device="cuda", precision="fp8")
    for ours, theirs in zip(
        run_all(DepthProEstimator(model=load("nano"), focal=RAW, config=config), 2), exact, strict=True
    ):
        assert ours.precision == "fp8"
        assert np.nanmedian(np.abs(ours.depth / theirs.depth - 1)) < 0.05


@pytest.mark.parametrize("options", [{"low_memory": True}, {"reuse_tiles": 0.0}, {"batch": 2}])
def test_other_ways_through_the_tiles_give_the_same_depth(options: dict[str, object]) -> None:
    plain = run_all(DepthProEstimator(model=tiny_model(), focal=RAW, config=FP32), 4)
    config = replace(FP32, **options)  # type: ignore[arg-type]
    for ours, theirs in zip(
        run_all(DepthProEstimator(model=tiny_model(), focal=RAW, config=config), 4), plain, strict=True
    ):
        np.testing.assert_allclose(ours.depth, theirs.depth, rtol=1e-3)


def test_a_whole_pipeline_on_the_gpu_keeps_every_frame() -> None:
    estimator = DepthProEstimator(model=tiny_model(), config=FP32)
    sink = ScriptedSink()
    source = ScriptedSource(60, width=lambda i: 64 + 16 * (i // 20))
    status = Pipeline(source=source, estimator=estimator, sinks=[sink], pinned=True).run()
    assert sink.written == list(range(60))
    assert status.dropped == 0


def test_device_memory_is_flat() -> None:
    estimator = DepthProEstimator(model=tiny_model(), config=FP32)
    run_all(estimator, 20)
    before = torch.cuda.memory_reserved()
    run_all(estimator, 100)
    assert torch.cuda.memory_reserved() == before


def test_white_frames_work_too() -> None:
    estimator = DepthProEstimator(model=tiny_model(), config=FP32)
    estimator.submit(LooseLease(bright_frame(0)))
    assert np.isfinite(estimator.collect().depth).any()
