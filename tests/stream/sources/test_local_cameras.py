"""The cameras of this machine: what they tell, what a person reads, and FFmpeg doing as it is told."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from stream.errors import ConfigError
from stream.sources import SourceConfig
from stream.sources.address import camera_address
from stream.sources.local_cameras import LocalCamera, ask_device, check_modes, described
from tests.support.process import ROOT, Process
from tests.support.v4l2 import webcams

ANSWERS = Path(__file__).with_name("v4l2_answers.txt")

LISTING = """\
webcam:93  Double Camera  /dev/video93
  mjpeg    1280x720 640x480  at 30, 15 frames/s
  yuyv422  640x480 320x240  at 30, 15 frames/s
  yuyv422  1280x720  at 10 frames/s
webcam:95  Scaling Camera  /dev/video95
  nv12  64x48 to 1920x1080 in steps of 16x4  at 1 to 59.94 frames/s"""

# What a driver has answered ------------------------------------------------------------------------------------------


def recorded(device: str) -> Callable[[int, int, bytearray], int]:
    """An ``ioctl`` that gives the recorded answers of one device file, to exactly the recorded questions."""
    answers: dict[tuple[int, bytes], str] = {}
    current = ""
    for line in ANSWERS.read_text().splitlines():
        if line.startswith("/dev/"):
            current = line
        elif current == device:
            request, question, answer = line.split()
            answers[int(request, 16), bytes.fromhex(question)] = answer

    def ioctl(_file: int, request: int, structure: bytearray) -> int:
        answer = answers[request, bytes(structure)]
        if len(answer) < 4:
            raise OSError(int(answer), "from the recording")
        structure[:] = bytes.fromhex(answer)
        return 0

    return ioctl


def camera(device: str, path: Path) -> LocalCamera | None:
    """The camera of a recording. ``path`` can be opened; nothing is read from it."""
    if sys.byteorder != "little" or os.name != "posix":
        pytest.skip("the recording is of a little-endian machine with ioctl")
    asked = ask_device(path, recorded(device))
    if asked is None:
        return None
    source = device.replace("/dev/video", "webcam:")
    return LocalCamera(source=source, name=asked.name, device=device, modes=asked.modes)


@pytest.fixture
def device_file(tmp_path: Path) -> Path:
    path = tmp_path / "device"
    path.touch()
    return path


def test_what_cameras_tell_is_listed_by_rates(device_file: Path) -> None:
    found = [camera(f"/dev/video{n}", device_file) for n in (93, 94, 95)]
    assert found[1] is None, "a device file for metadata is no camera"
    assert described([c for c in found if c is not None]) == LISTING
    assert described([]) == "no camera found"


@pytest.mark.parametrize(("number", "told"), [(errno.ENOTTY, False), (errno.ENODEV, False), (errno.EIO, True)])
def test_a_device_that_fails_takes_no_other_down(device_file: Path, number: int, told: bool) -> None:
    def ioctl(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    found = ask_device(device_file, ioctl)
    assert (found is not None) == told
    assert found is None or "does not answer" in described([found])


@pytest.mark.parametrize(
    ("size", "rate", "format"),
    [
        (None, None, None),
        ((1280, 720), 30, None),
        ((1280, 720), 29.97, "MJPG"),
        ((1280, 720), 10, "yuyv"),
        ((640, 480), 15, "yuyv422"),
        (None, 10, "yuyv422"),
    ],
)
def test_what_a_camera_can_do_passes(
    device_file: Path, size: tuple[int, int] | None, rate: float | None, format: str | None
) -> None:
    there = camera("/dev/video93", device_file)
    assert there is not None
    check_modes(there, size=size, rate=rate, format=format)


@pytest.mark.parametrize(
    ("device", "size", "rate", "format", "says"),
    [
        ("93", (320, 240), None, "mjpeg", "has no such size in mjpeg; it has 1280x720, 640x480"),
        ("93", (1000, 1000), None, None, "has no such size; it has 1280x720, 640x480, 320x240"),
        ("93", None, None, "h264", "`camera_format=h264`: webcam:93 (Double Camera) has no such format; it has mjpeg"),
        ("93", (1280, 720), 30, "yuyv", "(Double Camera) has no such rate in yuyv422 at 1280x720; it has 10"),
        ("93", None, 60, None, "has no such rate; it has 30, 15, 10"),
        ("95", (65, 48), None, None, "has no such size; it has 64x48 to 1920x1080 in steps of 16x4"),
        ("95", (64, 48), 75, "nv12", "has no such rate in nv12 at 64x48; it has 1 to 59.94"),
    ],
)  # fmt: skip
def test_what_a_camera_cannot_do_is_refused_with_what_it_can(
    device_file: Path, device: str, size: tuple[int, int] | None, rate: float | None, format: str | None, says: str
) -> None:
    there = camera(f"/dev/video{device}", device_file)
    assert there is not None
    with pytest.raises(ConfigError) as caught:
        check_modes(there, size=size, rate=rate, format=format)
    assert says in str(caught.value)


def test_what_a_driver_does_not_tell_passes() -> None:
    silent = LocalCamera(source="webcam:0", name="x", device="/dev/video0")
    check_modes(silent, size=(1, 1), rate=1, format="mjpeg")


@pytest.mark.parametrize(
    ("platform", "format", "option"),
    [
        ("linux", "mjpeg", ("input_format", "mjpeg")),
        ("linux", "YUYV", ("input_format", "yuyv422")),
        ("darwin", "nv12", ("pixel_format", "nv12")),
        ("win32", "yuyv422", ("pixel_format", "yuyv422")),
    ],
)
def test_a_format_is_asked_for_in_each_platforms_way(platform: str, format: str, option: tuple[str, str]) -> None:
    options = camera_address("webcam:x", SourceConfig(camera_format=format), platform).options
    assert option in options.items()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_a_compressed_format_is_refused_where_it_cannot_be_asked_for(platform: str) -> None:
    with pytest.raises(ConfigError, match="on Linux only"):
        camera_address("webcam:x", SourceConfig(camera_format="mjpg"), platform)


# A process with webcams ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("webcams")
    Image.new("RGB", (640, 480), (80, 80, 80)).save(folder / "grey.jpg")
    with webcams(folder) as variables:
        yield {**os.environ, **variables, "DOUBLE_CAMERA_JPEG": str(folder / "grey.jpg")}


def run(environment: dict[str, str], *arguments: str, error: int = errno.EACCES) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**environment, "DOUBLE_CAMERA_ERROR": str(error)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_line_lists_cameras(environment: dict[str, str]) -> None:
    done = run(environment, "run_stream.py", "--list-cameras")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.rstrip()
    assert LISTING in lines
    assert "webcam:96  no permission; add your user to the group video  /dev/video96" in lines
    assert "video94" not in lines


@pytest.mark.parametrize(
    ("arguments", "error", "status", "says"),
    [
        (["webcam:92"], 13, 1, "webcam:92: no such camera; this machine has webcam:93 (Double Camera), webcam:95 (Sca"),
        (["/dev/video92"], 13, 1, "/dev/video92: no such camera; this machine has webcam:93 (Double Camera)"),
        (["webcam:96"], errno.EACCES, 1, "permission denied; on Linux add your user to the group video"),
        (["webcam:96"], errno.EBUSY, 1, "another program uses the camera"),
        (["webcam:96"], errno.ENODEV, 1, "no such camera; this machine has webcam:93"),
        (["webcam:93", "--camera-size", "640x240"], 13, 2, "--camera-size 640x240: webcam:93 (Double Camera) has no"),
        (["webcam:93", "--camera-size", "640"], 13, 2, "such as 1280x720"),
        (["/dev/video93", "--camera-format", "nv12"], 13, 2, "it has mjpeg, yuyv422"),
    ],
)
def test_a_camera_that_cannot_be_had_gets_one_line(
    environment: dict[str, str], arguments: list[str], error: int, status: int, says: str
) -> None:
    done = run(environment, "run_stream.py", *arguments, "--sink", "null:", error=error)
    assert done.returncode == status
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_ffmpeg_takes_the_pictures_that_were_asked_for(environment: dict[str, str]) -> None:
    """Through FFmpeg's own reader. The grey of a raw picture is its width in tens of pixels."""
    wanted = [
        {"camera_size": [1280, 720], "camera_rate": 10},
        {"camera_size": [320, 240], "camera_rate": 15},
        {"camera_size": [640, 480], "camera_rate": 30, "camera_format": "yuyv422"},
        {"camera_size": [640, 480], "camera_rate": 30, "camera_format": "mjpeg"},
    ]
    program = (
        "import json, sys\n"
        "from stream.sources import SourceConfig, open_source\n"
        "for wanted in json.loads(sys.argv[1]):\n"
        "    source = open_source('webcam:93', config=SourceConfig(**wanted))\n"
        "    frame = next(iter(source))\n"
        "    g, rate = frame.geometry, float(source.info.frame_rate)\n"
        "    print(g.width, g.height, g.pixel_format, rate, int(frame.planes[0].mean()))\n"
        "    source.close()\n"
    )
    done = run(environment, "-c", program, json.dumps(wanted))
    assert done.stdout.splitlines() == [
        "1280 720 yuv422p 10.0 128",
        "320 240 yuv422p 15.0 32",
        "640 480 yuv422p 30.0 64",
        "640 480 yuv420p 30.0 80",
    ], done.stderr


def test_a_webcam_that_is_unplugged_and_plugged_in_again_goes_on(environment: dict[str, str], tmp_path: Path) -> None:
    unplugged = tmp_path / "unplugged"
    environment = {**environment, "DOUBLE_CAMERA_UNPLUGGED": str(unplugged)}
    options = ("--sink", "null:", "--retry-max-s", "0.3", "--camera-size", "320x240")
    with Process("webcam:93", *options, cwd=tmp_path, environment=environment) as started:
        started.wait_for(" on cpu")
        started.wait_for("webcam:93: streaming")
        unplugged.touch()
        started.wait_for("webcam:93: reconnecting")
        time.sleep(1)  # some attempts
        unplugged.unlink()
        started.wait_for("webcam:93: streaming, back after")
        time.sleep(0.5)
        started.process.send_signal(signal.SIGINT)
        status, out = started.end()
    assert status == 0, started.err
    assert "1 times lost and found again" in out
