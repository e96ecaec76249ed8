"""The reader that users copy gives back what each sink was given."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sinks import open_sink
from sinks.files import read_depth as module
from sinks.files.read_depth import read_depth
from stream.frame import DepthFrame
from tests.support.doubles import make_depth_frame, recaptured


def scene(index: int) -> DepthFrame:
    """From 0.1 m to 1 km; in a corner no estimate and beyond range."""
    depth = np.geomspace(0.1, 1000, 33 * 17, dtype=np.float32).reshape(17, 33)
    frame = make_depth_frame(index, width=33, height=17)
    depth[0, :2] = math.nan, math.inf
    frame = recaptured(frame, pts=700 + index * 512, time_base=Fraction(1, 15_360), time_ns=10**9 + index)
    camera = replace(frame.camera, fx=500.25 + index)
    return replace(frame, depth=np.roll(depth, index, axis=1), camera=camera)


LOG = math.log(1e5) / (2 * 65533) * 1.02


@pytest.mark.parametrize(
    ("sink", "path", "relative", "absolute"),
    [
        ("a.mkv?codec=ffv1", "a.mkv", 0.0, 0.000501),
        ("a.mkv?codec=ffv1&encoding=log", "a.mkv", LOG, 0.0),
        ("a.mkv?codec=ffv1&encoding=inverse", "a.mkv", 0.08, 0.0),
        ("png:out", "out", 0.0, 0.000501),
        ("png:out?encoding=log", "out", LOG, 0.0),
        ("npz:out", "out", 0.0, 0.0),
        ("exr:out", "out", 0.0, 0.0),
        ("exr:out?type=half", "out", 0.0005, 0.0),
    ],
)
def test_every_output_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sink: str, path: str, relative: float, absolute: float
) -> None:
    monkeypatch.chdir(tmp_path)
    frames = [scene(i) for i in (0, 1, 5)]
    opened = open_sink(sink)
    for frame in frames:
        opened.write(frame)
    opened.close()
    pictures = list(read_depth(path))
    for picture, frame in zip(pictures, frames, strict=True):
        capture = frame.capture
        assert (picture.index, picture.pts, picture.time_base) == (capture.index, capture.pts, capture.time_base)
        assert picture.time_s == pytest.approx(capture.time_s)
        assert (frame.camera.matrix == picture.K).all()
        assert picture.depth.dtype == np.float32
        expected = np.where(frame.depth > 65.534, np.inf, frame.depth) if absolute else frame.depth
        assert np.array_equal(np.isfinite(picture.depth), np.isfinite(expected))
        assert np.array_equal(np.isnan(picture.depth), np.isnan(expected))
        there = np.isfinite(expected)
        error = abs(picture.depth[there].astype(float) - expected[there])
        assert (error <= absolute + relative * expected[there]).all()
    if Path(path).is_dir():
        (single,) = read_depth(next(Path(path).glob("depth_000005.*")))
        assert single.index == 5


def test_lerobot_folders_are_read_back(tmp_path: Path) -> None:
    sink = open_sink(f"lerobot:{tmp_path}/out?fps=25")
    frames = [zoomed(scene(i), 1 + 0.1 * i) for i in range(3)]
    for frame in frames:
        sink.write(frame)
    sink.close()
    for picture, frame in zip(read_depth(tmp_path / "out"), frames, strict=True):
        there = frame.depth < 10
        assert abs(picture.depth - frame.depth)[there].max() < 0.0023
        assert (frame.camera.matrix == picture.K).all()
        assert (picture.index, picture.pts) == (frame.capture.index, frame.capture.pts)
    lines = tmp_path / "out" / "meta" / "depth_pro_stream.jsonl"
    lines.write_bytes(b"".join(lines.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(ValueError, match="what belongs to frame 2 is missing"):
        list(read_depth(tmp_path / "out"))


def zoomed(frame: DepthFrame, factor: float) -> DepthFrame:
    camera = frame.camera
    return replace(frame, camera=replace(camera, fx=camera.fx * factor, fy=camera.fy * factor))


def test_what_is_no_depth_is_refused(tmp_path: Path) -> None:
    sink = open_sink(f"{tmp_path}/colours.mkv")
    sink.write(scene(0))
    sink.close()
    with pytest.raises(ValueError, match="it has no depth in it"):
        next(read_depth(tmp_path / "colours.mkv"))
    (tmp_path / "f.csv").write_text("frame,pts\n0,0\n")
    with pytest.raises(ValueError, match=r"f\.csv: it is no video, or it is damaged"):
        next(read_depth(tmp_path / "f.csv"))
    with pytest.raises(ValueError, match=r"no depth_000000\.png"):
        next(read_depth(tmp_path))


def test_one_file_is_enough(tmp_path: Path) -> None:
    sink = open_sink(f"{tmp_path}/a.mkv?codec=ffv1")
    sink.write(scene(0))
    sink.close()
    (tmp_path / "copied.py").write_text(Path(module.__file__).read_text())
    code = (
        "import sys\nfrom copied import read_depth\n(f,) = read_depth('a.mkv')\n"
        "print(f.K[0, 0], *sorted({'sinks', 'stream', 'cv2', 'torch', 'OpenEXR'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["500.25"]
