"""The inference stage on a CPU: same numbers as its parts by hand, focal length, precision, sizes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.engine.device import choose_device
from model.estimator import DepthProEstimator
from model.focal import CameraConfig, FocalConfig, GivenCamera, focal_from_fov
from model.network import InferenceNetwork
from model.network.inference import heads
from model.pixels.metres import metric_depth
from model.pixels.planes import host_tensor, image_from_planes, network_input
from model.weights import LoadedModel
from stream.errors import ConfigError, ModelError
from stream.frame import PIXEL_FORMATS, DepthFrame, Frame
from tests.support.doubles import recaptured
from tests.support.tiny import (
    TINY,
    LooseLease,
    bright_frame,
    make_engine,
    make_estimator,
    random_frame,
    tiny_model,
)

RAW = FocalConfig(mode="off")


def estimate(estimator: DepthProEstimator, frame: Frame, *, dropped: int = 0, with_image: bool = False) -> DepthFrame:
    lease = LooseLease(frame, dropped=dropped)
    estimator.submit(lease, with_image=with_image)
    assert len(lease.released) == 1
    return estimator.collect()


def by_hand(model: LoadedModel, frame: Frame, *, width: int, height: int) -> tuple[Tensor, float]:
    x = network_input([host_tensor(p) for p in frame.planes], frame, size=TINY.input_size)
    with torch.inference_mode():
        C, fov = InferenceNetwork(model.network)(x)
    assert fov is not None
    f_px = focal_from_fov(float(fov), frame.width)
    return metric_depth(C[0], focal_ratio=f_px / frame.width, width=width, height=height), f_px


@pytest.mark.parametrize("name", PIXEL_FORMATS)
def test_depth_is_what_its_parts_give_by_hand(name: str) -> None:
    model = tiny_model()
    estimator = make_estimator(model, focal=RAW)
    for index in range(3):
        frame = random_frame(index, name=name)
        result = estimate(estimator, frame, dropped=index)
        depth, f_px = by_hand(model, frame, width=96, height=54)
        np.testing.assert_array_equal(result.depth, depth.numpy())
        assert np.ptp(result.depth) > 0
        assert result.focal.raw_px == result.focal.smoothed_px == pytest.approx(f_px)
        assert (result.capture, result.dropped) == (frame.capture, index)
        assert (result.model, result.precision, result.retried) == ("tiny", "fp32", False)
        assert result.image is None


def test_an_untrained_network_says_so_in_every_frame() -> None:
    estimator = make_estimator(tiny_model(trained=False))
    assert estimate(estimator, random_frame(0)).model == "tiny (untrained)"


@pytest.mark.parametrize(
    ("text", "size"), [("source", (96, 54)), ("network", (512, 512)), ("48x32", (48, 32)), ("7X5", (7, 5))]
)
def test_output_size_and_the_camera_that_belongs_to_it(text: str, size: tuple[int, int]) -> None:
    model, frame = tiny_model(), random_frame(1)
    result = estimate(make_estimator(model, focal=RAW, output_size=text), frame, with_image=True)
    depth, f_px = by_hand(model, frame, width=size[0], height=size[1])
    np.testing.assert_array_equal(result.depth, depth.numpy())
    assert (result.source_width, result.source_height) == (96, 54)
    assert result.focal.smoothed_px == pytest.approx(f_px)
    assert result.camera.fx == pytest.approx(f_px * size[0] / 96)
    assert result.camera.fy == pytest.approx(f_px * size[1] / 54)
    assert result.camera.cx == pytest.approx((size[0] - 1) / 2)
    image = image_from_planes([host_tensor(p) for p in frame.planes], frame, width=size[0], height=size[1])
    np.testing.assert_array_equal(result.image, image.numpy())


@pytest.mark.parametrize("text", ["huge", "0x5", "640", "640x", "-1x5", "640x480x3", "99999x1"])
def test_an_impossible_output_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"source, network or WxH"):
        make_estimator(tiny_model(), output_size=text)


@pytest.mark.parametrize("name", ["tpu", "cuda:99", "mps", "meta", ""])
def test_an_impossible_device_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="device"):
        choose_device(name)


def test_a_rotated_source_gives_upright_depth() -> None:
    frame = recaptured(random_frame(0), rotation=90)
    result = estimate(make_estimator(tiny_model()), frame)
    assert result.depth.shape == (96, 54)


def test_frames_may_change_their_size_on_the_way() -> None:
    model = tiny_model()
    estimator = make_estimator(model, focal=RAW)
    for width, height in [(96, 54), (33, 71), (96, 54)]:
        frame = random_frame(3, width=width, height=height)
        expected, _ = by_hand(model, frame, width=width, height=height)
        np.testing.assert_array_equal(estimate(estimator, frame).depth, expected.numpy())


def without_fov_branch(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the field-of-view branch must not run. (An engine tries it once, when it is made.)"""

    def must_not_run(*_args: Tensor) -> Tensor:
        raise AssertionError("the field-of-view branch ran although the focal length is known")

    monkeypatch.setattr(heads.FovHead, "forward", must_not_run)


