"""A camera given by the user: options, ROS calibration files, and what is said about bad ones."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from model.focal.given import CameraConfig, GivenCamera, read_camera_info
from stream.errors import ConfigError

CALIBRATION = """\
image_width: 1280
image_height: 720
camera_name: head_camera
camera_matrix:
  rows: 3
  cols: 3
  data: [900.5, 0, 641.25, 0, 899, 362.75, 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.1, -0.2, 0.001, 0.002, 0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
projection_matrix:
  rows: 3
  cols: 4
  data: [800, 0, 600, 0, 0, 800, 300, 0, 0, 0, 1, 0]
"""

ROS2_ECHO = """\
header:
  stamp:
    sec: 1
    nanosec: 2
  frame_id: camera
height: 720
width: 1280
distortion_model: plumb_bob
d:
- 0.1
- -0.2
- 0.001
- 0.002
- 0.0
k:
- 900.5
- 0.0
- 641.25
- 0.0
- 899.0
- 362.75
- 0.0
- 0.0
- 1.0
binning_x: 0
---
height: 1
"""

ROS1_ECHO = """\
height: 720
width: 1280
distortion_model: "plumb_bob"
D: [0.1, -0.2, 0.001, 0.002, 0.0]
K: [900.5, 0.0, 641.25, 0.0, 899.0, 362.75, 0.0, 0.0, 1.0]
---
"""


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    path = tmp_path / "head_camera.yaml"
    path.write_text(CALIBRATION)
    return path


@pytest.mark.parametrize("text", [CALIBRATION, ROS2_ECHO, ROS1_ECHO])
def test_every_form_of_a_ros_calibration_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    camera = read_camera_info(path)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (900.5, 899, 641.25, 362.75)
    assert (camera.width, camera.height) == (1280, 720)
    assert camera.distortion_model == "plumb_bob"
    assert camera.distortion == (0.1, -0.2, 0.001, 0.002, 0)


@pytest.mark.parametrize(
    ("written", "number"),
    [("1e-05", 1e-5), ("-2E-5", -2e-5), ("+1.5e3", 1500), (".5e2", 50), ("1.e2", 100), ("1e+2", 100), ("3", 3)],
)
def test_numbers_may_be_written_as_computers_write_them(tmp_path: Path, written: str, number: float) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(CALIBRATION.replace("[0.1, -0.2", f"[{written}, -0.2").replace("899", "8.99e2"))
    camera = read_camera_info(path)
    assert (camera.distortion[0], camera.fy) == (number, 899)


def test_a_calibration_in_json_is_read(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    info = {"width": 1280, "height": 720, "d": [1e-05, -2e-07, 0, 0, 0], "k": [900.5, 0, 641, 0, 899, 362, 0, 0, 1]}
    path.write_text(json.dumps(info))
    assert read_camera_info(path).distortion == (1e-05, -2e-07, 0, 0, 0)


def test_nothing_given_is_nothing_known() -> None:
    assert GivenCamera().intrinsics(640, 480) is None


def test_focal_length_in_pixels_is_taken_as_it_is() -> None:
    given = GivenCamera(CameraConfig(focal_px=1500.0))
    for width, height in ((1920, 1080), (640, 480)):
        camera = given.intrinsics(width, height)
        assert camera is not None
        assert (camera.fx, camera.fy, camera.cx, camera.cy) == (1500, 1500, (width - 1) / 2, (height - 1) / 2)


def test_field_of_view_scales_with_the_picture() -> None:
    for width in (640, 3840):
        camera = GivenCamera(CameraConfig(fov=60.0)).intrinsics(width, 480)
        assert camera is not None
        assert camera.fx == pytest.approx(width * math.sqrt(3) / 2)
        assert camera.fov_deg == pytest.approx(60)


def test_calibration_is_scaled_to_the_picture(calibration: Path) -> None:
    given = GivenCamera(CameraConfig(camera_info=calibration, rectify=False))
    assert given.lens(1280, 720) is None
    assert given.intrinsics(1280, 720) == read_camera_info(calibration)
    camera = given.intrinsics(1920, 1080)
    assert camera is not None
    assert (camera.fx, camera.fy) == pytest.approx((1350.75, 1348.5))
    assert (camera.cx, camera.cy) == pytest.approx((641.75 * 1.5 - 0.5, 363.25 * 1.5 - 0.5))
    assert given.intrinsics(1280, 724) is not None  # 0.6 % off: padding, not a crop


def test_the_rectified_picture_of_a_calibration_is_kept_and_scaled(tmp_path: Path) -> None:
    path = tmp_path / "right.yaml"
    turned = "[0.8, 0, 0.6, 0, 1, 0, -0.6, 0, 0.8]"
    text = CALIBRATION.replace("[1, 0, 0, 0, 1, 0, 0, 0, 1]", turned)
    path.write_text(text.replace("800, 0, 600, 0, 0", "800, 0, 600, -96, 0"))
    camera = read_camera_info(path)
    assert camera.rectification == (0.8, 0, 0.6, 0, 1, 0, -0.6, 0, 0.8)
    assert camera.projection == (800, 0, 600, -96, 0, 800, 300, 0, 0, 0, 1, 0)
    half = camera.resized(640, 360)
    assert half.rectification == camera.rectification
    assert half.projection == pytest.approx((400, 0, 299.75, -48, 0, 400, 149.75, 0, 0, 0, 1, 0))


@pytest.mark.parametrize("nothing", ["", "p: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]\nr: [0, 0, 0, 0, 0, 0, 0, 0, 0]\n"])
def test_a_calibration_may_say_nothing_of_a_rectified_picture(tmp_path: Path, nothing: str) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(nothing + ROS2_ECHO)
    assert (read_camera_info(path).projection, read_camera_info(path).rectification) == ((), ())


def test_the_camera_of_a_distorting_lens_is_that_of_rectified_pictures(calibration: Path) -> None:
    given = GivenCamera(CameraConfig(camera_info=calibration))
    camera, lens = given.intrinsics(640, 360), given.lens(640, 360)
    assert camera is not None
    assert lens is not None
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (400, 400, 299.75, 149.75)  # half of P
    assert (camera.distortion_model, camera.distortion) == ("plumb_bob", (0, 0, 0, 0, 0))
    assert lens.rectified == camera
    assert lens.raw == read_camera_info(calibration).resized(640, 360)


@pytest.mark.parametrize(
    "text",
    [
        ROS2_ECHO,
        CALIBRATION.replace("[800, 0, 600, 0, 0, 800, 300,", "[0, 0, 0, 0, 0, 0, 0,").replace(
            "0, 0, 0, 0, 0, 1, 0]", "0, 0, 0, 0, 0, 0, 0]"
        ),
    ],
)
def test_a_calibration_without_p_sees_what_fits(tmp_path: Path, text: str) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    camera = GivenCamera(CameraConfig(camera_info=path)).intrinsics(1280, 720)
    assert camera is not None
    assert camera.fx == pytest.approx(camera.fy * 900.5 / 899)
    assert camera.fx != 900.5


def test_a_straight_lens_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(CALIBRATION.replace("0.1, -0.2, 0.001, 0.002, 0", "0, 0, 0, 0, 0"))
    given = GivenCamera(CameraConfig(camera_info=path))
    assert given.lens(1280, 720) is None
    assert given.intrinsics(1280, 720) == read_camera_info(path)


def test_rectify_alone_says_nothing_of_the_focal_length() -> None:
    assert not GivenCamera(CameraConfig(rectify=False)).is_given
    assert GivenCamera(CameraConfig(fov=60.0, rectify=False)).is_given


@pytest.mark.parametrize("size", [(720, 1280), (640, 480)])
def test_calibration_of_another_shape_is_refused(calibration: Path, size: tuple[int, int]) -> None:
    given = GivenCamera(CameraConfig(camera_info=calibration))
    with pytest.raises(ConfigError, match=r"1280x720 .* cropped or turned"):
        given.intrinsics(*size)


def test_only_one_of_the_three_may_be_given(calibration: Path) -> None:
    with pytest.raises(ConfigError, match="`focal_px` and `fov` both say"):
        CameraConfig(focal_px=1000.0, fov=60.0)
    with pytest.raises(ConfigError, match="`fov` and `camera_info`"):
        CameraConfig(fov=60.0, camera_info=calibration)
    with pytest.raises(ConfigError, match="`camera_info` all say"):
        CameraConfig(focal_px=1000.0, fov=60.0, camera_info=calibration)


@pytest.mark.parametrize("bad", [0.0, -1.0, 1e-300, 0.99, 1.1e6, 1e308, math.nan, math.inf])
def test_impossible_focal_lengths_are_refused(bad: float) -> None:
    with pytest.raises(ConfigError, match=r"no camera has a focal length of .* pixels; give one from 1 to 1,000,000"):
        CameraConfig(focal_px=bad)


@pytest.mark.parametrize("bad", [0.0, -1.0, 1e-300, 0.09, 179.1, 179.9999, 1e308, math.nan, math.inf])
def test_impossible_fields_of_view_are_refused(bad: float) -> None:
    with pytest.raises(ConfigError, match=r"no camera has a .* field of view of .* degrees; give one from 0\.1 to 179"):
        CameraConfig(fov=bad)


@pytest.mark.parametrize("fov", [0.1, 179.0])
def test_the_widest_and_the_narrowest_lens_are_taken(fov: float) -> None:
    given = GivenCamera(CameraConfig(fov=fov)).intrinsics(1920, 1080)
    assert given is not None
    assert given.fov_deg == pytest.approx(fov)
    assert CameraConfig(focal_px=1.0).focal_px == 1
    assert CameraConfig(focal_px=1e6).focal_px == 1e6


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no named fields"),
        ("- 1\n- 2\n", "no named fields"),
        ("{a: [1, 2", "is not YAML"),
        ("%YAML:1.0\nM: !!opencv-matrix\n  rows: 3\n", "is not YAML"),
        ("a: !!python/object/apply:os.system [ls]", "is not YAML"),
        ("image_width: 1280\nimage_height: 720\n", "camera_matrix or k or K is missing"),
        (CALIBRATION.replace("image_width: 1280", ""), "image_width or width is missing"),
        (CALIBRATION.replace("1280", "-3"), "whole number of pixels"),
        (CALIBRATION.replace("1280", "yes"), "whole number of pixels"),
        (CALIBRATION.replace("900.5, 0,", "900.5,"), "must have 9 numbers, not 8"),
        (CALIBRATION.replace("900.5", "wide"), "must be a list of numbers"),
        (CALIBRATION.replace("900.5", ".nan"), "must be a list of numbers"),
        (CALIBRATION.replace("900.5", "-900.5"), "must be positive"),
        (CALIBRATION.replace("900.5", "1e308"), r"no camera has a focal length of 1e\+308 pixels"),
        (CALIBRATION.replace("899", "0.5"), "no camera has a focal length of 0.5 pixels"),
        (CALIBRATION.replace("[800, 0,", "[1e-300, 0,"), "no camera has a focal length of 1e-300 pixels"),
        (CALIBRATION.replace("362.75, 0, 0, 1]", "362.75, 0, 0, 2]"), "must have the form"),
        (CALIBRATION.replace("900.5", "'1e-05'"), "must be a list of numbers"),
        (CALIBRATION.replace("900.5", "1e"), "must be a list of numbers"),
        (CALIBRATION.replace("900.5", "1e999"), "must be a list of numbers"),
        (CALIBRATION.replace("0.1, -0.2", "a, b"), "the distortion must be a list"),
        (CALIBRATION.replace("800, 0, 600, 0,", "800, 0, 600,"), "the projection matrix must have 12 numbers, not 11"),
        (CALIBRATION.replace("800, 0, 600", "-800, 0, 600"), "projection matrix must have the form"),
        (CALIBRATION.replace("data: [1, 0", "data: [2, 0"), "the rectification matrix must be a rotation"),
        (
            ROS1_ECHO.replace("900.5, 0.0, 641.25, 0.0, 899.0, 362.75, 0.0, 0.0, 1.0", "0, 0, 0, 0, 0, 0, 0, 0, 0"),
            "never",
        ),
        (CALIBRATION.replace("[800, 0,", "[-800, 0,"), "must have the form"),
        (CALIBRATION.replace("[800, 0,", "[800, 1,"), r"form \[fx' 0 cx' Tx"),
        (CALIBRATION.replace("[800, 0,", "[800,"), "must have 12 numbers"),
        (CALIBRATION.replace("[1, 0, 0, 0, 1, 0, 0, 0, 1]", "[1, 0, 0, 0, 1, 0, 0, 0, 2]"), "must be a rotation"),
        (CALIBRATION.replace("plumb_bob", "pumpkin"), "pumpkin.* `rectify=False`"),
        (CALIBRATION.replace("[800, 0,", "[80, 0,").replace("0, 800, 300", "0, 80, 300"), "empty"),
    ],
)
def test_bad_files_are_explained_on_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        GivenCamera(CameraConfig(camera_info=path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_files_are_explained_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_camera_info(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot read"):
        read_camera_info(tmp_path)
    binary = tmp_path / "photo.jpg"
    binary.write_bytes(b"\xff\xd8\xff\xe0" * 9)
    with pytest.raises(ConfigError, match="is not YAML"):
        read_camera_info(binary)
