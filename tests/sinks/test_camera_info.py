"""A camera as ROS reads it, wherever a sink writes it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sinks.camera_info import camera_info
from sinks.frame_json import describe, to_json
from stream.frame import CameraIntrinsics
from tests.support.doubles import make_depth_frame

LENS = CameraIntrinsics(
    fx=50,
    fy=51,
    cx=31,
    cy=23,
    width=64,
    height=48,
    distortion=(0.1, -0.2, 0.001, 0.002, 0.05),
    projection=(45, 0, 30, -9, 0, 46, 22, 0, 0, 0, 1, 0),
    rectification=(0.8, 0, 0.6, 0, 1, 0, -0.6, 0, 0.8),
)


@pytest.mark.parametrize("distortion", [(), (0.0, 0.0, 0.0, 0.0)])
@pytest.mark.parametrize("model", ["", "equidistant"])
def test_a_pinhole_is_said_to_be_calibrated_and_speaks_of_its_own_picture(
    model: str, distortion: tuple[float, ...]
) -> None:
    info = camera_info(replace(LENS, distortion_model=model, distortion=distortion))
    assert (info.rectified, info.distortion_model, info.D) == (True, "plumb_bob", (0, 0, 0, 0, 0))
    assert info.R == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert info.P == (50, 0, 31, 0, 0, 51, 23, 0, 0, 0, 1, 0)


def test_a_lens_keeps_what_its_calibration_says() -> None:
    info = camera_info(replace(LENS, distortion_model="rational_polynomial", distortion=(0.1,) * 8))
    assert (info.rectified, info.distortion_model, info.D) == (False, "rational_polynomial", (0.1,) * 8)
    assert info.K == (50, 0, 31, 0, 51, 23, 0, 0, 1)
    assert LENS.rectification == info.R
    assert LENS.projection == info.P
    without = camera_info(replace(LENS, projection=(), rectification=()))
    assert (without.R, without.P) == ((1, 0, 0, 0, 1, 0, 0, 0, 1), (50, 0, 31, 0, 0, 51, 23, 0, 0, 0, 1, 0))


@pytest.mark.parametrize(
    ("model", "given", "said", "count"),
    [
        ("", 5, "plumb_bob", 5),
        ("", 8, "rational_polynomial", 8),
        ("plumb_bob", 4, "plumb_bob", 5),
        ("equidistant", 4, "equidistant", 4),
        ("thin_prism", 2, "thin_prism", 2),
    ],
)
def test_coefficients_have_a_model_and_its_number(model: str, given: int, said: str, count: int) -> None:
    info = camera_info(replace(LENS, distortion_model=model, distortion=(0.1,) * given))
    assert (info.distortion_model, info.D) == (said, (0.1,) * given + (0.0,) * (count - given))


def test_headers_say_the_same() -> None:
    frame = replace(make_depth_frame(width=64, height=48), camera=LENS)
    record = json.loads(to_json(describe(frame, LENS.resized(32, 24))))
    assert (record["distortion_model"], record["D"], record["rectified"]) == ("plumb_bob", [*LENS.distortion], False)
    assert record["P"] == [22.5, 0, 14.75, -4.5, 0, 23, 10.75, 0, 0, 0, 1, 0]
    assert record["R"] == list(LENS.rectification)
    record = json.loads(to_json(describe(make_depth_frame())))
    assert (record["distortion_model"], record["D"], record["rectified"]) == ("plumb_bob", [0] * 5, True)
    assert record["P"] == [8, 0, 3.5, 0, 0, 8, 2.5, 0, 0, 0, 1, 0]
