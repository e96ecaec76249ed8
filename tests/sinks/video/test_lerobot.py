"""LeRobot's depth videos are written, then read back by the formula that LeRobot documents."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sinks import open_sink
from sinks.video.lerobot import LeRobotOptions, LeRobotSink
from stream.errors import ConfigError, SinkError
from stream.frame import DepthFrame
from stream.ports import SourceInfo
from tests.support.doubles import make_depth_frame


def scene(index: int, *, width: int = 66, height: int = 48) -> DepthFrame:
    depth = np.random.default_rng(index).uniform(0.01, 10, (height, width)).astype(np.float32)
    depth[0, :4] = math.nan, math.inf, 0.001, 12
    return replace(make_depth_frame(index, width=width, height=height), depth=depth)


def read(folder: Path) -> tuple[list[np.ndarray], list[Fraction], dict[str, object]]:
    """Codes, times and the feature's description."""
    info = json.loads((folder / "meta" / "info.json").read_text())
    ((key, feature),) = info["features"].items()
    video = folder / info["video_path"].format(video_key=key, chunk_index=0, file_index=0)
    with av.open(video) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("hevc", "gray12le")
        assert stream.codec_context.codec_tag == "hvc1"
        frames = list(file.decode(stream))
    codes = [f.to_ndarray(format="gray12le") for f in frames]
    assert feature["shape"] == [*codes[0].shape, 1]
    assert info["total_frames"] == len(frames)
    return codes, [Fraction(f.pts or 0) * (f.time_base or 0) for f in frames], feature["info"]


def test_codes_are_lossless_and_metres_within_half_a_step(tmp_path: Path) -> None:
    sink = LeRobotSink(tmp_path / "out")
    sink.prepare(SourceInfo(name="x", live=False, frame_rate=Fraction(25)))
    frames = [scene(i) for i in range(7)]
    for frame in frames:
        sink.write(frame)
    sink.close()
    codes, times, info = read(tmp_path / "out")
    assert times == [Fraction(i, 25) for i in range(7)]
    low, high, shift = (float(str(info[f"video.{name}"])) for name in ("depth_min", "depth_max", "shift"))
    assert (low, high, shift, info["video.use_log"], info["is_depth_map"]) == (0.01, 10.0, 3.5, True, True)
    for code, frame in zip(codes, frames, strict=True):
        assert code[0, :4].tolist() == [0, 4095, 0, 4095]
        step = (math.log(high + shift) - math.log(low + shift)) / 4095
        metres = np.exp(code * step + math.log(low + shift)) - shift
        depth = frame.depth.astype(np.float64)
        bound = (depth + shift) * step / 2 * 1.01
        assert (abs(metres - depth) <= bound)[1:].all()


def test_lossy_depth_is_smaller_and_tells_how_far_off_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    smooth = [
        replace(made, depth=np.outer(np.geomspace(1, 8, 48), np.linspace(1, 1.2, 66)).astype(np.float32) + 0.01 * i)
        for i in range(40)
        for made in [make_depth_frame(i, width=66, height=48)]
    ]
    sizes = {}
    for name, query in (("lossless", ""), ("lossy", "?crf=24")):
        sink = open_sink(f"lerobot:{tmp_path}/{name}{query}")
        with caplog.at_level(logging.INFO):
            for frame in smooth:
                sink.write(frame)
            sink.close()
        sizes[name] = sum(p.stat().st_size for p in (tmp_path / name).rglob("*.mp4"))
    assert sizes["lossy"] < sizes["lossless"] / 2
    options = LeRobotOptions()
    codes, _, info = read(tmp_path / "lossy")
    assert info["video.crf"] == 24
    written = [options.decode(options.encode(frame.depth)) for frame in smooth]
    errors = np.abs([options.decode(code) / metres - 1 for code, metres in zip(codes, written, strict=True)])
    told = json.loads((tmp_path / "lossy/meta/info.json").read_text())["depth_pro_stream"]["relative_error"]
    assert told["largest"] == pytest.approx(errors.max())
    assert told["median"] == pytest.approx(np.median(errors), rel=0.02)
    assert told["p99"] == pytest.approx(np.quantile(errors, 0.99), rel=0.02)
    assert "lossy: lossy; off by" in caplog.text


def test_a_change_of_size_begins_a_new_folder(tmp_path: Path) -> None:
    sink = open_sink(f"lerobot:{tmp_path}/out?fps=10")
    for index, width in enumerate((66, 66, 32)):
        sink.write(scene(index, width=width))
    sink.close()
    assert [c.shape for c in read(tmp_path / "out")[0]] == [(48, 66)] * 2
    assert [c.shape for c in read(tmp_path / "out-0002")[0]] == [(48, 32)]


def test_targets_and_options_are_checked(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(SinkError, match="exists; choose another name"):
        open_sink(f"lerobot:{tmp_path}/out")
    with pytest.raises(SinkError, match="there is no folder"):
        open_sink(f"lerobot:{tmp_path}/missing/out")
    for options in ({"crf": 52}, {"min": 3.0, "max": 2.0}, {"shift": -1.0}, {"fps": 0.0}):
        with pytest.raises(ConfigError):
            LeRobotOptions(**options)
    sink = open_sink(f"lerobot:{tmp_path}/out", overwrite=True)
    sink.write(scene(0))
    sink.close()
    assert len(read(tmp_path / "out")[0]) == 1
