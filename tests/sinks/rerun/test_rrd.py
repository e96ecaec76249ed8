"""Files of Rerun: what Rerun's own reader finds in them, and what is told when they cannot be written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rerun.chunk import RrdReader

from sinks import for_camera, open_sink
from sinks.parts import Parts, PartSink
from sinks.places import is_file
from sinks.rerun import rrd
from sinks.rerun.options import Pace
from stream.errors import ConfigError, SinkError
from stream.frame import FocalEstimate, SourceState
from stream.ports import SourceInfo
from tests.sinks.rerun.frames import HEIGHT, WIDTH, read, scene
from tests.support.doubles import recaptured
from tests.support.outputs import record, write_until_it_is_full

ROOT = Path(__file__).parents[3]
YEAR_2026_NS = 1_767_225_600 * 10**9


def test_depth_camera_picture_and_times_come_back(tmp_path: Path) -> None:
    frames = [scene(i) for i in range(4)]
    record(f"{tmp_path}/a.rrd", frames)
    entities = read(tmp_path / "a.rrd")
    depth, picture, pinhole = (entities[f"/camera{name}"] for name in ("/depth", "/picture", ""))
    for index, frame in enumerate(frames):
        assert bytes(depth.values["buffer"][index]) == frame.depth.tobytes()  # NaN and Inf too
        assert depth.values["meter"][index] == 1.0
        about = depth.values["format"][index]
        assert (about["width"], about["height"]) == (WIDTH, HEIGHT)
        K = np.reshape(pinhole.values["image_from_camera"][index], (3, 3)).T  # Rerun's matrices go by column
        assert np.array_equal(K, frame.camera.matrix.astype(np.float32))
        assert pinhole.values["resolution"][index] == [WIDTH, HEIGHT]
        header = json.loads(entities["/camera/header"].values["json"][index])
        assert np.array_equal(np.reshape(header["K"], (3, 3)), frame.camera.matrix)  # every bit
        decoded = cv2.imdecode(np.array(picture.values["blob"][index], np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert frame.image is not None
        assert np.abs(decoded[:, :, ::-1].astype(int) - frame.image).mean() < 2
    told = [entities[f"/camera/focal/{name}"].values["scalars"] for name in ("raw", "smoothed")]
    assert told == [[f.focal.raw_px for f in frames], [f.focal.smoothed_px for f in frames]]
    for rows in (depth, picture, pinhole, entities["/camera/header"]):
        assert rows.times["frame"] == [0, 1, 2, 3]
        assert rows.times["media_time"] == [f.capture.time_ns for f in frames]
    assert RrdReader(tmp_path / "a.rrd").store().summary()  # has its index


def test_a_cameras_file_has_unix_time_and_what_happened_to_the_camera(tmp_path: Path) -> None:
    sink = open_sink(f"{tmp_path}/a.rrd?camera=front.2&image=none&rate=5")
    assert not sink.needs_image
    sink.prepare(SourceInfo(name="rtsp://front", live=True))
    now = time.monotonic_ns()
    sink.observe(SourceState(camera="front.2", state="connecting", since_ns=now))
    begun = YEAR_2026_NS
    for i in range(6):
        given = FocalEstimate(smoothed_px=64.0, raw_px=None, log_std=0.0, source="given")
        frame = replace(scene(i), image=None, focal=given, scene_cut=i == 4, model="nano (untrained)")
        received_ns = now + i * 10**8
        sink.write(recaptured(frame, clock="camera-rtcp", time_ns=begun + i * 10**8, received_ns=received_ns))
    sink.observe(SourceState(camera="front.2", state="reconnecting", reason="no route", since_ns=received_ns))
    sink.close()
    entities = read(tmp_path / "a.rrd")
    depth, status = entities[r"/front.2/depth"], entities["/front.2/status"]
    assert depth.times["frame"] == [0, 2, 4]  # 5 of 10 a second
    assert depth.times["capture_time"] == [begun + i * 10**8 for i in (0, 2, 4)]
    assert status.values["text"] == [
        "connecting",
        "untrained weights: not real depth",
        "a shot begins",
        "reconnecting: no route",
    ]
    assert status.values["level"] == ["INFO", "WARN", "INFO", "WARN"]
    assert status.times["capture_time"][2:] == [begun + 4 * 10**8, begun + 5 * 10**8]  # on the camera's clock
    assert "/front.2/picture" not in entities
    assert "/front.2/focal/raw" not in entities


def test_a_frame_of_another_size_goes_on_in_the_same_file(tmp_path: Path) -> None:
    record(f"{tmp_path}/a.rrd", [scene(0), scene(1, width=32, height=24)])
    depth = read(tmp_path / "a.rrd")["/camera/depth"]
    assert [len(b) for b in depth.values["buffer"]] == [4 * 64 * 48, 4 * 32 * 24]


@pytest.mark.parametrize(("rate", "taken"), [(None, 30), (30.0, 30), (10.0, 10), (7.0, 7), (100.0, 30)])
def test_pace_keeps_the_rate_on_average(rate: float | None, taken: int) -> None:
    pace = Pace(rate)
    times = [round(i / 30 * 1e9) + 3_000_000 * (i % 2) for i in range(30)]
    assert abs(sum(pace.takes(t) for t in times) - taken) <= 1
    assert pace.takes(times[-1] + 10**12)
    assert pace.takes(0)  # a clock that was set back


def test_a_file_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.rrd").write_bytes(b"precious")
    for uri in (f"{tmp_path}/a.rrd", f"rerun:{tmp_path}/a.rrd"):
        with pytest.raises(SinkError, match=r"a\.rrd exists; choose another name or use `overwrite=True`"):
            open_sink(uri)
    assert (tmp_path / "a.rrd").read_bytes() == b"precious"
    record(f"{tmp_path}/a.rrd", [], overwrite=True)
    assert (tmp_path / "a.rrd").read_bytes() == b"precious"
    record(f"{tmp_path}/a.rrd", [scene(0)], overwrite=True)
    assert len(read(tmp_path / "a.rrd")["/camera/depth"].values["buffer"]) == 1


def test_two_sinks_do_not_share_a_file(tmp_path: Path) -> None:
    one, other = open_sink(f"{tmp_path}/a.rrd"), open_sink(f"{tmp_path}/a.rrd")
    one.write(scene(0))
    with pytest.raises(SinkError, match="exists"):
        other.write(scene(0))
    other.close()
    one.close()
    assert read(tmp_path / "a.rrd")["/camera/depth"].times["frame"] == [0]


def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    sink = PartSink(f"rerun:{tmp_path}/a.rrd?rate=10", overwrite=False)
    sink.begin((), ())
    sink.write(scene(0))
    assert (tmp_path / "a.part.rrd").exists()
    sink.close()
    Parts([sink]).publish({})
    assert [p.name for p in tmp_path.iterdir()] == ["a.rrd"]
    assert read(tmp_path / "a.rrd")["/camera/depth"].times["frame"] == [0]


def test_what_is_a_file_and_what_a_viewer() -> None:
    assert [is_file(uri) for uri in ("a.rrd", "rerun:a.RRD", "rerun:", "rerun:spawn", "rerun://h:1/a.rrd")] == [
        *(True, True, False, False, False)
    ]
    assert for_camera("rerun:?rate=5", "front", several=True) == "rerun:?rate=5&camera=front"
    with pytest.raises(ConfigError, match=r"put \{camera\} into its name"):
        for_camera("rerun:a.rrd", "front", several=True)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX resource limits")
def test_what_was_written_before_the_limit_is_kept(tmp_path: Path) -> None:
    done = write_until_it_is_full(
        f"{tmp_path}/a.rrd", "-W", "error",
        module="tests.sinks.rerun.frames", frame="scene", frames=1000, most_bytes=3_000_000, width=320, height=240,
    )  # fmt: skip
    index, _, message = done.stdout.partition(" ")
    assert message.strip() == (
        f"cannot write {tmp_path}/a.rrd: the file has become too large for this file system; "
        "what reached the disk is kept, `rerun rrd optimize` makes it whole"
    )
    assert int(index) < 900  # told soon: memory does not fill
    assert done.stderr == ""
    repair = [sys.executable, "-m", "rerun_cli", "rrd", "optimize", f"{tmp_path}/a.rrd", "-o", f"{tmp_path}/b.rrd"]
    subprocess.run(repair, capture_output=True, check=True, timeout=60)
    assert len(read(tmp_path / "b.rrd")["/camera/depth"].values["buffer"]) >= 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_full_disk_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.rrd").symlink_to("/dev/full")
    sink = open_sink(f"{tmp_path}/a.rrd", overwrite=True)

    def run() -> None:
        sink.write(scene(0))
        sink.close()

    with pytest.raises(SinkError, match=r"cannot write .*/a\.rrd: disk full; what reached the disk is kept"):
        run()
    sink.close()


def test_without_a_pipe_rerun_writes_the_file_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rrd, "_DESCRIPTORS", tmp_path / "none")
    record(f"{tmp_path}/a.rrd", [scene(0), scene(1)])
    assert read(tmp_path / "a.rrd")["/camera/depth"].times["frame"] == [0, 1]


_ENDLESS = """
import sys, time
from pathlib import Path
from sinks import open_sink
from tests.sinks.rerun.frames import scene
sink = open_sink(sys.argv[1])
for index in range(5):
    sink.write(scene(index, width=640, height=480))
