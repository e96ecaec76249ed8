"""Lenses against the equations of their models, and what the rectified camera is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from model.focal.lens import Lens, lens_of
from stream.errors import ConfigError
from stream.frame import CameraIntrinsics
from tests.support.lenses import LENSES, camera, directions, distort


def lens(name: str) -> Lens:
    found = lens_of(LENSES[name])
    assert found is not None
    return found


@pytest.mark.parametrize("size", [(640, 480), (64, 64), (96, 72)])
@pytest.mark.parametrize("name", LENSES)
def test_every_pixel_comes_from_where_the_model_says(name: str, size: tuple[int, int]) -> None:
    rectified = lens(name)
    points, shown = rectified.source_points(*size)
    expected = distort(rectified.raw, directions(rectified.rectified.resized(*size)))
    assert shown.all()
    np.testing.assert_allclose(points, expected, atol=2e-3)


@pytest.mark.parametrize("name", LENSES)
def test_the_rectified_picture_is_full_and_its_pixels_keep_their_shape(name: str) -> None:
    raw, rectified = LENSES[name], lens(name).rectified
    assert (rectified.width, rectified.height) == (640, 480)
    assert rectified.fy / rectified.fx == pytest.approx(raw.fy / raw.fx)
    assert (rectified.distortion_model, rectified.distortion) == ("plumb_bob", (0, 0, 0, 0, 0))
    points, _ = lens(name).source_points(640, 480)
    assert (points.min(axis=(0, 1)) >= (-0.6, -0.6)).all()
    assert (points.max(axis=(0, 1)) <= (639.6, 479.6)).all()
    if name == "fisheye":
        assert rectified.fov_deg == pytest.approx(120, abs=0.1)
    else:  # nothing is given away: on some side the border of the raw picture is just reached
        nearest = min(*points.min(axis=(0, 1)), *((639, 479) - points.max(axis=(0, 1))))
        assert nearest < 0.5


@pytest.mark.parametrize("name", LENSES)
def test_a_point_is_found_again_in_the_rectified_picture(name: str) -> None:
    rectified = lens(name)
    points, _ = rectified.source_points(640, 480)
    for x, y in [(0, 0), (639, 20), (300, 250), (40, 470)]:
        assert rectified.rectified_point(*points[y, x].astype(float)) == pytest.approx((x, y), abs=0.05)


def test_a_lens_scales_with_the_picture() -> None:
    large = lens("barrel").resized(1280, 960)
    assert large.rectified.fx == pytest.approx(2 * lens("barrel").rectified.fx)
    np.testing.assert_allclose(
        (large.source_points(100, 80)[0] + 0.5) / 2 - 0.5, lens("barrel").source_points(100, 80)[0], atol=1e-3
    )


def test_a_calibration_that_says_what_the_rectified_picture_is_is_believed() -> None:
    angle = math.radians(3)
    turn = (math.cos(angle), 0, math.sin(angle), 0, 1, 0, -math.sin(angle), 0, math.cos(angle))
    wanted = CameraIntrinsics(fx=300, fy=310, cx=330, cy=230, width=640, height=480)
    found = lens_of(
        replace(
            LENSES["barrel"],
            rectification=turn,
            projection=(300, 0, 330, 0, 0, 310, 230, 0, 0, 0, 1, 0),
        )
    )
    assert found is not None
    assert (found.rectified.fx, found.rectified.fy, found.rectified.cx, found.rectified.cy) == (300, 310, 330, 230)
    rays = np.concatenate([directions(wanted), np.ones((480, 640, 1))], axis=-1) @ np.reshape(turn, (3, 3))
    expected = distort(LENSES["barrel"], rays[..., :2] / rays[..., 2:])
    points, seen = found.source_points(640, 480)
    assert 0.5 < seen.mean() < 1  # so wide a view has empty corners
    np.testing.assert_allclose(points, expected, atol=2e-3)
    beyond = ((expected < -1.6) | (expected > (640.6, 480.6))).any(axis=-1)
    assert beyond[~seen].mean() > 0.99
    x, y = found.rectified_point(*points[200, 300].astype(float))
    assert (x, y) == pytest.approx((300, 200), abs=0.05)


def test_where_the_distortion_folds_over_nothing_is_shown() -> None:
    folding = lens_of(camera("plumb_bob", (-0.5, 0.0, 0.0, 0.0), focal=400.0))
    assert folding is not None
    _, shown = folding.source_points(640, 480)
    radius = np.linalg.norm(directions(folding.rectified), axis=-1)
    fold = math.sqrt(1 / 1.5)  # where r − r³/2 is largest
    assert not shown[radius > 1.01 * fold].any()
    assert shown[radius < 0.99 * fold].all()


def test_without_distortion_there_is_nothing_to_rectify() -> None:
    for distortion in ((), (0.0,) * 5, (0.0,) * 4):
        assert lens_of(replace(LENSES["barrel"], distortion=distortion)) is None


@pytest.mark.parametrize(
    ("model", "coefficients", "complaint"),
    [
        ("plumb_bob", (0.1,), "plumb_bob' with 1 coefficients"),
        ("plumb_bob", (0.1,) * 8, "with 8"),
        ("rational_polynomial", (0.1,) * 5, "with 5"),
        ("equidistant", (0.1,) * 5, "with 5"),
        ("", (0.1, 0.0, 0.0, 0.0), "model ''"),
        ("thin_prism", (0.1,) * 4, "thin_prism"),
        ("plumb_bob", (-1e4, 0.0, 0.0, 0.0), "`rectify=False`"),
    ],
)
def test_what_cannot_be_undone_is_refused(model: str, coefficients: tuple[float, ...], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        lens_of(camera(model, coefficients))
    assert "`rectify=False`" in str(caught.value)
