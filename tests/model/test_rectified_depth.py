"""A lens that distorts looks at a slanted wall: with a network that is never wrong, depth is the wall's everywhere."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from torch import Tensor

import run_stream
from model.engine import Engine
from model.engine.precision import Precision
from model.focal import CameraConfig, GivenCamera, Lens
from model.focal.lens import lens_of
from stream.frame import CameraIntrinsics, Capture, DepthFrame, Frame, Geometry
from tests.support.lenses import LENSES, directions
from tests.support.tiny import LooseLease, make_engine, make_estimator, random_frame

WALL = np.array([0.3, 0.15, 1.0]) / 3.0  # 1/z of the wall's points is this times (x/z, y/z, 1)
BRIGHTEST = 0.4  # canonical inverse depth that white stands for


class SeesInverseDepth(Engine):
    """Its network reads canonical inverse depth off the picture: white is :data:`BRIGHTEST`."""

    def run(self, x_B3SS: Tensor, precision: Precision, *, with_fov: bool) -> tuple[Tensor, Tensor | None]:
        assert precision == "fp32"
        assert not with_fov
        return (x_B3SS[:, 0] + 1) / 2 * BRIGHTEST, None


@pytest.fixture(scope="module")
def engine() -> Engine:
    return make_engine(kind=SeesInverseDepth)


def calibration(folder: Path, raw: CameraIntrinsics) -> Path:
    path = folder / "camera.yaml"
    path.write_text(
        f"image_width: {raw.width}\nimage_height: {raw.height}\ndistortion_model: {raw.distortion_model}\n"
        f"camera_matrix: {{rows: 3, cols: 3, data: {raw.matrix.flatten().tolist()}}}\n"
        f"distortion_coefficients: {{rows: 1, cols: {len(raw.distortion)}, data: {list(raw.distortion)}}}\n"
    )
    return path


@functools.cache
def rays_of(lens: Lens) -> npt.NDArray[np.float64]:
    """The direction in which every pixel of the raw picture looks."""
    x, y = np.meshgrid(np.arange(float(lens.raw.width)), np.arange(float(lens.raw.height)))
    return lens.rays(np.stack([x, y], axis=-1).reshape(-1, 2)).reshape(lens.raw.height, lens.raw.width, 2)


def small_lens(name: str) -> Lens:
    lens = lens_of(LENSES[name].resized(320, 240))
    assert lens is not None
    return lens


def wall_seen_by(lens: Lens, f_ratio: float, rotation: Literal[0, 90, 180, 270] = 0) -> Frame:
    """What the raw picture shows of the wall, in 10 bits: brightness is canonical inverse depth for ``f_ratio``."""
    C_HW = f_ratio * inverse_depth(np.nan_to_num(rays_of(lens)))
    luma = (C_HW / BRIGHTEST * 1023).round().clip(0, 1023).astype("<u2")[..., None]
    planes = tuple(
        np.ascontiguousarray(np.rot90(p, -rotation // 90))
        for p in (luma, np.full_like(luma, 512), np.full_like(luma, 512))
    )
    return Frame(
        capture=Capture(index=0, pts=0, time_base=Fraction(1), time_ns=0, clock="media", rotation=rotation),
        geometry=Geometry("yuv444p10le", planes[0].shape[1], planes[0].shape[0]),
        planes=planes,
        color_range="full",
    )


def inverse_depth(rays_HW2: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(rays_HW2 @ WALL[:2] + WALL[2])


def error(result: DepthFrame, camera: CameraIntrinsics) -> npt.NDArray[np.float64]:
    """Relative, of every pixel of the depth, if it was taken by ``camera``."""
    return np.abs(result.depth * inverse_depth(directions(camera)) - 1)


def estimate(
    engine: Engine, folder: Path, raw: CameraIntrinsics, frame: Frame, *, rectify: bool = True, size: str = "source"
) -> DepthFrame:
    camera = GivenCamera(CameraConfig(camera_info=calibration(folder, raw), rectify=rectify))
    estimator = make_estimator(engine=engine, camera=camera, output_size=size)
    estimator.submit(LooseLease(frame), with_image=True)
    return estimator.collect()


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("size", ["source", "network", "160x120", "200x77"])
def test_depth_is_right_to_the_corners_and_the_camera_with_it(
    engine: Engine, tmp_path: Path, size: str, rotation: Literal[0, 90]
) -> None:
    lens = small_lens("barrel")
    raw = lens.raw
    frame = wall_seen_by(lens, lens.rectified.fx / 320, rotation)
    result = estimate(engine, tmp_path, raw, frame, size=size)
    expected = lens.rectified.resized(result.width, result.height)
    assert result.camera.matrix == pytest.approx(expected.matrix)
    assert (result.camera.distortion_model, result.camera.distortion) == ("plumb_bob", (0, 0, 0, 0, 0))
    assert (result.focal.source, result.focal.smoothed_px) == ("given", pytest.approx(lens.rectified.fx))
    assert error(result, expected).max() < 0.004
    # The picture is that of the depth: it shows the same wall.
    assert result.image is not None
    C_HW = result.image[..., 0] / 255 * BRIGHTEST
    assert np.abs(C_HW * 320 / lens.rectified.fx - inverse_depth(directions(expected))).max() < 0.01


@pytest.mark.parametrize("name", ["barrel of four", "pincushion", "rational", "equidistant", "fisheye"])
def test_depth_is_right_for_every_lens(engine: Engine, tmp_path: Path, name: str) -> None:
    lens = small_lens(name)
    result = estimate(engine, tmp_path, lens.raw, wall_seen_by(lens, lens.rectified.fx / 320))
    assert error(result, result.camera).max() < 0.006


def test_without_rectifying_depth_is_wrong_towards_the_corners(engine: Engine, tmp_path: Path) -> None:
    """What ``rectify=False`` keeps: the picture as it is, and the camera that belongs to it."""
    lens = small_lens("barrel")
    result = estimate(engine, tmp_path, lens.raw, wall_seen_by(lens, lens.raw.fx / 320), rectify=False)
    assert result.camera == lens.raw
    wrong = error(result, lens.raw)
    assert wrong[120, 162] < 0.004
    assert max(wrong[0, 0], wrong[0, -1], wrong[-1, 0], wrong[-1, -1]) > 0.03


def test_without_distortion_nothing_changes_bit_for_bit(tmp_path: Path) -> None:
    straight = replace(LENSES["barrel"].resized(96, 72), distortion=(0.0,) * 5)
    frame = random_frame(0, width=96, height=72)
    results = []
    for camera in (
        GivenCamera(CameraConfig(camera_info=calibration(tmp_path, straight))),
        GivenCamera(CameraConfig(camera_info=calibration(tmp_path, straight), rectify=False)),
        GivenCamera(CameraConfig(focal_px=straight.fx)),
    ):
        estimator = make_estimator(camera=camera)
        estimator.submit(LooseLease(frame), with_image=True)
        results.append(estimator.collect())
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].depth, other.depth)
        assert results[0].image is not None
        assert other.image is not None
        np.testing.assert_array_equal(results[0].image, other.image)
    assert results[0].camera == straight


@pytest.mark.usefixtures("logs_go_back")
@pytest.mark.parametrize("option", [[], ["--no-rectify"]])
def test_the_command_line_rectifies_unless_it_is_told_not_to(tmp_path: Path, option: list[str]) -> None:
    raw = small_lens("barrel").raw
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8))
    sink = tmp_path / "a.mkv"
    info = str(calibration(tmp_path, raw))
    arguments = [str(tmp_path / "a.png"), "--sink", f"{sink}?codec=ffv1", "--model", "nano", "--camera-info", info]
    assert run_stream.main([*arguments, *option]) == 0
    with av.open(str(sink)) as file:
        header = json.loads(file.metadata["DEPTH_FIRST_FRAME"])
    expected = raw if option else small_lens("barrel").rectified
    assert header["K"] == pytest.approx(expected.matrix.ravel().tolist())
    assert (header["distortion_model"], header["D"]) == ("plumb_bob", list(expected.distortion))
    assert any(header["D"]) == bool(option)


def test_what_the_source_does_not_show_is_no_estimate_and_black(engine: Engine, tmp_path: Path) -> None:
    lens = small_lens("barrel")
    path = calibration(tmp_path, lens.raw)
    path.write_text(path.read_text() + "projection_matrix: {data: [165, 0, 160, 0, 0, 165, 120, 0, 0, 0, 1, 0]}\n")
    estimator = make_estimator(engine=engine, camera=GivenCamera(CameraConfig(camera_info=path)))
    estimator.submit(LooseLease(wall_seen_by(lens, 165 / 320)), with_image=True)
    result = estimator.collect()
    assert result.camera.matrix.tolist() == [[165, 0, 160], [0, 165, 120], [0, 0, 1]]
    nothing = np.isnan(result.depth)
    assert not nothing[0, 0]  # barrels keep their corners longest
    assert nothing[0, 160]
    assert not nothing[20:220, 3:312].any()
    assert result.image is not None
    assert (result.image[nothing] == 0).all()
    assert (result.image[~nothing] > 0).all()
    assert error(result, result.camera)[~nothing].max() < 0.02  # a pixel from the border, it is the border's