while Path(sys.argv[1]).stat().st_size < 5 * 4 * 640 * 480:
    time.sleep(0.01)
print("written", flush=True)
time.sleep(60)
"""


def test_a_killed_process_leaves_what_it_wrote(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ENDLESS, f"{tmp_path}/a.rrd"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.kill()
    assert read(tmp_path / "a.rrd")["/camera/depth"].times["frame"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("rate=0", "rate must be more than 0 frames a second, not 0"),
        ("rate=fast", "option 'rate' must be a number"),
        ("memory=2GB", "unknown option 'memory'"),
        ("camera=a/b", "camera must be letters"),
        ("image=raw", "must be one of jpeg, none"),
        ("quality=50&image=none", "quality is that of JPEG"),
        ("min=5&max=1", "min and max must be metres, min the smaller, not 5 and 1"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_sink(f"rerun:{tmp_path}/a.rrd?{options}")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_package_is_told_before_work_starts() -> None:
    code = "import sys; sys.modules['rerun'] = None; from sinks import open_sink; open_sink('walk.rrd')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "ConfigError: walk.rrd needs the Python package rerun-sdk: pip install -e '.[rerun]'" in done.stderr


def test_rerun_switched_off_is_told(tmp_path: Path) -> None:
    code = f"from sinks import open_sink; open_sink('{tmp_path}/a.rrd')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "RERUN": "off"},
    )
    assert "ConfigError: Rerun is switched off by the environment variable RERUN; unset it" in done.stderr
