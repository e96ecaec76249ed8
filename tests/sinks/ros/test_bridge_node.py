"""The bridge as a program: with a real ROS 2 where there is one, and what it says where something is missing.

``.ci/run`` puts rclpy into an environment of its own, ``build/ros2``. Where it is not, these tests are skipped, but not
with CI=true. What arrives in ROS is read by ``rosbags``, which shares nothing with it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sinks.zeromq.sink import ZmqOptions, ZmqSink
from tests.sinks.ros.ros2_messages import STORE
from tests.sinks.zeromq.test_depth_subscriber import ANYWHERE, scene
from tests.support.doubles import POSE
from tests.support.process import ROOT

PACKAGE = ROOT / "examples" / "ros2_depth_bridge" / "ros2_depth_bridge"
PYTHON = ROOT / "build" / "ros2" / "bin" / "python"
needs_ros2 = pytest.mark.skipif(
    not PYTHON.exists() and os.environ.get("CI") != "true", reason="no rclpy in build/ros2; .ci/run puts it there"
)


# With ROS 2 -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Nodes that find each other and nobody else's."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), str(ROOT)]),
        "ROS_DOMAIN_ID": str(os.getpid() % 100 + 1),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(tmp_path),
    }


@contextlib.contextmanager
def node(*parameters: str, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [str(PYTHON), "-m", "ros2_depth_bridge.main", "--ros-args"]
    for parameter in parameters:
        command += ["-p", parameter]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def publish_until_it_ends(sink: ZmqSink, program: subprocess.Popen[str], seconds: float) -> str:
    """Publish until ``program`` ends, or is ended after so many seconds. Returns what it said on standard error."""
    until = time.monotonic() + seconds
    while program.poll() is None and time.monotonic() < until:
        sink.write(replace(scene(), odometry=POSE))
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(0.05)
    program.kill()
    return str(program.communicate()[1])


def listen(sink: ZmqSink, topics: dict[str, str], *options: str, env: dict[str, str]) -> dict[str, tuple[str, Any]]:
    """By topic, how it is offered and its first message, while ``sink`` publishes."""
    script = ROOT / "tests" / "support" / "ros2_listener.py"
    wanted = [f"{topic}={kind}" for topic, kind in topics.items()]
    command = [str(PYTHON), str(script), *wanted, *options]
    with (
        tempfile.TemporaryFile("w+") as out,  # more than a pipe holds
        subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.PIPE, text=True) as listener,
    ):
        err = publish_until_it_ends(sink, listener, 90)
        out.seek(0)
        lines = out.readlines()
    found = {}
    for topic, reliability, data in map(str.split, lines):
        kind = topics[topic].replace("/", "/msg/")
        found[topic] = reliability, STORE.deserialize_cdr(base64.b64decode(data), kind)
    assert set(found) == set(topics), err
    return found


@needs_ros2
def test_a_reliable_subscriber_gets_everything(environment: dict[str, str]) -> None:
    sink = ZmqSink(ANYWHERE, ZmqOptions(camera="front", image="jpeg"))
    kinds = {
        "/front/depth/image_rect": "sensor_msgs/Image",
        "/front/depth/image_rect/compressedDepth": "sensor_msgs/CompressedImage",
        "/front/depth/camera_info": "sensor_msgs/CameraInfo",
        "/front/depth/points": "sensor_msgs/PointCloud2",
        "/front/color/image_rect/compressed": "sensor_msgs/CompressedImage",
        "/front/color/camera_info": "sensor_msgs/CameraInfo",
        "/front/odometry": "nav_msgs/Odometry",
        "/diagnostics": "diagnostic_msgs/DiagnosticArray",
    }
    with node(f"url:={sink.endpoint}", "camera:=front", env=environment) as bridge:
        found = listen(sink, kinds, env=environment)
        bridge.send_signal(signal.SIGINT)
        out, err = bridge.communicate(timeout=30)
    sink.close()
    assert bridge.returncode == 0, out + err
    assert "Traceback" not in err
    assert {reliability for reliability, _ in found.values()} == {"RELIABLE"}
    messages = {topic: message for topic, (_, message) in found.items()}
    assert messages["/front/depth/image_rect"].data.tobytes() == scene().depth.tobytes()
    assert messages["/front/depth/image_rect/compressedDepth"].format == "32FC1; compressedDepth png"
    info = messages["/front/depth/camera_info"]
    assert (info.distortion_model, info.d.tolist()) == ("plumb_bob", [0] * 5)
    assert [f.name for f in messages["/front/depth/points"].fields] == ["x", "y", "z", "rgb"]
    assert messages["/front/odometry"].header.frame_id == "front_odom_3"
    assert tuple(messages["/front/odometry"].pose.covariance) == POSE.covariance
    (status,) = messages["/diagnostics"].status
    assert (status.name, status.hardware_id) == ("depth_bridge: front", sink.endpoint)
    assert {"age (s)", "rate (Hz)", "lost", "publisher"} <= {pair.key for pair in status.values}


@needs_ros2
def test_best_effort_is_a_parameter(environment: dict[str, str]) -> None:
    sink = ZmqSink(ANYWHERE)
    topic = "/camera/depth/image_rect"
    parameters = (f"url:={sink.endpoint}", "reliability:=best_effort", "queue_depth:=1")
    with node(*parameters, env=environment):
        found = listen(sink, {topic: "sensor_msgs/Image"}, "--best-effort", env=environment)
    sink.close()
    reliability, image = found[topic]
    assert reliability == "BEST_EFFORT"
    assert np.array_equal(image.data.view("<f4").reshape(48, 64), scene().depth, equal_nan=True)


@needs_ros2
@pytest.mark.parametrize(
    ("parameter", "complaint"),
    [
        ("reliability:=maybe", "reliability is reliable or best_effort, not 'maybe'"),
        ("queue_depth:=0", "queue_depth is a number of messages, at least 1, not 0"),
        ("compressed_depth_max:=100", "compressed_depth_max is a float such as 100.0"),
        ("url:=nowhere", "'nowhere' is no address"),
        ("secret:=missing.key_secret", "missing.key_secret"),
    ],
)
def test_a_parameter_that_cannot_be_is_told_in_one_line(
    environment: dict[str, str], parameter: str, complaint: str
) -> None:
    with node(parameter, env=environment) as bridge:
        _, err = bridge.communicate(timeout=60)
    assert bridge.returncode == 1
    assert complaint in err
    assert err.startswith("depth_bridge: ")
    assert err.count("\n") == 1


# Without --------------------------------------------------------------------------------------------------------------


def run_without(missing: list[str], folder: Path) -> str:
    """The one line that the package, copied to ``folder``, says where these modules are missing."""
    shutil.copytree(PACKAGE, folder / "ros2_depth_bridge", ignore=shutil.ignore_patterns("__pycache__"))
    if "depth_subscriber" not in missing:
        shutil.copy(ROOT / "sinks" / "zeromq" / "depth_subscriber.py", folder / "ros2_depth_bridge")
    script = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({['sinks', *missing]!r}))\n"
        "sys.path.insert(0, '.')\n"
        "from ros2_depth_bridge.main import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [
        ("zmq", "sudo apt install python3-zmq"),
        ("numpy", "sudo apt install python3-numpy"),
        ("cv2", "sudo apt install python3-opencv"),
        ("rclpy", "ROS 2 must be sourced first, such as: source /opt/ros/"),
        ("depth_subscriber", "the bridge needs a copy of sinks/zeromq/depth_subscriber.py"),
    ],
)
def test_what_is_missing_is_told_in_one_line(missing: str, remedy: str, tmp_path: Path) -> None:
    said = run_without([missing], tmp_path)
    assert missing in said
    assert remedy in said


@needs_ros2
def test_a_frame_of_a_package_that_is_missing_ends_the_bridge_in_one_line(environment: dict[str, str]) -> None:
    """zstd is asked for by the publisher alone, so it is missed only when the first frame comes."""
    sink = ZmqSink(ANYWHERE, ZmqOptions(compress="zstd"))
    script = "import sys; sys.modules['zstandard'] = None; from ros2_depth_bridge.main import main; main()"
    command = [str(PYTHON), "-c", script, "--ros-args", "-p", f"url:={sink.endpoint}"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as bridge:
        err = publish_until_it_ends(sink, bridge, 60)
    sink.close()
    assert bridge.returncode == 1
    assert err.splitlines()[-1].endswith("which takes a package: pip install zstandard")
    assert "Traceback" not in err
