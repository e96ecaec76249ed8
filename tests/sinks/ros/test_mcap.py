"""Recordings are written, then read back twice: with another decoder of CDR, and with another reader of MCAP."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zstandard
from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader
from mcap_ros2.decoder import DecoderFactory
from rosbags.interfaces import ConnectionExtRosbag2, QosDurability, QosReliability
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from sinks import open_sink
from sinks.ros.messages import RosTime
from sinks.ros.sink import McapOptions, McapSink
from stream.errors import ConfigError, SinkError
from stream.frame import CameraIntrinsics, DepthFrame, ScaleCorrection
from tests.support.doubles import POSE, make_depth_frame, recaptured
from tests.support.outputs import record, write_until_it_is_full

ROOT = Path(__file__).parents[3]
DEPTH, DEPTH_INFO = "/camera/depth/image_raw", "/camera/depth/camera_info"
JPEG, RAW, COLOR_INFO = (
    "/camera/color/image_raw/compressed",
    "/camera/color/image_raw",
    "/camera/color/camera_info",
)
YEAR_2026_NS = 1_767_225_600 * 10**9


def scene(index: int, *, width: int = 64, height: int = 48) -> DepthFrame:
    """Noisy depth with every code in it, a smooth picture, a distorting lens whose focal length moves."""
    depth = np.random.default_rng(index).uniform(0.5, 50, (height, width)).astype(np.float32)
    depth[0, :6] = np.nan, np.inf, 65.534, 65.6, 0.0001, 1.2344
    ramp = np.linspace(0, 255, width).astype(np.uint8)[None, :].repeat(height, axis=0)
    return replace(
        make_depth_frame(index, width=width, height=height),
        depth=depth,
        image=np.dstack([ramp, ramp[:, ::-1], np.full_like(ramp, 40 + index)]),
        camera=CameraIntrinsics(
            fx=500.25 + index,
            fy=501.5,
            cx=31.75,
            cy=23.25,
            width=width,
            height=height,
            distortion_model="plumb_bob",
            distortion=(-0.25, 0.125, 0.001, -0.002, 0.5),
            projection=(480.5, 0, 30.5, 0, 0, 481, 22.5, 0, 0, 0, 1, 0),
        ),
    )


def read(path: Path) -> dict[str, list[tuple[Message, Any]]]:
    """All messages by topic, through the index, decoded by mcap-ros2-support."""
    topics: dict[str, list[tuple[Message, Any]]] = {}
    with path.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()], validate_crcs=True)
        for _, channel, message, decoded in reader.iter_decoded_messages():
            topics.setdefault(channel.topic, []).append((message, decoded))
    return topics


def count_readable(path: Path) -> Counter[str]:
    """Messages by topic that a streaming reader gets out of a file that may be cut off."""
    topics: dict[int, str] = {}
    counts: Counter[str] = Counter()
    with path.open("rb") as file:
        try:
            for item in StreamReader(file, validate_crcs=True).records:
                if isinstance(item, Channel):
                    topics[item.id] = item.topic
                elif isinstance(item, Message):
                    counts[topics[item.channel_id]] += 1
        except (EndOfFile, struct.error, zstandard.ZstdError):
            pass
    return counts


def stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def pixels(image: Any, dtype: str) -> np.ndarray:
    return np.frombuffer(image.data, dtype).reshape(image.height, image.width)


@pytest.mark.parametrize("compress", ["zstd", "lz4", "none"])
def test_depth_camera_and_picture_come_back(tmp_path: Path, compress: str) -> None:
    frames = [scene(i) for i in range(5)]
    record(f"{tmp_path}/a.mcap?compress={compress}", frames)
    topics = read(tmp_path / "a.mcap")
    assert {t: len(m) for t, m in topics.items()} == {
        "/tf_static": 1,
        **dict.fromkeys([DEPTH, DEPTH_INFO, JPEG, COLOR_INFO], 5),
    }
    for index, frame in enumerate(frames):
        depth, info, jpeg, colour_info = (topics[t][index][1] for t in (DEPTH, DEPTH_INFO, JPEG, COLOR_INFO))
        assert (depth.encoding, depth.is_bigendian, depth.step) == ("32FC1", 0, 256)
        assert bytes(depth.data) == frame.depth.tobytes()  # NaN and Inf too
        assert (info.width, info.height, info.distortion_model) == (64, 48, "plumb_bob")
        assert np.array_equal(np.reshape(info.k, (3, 3)), frame.camera.matrix)
        assert tuple(info.d) == frame.camera.distortion
        assert np.array_equal(np.reshape(info.r, (3, 3)), np.eye(3))
        assert tuple(info.p) == frame.camera.projection
        assert jpeg.format == "rgb8; jpeg compressed bgr8"
        picture = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert frame.image is not None
        assert np.abs(picture[:, :, ::-1].astype(int) - frame.image).mean() < 2
        assert {stamp_ns(m) for m in (depth, info, jpeg, colour_info)} == {frame.capture.time_ns}
        assert {m.header.frame_id for m in (depth, info, jpeg, colour_info)} == {"camera_optical_frame"}
        times = {(m.log_time, m.publish_time) for m in (topics[t][index][0] for t in topics if t != "/tf_static")}
        assert times == {(frame.capture.time_ns, frame.capture.time_ns)}


def test_rosbags_reads_the_same(tmp_path: Path) -> None:
    frames = [scene(i) for i in range(3)]
    record(f"{tmp_path}/a.mcap?image=raw", frames)
    store = get_typestore(Stores.EMPTY)
    with Reader(tmp_path / "a.mcap") as reader:
        for connection in reader.connections:  # types from the definitions in the file, not those we wrote with
            store.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
        decoded: dict[str, list[Any]] = {}
        for connection, _, data in reader.messages():
            decoded.setdefault(connection.topic, []).append(store.deserialize_cdr(data, connection.msgtype))
        assert reader.message_count == 13
    for frame, depth, colour in zip(frames, decoded[DEPTH], decoded[RAW], strict=True):
        assert depth.data.tobytes() == frame.depth.tobytes()
        assert (colour.encoding, colour.step) == ("rgb8", 192)
        assert frame.image is not None
        assert colour.data.tobytes() == frame.image.tobytes()


def test_the_static_transform_is_latched_and_puts_optical_z_forward(tmp_path: Path) -> None:
    record(f"{tmp_path}/a.mcap?camera=front_2", [scene(i) for i in range(3)])
    ((_, message),) = read(tmp_path / "a.mcap")["/tf_static"]
    (transform,) = message.transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ("front_2_link", "front_2_optical_frame")
    assert [transform.transform.translation.x, transform.transform.translation.y] == [0, 0]
    q = transform.transform.rotation
    rotation = np.array(
        [
            [1 - 2 * (q.y**2 + q.z**2), 2 * (q.x * q.y - q.z * q.w), 2 * (q.x * q.z + q.y * q.w)],
            [2 * (q.x * q.y + q.z * q.w), 1 - 2 * (q.x**2 + q.z**2), 2 * (q.y * q.z - q.x * q.w)],
            [2 * (q.x * q.z - q.y * q.w), 2 * (q.y * q.z + q.x * q.w), 1 - 2 * (q.x**2 + q.y**2)],
        ]
    )
    assert rotation @ [0, 0, 1] == pytest.approx([1, 0, 0])  # forward
    assert rotation @ [1, 0, 0] == pytest.approx([0, -1, 0])  # right is minus left
    assert rotation @ [0, 1, 0] == pytest.approx([0, 0, -1])  # down is minus up
    with Reader(tmp_path / "a.mcap") as reader:
        (static,) = (c for c in reader.connections if c.topic == "/tf_static")
        assert isinstance(static.ext, ConnectionExtRosbag2)
        (qos,) = static.ext.offered_qos_profiles
    assert (qos.durability, qos.reliability) == (QosDurability.TRANSIENT_LOCAL, QosReliability.RELIABLE)


def test_the_container_is_what_rosbag2_wants(tmp_path: Path) -> None:
    record(f"{tmp_path}/a.mcap", [replace(scene(0), model="nano (untrained)", precision="bf16")])
    with (tmp_path / "a.mcap").open("rb") as file:
        reader = make_reader(file)
        assert reader.get_header().profile == "ros2"
        summary = reader.get_summary()
        metadata = {m.name: m.metadata for m in reader.iter_metadata()}
    assert summary is not None
    assert {(c.topic, c.message_encoding, summary.schemas[c.schema_id].name) for c in summary.channels.values()} == {
        ("/tf_static", "cdr", "tf2_msgs/msg/TFMessage"),
        (DEPTH, "cdr", "sensor_msgs/msg/Image"),
        (DEPTH_INFO, "cdr", "sensor_msgs/msg/CameraInfo"),
        (JPEG, "cdr", "sensor_msgs/msg/CompressedImage"),
        (COLOR_INFO, "cdr", "sensor_msgs/msg/CameraInfo"),
    }
    assert all(s.encoding == "ros2msg" for s in summary.schemas.values())
    assert any(b"MSG: sensor_msgs/RegionOfInterest" in s.data for s in summary.schemas.values())
    assert json.loads(metadata["rosbag2"]["serialized_metadata"])["version"] < 9
    about = metadata["depth-pro-stream"]
    assert (about["model"], about["precision"], about["clock"]) == ("nano (untrained)", "bf16", "media")
    assert about["notice"] == "untrained weights: not real depth"
    assert (about["depth_unit"], about["depth_beyond_range"]) == ("metre", "+Inf")
    assert json.loads(about["first_frame"])["focal"]["smoothed_px"] == 64


def test_millimetres_know_one_code(tmp_path: Path) -> None:
    frame = scene(0)
    record(f"{tmp_path}/a.mcap?encoding=16UC1&image=none", [frame])
    topics = read(tmp_path / "a.mcap")
    assert set(topics) == {"/tf_static", DEPTH, DEPTH_INFO}
    image = topics[DEPTH][0][1]
    assert (image.encoding, image.step) == ("16UC1", 128)
    millimetres = pixels(image, "<u2")
    assert millimetres[0, :6].tolist() == [0, 0, 65534, 0, 1, 1234]
    assert np.abs(millimetres[1:] / 1000 - frame.depth[1:]).max() <= 0.00051


def test_depth_that_is_not_contiguous(tmp_path: Path) -> None:
    frame = scene(0, width=128)
    half = replace(frame, depth=frame.depth[:, ::2], camera=scene(0).camera, image=None)
    record(f"{tmp_path}/a.mcap?image=none", [half])
    assert bytes(read(tmp_path / "a.mcap")[DEPTH][0][1].data) == half.depth.tobytes()


def test_unix_time_of_a_camera_is_kept(tmp_path: Path) -> None:
    taken = [YEAR_2026_NS + i * 33_333_333 for i in range(3)]
    frames = [recaptured(scene(i), time_ns=t, clock="camera-rtcp") for i, t in enumerate(taken)]
    record(f"{tmp_path}/a.mcap", frames)
    messages = read(tmp_path / "a.mcap")[DEPTH]
    assert [stamp_ns(m) for _, m in messages] == taken == [m.log_time for m, _ in messages]


def test_monotonic_time_becomes_unix_time_by_one_offset(tmp_path: Path) -> None:
    start = time.monotonic_ns()
    taken = [start, start + 40_000_003, start + 79_999_999]
    frames = [recaptured(scene(i), time_ns=t, clock="host-monotonic") for i, t in enumerate(taken)]
    record(f"{tmp_path}/a.mcap", frames)
    stamps = [stamp_ns(m) for _, m in read(tmp_path / "a.mcap")[DEPTH]]
    assert abs(stamps[0] - time.time_ns()) < 60 * 10**9
    assert [s - stamps[0] for s in stamps] == [t - start for t in taken]


@pytest.mark.parametrize("taken", [-1, 2**31 * 10**9])
def test_a_time_that_ros_cannot_tell_is_refused_and_the_rest_kept(tmp_path: Path, taken: int) -> None:
    sink = open_sink(f"{tmp_path}/a.mcap")
    sink.write(scene(0))
    with pytest.raises(SinkError, match=r"frame 1 was taken at .* s \(media\): ROS time goes from 0"):
        sink.write(recaptured(scene(1), time_ns=taken))
    with pytest.raises(SinkError, match="an earlier frame failed"):
        sink.write(scene(2))
    sink.close()
    assert len(read(tmp_path / "a.mcap")[DEPTH]) == 1


def test_a_frame_without_its_picture_is_refused_and_the_rest_kept(tmp_path: Path) -> None:
    sink = open_sink(f"{tmp_path}/a.mcap")
    assert sink.needs_image
    with pytest.raises(SinkError, match="frame 0 came without one"):
        sink.write(replace(scene(0), image=None))
    sink.close()
    assert list(tmp_path.iterdir()) == []
    assert not McapSink(tmp_path / "a.mcap", McapOptions(image="none")).needs_image


def test_how_each_frames_scale_was_steadied_is_recorded(tmp_path: Path) -> None:
    told = ScaleCorrection(log=-0.012345678901234567, log_std=0.004, inliers=120, resets=1, averaged=0.25)
    record(f"{tmp_path / 'a.mcap'}", [replace(scene(0), steady=told), scene(1)])
    ((_, array),) = read(tmp_path / "a.mcap")["/camera/depth/scale_correction"]
    values = {pair.key: pair.value for pair in array.status[0].values}
    assert float(values["correction"]) == told.log
    assert values == {
        "correction": repr(told.log),
        "log_std": "0.004",
        "inliers": "120",
        "resets": "1",
        "averaged": "0.25",
    }


@pytest.mark.parametrize(
    ("log", "inliers", "message"),
    [(0.02, 120, "steadied"), (0.0, 0, "the network's own"), (0.02, 0, "steadied")],  # the last: by later frames alone
)
def test_it_is_said_whether_depth_is_the_networks_own(tmp_path: Path, log: float, inliers: int, message: str) -> None:
    told = ScaleCorrection(log=log, log_std=0.004, inliers=inliers, resets=0)
    record(f"{tmp_path / 'a.mcap'}", [replace(scene(0), steady=told)])
    ((_, array),) = read(tmp_path / "a.mcap")["/camera/depth/scale_correction"]
    assert array.status[0].message == message


def test_where_the_camera_is_is_recorded(tmp_path: Path) -> None:
    record(f"{tmp_path / 'a.mcap'}?camera=left", [replace(scene(0), odometry=POSE), scene(1)])
    ((stored, told),) = read(tmp_path / "a.mcap")["/left/odometry"]
    assert stored.log_time == scene(0).capture.time_ns
    assert (told.header.frame_id, told.child_frame_id) == ("left_odom_3", "left_optical_frame")
    place, turn = told.pose.pose.position, told.pose.pose.orientation
    assert (place.x, place.y, place.z) == POSE.position
    assert (turn.x, turn.y, turn.z, turn.w) == POSE.orientation
    assert tuple(told.pose.covariance) == POSE.covariance
    assert np.diag(np.reshape(told.twist.covariance, (6, 6))).min() >= 1e9  # nobody shall believe in a speed of 0


def test_frames_may_change_their_size(tmp_path: Path) -> None:
    sizes = [(64, 48), (33, 17), (640, 480)]
    record(f"{tmp_path}/a.mcap", [scene(i, width=w, height=h) for i, (w, h) in enumerate(sizes)])
    topics = read(tmp_path / "a.mcap")
    assert (
        [(m.width, m.height) for _, m in topics[DEPTH]] == sizes == [(m.width, m.height) for _, m in topics[COLOR_INFO]]
    )
    assert [m.k[0] for _, m in topics[DEPTH_INFO]] == [500.25, 501.25, 502.25]


def test_pictures_without_distortion_are_called_rectified(tmp_path: Path) -> None:
    frame = scene(0)
    straight = replace(frame, camera=replace(frame.camera, distortion_model="", distortion=()))
    record(f"{tmp_path}/a.mcap", [straight])
    topics = read(tmp_path / "a.mcap")
    assert {"/camera/depth/image_rect", "/camera/color/image_rect/compressed"} <= set(topics)
    info = topics[DEPTH_INFO][0][1]
    assert (info.distortion_model, list(info.d)) == ("plumb_bob", [0] * 5)
    assert np.array_equal(np.reshape(info.p, (3, 4)), np.hstack([straight.camera.matrix, np.zeros((3, 1))]))


def test_names_are_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "a%3F.bag"
    record(f"mcap:{tmp_path}/a%253F.bag?camera=left&frame_id=rig/left-eye&image=raw", [scene(0)])
    topics = read(path)
    assert set(topics) == {
        "/tf_static",
        *(f"/left/{t}" for t in ("depth/image_raw", "depth/camera_info", "color/image_raw", "color/camera_info")),
    }
    assert topics["/left/depth/image_raw"][0][1].header.frame_id == "rig/left-eye"
    assert topics["/tf_static"][0][1].transforms[0].child_frame_id == "rig/left-eye"
    assert open_sink(f"file://{tmp_path}/B.MCAP").name == f"{tmp_path}/B.MCAP"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("camera=", "letters, digits and single underscores"),
        ("camera=2left", "a letter first"),
        ("camera=a__b", "single underscores"),
        ("camera=a/b", "not 'a/b'"),
        ("camera=a%0A", "not 'a\\n'"),
        ("frame_id=/map", "without a slash in front"),
        ("frame_id=", "frame_id must be"),
        ("frame_id=camera_link", "names the frame it is placed in"),
        ("encoding=16uc1", "did you mean '16UC1'"),
        ("image=png", "must be one of jpeg, raw, none"),
        ("quality=0", "from 1 to 100"),
        ("quality=101", "from 1 to 100"),
        ("quality=95&image=raw", "leave it out with image=raw"),
        ("compress=gzip", "must be one of zstd, lz4, none"),
        ("view=depth", "unknown option 'view'"),
    ],
)
def test_options_that_are_wrong(tmp_path: Path, options: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_sink(f"{tmp_path}/a.mcap?{options}")
    assert message in str(error.value)


def test_a_recording_needs_a_name() -> None:
    with pytest.raises(ConfigError, match=r"names no file; write for example walk\.mcap"):
        open_sink("mcap:?image=none")


@pytest.mark.parametrize("package", ["mcap", "rosbags"])
def test_missing_packages_are_told_before_work_starts(tmp_path: Path, package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from sinks import open_sink; open_sink(sys.argv[1])"
    command = [sys.executable, "-c", code, f"{tmp_path}/a.mcap"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert f"ConfigError: {tmp_path}/a.mcap needs the Python packages mcap and rosbags (no {package}" in done.stderr
    assert "pip install -e '.[mcap]'" in done.stderr


def test_targets_are_checked_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "there.mcap").write_bytes(b"precious")
    (tmp_path / "folder.mcap").mkdir()
    for name, message in {
        "there.mcap": "exists; choose another name or use `overwrite=True`",
        "folder.mcap": "is a folder",
        "missing/a.mcap": "there is no folder",
    }.items():
        with pytest.raises(SinkError, match=message):
            open_sink(f"{tmp_path}/{name}")
    assert (tmp_path / "there.mcap").read_bytes() == b"precious"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SinkError, match="no permission"):
        open_sink(f"{tmp_path}/a.mcap")


def test_overwrite_keeps_the_old_file_until_there_is_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(b"old" * 10**6)
    record(str(path), [], overwrite=True)
    assert path.read_bytes() == b"old" * 10**6
    record(str(path), [scene(0)], overwrite=True)
    assert len(read(path)[DEPTH]) == 1


def test_two_sinks_do_not_share_a_file(tmp_path: Path) -> None:
    one, other = open_sink(f"{tmp_path}/a.mcap"), open_sink(f"{tmp_path}/a.mcap")
    one.write(scene(0))
    with pytest.raises(SinkError, match="exists"):
        other.write(scene(0))
    other.close()
    one.close()
    assert len(read(tmp_path / "a.mcap")[DEPTH]) == 1


def test_what_was_recorded_is_on_the_disk_and_not_in_memory(tmp_path: Path) -> None:
    sink = open_sink(f"{tmp_path}/a.mcap?compress=none&image=none")
    for index in range(6):
        sink.write(scene(index, width=320, height=240))  # 300 KiB of depth: the fourth ends a chunk
    assert count_readable(tmp_path / "a.mcap") == {"/tf_static": 1, DEPTH: 4, DEPTH_INFO: 4}
    sink.close()
    assert count_readable(tmp_path / "a.mcap")[DEPTH] == 6


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("size", [(640, 480), (64, 48)])
def test_full_disk_is_one_error(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a.mcap").symlink_to("/dev/full")
    sink = open_sink(f"{tmp_path}/a.mcap", overwrite=True)

    def run() -> None:
        for index in range(3):
            sink.write(scene(index, width=size[0], height=size[1]))
        sink.close()

    with pytest.raises(SinkError, match=r"cannot write .*/a\.mcap: disk full; what reached the disk is kept"):
        run()
    sink.close()


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX resource limits")
@pytest.mark.parametrize("compress", ["zstd", "none"])
def test_what_was_written_before_the_limit_is_kept(tmp_path: Path, compress: str) -> None:
    done = write_until_it_is_full(
        f"{tmp_path}/a.mcap?compress={compress}", "-W", "error",
        module="tests.sinks.ros.test_mcap", frame="scene", frames=100, most_bytes=3_000_000, width=320, height=240,
    )  # fmt: skip
    assert "too large for this file system; what reached the disk is kept, `mcap recover`" in done.stdout
    assert done.stderr == ""
    counts = count_readable(tmp_path / "a.mcap")
    assert counts[DEPTH] >= 4
    assert {counts[t] for t in (DEPTH, DEPTH_INFO, JPEG, COLOR_INFO)} == {counts[DEPTH]}


_ENDLESS = """
import sys, time
from sinks import open_sink
from tests.sinks.ros.test_mcap import scene
sink = open_sink(sys.argv[1])
for index in range(5):
    sink.write(scene(index, width=640, height=480))
print("written", flush=True)
time.sleep(60)
"""


def test_a_killed_process_leaves_every_finished_chunk(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ENDLESS, f"{tmp_path}/a.mcap"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.kill()
    frames = dict.fromkeys([DEPTH, DEPTH_INFO, JPEG, COLOR_INFO], 5)  # over 1 MiB each: a chunk of its own
    assert count_readable(tmp_path / "a.mcap") == {"/tf_static": 1, **frames}


def test_a_recording_has_one_clock() -> None:
    """The camera's clock takes over after some frames, and is lost in another recording."""
    host = [recaptured(scene(n), clock="host-monotonic", time_ns=n * 10**9, received_ns=n * 10**9) for n in range(6)]
    ahead_ns = 1_800_000_000 * 10**9
    camera = [recaptured(f, clock="camera-rtcp", time_ns=ahead_ns + f.capture.time_ns) for f in host]
    for frames in ([*host[:2], *camera[2:]], [*camera[:3], *host[3:]], host, camera):
        time = RosTime()
        stamps = [time.stamp_ns(frame) for frame in frames]
        assert np.diff(stamps).tolist() == [10**9] * 5
        assert (stamps[0] == ahead_ns) == (frames[0].capture.clock == "camera-rtcp")
