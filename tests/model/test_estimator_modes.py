"""The estimator's ways to be faster or smaller: batches, fewer fields of view, tiles, input sizes, compiled code."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from model.config import EngineConfig, EstimatorConfig
from model.engine import Engine
from model.engine.calibration import calibration_inputs
from model.engine.graphs import accelerate, choose_launch
from model.engine.precision import Precision, choose, wider
from model.engine.variants import MEASURED_MS, VARIANTS, choose_variant
from model.focal import FocalConfig
from model.lab.demo import DemoSource
from model.network import InferenceNetwork
from model.network.inference import layers
from model.network.inference.reuse import ReusingNetwork
from model.network.inference.variant import FUSED, PLAIN
from model.pixels.planes import host_tensor, network_input
from model.weights import load
from model.weights.resample import at_input_size
from stream.errors import ConfigError
from stream.frame import Geometry
from stream.pipeline import Pipeline, Stream
from tests.support.doubles import ScriptedSink, ScriptedSource, recaptured
from tests.support.tiny import (
    TINY,
    CountedEngine,
    LooseLease,
    bright_frame,
    make_engine,
    make_estimator,
    random_frame,
    tiny_model,
)
from tests.support.tiny import collect_all as run_all

CPU = torch.device("cpu")
RAW = FocalConfig(mode="off")


def counted_engine(**options: object) -> CountedEngine:
    engine = make_engine(kind=CountedEngine, **options)
    assert isinstance(engine, CountedEngine)
    return engine


# Batches --------------------------------------------------------------------------------------------------------------


def test_a_batch_gives_what_its_frames_give_alone() -> None:
    frames = [random_frame(i, width=96 + 16 * (i % 2)) for i in range(7)]
    alone = run_all(make_estimator(tiny_model(), focal=RAW), frames)
    counted = counted_engine(batch=3)
    together = run_all(make_estimator(engine=counted, focal=RAW), frames)
    assert counted.batches == [3, 3, 1]
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.capture.index == theirs.capture.index
        assert ours.focal.raw_px == pytest.approx(theirs.focal.raw_px, rel=1e-4)
        np.testing.assert_allclose(ours.depth, theirs.depth, rtol=1e-4)


def test_a_frame_does_not_wait_for_a_batch_that_is_not_coming() -> None:
    counted = counted_engine(batch=4)
    estimator = make_estimator(engine=counted)
    estimator.submit(LooseLease(random_frame(0)), with_image=False)
    estimator.submit(LooseLease(random_frame(1)), with_image=False)
    assert [estimator.collect().capture.index, estimator.collect().capture.index] == [0, 1]
    assert counted.batches == [2]


def test_a_frame_of_a_batch_that_is_not_finite_is_lost_alone() -> None:
    class SecondIsBroken(Engine):
        def run(self, x: Tensor, precision: Precision, *, with_fov: bool) -> tuple[Tensor, Tensor | None]:
            C, fov = super().run(x, precision, with_fov=with_fov)
            C[1, 0, 0] = torch.nan
            return C, fov

    estimator = make_estimator(engine=make_engine(kind=SecondIsBroken, batch=3), focal=RAW)
    results = run_all(estimator, [random_frame(i) for i in range(3)])
    assert [bool(np.isnan(r.depth).all()) for r in results] == [False, True, False]


def test_a_pipeline_in_batches_keeps_every_frame() -> None:
    sink = ScriptedSink()
    estimator = make_estimator(tiny_model(), batch=4)
    Pipeline(Stream(source=ScriptedSource(10), estimator=estimator, sinks=[sink])).run()
    assert sink.written == list(range(10))


def test_frames_left_behind_in_a_batch_are_no_trouble() -> None:
    estimator = make_estimator(tiny_model(), batch=4)
    estimator.submit(LooseLease(random_frame(0)), with_image=False)
    estimator.close()


# Field of view now and then -------------------------------------------------------------------------------------------


def test_a_steady_focal_length_is_estimated_now_and_then() -> None:
    counted = counted_engine()
    estimator = make_estimator(engine=counted, fov_every=4)
    results = run_all(estimator, [recaptured(bright_frame(i), index=i) for i in range(60)])
    first = next(i for i, r in enumerate(results) if r.focal.log_std < 0.01)
    assert all(counted.with_fov[: first + 1])
    assert counted.with_fov[first + 1 : first + 9] == [False, False, False, True] * 2
    assert all((r.focal.raw_px is not None) == asked for r, asked in zip(results, counted.with_fov, strict=True))
    assert max(r.focal.log_std for r in results[first:]) < 0.01


def test_now_and_then_needs_a_smoothed_focal_length() -> None:
    with pytest.raises(ConfigError, match="leave out `focal=off`"):
        make_estimator(tiny_model(), focal=RAW, fov_every=2)


def test_a_cut_is_never_without_a_field_of_view() -> None:
    counted = counted_engine()
    estimator = make_estimator(engine=counted, fov_every=1000)
    shot = [bright_frame(i) for i in range(40)]
    white = (np.full((48, 64, 1), 255, np.uint8),)
    other = [replace(bright_frame(i), geometry=Geometry("gray", 64, 48), planes=white) for i in range(40, 60)]
    results = run_all(estimator, shot + other)
    cut = next(i for i, r in enumerate(results) if r.scene_cut)
    assert not counted.with_fov[cut - 1]
    assert all(counted.with_fov[cut : cut + 5])


# Tiles ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_few_tiles_at_a_time_give_the_same_depth(precision: str) -> None:
    """Bit for bit in float32. In bfloat16 a CPU may sum the rows of a product in another order for another count."""
    frames = [random_frame(i) for i in range(2)]
    plain = run_all(make_estimator(load("nano"), focal=RAW, precision=precision), frames)
    small = run_all(make_estimator(load("nano"), focal=RAW, precision=precision, low_memory=True), frames)
    for ours, theirs in zip(small, plain, strict=True):
        if precision == "fp32":
            np.testing.assert_array_equal(ours.depth, theirs.depth)
        else:
            assert np.median(np.abs(ours.depth / theirs.depth - 1)) == 0
            np.testing.assert_allclose(ours.depth, theirs.depth, rtol=0.02)
        assert ours.focal.raw_px == pytest.approx(theirs.focal.raw_px, rel=0 if precision == "fp32" else 0.01)


def changed_in_one_corner(x: torch.Tensor, by: float = 0.5) -> torch.Tensor:
    x = x.clone()
    x[..., :8, :8] += by
    return x


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_reuse_of_identical_tiles_gives_the_same_bits(dtype: torch.dtype) -> None:
    network = InferenceNetwork(load("nano").network, dtype=dtype)
    reusing = ReusingNetwork(network, tolerance=0)
    x = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pictures = [x, x, changed_in_one_corner(x), changed_in_one_corner(x), x]
    computed = []
    with torch.inference_mode():
        for picture in pictures:
            (C, fov), (C_plain, fov_plain) = reusing(picture), network(picture)
            computed.append(reusing.computed)
            assert torch.equal(C, C_plain)
            assert torch.equal(fov, fov_plain)
    assert computed == [35, 0, 3, 0, 3]  # the corner's tile of each size


def test_reuse_counts_differences_from_what_was_computed() -> None:
    reusing = ReusingNetwork(InferenceNetwork(tiny_model().network), tolerance=2)
    x = torch.zeros(1, 3, 256, 256)
    computed = []
    with torch.inference_mode():
        for grey in (0, 1, 2, 3, 4):  # a slow change must not go unnoticed
            reusing(x + grey * 2 / 255)
            computed.append(reusing.computed)
        reusing(x * torch.nan)
        computed.append(reusing.computed)
    assert computed == [35, 0, 0, 35, 0, 35]


def test_reuse_asks_for_the_field_of_view_when_it_is_wanted_again() -> None:
    model = tiny_model()
    reusing = ReusingNetwork(InferenceNetwork(model.network), tolerance=0)
    x = torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        assert reusing(x, with_fov=False)[1] is None
        _, fov = reusing(x)
        _, expected = InferenceNetwork(model.network)(x)
    assert reusing.computed == 0
    assert torch.equal(fov, expected)


def test_approximate_depth_says_so_in_every_frame() -> None:
    exact = make_estimator(tiny_model(), reuse_tiles=0.0)
    approximate = make_estimator(tiny_model(), reuse_tiles=2.5)
    resized = make_estimator(tiny_model(), input_size=512)
    models = [run_all(e, [random_frame(0)])[0].model for e in (exact, approximate, resized)]
    assert models == ["tiny", "tiny, tiles reused within 2.5 grey levels", "tiny at 512 px"]


# Input size -----------------------------------------------------------------------------------------------------------


def test_the_trained_input_size_changes_nothing() -> None:
    model = tiny_model()
    assert at_input_size(model, TINY.input_size) is model


@pytest.mark.parametrize("size", [0, -512, 100, 500, 513, 8192])
def test_an_impossible_input_size_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match="multiple of 256 up to 4096 for tiny, such as 512, not"):
        at_input_size(tiny_model(), size)


def test_at_another_input_size_only_what_is_tied_to_it_is_resampled() -> None:
    model = load("nano")
    larger = at_input_size(model, 1024)
    assert larger.config.tile_size == 256
    before, after = model.network.state_dict(), larger.network.state_dict()
    resampled = {name for name in before if before[name].shape != after[name].shape}
    positions = {name for name in before if name.endswith("pos_embed")}
    assert resampled == positions | {"fov.head.4.weight"}
    assert all(after[name].data_ptr() == before[name].data_ptr() for name in before.keys() - resampled)
    for name in positions:
        assert after[name].shape == (1, 1 + 16 * 16, 192)
        torch.testing.assert_close(after[name][:, 0], before[name][:, 0])
        middle, larger_middle = (
            tensors[name][0, 1:].view(side, side, 192)[2 * side // 8 : 6 * side // 8, 4 * side // 8].mean(0).float()
            for tensors, side in ((before, 8), (after, 16))
        )
        assert torch.cosine_similarity(middle, larger_middle, dim=0) > 0.9
    kernel, larger_kernel = before["fov.head.4.weight"].float(), after["fov.head.4.weight"].float()
    torch.testing.assert_close(larger_kernel.sum((2, 3)), kernel.sum((2, 3)), rtol=0.01, atol=0.01)


def test_depth_at_another_input_size_is_about_the_same() -> None:
    options = {"precision": "auto", "output_size": "64x48"}
    scene = next(iter(DemoSource(frame_count=1)))
    (exact,) = run_all(make_estimator(load("nano"), focal=RAW, **options), [scene])
    (larger,) = run_all(make_estimator(load("nano"), focal=RAW, **options, input_size=1024), [scene])
    seen = np.isfinite(exact.depth) & np.isfinite(larger.depth)
    assert np.corrcoef(np.log(exact.depth[seen]), np.log(larger.depth[seen]))[0, 1] > 0.5  # near stays near


# Precision and compiled code ------------------------------------------------------------------------------------------


def test_eight_bits_are_close_to_thirty_two() -> None:
    """The same arithmetic as on a GPU: products of float8 numbers, summed in float32."""
    model = load("nano")
    frame = next(iter(DemoSource(frame_count=1)))
    x = network_input([host_tensor(p) for p in frame.planes], frame, size=512)
    with torch.inference_mode():
        C, fov = InferenceNetwork(model.network)(x)
        C_8, fov_8 = InferenceNetwork(model.network, dtype=torch.bfloat16, float8=True)(x)
    assert fov is not None
    assert fov_8 is not None
    assert 1e-4 < ((C_8 - C).abs() / C).median().item() < 0.05
    assert fov_8.item() == pytest.approx(fov.item(), rel=0.05)


def test_eight_bits_with_fixed_scales_are_as_close() -> None:
    """Scales from the packaged pictures, seen on another one; what is far beyond them is cut and stays a number."""
    model = load("nano")
    frame = next(iter(DemoSource(frame_count=1)))
    x = network_input([host_tensor(p) for p in frame.planes], frame, size=512)
    with torch.inference_mode():
        C, fov = InferenceNetwork(model.network)(x)
        network = InferenceNetwork(model.network, dtype=torch.bfloat16, float8=True)
        network.calibrate(calibration_inputs(512, CPU))
        C_8, fov_8 = network(x)
        products = [m for m in network.modules() if isinstance(m, layers.Float8Linear)]
        assert len({float(p.input_scale) for p in products}) > len(products) // 2  # each has a scale of its own
        wild, _ = network(x * 1000)
    assert fov is not None
    assert fov_8 is not None
    assert ((C_8 - C).abs() / C).median().item() < 0.03
    assert fov_8.item() == pytest.approx(fov.item(), rel=0.05)
    assert torch.isfinite(wild).all()


def test_what_a_cpu_cannot_do_is_refused() -> None:
    with pytest.raises(ConfigError, match="cpu does not multiply in fp8"):
        choose("fp8", CPU)
    for launch in ("graph", "compile"):
        with pytest.raises(ConfigError, match=f"`launch={launch}` is for NVIDIA GPUs, and the device is cpu"):
            choose_launch(launch, CPU)
    assert choose_launch("auto", CPU) == "eager"
    assert [wider("fp8"), wider("bf16"), wider("fp16"), wider("fp32")] == ["bf16", "fp32", "fp32", None]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "`batch` must be from 1 to 64, not 0"),
        ({"fov_every": 0}, "`fov_every` must be from 1"),
        ({"reuse_tiles": -1.0}, "`reuse_tiles` takes grey levels"),
        ({"reuse_tiles": float("nan")}, "`reuse_tiles` takes grey levels"),
        ({"reuse_tiles": 0.0, "batch": 2}, "leave out `batch`"),
        ({"reuse_tiles": 0.0, "launch": "compile"}, "leave out `batch` and `launch`"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        (EstimatorConfig if "fov_every" in options else EngineConfig)(**options)  # type: ignore[arg-type]


def test_a_faster_network_that_fails_or_differs_is_given_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = InferenceNetwork(tiny_model().network)
    x = torch.rand(1, 3, 256, 256)

    def fails(_network: InferenceNetwork) -> None:
        raise RuntimeError("no compiler\nin many lines")

    def differs(x: torch.Tensor, *, with_fov: bool = True) -> tuple[torch.Tensor, torch.Tensor | None]:
        C, fov = network(x, with_fov=with_fov)
        return C * 1.1, fov

    with torch.inference_mode(), caplog.at_level(logging.WARNING):
        monkeypatch.setattr(InferenceNetwork, "compile_stages", fails)
        assert accelerate(network, "compile", x) is network
        monkeypatch.setattr(InferenceNetwork, "compile_stages", lambda twin: setattr(twin, "forward", differs))
        assert accelerate(network, "compile", x) is network
    assert "launch compile does not work here, going on without: no compiler" in caplog.messages[0]
    assert "gives other depth" in caplog.messages[1]


def test_a_variant_shares_its_weights_and_is_given_up_where_it_does_not_work(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = InferenceNetwork(tiny_model().network)
    x = torch.rand(1, 3, 256, 256)
    before = network(x)
    twin = network.in_variant(FUSED)
    pointers = [{t.data_ptr() for t in (*n.parameters(), *n.buffers())} for n in (network, twin)]
    assert pointers[0] == pointers[1]

    with torch.inference_mode():
        faster = accelerate(network, "eager", x, variant=FUSED)
        assert faster is not network
        for mine, theirs in zip(faster(x), before, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(network(x), before, strict=True))

        def no_kernel(*_arguments: object) -> None:
            raise RuntimeError("no Triton here")

        monkeypatch.setattr(layers.fused, "add_norm", no_kernel)
        with caplog.at_level(logging.WARNING):
            assert accelerate(network, "eager", x, variant=FUSED) is network
    # The program's log may already be open at INFO, from a test before this one.
    (line,) = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert "fused norms" in line
    assert line.endswith("does not work here, going on without: no Triton here")


def test_what_was_not_measured_is_not_chosen() -> None:
    assert choose_variant("auto", CPU, "bf16") == choose_variant("fused", CPU, "bf16") == PLAIN
    names = {name for card in MEASURED_MS.values() for name in card}
    assert names <= VARIANTS.keys()


def test_the_network_can_be_compiled_as_one_piece(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As for a GPU; for a CPU it is not offered, because there it is slower."""
    monkeypatch.setattr(layers, "_can_pack", lambda _place: False)
    network = InferenceNetwork(tiny_model().network)
    x = torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        compiled = accelerate(network, "compile", x)
        assert compiled is not network, caplog.text
        for found, expected in zip(compiled(x), network(x), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert torch._dynamo.explain(network)(x).graph_break_count == 0
