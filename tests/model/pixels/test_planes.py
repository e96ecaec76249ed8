"""Planes to RGB against FFmpeg's own conversion, and to network input against transformers' image processor."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import DepthProImageProcessor

from model.pixels.planes import host_tensor, image_from_planes, network_input, rgb_from_planes
from stream.frame import PIXEL_FORMATS, Capture, ColorRange, ColorSpace, Frame, Geometry
from tests.support.doubles import recaptured

_FFMPEG_SPACES: dict[ColorSpace, str] = {"bt601": "ITU601", "bt709": "ITU709"}


def smooth_picture(width: int, height: int) -> npt.NDArray[np.uint8]:
    """All hues, changing slowly, so that halved chroma loses nothing."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    red, green, blue = x / width, y / height, 0.5 + 0.5 * np.cos(3 * (x + y) / (width + height))
    return (255 * np.stack([red, green, blue], -1)).round().astype(np.uint8)


def as_frame(
    rgb: npt.NDArray[np.uint8], name: str, space: ColorSpace = "bt601", value_range: ColorRange = "limited"
) -> Frame:
    """``rgb`` in another pixel format, converted by FFmpeg."""
    fmt = PIXEL_FORMATS[name]
    picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format=name,
        dst_colorspace=_FFMPEG_SPACES[space],
        dst_color_range="JPEG" if value_range == "full" else "MPEG",
        interpolation="AREA",
    )
    geometry = Geometry(name, picture.width, picture.height)
    planes = []
    for plane, (rows, columns, channels) in zip(picture.planes, geometry.plane_shapes, strict=True):
        words = np.frombuffer(plane, fmt.dtype).reshape(rows, -1)
        planes.append(words[:, : columns * channels].reshape(rows, columns, channels))
    return Frame(
        capture=Capture(index=0, pts=0, time_base=Fraction(1), time_ns=0, clock="media"),
        geometry=geometry,
        planes=tuple(planes),
        color_space=space,
        color_range=value_range,
    )


def tensors(frame: Frame) -> list[torch.Tensor]:
    return [host_tensor(p) for p in frame.planes]


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.parametrize("value_range", ["limited", "full"])
@pytest.mark.parametrize("space", ["bt601", "bt709"])
@pytest.mark.parametrize("name", [n for n in PIXEL_FORMATS if n not in ("gray", "rgb24")])
def test_yuv_becomes_the_rgb_that_ffmpeg_started_from(name: str, space: ColorSpace, value_range: ColorRange) -> None:
    rgb = smooth_picture(96, 64)
    frame = as_frame(rgb, name, space, value_range)
    ours = rgb_from_planes(tensors(frame), frame, width=96, height=64).permute(1, 2, 0).numpy()
    inner = np.s_[2:-2, 2:-2]  # at the rim, subsampled chroma has to be extrapolated
    np.testing.assert_allclose(ours[inner], rgb[inner] / 255, atol=4 / 255)
    assert np.abs(ours[inner] - rgb[inner] / 255).mean() < 1.2 / 255


@pytest.mark.parametrize("value_range", ["limited", "full"])
def test_gray_spans_black_to_white(value_range: ColorRange) -> None:
    black, white = (16, 235) if value_range == "limited" else (0, 255)
    plane = np.array([[[black], [white]]], np.uint8)
    geometry = Geometry("gray", 2, 1)
    frame = replace(
        as_frame(smooth_picture(2, 1), "rgb24"), geometry=geometry, planes=(plane,), color_range=value_range
    )
    rgb = rgb_from_planes(tensors(frame), frame, width=2, height=1)
    assert rgb.tolist() == [[[0.0, 1.0]]] * 3


def test_bt2020_primaries_come_out_pure() -> None:
    # Code values of 100 % red, BT.2020 10-bit limited, from the standard's luma weights: Y' = 0.2627, Cb, Cr = 1/2.
    y, cb, cr = 0.2627, -0.2627 / (2 * (1 - 0.0593)), 0.5
    codes = [round(64 + 876 * y), round(512 + 896 * cb), round(512 + 896 * cr)]
    planes = tuple(np.full((2, 2, 1), code, "<u2") for code in codes)
    frame = replace(
        as_frame(smooth_picture(2, 2), "rgb24"),
        geometry=Geometry("yuv444p10le", 2, 2),
        planes=planes,
        color_space="bt2020",
    )
    rgb = rgb_from_planes(tensors(frame), frame, width=2, height=2)[:, 0, 0]
    assert rgb.tolist() == pytest.approx([1, 0, 0], abs=2e-3)


@pytest.mark.parametrize("size", [(1280, 720), (101, 67), (40, 300)])
def test_network_input_is_that_of_transformers(size: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    frame = replace(as_frame(rgb, "rgb24"), planes=(rgb,))
    processor = DepthProImageProcessor(
        size={"height": 128, "width": 128}, image_mean=[0.5] * 3, image_std=[0.5] * 3, do_resize=True
    )
    theirs = processor(torch.from_numpy(rgb).permute(2, 0, 1), return_tensors="pt")["pixel_values"]
    ours = network_input(tensors(frame), frame, size=128)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=3e-6)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_pictures_are_turned_upright(rotation: int) -> None:
    upright = np.random.default_rng(0).integers(0, 255, (6, 10, 3), np.uint8)
    stored = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
    frame = replace(
        recaptured(as_frame(smooth_picture(2, 2), "rgb24"), rotation=rotation),
        geometry=Geometry("rgb24", stored.shape[1], stored.shape[0]),
        planes=(stored,),
    )
    assert (frame.width, frame.height) == (10, 6)
    image = image_from_planes(tensors(frame), frame, width=10, height=6)
    assert image.is_contiguous()
    np.testing.assert_array_equal(image.numpy(), upright)
