"""Rectified pictures against OpenCV's remap, and what rectifying is for: straight lines, whichever way up."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from model.focal.lens import Lens, lens_of
from model.pixels.planes import host_tensor, image_from_planes, network_input, rgb_from_planes
from model.pixels.rectify import GridMemory, make_grid
from stream.frame import PIXEL_FORMATS, Capture, Frame, Geometry
from tests.model.pixels.test_planes import as_frame, smooth_picture, tensors
from tests.support.doubles import recaptured
from tests.support.lenses import LENSES, directions

CPU = torch.device("cpu")
Picture = npt.NDArray[np.float64]


def lens(name: str = "barrel") -> Lens:
    found = lens_of(LENSES[name])
    assert found is not None
    return found


@pytest.mark.parametrize("size", [(640, 480), (333, 201)])
@pytest.mark.parametrize("name", PIXEL_FORMATS)
def test_a_picture_is_rectified_as_opencv_does_it(name: str, size: tuple[int, int]) -> None:
    frame = as_frame(smooth_picture(640, 480), name)
    whole = rgb_from_planes(tensors(frame), frame, width=640, height=480).permute(1, 2, 0).numpy()
    points, _ = lens().source_points(*size)
    expected = cv2.remap(whole, points[..., 0], points[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grid = make_grid(lens(), 0, *size, CPU)
    assert grid.nothing_HW is None
    ours = rgb_from_planes(tensors(frame), frame, width=size[0], height=size[1], grid_HW2=grid.places_HW2)
    inner = np.s_[3:-3, 3:-3]
    assert np.abs(ours.permute(1, 2, 0).numpy() - expected)[inner].max() < 1 / 255


@pytest.mark.parametrize("name", LENSES)
def test_every_lens_is_rectified_as_opencv_does_it(name: str) -> None:
    rgb = smooth_picture(640, 480)
    frame = as_frame(rgb, "rgb24")
    points, _ = lens(name).source_points(640, 480)
    expected = cv2.remap(rgb / 255, points[..., 0], points[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grid = make_grid(lens(name), 0, 640, 480, CPU)
    ours = rgb_from_planes(tensors(frame), frame, width=640, height=480, grid_HW2=grid.places_HW2)
    assert np.abs(ours.permute(1, 2, 0).numpy() - expected)[3:-3, 3:-3].max() < 1 / 255


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("name", ["rgb24", "yuv444p10le"])
def test_a_picture_that_must_be_turned_is_rectified_upright(name: str, rotation: int) -> None:
    upright = as_frame(smooth_picture(640, 480), name)
    planes = tuple(np.ascontiguousarray(np.rot90(plane, -rotation // 90)) for plane in upright.planes)
    height, width = planes[0].shape[:2]
    stored = replace(recaptured(upright, rotation=rotation), geometry=Geometry(name, width, height), planes=planes)
    assert (stored.width, stored.height) == (640, 480)
    pictures = []
    for frame in (upright, stored):
        grid = make_grid(lens(), frame.capture.rotation, 200, 100, CPU).places_HW2
        pictures.append(rgb_from_planes(tensors(frame), frame, width=200, height=100, grid_HW2=grid))
    torch.testing.assert_close(pictures[1], pictures[0], rtol=0, atol=1e-4)


def test_the_networks_square_is_rectified_too() -> None:
    frame = as_frame(smooth_picture(640, 480), "nv12")
    grid = make_grid(lens(), 0, 128, 128, CPU).places_HW2
    rgb = rgb_from_planes(tensors(frame), frame, width=128, height=128, grid_HW2=grid)
    assert torch.equal(network_input(tensors(frame), frame, size=128, grid_SS2=grid)[0], rgb * 2 - 1)
    image = image_from_planes(tensors(frame), frame, width=128, height=128, grid_HW2=grid)
    assert torch.equal(image, (rgb * 255).round().to(torch.uint8).permute(1, 2, 0))


def chessboard(rays_HW2: Picture) -> npt.NDArray[np.uint8]:
    """Squares of 0.15 on the plane z = 1, tilted out of the pixel raster, with soft edges."""
    x, y = rays_HW2[..., 0], rays_HW2[..., 1]
    u, v = np.cos(0.1) * x + np.sin(0.1) * y, np.cos(0.1) * y - np.sin(0.1) * x
    waves = np.tanh(12 * np.sin(np.pi * u / 0.15)) * np.tanh(12 * np.sin(np.pi * v / 0.15))
    return np.asarray(127.5 + 110 * waves).round().astype(np.uint8)


def crookedness(picture: npt.NDArray[np.uint8], guesses_RC2: Picture) -> float:
    """How far, in pixels, corners of the chessboard found near ``guesses_RC2`` lie from straight lines, at most."""
    corners = cv2.cornerSubPix(
        picture,
        np.ascontiguousarray(guesses_RC2.reshape(-1, 1, 2), np.float32),
        (6, 6),
        (-1, -1),
        (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-4),
    ).reshape(guesses_RC2.shape)
    worst = 0.0
    for line in (*corners, *corners.swapaxes(0, 1)):
        centred = line - line.mean(axis=0)
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        worst = max(worst, float(np.abs(centred @ axes[1]).max()))
    return worst


@pytest.mark.parametrize("name", ["barrel", "pincushion", "rational", "equidistant"])
def test_straight_lines_become_straight(name: str) -> None:
    bent = lens(name)
    x, y = np.meshgrid(np.arange(640.0), np.arange(480.0))
    rays = np.nan_to_num(bent.rays(np.stack([x, y], axis=-1).reshape(-1, 2)).reshape(480, 640, 2))
    picture = chessboard(rays)
    frame = Frame(
        capture=Capture(index=0, pts=0, time_base=Fraction(1), time_ns=0, clock="media"),
        geometry=Geometry("gray", 640, 480),
        planes=(picture[..., None],),
        color_range="full",
    )
    grid = make_grid(bent, 0, 640, 480, CPU)
    straight = image_from_planes(
        [host_tensor(p) for p in frame.planes], frame, width=640, height=480, grid_HW2=grid.places_HW2
    ).numpy()[..., 0]
    to = bent.rectified
    v, u = np.mgrid[-2:3, -3:4] * 0.15
    corners = np.stack([np.cos(0.1) * u - np.sin(0.1) * v, np.cos(0.1) * v + np.sin(0.1) * u], axis=-1)
    before = bent.project(corners.reshape(-1, 2)).reshape(corners.shape)
    after = corners * (to.fx, to.fy) + (to.cx, to.cy)
    assert crookedness(picture, before.round()) > 1.5
    assert crookedness(straight, after.round()) < 0.3


def test_the_grid_is_made_once_for_each_kind_of_picture() -> None:
    memory, frame = GridMemory(CPU), as_frame(smooth_picture(640, 480), "gray")
    first = memory.grid(lens(), frame, width=64, height=48)
    assert memory.grid(lens(), replace(frame), width=64, height=48) is first
    other = memory.grid(lens(), recaptured(frame, rotation=180), width=64, height=48)
    assert other is not None
    assert other is not first
    assert memory.grid(None, frame, width=64, height=48) is None


def test_directions_are_those_of_the_pinhole() -> None:
    found = lens("pincushion")
    rays = directions(found.rectified).reshape(-1, 2)[::997]
    np.testing.assert_allclose(found.rays(found.project(rays)), rays, atol=1e-6)
