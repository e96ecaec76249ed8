"""What our CameraInfo says is what ROS's own ``image_geometry`` understands.

A small program is built with Debian's library, which ``.ci/image_geometry`` gets. Where it is not, these tests are
skipped, but not with CI=true.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from ros2_depth_bridge.camera import camera_info as bridged_info
from sinks.ros.messages import camera_info as recorded_info
from sinks.ros.messages import header
from stream.frame import CameraIntrinsics, DepthFrame
from tests.sinks.ros.ros2_messages import SENSOR_MSGS, over_the_wire
from tests.sinks.ros.test_bridge_messages import receive
from tests.sinks.zeromq.test_depth_subscriber import scene
from tests.support.process import ROOT

INCLUDE = ROOT / "build" / "image_geometry" / "include"
LIBRARIES = [ctypes.util.find_library(name) for name in ("image_geometry", "opencv_core")]

TURN = cv2.Rodrigues(np.array([0.02, 0.1, -0.03]))[0]
POINTS = np.array([[0.0, 0.0, 2.0], [1.2, -0.7, 4.0], [-2.0, 1.5, 6.0], [0.4, 0.9, 3.0]])  # in the rectified camera
LENSES = {
    "plumb_bob": (-0.2, 0.06, 0.001, -0.002, 0.01),
    "rational_polynomial": (0.3, 0.08, 0.001, -0.002, 0.01, 0.5, 0.12, 0.02),
    "equidistant": (0.05, -0.01, 0.004, -0.001),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], np.ndarray]:
    """The program: of a CameraInfo, pixels of ``POINTS``: rectified, raw, and rectified again, ``[N, 3, 2]``."""
    compiler = shutil.which("g++")
    if os.environ.get("CI") != "true" and (compiler is None or not INCLUDE.exists() or None in LIBRARIES):
        pytest.skip("no image_geometry in build/image_geometry; .ci/image_geometry gets it")
    program = tmp_path_factory.mktemp("image_geometry") / "project"
    source = ROOT / "tests" / "support" / "image_geometry.cpp"
    command = [str(compiler), "-std=c++17", "-isystem", str(INCLUDE), "-isystem", str(INCLUDE / "opencv4")]
    command += [str(source), *(f"-l:{library}" for library in LIBRARIES), "-o", str(program)]
    subprocess.run(command, check=True, timeout=300)

    def run(info: Any) -> np.ndarray:
        numbers = [*info.d, *info.k, *info.r, *info.p, *POINTS.ravel()]
        about = [info.width, info.height, info.distortion_model, len(info.d)]
        text = " ".join(map(str, [*about, *map(float, numbers)]))
        done = subprocess.run([program], input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return np.array(done.stdout.split(), float).reshape(-1, 3, 2)

    return run


def recorded(frame: DepthFrame) -> Any:
    """As the MCAP sink writes it."""
    return recorded_info(frame, header(0, "camera_optical_frame"))


def bridged(frame: DepthFrame) -> Any:
    """As the bridge publishes what came over ZeroMQ."""
    return over_the_wire(bridged_info(receive(frame), 0, SENSOR_MSGS))


def frame_of(camera: CameraIntrinsics) -> DepthFrame:
    return replace(scene(), camera=camera)


@pytest.mark.parametrize("made_by", [recorded, bridged])
def test_a_rectified_picture_is_a_pinhole(project: Any, made_by: Callable[[DepthFrame], Any]) -> None:
    camera = CameraIntrinsics(fx=70, fy=72, cx=30.5, cy=25.0, width=64, height=48)
    pixels = project(made_by(frame_of(camera)))
    x, y, z = POINTS.T
    expected = np.stack([70 * x / z + 30.5, 72 * y / z + 25], axis=1)
    for kind in range(3):
        np.testing.assert_allclose(pixels[:, kind], expected, atol=1e-6)


@pytest.mark.parametrize("made_by", [recorded, bridged])
@pytest.mark.parametrize("model", LENSES)
@pytest.mark.parametrize("calibrated", [True, False], ids=["with R and P", "without"])
def test_a_raw_picture_is_seen_through_its_lens(
    project: Any, made_by: Callable[[DepthFrame], Any], model: str, calibrated: bool
) -> None:
    """Calibrated at twice the size, as files usually are."""
    camera = CameraIntrinsics(
        fx=140,
        fy=144,
        cx=61.5,
        cy=50.5,
        width=128,
        height=96,
        distortion_model=model,
        distortion=LENSES[model],
        projection=(130, 0, 60.5, 0, 0, 132, 48.5, 0, 0, 0, 1, 0) if calibrated else (),
        rectification=tuple(TURN.ravel().tolist()) if calibrated else (),
    ).resized(64, 48)
    rectified, raw, back = project(made_by(frame_of(camera))).swapaxes(0, 1)

    x, y, z = POINTS.T
    fx, fy, cx, cy = (65, 66, 30, 24) if calibrated else (70, 72, 30.5, 25)
    np.testing.assert_allclose(rectified, np.stack([fx * x / z + cx, fy * y / z + cy], axis=1), atol=1e-6)
    in_camera = POINTS @ TURN if calibrated else POINTS  # R turns the camera's axes into the rectified one's
    through = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    K = np.array([[70, 0, 30.5], [0, 72, 25], [0, 0, 1.0]])
    seen, _ = through(in_camera.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), K, np.array(LENSES[model]))
    np.testing.assert_allclose(raw, seen.reshape(-1, 2), atol=1e-3)
    assert np.abs(raw - rectified).max() > 0.5  # the lens does something
    np.testing.assert_allclose(back, rectified, atol=0.02)
