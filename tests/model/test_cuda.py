"""What only a GPU can get wrong: the order of streams, overlap against serial, half precision that overflows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.engine import Engine
from model.engine.device_streams import Queue
from model.engine.precision import Precision
from model.estimator import DepthProEstimator
from model.focal import CameraConfig, FocalConfig, GivenCamera
from model.pixels.planes import host_tensor
from model.weights import LoadedModel, load
from stream.frame import DepthFrame, Frame
from stream.pipeline import Pipeline, Stream
from stream.ring import Ring
from tests.support.card import CardPlane
from tests.support.doubles import ScriptedSink, ScriptedSource
from tests.support.tiny import (
    LooseLease,
    bright_frame,
    collect_all,
    make_engine,
    make_estimator,
    random_frame,
    tiny_model,
)

pytestmark = pytest.mark.needs_cuda

RAW = FocalConfig(mode="off")
A_WHILE = 400_000_000  # clock cycles for the device to sleep: about 0.2 s


@pytest.fixture(autouse=True)
def nothing_is_left_on_the_device(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    yield
    torch.cuda.synchronize()


def on_gpu(model: LoadedModel | None = None, kind: type[Engine] = Engine, **options: Any) -> Engine:
    return make_engine(model, kind, **{"device": "cuda", **options})


def hold_up(engine: Engine, queue: Queue) -> None:
    """Let the device sleep for a while before it does what is issued to ``queue`` next."""
    with engine.streams.on(queue):
        torch.cuda._sleep(A_WHILE)


def run_all(estimator: DepthProEstimator, count: int, *, with_image: bool = False) -> list[DepthFrame]:
    return collect_all(estimator, [random_frame(index) for index in range(count)], with_image=with_image)


def test_ring_slots_are_page_locked() -> None:
    engine = on_gpu()
    ring = Ring(slots=2, policy="block", allocate=engine.allocate)
    ring.put(random_frame(0))
    lease = ring.take()
    assert lease is not None
    assert all(host_tensor(p).is_pinned() for p in lease.frame.planes)


def test_a_slot_is_never_overwritten_before_its_upload_has_ended() -> None:
    """Poison: the producer has new content ready for the slot all the time that the upload stream is held up."""
    engine = on_gpu()
    estimator = make_estimator(engine=engine, focal=RAW)
    expected = estimator_result(estimator, index=0)
    ring = Ring(slots=2, policy="block", allocate=engine.allocate)
    ring.put(random_frame(0))
    ring.put(random_frame(1))
    hold_up(engine, "upload")
    lease = ring.take()
    assert lease is not None
    slot = lease.frame.planes
    estimator.submit(lease, with_image=False)
    poison = threading.Thread(target=ring.put, args=(bright_like(random_frame(0)),))
    poison.start()
    assert all((p == q).all() for p, q in zip(slot, random_frame(0).planes, strict=True))
    result = estimator.collect()
    poison.join(20)
    assert not poison.is_alive()
    assert all((p == 255).all() for p in slot)
    np.testing.assert_array_equal(result.depth, expected.depth)


class OnCard:
    """Planes in the card's memory that are handed over by DLPack, without a stream, as a decoder's."""

    def __init__(self, frame: Frame) -> None:
        self.tensors = [host_tensor(plane).cuda() for plane in frame.planes]

    @property
    def planes(self) -> list[CardPlane]:
        return [CardPlane(tensor) for tensor in self.tensors]

    @property
    def luma(self) -> np.ndarray:
        raise AssertionError("it was looked at on the host")

    def download(self) -> tuple[np.ndarray, ...]:
        raise AssertionError("it was brought down")


@pytest.mark.parametrize("name", ["nv12", "p010le"])
def test_frames_on_the_card_have_the_depth_of_frames_on_the_host(name: str) -> None:
    """The decoder's work is on the default stream, and its surface is used again as soon as the slot is filled."""
    engine = on_gpu()
    frames = [random_frame(index, name=name, width=96, height=1100) for index in range(8)]
    expected = collect_all(make_estimator(engine=engine, focal=RAW), frames)
    estimator = make_estimator(engine=engine, focal=RAW, in_flight=3)
    ring = Ring(slots=4, policy="block", allocate=engine.allocate, device_slot=estimator.device_slot)
    surface = OnCard(frames[0])
    results = []
    for index, frame in enumerate(frames):
        if index >= estimator.capacity:
            results.append(estimator.collect())
        sources = [host_tensor(plane).cuda() for plane in frame.planes]
        torch.cuda.synchronize()
        with torch.cuda.stream(torch.cuda.default_stream()):
            torch.cuda._sleep(A_WHILE // 10)
            for mine, source in zip(surface.tensors, sources, strict=True):
                mine.copy_(source, non_blocking=True)
        ring.put(replace(frame, planes=(), on_device=surface))
        for mine in surface.tensors:
            mine.fill_(77)
        lease = ring.take()
        assert lease is not None
        assert lease.frame.on_device is not None
        np.testing.assert_array_equal(lease.frame.luma, frame.luma)
        estimator.submit(lease, with_image=False)
    while len(results) < len(frames):
        results.append(estimator.collect())
    for ours, theirs in zip(results, expected, strict=True):
        np.testing.assert_array_equal(ours.depth, theirs.depth)


def bright_like(frame):  # type: ignore[no-untyped-def]
    return replace(frame, planes=tuple(np.full_like(p, 255) for p in frame.planes))


def estimator_result(estimator: DepthProEstimator, *, index: int) -> DepthFrame:
    estimator.submit(LooseLease(random_frame(index)), with_image=False)
    return estimator.collect()


@pytest.mark.parametrize("held_up", ["upload", "compute", "download"])
def test_overlapped_frames_are_bit_equal_to_serial_ones(held_up: Queue) -> None:
    engine = on_gpu()
    expected = run_all(make_estimator(engine=engine, focal=RAW, in_flight=1), 8, with_image=True)
    hold_up(engine, held_up)
    overlapped = run_all(make_estimator(engine=engine, focal=RAW, in_flight=3), 8, with_image=True)
    for ours, theirs in zip(overlapped, expected, strict=True):
        assert ours.capture == theirs.capture
        assert ours.focal == theirs.focal
        np.testing.assert_array_equal(ours.depth, theirs.depth)
        np.testing.assert_array_equal(ours.image, theirs.image)


@pytest.mark.parametrize(
    "options", [{"precision": "fp32"}, {"precision": "bf16", "deterministic": True}, {"launch": "eager"}]
)
def test_the_same_picture_has_the_same_depth(options: dict[str, object]) -> None:
    estimator = make_estimator(load("nano"), focal=RAW, device="cuda", **options)
    depths = [frame.depth for frame in collect_all(estimator, [random_frame(0, width=640, height=360)] * 6)]
    for depth in depths[1:]:
        np.testing.assert_array_equal(depth, depths[0])


def test_submitting_does_not_wait_for_the_device() -> None:
    engine = on_gpu()
    estimator = make_estimator(engine=engine, focal=RAW)
    run_all(estimator, 3)  # warm
    hold_up(engine, "compute")
    asleep = engine.streams.mark("compute")
    assert isinstance(asleep, torch.cuda.Event)
    estimator.submit(LooseLease(random_frame(0)), with_image=False)
    estimator.submit(LooseLease(random_frame(1)), with_image=False)
    assert not asleep.query()
    assert [estimator.collect().capture.index, estimator.collect().capture.index] == [0, 1]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_close_to_fp32(precision: str) -> None:
    exact = run_all(make_estimator(device="cuda", focal=RAW), 2)
    rounded = run_all(make_estimator(device="cuda", focal=RAW, precision=precision), 2)
    for ours, theirs in zip(rounded, exact, strict=True):
        assert ours.precision == precision
        assert np.median(np.abs(ours.depth / theirs.depth - 1)) < 0.01


def test_fp16_that_overflows_falls_back_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny_model()
    model.network.head[0].weight.data.mul_(1e7)
    model.network.head[2].weight.data.mul_(1e-7)
    assert on_gpu(model, precision="fp16").precision == "fp32"
    assert "no finite output in fp16" in caplog.text


def test_fp16_that_overflows_for_one_frame_is_retried() -> None:
    class Overflows(Engine):
        def run(self, x: Tensor, precision: Precision, *, with_fov: bool) -> tuple[Tensor, Tensor | None]:
            C, fov = super().run(x, precision, with_fov=with_fov)
            return (C * torch.inf if precision == "fp16" else C), fov

    engine = on_gpu(kind=Overflows, precision="fp16", launch="eager")
    result = estimator_result(make_estimator(engine=engine, focal=RAW), index=0)
    exact = estimator_result(make_estimator(device="cuda", focal=RAW), index=0)
    assert (result.precision, result.retried) == ("fp32", True)
    np.testing.assert_allclose(result.depth, exact.depth, rtol=1e-5)  # launched in two ways


@pytest.mark.parametrize("launch", ["graph", "compile"])
@pytest.mark.parametrize("batch", [1, 3])
def test_recorded_graphs_give_what_plain_launches_give(
    launch: str, batch: int, caplog: pytest.LogCaptureFixture
) -> None:
    plain = run_all(make_estimator(device="cuda", launch="eager", batch=batch), 20)
    # with and without field of view, full batches and not
    estimator = make_estimator(device="cuda", launch=launch, batch=batch, fov_every=2)
    assert f"launch {launch} is ready" in caplog.text
    for ours, theirs in zip(run_all(estimator, 20), plain, strict=True):
        if ours.focal.raw_px is not None:
            assert ours.focal.raw_px == pytest.approx(theirs.focal.raw_px, rel=1e-3)
        ratio = ours.focal.smoothed_px / theirs.focal.smoothed_px
        np.testing.assert_allclose(ours.depth / ratio, theirs.depth, rtol=1e-3)


def test_no_graph_is_recorded_in_mid_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for a last batch that is not full, nor for frames without a field of view."""
    estimator = make_estimator(device="cuda", launch="graph", batch=4, fov_every=2)

    def recorded(*_args: object, **_options: object) -> None:
        raise AssertionError("a graph was recorded in mid-stream")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", recorded)
    sink = ScriptedSink()
    Pipeline(Stream(source=ScriptedSource(42), estimator=estimator, sinks=[sink])).run()
    assert sink.written == list(range(42))


def test_fp8_is_close_to_fp32() -> None:
    if torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("this GPU has no fp8")
    exact = run_all(make_estimator(load("nano"), focal=RAW, device="cuda"), 2)
    rounded = run_all(make_estimator(load("nano"), focal=RAW, device="cuda", precision="fp8"), 2)
    for ours, theirs in zip(rounded, exact, strict=True):
        assert ours.precision == "fp8"
        assert np.nanmedian(np.abs(ours.depth / theirs.depth - 1)) < 0.05


@pytest.mark.parametrize("options", [{"low_memory": True}, {"reuse_tiles": 0.0}, {"batch": 2}])
def test_other_ways_through_the_tiles_give_the_same_depth(options: dict[str, object]) -> None:
    plain = run_all(make_estimator(device="cuda", focal=RAW), 4)
    others = run_all(make_estimator(device="cuda", focal=RAW, **options), 4)
    for ours, theirs in zip(others, plain, strict=True):
        np.testing.assert_allclose(ours.depth, theirs.depth, rtol=1e-3)


def test_a_whole_pipeline_on_the_gpu_keeps_every_frame() -> None:
    estimator = make_estimator(device="cuda")
    sink = ScriptedSink()
    source = ScriptedSource(60, width=lambda i: 64 + 16 * (i // 20))
    (status,) = Pipeline(Stream(source=source, estimator=estimator, sinks=[sink])).run()
    assert sink.written == list(range(60))
    assert status.dropped == 0


def test_device_memory_is_flat() -> None:
    estimator = make_estimator(device="cuda")
    run_all(estimator, 20)
    before = torch.cuda.memory_reserved()
    run_all(estimator, 100)
    assert torch.cuda.memory_reserved() == before


def test_white_frames_work_too() -> None:
    estimator = make_estimator(device="cuda")
    estimator.submit(LooseLease(bright_frame(0)), with_image=False)
    assert np.isfinite(estimator.collect().depth).any()


def test_a_rectified_frame_is_that_of_the_cpu(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(
        "image_width: 96\nimage_height: 54\ndistortion_model: plumb_bob\n"
        "camera_matrix: {data: [70, 0, 48, 0, 70, 27, 0, 0, 1]}\n"
        "distortion_coefficients: {data: [-0.28, 0.09, 0.001, -0.0008, 0]}\n"
        "projection_matrix: {data: [50, 0, 48, 0, 0, 50, 27, 0, 0, 0, 1, 0]}\n"
    )
    results = []
    for device in ("cpu", "cuda"):
        camera = GivenCamera(CameraConfig(camera_info=path))
        estimator = make_estimator(engine=make_engine(device=device), camera=camera)
        frames = [random_frame(0), random_frame(1, width=192, height=108), random_frame(2)]  # a grid for each geometry
        results.append(collect_all(estimator, frames, with_image=True))
    for cpu, gpu in zip(*results, strict=True):
        assert np.isnan(cpu.depth).any()
        np.testing.assert_allclose(gpu.depth, cpu.depth, rtol=1e-3)
        assert cpu.image is not None
        assert gpu.image is not None
        assert np.abs(gpu.image.astype(int) - cpu.image).max() <= 1