def test_a_given_focal_length_scales_depth_and_skips_the_fov_branch(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, results = make_engine(), []
    without_fov_branch(monkeypatch)
    for f_px in (80.0, 160.0):
        camera = GivenCamera(CameraConfig(focal_px=f_px))
        estimator = make_estimator(engine=engine, camera=camera)
        results.append(estimate(estimator, random_frame(0)))
        assert results[-1].focal.source == "given"
        assert results[-1].focal.raw_px is None
        assert results[-1].camera.fx == pytest.approx(f_px)
    np.testing.assert_allclose(results[1].depth, 2 * results[0].depth, rtol=1e-6)


def test_a_calibration_travels_to_the_size_of_the_depth(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(
        "image_width: 192\nimage_height: 108\ndistortion_model: plumb_bob\n"
        "camera_matrix: {rows: 3, cols: 3, data: [200, 0, 90, 0, 210, 50, 0, 0, 1]}\n"
        "distortion_coefficients: {rows: 1, cols: 5, data: [0.1, 0, 0, 0, 0]}\n"
    )
    camera = GivenCamera(CameraConfig(camera_info=path, rectify=False))
    estimator = make_estimator(camera=camera, output_size="48x27")
    result = estimate(estimator, random_frame(0))
    assert result.focal.smoothed_px == pytest.approx(100)
    assert result.camera.fx == pytest.approx(50)
    assert result.camera.fy == pytest.approx(52.5)
    assert result.camera.cx == pytest.approx(90.5 / 4 - 0.5)
    assert result.camera.distortion == (0.1, 0, 0, 0, 0)


def test_a_focal_length_from_metadata_is_used_for_its_frame_only() -> None:
    estimator = make_estimator(tiny_model())
    known = estimate(estimator, replace(random_frame(0), focal_px=123.0))
    unknown = estimate(estimator, random_frame(0))
    assert (known.focal.source, known.focal.smoothed_px, known.focal.raw_px) == ("metadata", 123.0, None)
    assert unknown.focal.source == "estimated"
    assert unknown.focal.raw_px is not None


def test_the_focal_filter_steadies_what_scales_depth() -> None:
    estimator = make_estimator(tiny_model(), focal=FocalConfig(mode="filter"))
    first, rng = random_frame(0), np.random.default_rng(0)
    shots = [
        replace(
            recaptured(first, index=i, time_ns=i * 33_333_333),
            planes=tuple(p ^ rng.integers(0, 8, p.shape, np.uint8) for p in first.planes),
        )
        for i in range(12)
    ]  # one scene with a little noise, so that nothing is taken for a cut
    frames = [estimate(estimator, shot) for shot in shots]
    raw = np.log([f.focal.raw_px or math.nan for f in frames[6:]])
    smoothed = np.log([f.focal.smoothed_px for f in frames[6:]])
    assert np.std(smoothed) < np.std(raw)
    assert frames[-1].camera.fx == pytest.approx(frames[-1].focal.smoothed_px)


def test_a_scene_cut_is_reported() -> None:
    estimator = make_estimator(tiny_model())
    dark = replace(random_frame(0), planes=tuple(np.full_like(p, 128) // 8 for p in random_frame(0).planes))
    cuts = [estimate(estimator, recaptured(f, index=i)).scene_cut for i, f in enumerate([dark, dark, bright_frame(2)])]
    assert cuts == [False, False, True]


def test_a_blank_picture_tells_nothing_of_the_lens() -> None:
    """A film that begins in black begins with the focal length of what is seen then."""
    estimator = make_estimator(tiny_model())
    black = replace(
        random_frame(0),
        planes=tuple(np.full_like(p, level) for p, level in zip(random_frame(0).planes, (16, 128, 128), strict=True)),
    )
    focals = [estimate(estimator, recaptured(f, index=i)).focal for i, f in enumerate([black, black, random_frame(1)])]
    assert [focal.raw_px is None for focal in focals] == [True, True, False]
    assert focals[1].log_std == 0.5
    assert focals[2].smoothed_px == focals[2].raw_px


def nan_in(monkeypatch: pytest.MonkeyPatch, dtypes: set[torch.dtype], *, only_bright: bool) -> None:
    """Make networks fail in ``dtypes``, for all pictures or for white ones."""
    forward = InferenceNetwork.forward

    def spoilt(network: InferenceNetwork, x: Tensor, *, with_fov: bool = True) -> tuple[Tensor, Tensor | None]:
        C, fov = forward(network, x, with_fov=with_fov)
        if next(network.parameters()).dtype in dtypes and (not only_bright or float(x.mean()) > 0.9):
            C = torch.full_like(C, math.nan)
        return C, fov

    monkeypatch.setattr(InferenceNetwork, "forward", spoilt)


def test_a_precision_without_finite_output_is_left_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nan_in(monkeypatch, {torch.bfloat16}, only_bright=False)
    engine = make_engine(tiny_model(), precision="bf16")
    assert engine.precision == "fp32"
    assert "no finite output in bf16" in caplog.text
    assert estimate(make_estimator(engine=engine), random_frame(0)).precision == "fp32"


def test_a_network_that_is_never_finite_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nan_in(monkeypatch, {torch.bfloat16, torch.float32}, only_bright=False)
    with pytest.raises(ModelError, match="damaged"):
        make_estimator(tiny_model(), precision="bf16")


def test_a_frame_that_is_not_finite_is_computed_again_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    nan_in(monkeypatch, {torch.bfloat16}, only_bright=True)
    estimator = make_estimator(tiny_model(), focal=RAW, precision="bf16")
    usual = estimate(estimator, random_frame(0))
    retried = estimate(estimator, bright_frame(1))
    assert (usual.precision, usual.retried) == ("bf16", False)
    assert (retried.precision, retried.retried) == ("fp32", True)
    expected, _ = by_hand(tiny_model(), bright_frame(1), width=96, height=54)
    np.testing.assert_array_equal(retried.depth, expected.numpy())


def test_a_frame_that_is_finite_in_no_precision_is_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    nan_in(monkeypatch, {torch.bfloat16, torch.float32}, only_bright=True)
    estimator = make_estimator(tiny_model(), precision="bf16")
    before = estimate(estimator, random_frame(0))
    failed = estimate(estimator, bright_frame(1))
    assert np.isnan(failed.depth).all()
    assert failed.retried
    assert failed.focal.raw_px is None
    assert math.isfinite(failed.focal.smoothed_px)
    assert np.isfinite(estimate(estimator, random_frame(2)).depth).all()
    assert np.isfinite(before.depth).all()


def test_bf16_is_close_to_fp32() -> None:
    frame = random_frame(0)
    exact = estimate(make_estimator(tiny_model(), focal=RAW), frame).depth
    rounded = estimate(make_estimator(tiny_model(), focal=RAW, precision="bf16"), frame).depth
    assert np.median(np.abs(rounded / exact - 1)) < 0.01


def test_half_precision_that_a_cpu_only_emulates_is_refused() -> None:
    with pytest.raises(ConfigError, match="fp16 is slower"):
        make_estimator(tiny_model(), precision="fp16")


def test_no_frame_in_flight_is_refused() -> None:
    with pytest.raises(ConfigError, match="`in_flight` must be from 1"):
        make_estimator(tiny_model(), in_flight=0)


def test_an_error_of_torch_becomes_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = make_estimator(tiny_model())
    misfit = torch.zeros(1, 1, 1, 1)  # does not take what comes before it
    monkeypatch.setattr(heads.DepthHead, "forward", lambda _self, x: torch.nn.functional.conv2d(x, misfit))
    with pytest.raises(ModelError, match="the network failed") as caught:
        estimator.submit(LooseLease(random_frame(0)), with_image=False)
    assert "\n" not in str(caught.value)


def test_closing_with_a_frame_in_flight_is_fine() -> None:
    estimator = make_estimator(tiny_model())
    estimator.submit(LooseLease(random_frame(0)), with_image=False)
    estimator.close()
