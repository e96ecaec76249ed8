"""Videos are written, then read back with PyAV."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from sinks import open_sink
from sinks.millimetres import to_millimetres
from sinks.video.colormap import DepthColormap
from sinks.video.preview import Preview
from sinks.video.sink import VideoOptions, VideoSink
from stream.errors import ConfigError, SinkError
from stream.frame import DepthFrame
from stream.ports import Sink
from tests.support.doubles import make_depth_frame, recaptured
from tests.support.outputs import record, write_until_it_is_full
from tests.support.process import ROOT

TIME_BASE = Fraction(1, 15_360)


def ramp(index: int, *, width: int = 64, height: int = 48, pts: int | None = -1) -> DepthFrame:
    """Depth from 0.5 m to 50 m, moving a little with ``index``; 30 frames per second unless ``pts`` says other."""
    depth = np.geomspace(0.5, 50, width, dtype=np.float32)[None, :].repeat(height, axis=0)
    frame = make_depth_frame(index, width=width, height=height)
    frame = recaptured(frame, pts=index * 512 if pts == -1 else pts, time_base=TIME_BASE)
    return replace(frame, depth=np.roll(depth, index, axis=1))


def noisy(index: int) -> DepthFrame:
    """Depth that does not compress, to fill disks with."""
    frame = ramp(index)
    noise = np.random.default_rng(index).uniform(0.5, 50, frame.depth.shape).astype(np.float32)
    return replace(frame, depth=noise)


def write_all(sink: Sink, count: int) -> None:
    for index in range(count):
        sink.write(noisy(index))


def read_times(path: Path) -> list[Fraction]:
    with av.open(path) as file:
        return [f.pts * f.time_base for f in file.decode(video=0) if f.pts is not None and f.time_base is not None]


def count_readable(path: Path) -> int:
    """Frames a player gets out of a file that may be cut off."""
    count = 0
    with av.open(path) as file:
        try:
            for _ in file.decode(video=0):
                count += 1
        except av.FFmpegError:
            pass
    return count


_MORE_CODECS = ["a.mkv?codec=vp9", "a.mp4?codec=hevc", "a.mkv?codec=hevc", "a.ts?codec=hevc", "a.mov?codec=hevc"]
_MORE_CODECS += ["a.mp4?codec=av1", "a.mkv?codec=av1", "a.webm?codec=av1"]


@pytest.mark.parametrize("name", ["a.mp4", "a.m4v", "a.mov", "a.mkv", "a.webm", "a.ts", "A.MP4", *_MORE_CODECS])
def test_every_container_holds_every_frame_at_its_time(tmp_path: Path, name: str) -> None:
    pts = [700, 1212, 1724, 4000, 4100, 9000]  # starts late, variable rate
    record(f"{tmp_path}/{name}", (ramp(i, pts=p) for i, p in enumerate(pts)))
    times = read_times(tmp_path / name.split("?")[0])
    exact = [p * TIME_BASE for p in pts]
    tolerance = Fraction(0) if name.lower()[2:5] in ("mp4", "m4v", "mov") else Fraction(1, 1000)
    assert len(times) == len(pts)
    assert max(abs(t - e) for t, e in zip(times, exact, strict=True)) <= tolerance


def test_matroska_promises_no_frame_rate_that_is_not_there(tmp_path: Path) -> None:
    record(f"{tmp_path}/a.mkv", (ramp(i, pts=i * 1024) for i in range(30)))
    with av.open(tmp_path / "a.mkv") as file:
        rate = file.streams.video[0].average_rate
    assert rate == pytest.approx(15, abs=0.1)


def test_colours_survive_with_their_matrix_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    frame = make_depth_frame(width=64, height=48, value=2.0)
    record(f"{path}?crf=5&legend=no", [frame] * 3)
    with av.open(path) as file:
        decoded = next(file.decode(video=0)).to_ndarray(format="rgb24")
        coded = file.streams.video[0].codec_context
        assert coded.colorspace in (5, 6)  # BT.601
        assert (coded.color_primaries, coded.color_trc) == (1, 1)  # BT.709
        assert "0.5 to 50 m" in file.metadata["title"]
        assert "model: double" in file.metadata["comment"]
    expected = DepthColormap().rgb(frame.depth).astype(int)
    assert abs(decoded.astype(int) - expected).max() <= 6


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mp4?codec=av1"])
def test_the_index_of_a_finished_file_comes_first(tmp_path: Path, name: str) -> None:
    record(f"{tmp_path}/{name}", (ramp(i, pts=i * 1024) for i in range(10)))
    (path,) = tmp_path.iterdir()
    boxes, data = [], path.read_bytes()
    while data:
        size = int.from_bytes(data[:4], "big")
        boxes.append(data[4:8].decode())
        data = data[size:]
    assert boxes.index("moov") < boxes.index("mdat")
    assert "moof" not in boxes


def test_apples_players_are_told_of_hevc_by_the_name_they_know(tmp_path: Path) -> None:
    record(f"{tmp_path}/a.mp4?codec=hevc", (ramp(i, pts=i * 1024) for i in range(3)))
    with av.open(tmp_path / "a.mp4") as file:
        assert file.streams.video[0].codec_context.codec_tag == "hvc1"


def test_an_encoder_that_this_machine_lacks_is_one_line(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine may have one")
    with pytest.raises(SinkError, match="leave out encoder=nvenc"):
        VideoSink(tmp_path / "a.mp4", VideoOptions(codec="hevc", encoder="nvenc"))
    assert not list(tmp_path.iterdir())


def test_a_range_by_shot_is_kept_for_the_shot_and_found_anew_after_a_cut() -> None:
    def shot(depth_m: float, *, cut: bool) -> DepthFrame:
        made = make_depth_frame(width=192, height=108)
        rising = np.linspace(depth_m, 2 * depth_m, made.depth.size, dtype=np.float32).reshape(made.depth.shape)
        return replace(made, depth=rising, scene_cut=cut)

    preview = Preview(shot(1.0, cut=True), colormap=DepthColormap(), view="depth", legend=False, span="shot")
    assert preview.tags["title"] == "Metric depth, metres by shot, log scale"
    near = preview.rgb(shot(1.0, cut=True)).copy()
    moved = preview.rgb(shot(1.2, cut=False)).copy()
    far = preview.rgb(shot(40.0, cut=True)).copy()
    at_first, after_cut = DepthColormap(min_m=0.78, max_m=2.6), DepthColormap(min_m=31, max_m=100)
    assert (near == at_first.rgb(shot(1.0, cut=True).depth)).all()
    assert (moved == at_first.rgb(shot(1.2, cut=False).depth)).all()
    assert (far == after_cut.rgb(shot(40.0, cut=True).depth)).all()


def test_over_under_has_the_picture_above_depth(tmp_path: Path) -> None:
    frame = replace(ramp(0, width=64, height=48), image=np.full((48, 64, 3), 200, np.uint8))
    sink = VideoSink(tmp_path / "a.mp4", VideoOptions(view="over-under", crf=5))
    assert sink.needs_image
    sink.write(frame)
    sink.close()
    with av.open(tmp_path / "a.mp4") as file:
        decoded = next(file.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert decoded.shape == (96, 64, 3)
    assert abs(decoded[:48] - 200).max() <= 6
    assert abs(decoded[50:] - DepthColormap().rgb(frame.depth)[2:].astype(int)).mean() <= 6


def test_options_change_the_picture(tmp_path: Path) -> None:
    frame = replace(ramp(0, width=63, height=47), image=np.full((47, 63, 3), 200, np.uint8))
    sink = VideoSink(tmp_path / "a.mp4", VideoOptions(view="side-by-side"))
    assert sink.needs_image
    sink.write(frame)
    sink.close()
    with av.open(tmp_path / "a.mp4") as file:
        stream = file.streams.video[0]
        assert (stream.width, stream.height) == (126, 48)


def test_ffv1_is_lossless_millimetres_with_the_focal_track(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    frames = []
    for index in range(4):
        frame = ramp(index, width=33, height=17)
        depth = frame.depth.copy()
        depth[0, :3] = math.nan, math.inf, 70.0
        frames.append(
            replace(frame, depth=depth, focal=replace(frame.focal, smoothed_px=500.0 + index, raw_px=510.0 - index))
        )
    record(f"{path}?codec=ffv1", frames)

    cues, pictures = [], []
    with av.open(path) as file:
        assert {k: v for k, v in file.metadata.items() if k in ("DEPTH_UNIT", "DEPTH_NO_ESTIMATE", "DEPTH_MODEL")} == {
            "DEPTH_UNIT": "millimetre",
            "DEPTH_NO_ESTIMATE": "0",
            "DEPTH_MODEL": "double",
        }
        assert json.loads(file.metadata["DEPTH_FIRST_FRAME"])["K"] == frames[0].camera.matrix.ravel().tolist()
        for packet in file.demux():
            if packet.stream.type == "subtitle" and packet.size:
                cues.append((packet.pts, json.loads(bytes(packet))))
            elif packet.stream.type == "video":
                pictures += [(f.pts, f.to_ndarray()) for f in packet.decode()]
    assert [pts for pts, _ in cues] == [pts for pts, _ in pictures]
    assert all((picture == to_millimetres(f.depth)).all() for (_, picture), f in zip(pictures, frames, strict=True))
    assert pictures[0][1][0, :3].tolist() == [0, 65535, 65535]
    assert [(c["index"], c["pts"], c["focal"]["smoothed_px"], c["focal"]["raw_px"]) for _, c in cues] == [
        (i, i * 512, 500.0 + i, 510.0 - i) for i in range(4)
    ]


def test_ffv1_says_that_a_model_is_untrained(tmp_path: Path) -> None:
    record(f"{tmp_path}/a.mkv?codec=ffv1", [replace(ramp(0), model="nano (untrained)")])
    with av.open(tmp_path / "a.mkv") as file:
        assert file.metadata["title"] == "Metric depth, 16-bit millimetres (untrained weights: not real depth)"


def test_ffv1_goes_on_in_a_new_file_when_the_size_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a-0002.mkv").write_bytes(b"precious")
    sizes = [(64, 48), (64, 48), (32, 48), (64, 48), (64, 48)]
    frames = [ramp(i, width=w, height=h) for i, (w, h) in enumerate(sizes)]
    with caplog.at_level(logging.WARNING):
        record(f"{tmp_path}/a.mkv?codec=ffv1", frames)
    assert [record.getMessage() for record in caplog.records] == [
        "a.mkv: frame 2 is 32x48; a.mkv is finished, and a-0003.mkv goes on",
        "a.mkv: frame 3 is 64x48; a-0003.mkv is finished, and a-0004.mkv goes on",
    ]
    assert (tmp_path / "a-0002.mkv").read_bytes() == b"precious"
    for name, part in {"a": frames[:2], "a-0003": frames[2:3], "a-0004": frames[3:]}.items():
        with av.open(tmp_path / f"{name}.mkv") as file:
            decoded = [f.to_ndarray() for f in file.decode(video=0)]
            about = json.loads(file.metadata["DEPTH_FIRST_FRAME"])
        assert all((d == to_millimetres(f.depth)).all() for d, f in zip(decoded, part, strict=True))
        assert (about["width"], about["K"]) == (part[0].width, part[0].camera.matrix.ravel().tolist())
        exact = [float((f.capture.pts or 0) * TIME_BASE) for f in part]
        assert [float(t) for t in read_times(tmp_path / f"{name}.mkv")] == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("encoding", ["mm", "log", "inverse"])
def test_codes_keep_their_stated_bound(tmp_path: Path, encoding: str) -> None:
    frame = ramp(0, width=200, height=10)
    depth = np.geomspace(0.1, 1000, 2000, dtype=np.float32).reshape(10, 200)
    depth[0, :3], depth[1, 0] = (math.nan, math.inf, 10_001), 0.01
    record(f"{tmp_path}/a.mkv?codec=ffv1&encoding={encoding}", [replace(frame, depth=depth)])
    with av.open(tmp_path / "a.mkv") as file:
        codes = next(file.decode(video=0)).to_ndarray().astype(np.float64)
        mapping = json.loads(file.metadata["DEPTH_ENCODING"])
    beside = json.loads((tmp_path / "a.mkv.json").read_text())
    assert {key: beside[key] for key in mapping} == mapping
    assert beside["first_frame"]["K"] == frame.camera.matrix.ravel().tolist()
    assert codes[0, :3].tolist() == [0, 65535, 65535]
    near, far, n = 0.1, 10_000, 65533
    assert encoding == "mm" or codes[1, 0] == 1, "nearer than the range is its near end"
    there = np.isfinite(depth) & (depth >= near) & (codes != 65535)
    assert there.sum() > (1200 if encoding == "mm" else 1990)
    codes, depth = codes[there], depth[there].astype(np.float64)
    metres, bound = {
        "mm": (codes / 1000, 0.0005 + 0 * depth),
        "log": (near * (far / near) ** ((codes - 1) / n), math.log(far / near) / (2 * n) * depth),
        "inverse": (1 / (1 / near - (codes - 1) / n * (1 / near - 1 / far)), (1 / near - 1 / far) / (2 * n) * depth**2),
    }[encoding]
    bound = bound / (1 - bound / depth) * 1.02 + 1e-7 * depth  # half a step up is a little more than down; float32
    assert (abs(metres - depth) <= bound).all()
    assert encoding != "log" or (abs(metres / depth - 1) <= 1e-4).all()


def test_a_viewable_video_goes_through_a_change_of_size(tmp_path: Path) -> None:
    record(f"{tmp_path}/a.mp4", [ramp(0), ramp(1, width=32), ramp(2, width=200, height=20)])
    assert len(read_times(tmp_path / "a.mp4")) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.xyz", "must end in one of .mp4"),
        ("a", "must end in one of .mp4"),
        ("a.mp4?codec=ffv1", "codec=ffv1 does not go into .mp4 files; use .mkv"),
        ("a.webm?codec=h264", "use .mp4, .m4v, .mov, .mkv, .ts"),
        ("a.mkv?codec=ffv1&view=side-by-side", "leave out view"),
        ("a.mp4?min=3&max=2", "0 < min < max"),
        ("a.mkv?codec=ffv1&encoding=log&min=3&max=2", "0 < min < max"),
        ("a.mkv?codec=ffv1&min=1", "leave out min"),
        ("a.mkv?encoding=log", "add codec=ffv1"),
        ("a.mkv?codec=vp9&encoder=nvenc", "for h264, hevc and av1, not for vp9"),
        ("a.mp4?range=shot&max=3", "leave out min and max"),
        ("a%00b.mp4", "null byte"),
        ("a.mp4?crf=99", "crf must be from 0"),
        ("a.mp4?colormap=trubo", "did you mean 'turbo'"),
    ],
)
def test_what_cannot_be_written_is_a_config_error(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_sink(f"{tmp_path}/{name}")
    assert message in str(error.value)


def test_targets_are_checked_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "there.mp4").write_bytes(b"precious")
    (tmp_path / "folder.mp4").mkdir()
    for name, message in {
        "there.mp4": "exists; choose another name or use `overwrite=True`",
        "folder.mp4": "is a folder",
        "missing/a.mp4": "there is no folder",
        "x" * 300 + ".mp4": "name too long",
    }.items():
        with pytest.raises(SinkError, match=f"(?i){message}"):
            open_sink(f"{tmp_path}/{name}")
    assert (tmp_path / "there.mp4").read_bytes() == b"precious"


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege there")
def test_links_to_nowhere_are_found_out_before_any_work(tmp_path: Path) -> None:
    for name, target in {"new": "real.mp4", "lost": "missing/real.mp4", "loop": "loop.mp4"}.items():
        (tmp_path / f"{name}.mp4").symlink_to(target)
    with pytest.raises(SinkError, match=r"symbolic link to .*real\.mp4, which does not exist; `overwrite=True`"):
        open_sink(f"{tmp_path}/new.mp4")
    with pytest.raises(SinkError, match=r"no folder .*missing"):
        open_sink(f"{tmp_path}/lost.mp4", overwrite=True)
    with pytest.raises(SinkError, match="symbolic link to itself"):
        open_sink(f"{tmp_path}/loop.mp4", overwrite=True)
    record(f"{tmp_path}/new.mp4", [ramp(0), ramp(1)], overwrite=True)
    assert len(read_times(tmp_path / "real.mp4")) == 2


def test_overwrite_keeps_the_old_file_until_there_is_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    record(str(path), [], overwrite=True)
    assert path.read_bytes() == b"old"
    record(str(path), [ramp(0), ramp(1)], overwrite=True)
    assert len(read_times(path)) == 2


def test_without_frames_there_is_no_file(tmp_path: Path) -> None:
    record(f"{tmp_path}/a.mp4", [])
    assert list(tmp_path.iterdir()) == []


def test_two_sinks_do_not_share_a_file(tmp_path: Path) -> None:
    one, other = open_sink(f"{tmp_path}/a.mp4"), open_sink(f"{tmp_path}/a.mp4")
    one.write(ramp(0))
    with pytest.raises(SinkError, match="exists"):
        other.write(ramp(0))
    other.close()
    one.close()
    assert len(read_times(tmp_path / "a.mp4")) == 1


def test_a_frame_that_cannot_be_drawn_leaves_no_empty_file(tmp_path: Path) -> None:
    sink = open_sink(f"{tmp_path}/a.mp4?view=side-by-side")
    with pytest.raises(SinkError, match="without one"):
        sink.write(ramp(0))
    sink.close()
    assert [p.stat().st_size > 0 for p in tmp_path.iterdir()] in ([], [True])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mkv?codec=ffv1", "a.webm", "a.ts"])
def test_full_disk_is_one_error_and_close_is_quiet_and_quick(tmp_path: Path, name: str) -> None:
    (tmp_path / name.split("?")[0]).symlink_to("/dev/full")
    sink = open_sink(f"{tmp_path}/{name}", overwrite=True)
    with pytest.raises(SinkError, match=r"cannot write .*/a\.\w+: disk full"):
        write_all(sink, 200)
    started = time.monotonic()
    sink.close()
    assert time.monotonic() - started < 2


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX resource limits")
@pytest.mark.parametrize("name", ["a.mkv?codec=ffv1", "a.mp4?crf=30"])
def test_what_was_written_before_the_limit_is_kept(tmp_path: Path, name: str) -> None:
    done = write_until_it_is_full(
        f"{tmp_path}/{name}", module="tests.sinks.video.test_video", frame="noisy", frames=2000, most_bytes=300_000
    )
    assert "too large for this file system" in done.stdout
    assert "Traceback" not in done.stderr
    assert count_readable(tmp_path / name.split("?")[0]) >= 10


_ENDLESS = """
import sys, time
from sinks import open_sink
from tests.sinks.video.test_video import ramp
sink = open_sink(sys.argv[1])
for index in range(150):
    sink.write(ramp(index))
print("written", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.ts", "a.mkv?codec=ffv1"])
def test_a_killed_process_leaves_a_playable_file(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", _ENDLESS, f"{tmp_path}/{name}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.kill()
    assert count_readable(tmp_path / name.split("?")[0]) >= 100  # of 150, at 30 frames/s


def test_nothing_is_logged_or_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        for name in ("a.mp4", "a.webm", "a.mkv?codec=ffv1"):
            record(f"{tmp_path}/{name}", [ramp(0), ramp(1)])
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_wide_pixels_stay_wide(tmp_path: Path, name: str) -> None:
    wide = recaptured(ramp(0), pixel_aspect=Fraction(64, 45))
    record(f"{tmp_path}/{name}", [wide, recaptured(wide, pts=512)])
    with av.open(tmp_path / name) as file:
        assert file.streams.video[0].sample_aspect_ratio == Fraction(64, 45)


def test_square_pixels_are_not_spoken_of(tmp_path: Path) -> None:
    record(f"{tmp_path}/a.mp4", [ramp(0)])
    with av.open(tmp_path / "a.mp4") as file:
        assert file.streams.video[0].sample_aspect_ratio in (None, 0, 1)
