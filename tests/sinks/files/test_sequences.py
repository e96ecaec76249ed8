"""Folders of files are written, then read back with other libraries than those they were written with, or by hand."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from sinks import open_sink
from sinks.millimetres import to_millimetres
from stream.errors import ConfigError, SinkError
from stream.frame import DepthFrame
from tests.support.doubles import make_depth_frame
from tests.support.outputs import record
from tests.support.process import ROOT


def scene(index: int, *, width: int = 33, height: int = 17) -> DepthFrame:
    """Depth from 0.1 m to 1 km with no estimate and beyond range in a corner."""
    depth = np.geomspace(0.1, 1000, width * height, dtype=np.float32).reshape(height, width)
    depth[0, :2] = math.nan, math.inf
    return replace(make_depth_frame(index, width=width, height=height), depth=np.roll(depth, index, axis=1))


def write(uri: str, *frames: DepthFrame, overwrite: bool = False) -> None:
    record(uri, frames, overwrite=overwrite)


def test_png_files_hold_millimetres_for_every_reader(tmp_path: Path) -> None:
    frames = [scene(0), scene(7), scene(8, width=8, height=6)]
    write(f"png:{tmp_path}/out", *frames)
    paths = sorted((tmp_path / "out").iterdir())
    assert [p.name for p in paths] == ["depth_000000.png", "depth_000007.png", "depth_000008.png"]
    for path, frame in zip(paths, frames, strict=True):
        expected = to_millimetres(frame.depth)
        assert (cv2.imread(str(path), cv2.IMREAD_UNCHANGED) == expected).all()
        with Image.open(path) as picture:
            assert (np.asarray(picture) == expected).all()
            about = json.loads(picture.text["Depth"])  # type: ignore[attr-defined]
        with av.open(path) as file:
            assert (next(file.decode(video=0)).to_ndarray() == expected).all()
        assert (about["encoding"], about["index"]) == ("mm", frame.capture.index)
        assert about["K"] == frame.camera.matrix.ravel().tolist()


def test_png_files_hold_log_codes(tmp_path: Path) -> None:
    frame = scene(0)
    write(f"png:{tmp_path}/out?encoding=log&min=0.05&max=2000", frame)
    codes = cv2.imread(str(tmp_path / "out" / "depth_000000.png"), cv2.IMREAD_UNCHANGED).astype(np.float64)
    assert codes[0, :2].tolist() == [0, 65535]
    metres = 0.05 * (2000 / 0.05) ** ((codes - 1) / 65533)
    assert (abs(metres / frame.depth - 1)[1:] <= math.log(2000 / 0.05) / (2 * 65533) * 1.02).all()


@pytest.mark.parametrize("kind", ["float", "half"])
@pytest.mark.parametrize("compress", ["none", "rle", "zips", "zip", "piz"])
def test_exr_files_hold_metres(tmp_path: Path, kind: str, compress: str) -> None:
    frames = [scene(3), scene(4, width=8, height=6)]
    write(f"exr:{tmp_path}/out?type={kind}&compress={compress}&channel=depth.Z", *frames)
    for frame in frames:
        path = tmp_path / "out" / f"depth_{frame.capture.index:06d}.exr"
        with OpenEXR.File(str(path), separate_channels=True) as file:
            header = dict(file.header())
            ((channel, content),) = file.channels().items()
            pixels = content.pixels.copy()
        assert channel == "depth.Z"
        expected = frame.depth if kind == "float" else frame.depth.astype(np.float16)
        assert pixels.dtype == expected.dtype
        assert np.array_equal(pixels, expected, equal_nan=True)
        assert header["compression"].name.lower().startswith(compress.replace("none", "no"))
        assert (header["frame"], header["depthUnit"]) == (frame.capture.index, "metre")
        assert header["focalLengthPx"] == pytest.approx(frame.camera.fx)
        assert (header["K"] == frame.camera.matrix).all()
        assert json.loads(header["depthAbout"])["pts"] == frame.capture.pts


def test_npz_files_hold_everything(tmp_path: Path) -> None:
    for query in ("", "?compress=no"):
        write(f"npz:{tmp_path}/out{query}", scene(5), overwrite=True)
        with np.load(tmp_path / "out" / "depth_000005.npz") as arrays:
            assert np.array_equal(arrays["depth"], scene(5).depth, equal_nan=True)
            assert arrays["depth"].dtype == np.float32
            assert (arrays["K"] == scene(5).camera.matrix).all()
            assert (int(arrays["frame"]), float(arrays["time_s"])) == (5, scene(5).capture.time_s)
            assert json.loads(str(arrays["about"]))["pts"] == 5


@pytest.mark.parametrize("scheme", ["png", "exr", "npz"])
def test_nothing_is_replaced_unless_asked(tmp_path: Path, scheme: str) -> None:
    out = tmp_path / "out"
    late = open_sink(f"{scheme}:{out}")
    write(f"{scheme}:{out}", scene(0))
    (file,) = out.iterdir()
    before = file.read_bytes()
    with pytest.raises(SinkError, match=rf"depth_000000\.{scheme} exists; choose another folder or use `overwrite"):
        late.write(scene(0, width=8))
    with pytest.raises(SinkError, match="an earlier frame failed"):
        late.write(scene(1))
    late.close()
    with pytest.raises(SinkError, match="exists; choose another folder"):
        open_sink(f"{scheme}:{out}")
    assert [p.read_bytes() for p in out.iterdir()] == [before]
    for old in ("depth_000007.png", "depth_000007.exr", "depth_7.png"):  # the last is not ours
        (out / old).write_text("of a longer film")
    write(f"{scheme}:{out}", scene(0, width=8), scene(1), overwrite=True)
    assert sorted(p.name for p in out.iterdir()) == [*(f"depth_00000{n}.{scheme}" for n in (0, 1)), "depth_7.png"]
    assert file.read_bytes() != before


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("png:", "names no folder"),
        ("png:a?level=10", "level must be from 0"),
        ("png:a?min=1", "leave them out with millimetres"),
        ("png:a?encoding=log&min=5&max=1", "0 < min < max"),
        ("png:a?encoding=logs", "did you mean 'log'"),
        ("exr:a?channel=Z!", "channel must be"),
        ("exr:a?compress=dwaa", "must be one of none"),
        ("npz:a?level=3", "allowed: compress"),
        ("npz:a%00b", "null byte"),
    ],
)
def test_options_are_checked(uri: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_sink(uri)
    assert message in str(error.value)


def test_folders_are_checked_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(SinkError, match="it is a file; name a folder"):
        open_sink(f"png:{tmp_path}/file", overwrite=True)
    with pytest.raises(SinkError, match="there is no folder"):
        open_sink(f"png:{tmp_path}/missing/out")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


_LIMITED = """
import resource, signal, sys
from sinks import open_sink
from stream.errors import SinkError
from tests.sinks.files.test_sequences import scene
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sink = open_sink(sys.argv[1])
sink.write(scene(0))
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
try:
    sink.write(scene(1, width=600, height=600))
except SinkError as error:
    print(error)
sink.close()
"""


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX resource limits")
@pytest.mark.parametrize("scheme", ["png", "exr", "npz"])
def test_what_cannot_be_written_is_one_line_and_leaves_whole_files(tmp_path: Path, scheme: str) -> None:
    command = [sys.executable, "-c", _LIMITED, f"{scheme}:{tmp_path}/out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert f"depth_000001.{scheme}: the file has become too large for this file system; the files" in done.stdout
    assert [p.name for p in (tmp_path / "out").iterdir()] == [f"depth_000000.{scheme}"]
