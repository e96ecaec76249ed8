"""Every pixel layout that a decoder gives, and what colours its numbers mean."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from stream.frame import PIXEL_FORMATS
from stream.sources import open_source
from stream.sources.unpack import Unpacker, nearest_format
from tests.support import media

# Layouts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "stored", "delivered", "suffix"),
    [
        ("libx264", "yuv420p", "yuv420p", "mp4"),
        ("libx264", "yuv422p", "yuv422p", "mp4"),
        ("libx264", "yuv444p", "yuv444p", "mp4"),
        ("libx264", "yuv420p10le", "yuv420p10le", "mp4"),
        ("libx265", "yuv420p12le", "yuv420p10le", "mp4"),
        ("libx265", "yuv444p12le", "yuv444p10le", "mp4"),
        ("ffv1", "yuv410p", "yuv420p", "mkv"),
        ("ffv1", "yuv411p", "yuv422p", "mkv"),
        ("ffv1", "yuv440p", "yuv444p", "mkv"),
        ("ffv1", "yuva420p", "yuv420p", "mkv"),
        ("rawvideo", "yuyv422", "yuv422p", "nut"),
        ("rawvideo", "nv12", "nv12", "nut"),
    ],
)
def test_yuv_layouts(tmp_path: Path, codec: str, stored: str, delivered: str, suffix: str) -> None:
    path = media.numbered_video(tmp_path / f"v.{suffix}", 6, codec=codec, pixel_format=stored)
    frames = media.read(path)
    assert {f.geometry.pixel_format for f in frames} == {delivered}
    assert {(f.color_space, f.color_range) for f in frames} == {("bt601", "limited")}
    assert [media.number(f) for f in frames] == list(range(6))


@pytest.mark.parametrize(
    ("layout", "delivered"), [("p010le", "p010le"), ("p012le", "yuv420p10le"), ("p016le", "p010le")]
)
def test_semi_planar_deep_layouts_keep_their_values(layout: str, delivered: str) -> None:
    frame = av.VideoFrame(63, 47, layout)
    for plane, value in zip(frame.planes, (700 << 6, 300 << 6), strict=True):
        plane.update(np.full(plane.buffer_size // 2, value, "<u2").tobytes())
    picture = Unpacker().unpack(frame)
    assert picture.geometry.pixel_format == delivered
    shift = 6 if delivered == "p010le" else 0
    assert [np.unique(p >> shift).tolist() for p in picture.planes] == [[700], *[[300]] * (len(picture.planes) - 1)]


@pytest.mark.parametrize("stored", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_full_range_jpeg_layouts_are_relabelled_not_converted(tmp_path: Path, stored: str) -> None:
    frame = av.VideoFrame(media.WIDTH, media.HEIGHT, stored)
    for plane, value in zip(frame.planes, (250, 90, 200), strict=True):  # 250 would not survive a range conversion
        plane.update(bytes([value]) * plane.buffer_size)
    frame.color_range = 2
    path = media.write_video(tmp_path / "v.avi", [frame], codec="mjpeg", pixel_format=stored, color_range=2)
    (out,) = media.read(path)
    assert (out.geometry.pixel_format, out.color_range) == (stored.replace("yuvj", "yuv"), "full")
    assert [round(float(p.mean())) for p in out.planes] == pytest.approx([250, 90, 200], abs=2)


@pytest.mark.parametrize("stored", ["bgr24", "rgba", "gbrp", "bgr0"])
def test_rgb_layouts_become_rgb24(tmp_path: Path, stored: str) -> None:
    pixels = av.VideoFrame.from_ndarray(media.oriented()).reformat(format=stored)
    (frame,) = media.read(media.write_video(tmp_path / "v.nut", [pixels], codec="rawvideo", pixel_format=stored))
    assert (frame.geometry.pixel_format, frame.color_range) == ("rgb24", "full")
    assert np.array_equal(frame.planes[0], media.oriented())


@pytest.mark.parametrize("stored", ["gray", "gray10le", "gray16le"])
def test_gray_layouts_become_gray(tmp_path: Path, stored: str) -> None:
    pixels = av.VideoFrame.from_ndarray(media.numbered(9)).reformat(format=stored)
    (frame,) = media.read(media.write_video(tmp_path / "v.mkv", [pixels], codec="ffv1", pixel_format=stored))
    assert (frame.geometry.pixel_format, frame.color_range) == ("gray", "full")
    assert media.number(frame) == 9


def test_every_layout_of_ffmpeg_maps_to_one_of_ours() -> None:
    names = {f for codec in ("ffv1", "libx264", "png", "mjpeg", "tiff") for f in _formats_of(codec)} | _RAW
    assert len(names) > 60
    assert {nearest_format(av.VideoFormat(n, 64, 48)) for n in names} <= set(PIXEL_FORMATS)


def _formats_of(codec: str) -> list[str]:
    return [f.name for f in av.Codec(codec, "w").video_formats or ()]


_RAW = {
    *("yuyv422", "uyvy422", "nv21", "nv16", "nv24", "y210le", "p012le"),
    *("monow", "monob", "ya8", "ya16be", "bgr8", "xyz12le"),
}


@pytest.mark.parametrize("size", [(63, 47), (33, 48), (64, 35), (17, 1), (1, 1)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    path = media.write_video(tmp_path / "v.mkv", [media.numbered(5, width, height)], codec="ffv1")
    (frame,) = media.read(path)
    chroma = (-(-height // 2), -(-width // 2), 1)
    assert [p.shape for p in frame.planes] == [(height, width, 1), chroma, chroma]
    assert media.number(frame) == 5
    assert all(float(p.mean()) == pytest.approx(128, abs=1) for p in frame.planes[1:])


def test_planes_are_views_of_the_decoders_memory(tmp_path: Path) -> None:
    source = open_source(str(media.write_video(tmp_path / "v.mp4", [media.numbered(3, 50, 48)])))
    luma = next(iter(source)).planes[0]
    assert luma.base is not None
    assert luma.strides[0] > 50  # the decoder pads its rows; a copy would not
    source.close()


@pytest.mark.parametrize(
    ("size", "tags", "expected"),
    [
        ((64, 48), {}, ("bt601", "limited")),
        ((1280, 32), {}, ("bt709", "limited")),
        ((32, 720), {}, ("bt709", "limited")),
        ((64, 48), {"colorspace": 1}, ("bt709", "limited")),
        ((64, 48), {"colorspace": 9}, ("bt2020", "limited")),
        ((1280, 32), {"colorspace": 6}, ("bt601", "limited")),
        ((64, 48), {"color_range": 2, "colorspace": 1}, ("bt709", "full")),
    ],
)
def test_color_tags_and_what_is_assumed_without(
    tmp_path: Path, size: tuple[int, int], tags: dict[str, int], expected: tuple[str, str]
) -> None:
    frame = av.VideoFrame(*size, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    frame.colorspace, frame.color_range = tags.get("colorspace", 2), tags.get("color_range", 0)
    (out,) = media.read(media.write_video(tmp_path / "v.mp4", [frame], **tags))
    assert (out.color_space, out.color_range) == expected


def test_unpacker_follows_changing_layouts() -> None:
    unpacker = Unpacker()
    for layout in ("yuv420p12le", "rgba", "gray16le", "yuyv422", "yuv420p12le"):
        picture = unpacker.unpack(media.video_frame(media.numbered(7), layout))
        assert picture.geometry.pixel_format == nearest_format(av.VideoFormat(layout, 64, 48))


@pytest.mark.parametrize(("code", "transfer"), [(16, "pq"), (18, "hlg"), (1, "sdr"), (2, "sdr"), (14, "sdr")])
def test_what_code_values_mean_is_told(code: int, transfer: str) -> None:
    frame = av.VideoFrame(32, 16, "yuv420p10le")
    frame.color_trc = code
    assert Unpacker().unpack(frame).transfer == transfer
