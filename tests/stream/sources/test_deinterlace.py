"""Interlaced video comes without combs, one frame a frame, at its times; other video is left alone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from tests.support import media

HEIGHT, WIDTH, COUNT = 64, 96, 12


def bar(position: float) -> npt.NDArray[np.uint8]:
    """A bright upright bar on grey."""
    picture = np.full((HEIGHT, WIDTH), 60, np.uint8)
    left = round(position)
    picture[:, left : left + 16] = 200
    return picture


def woven(index: int) -> npt.NDArray[np.uint8]:
    """Two fields half a frame apart, the lower one first; the bar moves 6 columns a frame."""
    picture = bar(4 + 6 * index + 3)
    picture[1::2] = bar(4 + 6 * index)[1::2]
    return picture


def combs(luma: npt.NDArray[np.uint8]) -> float:
    """How much neighbouring rows differ."""
    return float(np.abs(np.diff(luma.astype(np.float64), axis=0)).mean())


def write(path: Path, *, interlaced: bool) -> Path:
    with av.open(str(path), "w") as container:
        options = {"x264-params": "bff=1:keyint=1"} if interlaced else {}
        stream = container.add_stream("libx264", rate=25, options={**options, "crf": "5", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if interlaced:
            stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct
        for i in range(COUNT):
            picture = av.VideoFrame.from_ndarray(woven(i) if interlaced else bar(4 + 6 * i), format="gray")
            picture = picture.reformat(format="yuv420p", src_color_range="JPEG", dst_color_range="MPEG")
            picture.pts, picture.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_interlaced_video_has_no_combs(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, interlaced=True)
    with av.open(str(path)) as container:
        stored = list(container.decode(video=0))
        assert all(frame.interlaced_frame for frame in stored)
        before = np.mean([combs(frame.to_ndarray(format="gray")) for frame in stored])
    frames = media.read(path)
    assert [round(f.capture.time_s, 3) for f in frames] == [round(i / 25, 3) for i in range(COUNT)]
    after = np.mean([combs(np.asarray(f.planes[0])[..., 0]) for f in frames])
    assert before > 5
    assert after < before / 4
    for i, frame in enumerate(frames[1:-1], 1):  # of the first field, at its time
        lit = np.flatnonzero(np.asarray(frame.planes[0])[HEIGHT // 2, :, 0] > 130)
        assert abs(lit.min() - (4 + 6 * i)) <= 2


def test_progressive_video_is_passed_on_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", interlaced=False)
    with av.open(str(path)) as container:
        stored = [frame.to_ndarray()[:HEIGHT] for frame in container.decode(video=0)]
    for before, frame in zip(stored, media.read(path), strict=True):
        np.testing.assert_array_equal(np.asarray(frame.planes[0])[..., 0], before)
