"""Sources against media with known pixels, and against what people really type."""

from __future__ import annotations

import contextlib
import functools
import http.server
import logging
import shutil
import threading
import time
import traceback
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from stream.errors import ConfigError, SourceError
from stream.frame import PIXEL_FORMATS, Frame
from stream.sources import SourceConfig, open_source
from stream.sources.address import camera_address, file_address, network_address, redact
from stream.sources.boundary import source_error
from stream.sources.exif import Exif
from stream.sources.picture import Unpacker, nearest_format
from tests import media

B_FRAMES = {"x264-params": "bframes=3:b-adapt=0:keyint=12"}


def read(uri: Path | str, **options: Any) -> list[Frame]:
    """All frames with copied planes, since a frame's own are valid until the next one only."""
    source = open_source(str(uri), config=SourceConfig(**options))
    try:
        return [_kept(f) for f in source]
    finally:
        source.close()


def _kept(frame: Frame) -> Frame:
    values = {name: getattr(frame, name) for name in Frame.__slots__}
    return Frame(**{**values, "planes": tuple(p.copy() for p in frame.planes)})


def read_until_error(uri: Path | str) -> tuple[list[Frame], SourceError]:
    frames = []
    source = open_source(str(uri))
    with pytest.raises(SourceError) as caught:
        frames.extend(_kept(f) for f in source)
    source.close()
    return frames, caught.value


def number(frame: Frame) -> int:
    """The number a frame of ``media.numbered`` shows."""
    value = float(frame.planes[0].mean()) / 2 ** (frame.geometry.format.bits - 8)
    if frame.color_range == "limited":
        value = (value - 16) * 255 / 219
    return round((value - media.level(0)) / media.STEP)


def rgb(frame: Frame) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Decoded picture as ``uint8 [H, W, 3]``, turned upright."""
    g = frame.geometry
    picture = av.VideoFrame(g.width, g.height, g.pixel_format)
    for plane, values in zip(picture.planes, frame.planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        flat = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
        rows[:, : flat.shape[1]] = flat
        plane.update(rows.tobytes())
    array = picture.to_ndarray(
        format="rgb24", src_color_range=2 if frame.color_range == "full" else 1, dst_color_range=2
    )
    return np.rot90(array, k=frame.rotation // 90)


def assert_upright(frame: Frame, size: tuple[int, int] = (media.WIDTH, media.HEIGHT)) -> None:
    image = rgb(frame).astype(int)
    assert (frame.width, frame.height) == (image.shape[1], image.shape[0]) == size
    h, w = image.shape[:2]
    corners = [image[y, x] for y in (h // 4, 3 * h // 4) for x in (w // 4, 3 * w // 4)]
    expected = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
    assert all(np.abs(c - e).max() < 40 for c, e in zip(corners, expected, strict=True)), corners


# Order, time and identity ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("options", [{}, B_FRAMES], ids=["default", "b-frames"])
def test_every_frame_in_presentation_order(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    path = media.numbered_video(tmp_path / f"v.{suffix}", 20, options=options)
    frames = read(path)
    assert [number(f) for f in frames] == list(range(20))
    assert [f.index for f in frames] == list(range(20))
    assert [f.capture_time_ns for f in frames] == pytest.approx([i * 10**8 for i in range(20)], abs=2e6)
    pts = [f.pts for f in frames if f.pts is not None]
    assert len(pts) == 20
    assert np.diff(pts).tolist() == [int(Fraction(1, 10) / frames[0].time_base)] * 19
    assert {f.clock for f in frames} == {"media"}


def test_info_of_a_file(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv"):  # one counts its frames, the other has to be computed
        path = media.numbered_video(tmp_path / f"v.{suffix}", 20)
        source = open_source(str(path))
        assert (source.info.live, source.info.frame_rate, source.info.frame_count) == (False, 10, 20)
        assert source.info.name == str(path)
        source.close()


def test_variable_frame_rate_keeps_the_timestamps_of_the_container(tmp_path: Path) -> None:
    pts = [0, 40, 50, 250, 1000, 1001, 1400, 2500]
    images = [media.numbered(i) for i in range(len(pts))]
    path = media.write_video(tmp_path / "vfr.mkv", images, pts=pts, time_base=Fraction(1, 1000))
    frames = read(path)
    assert [f.pts for f in frames] == pts
    assert [f.capture_time_ns for f in frames] == [p * 10**6 for p in pts]
    assert [number(f) for f in frames] == list(range(len(pts)))


def test_elementary_stream_without_timestamps(tmp_path: Path) -> None:
    frames = read(media.numbered_video(tmp_path / "v.h264", 8))
    assert [number(f) for f in frames] == list(range(8))
    assert all(np.diff([f.capture_time_ns for f in frames]) > 0)


def test_real_clip(street_walk: Path) -> None:
    source = open_source(str(street_walk))
    assert (source.info.frame_count, source.info.frame_rate) == (195, 15)
    frames = list(source)
    assert len(frames) == 195
    assert all(np.diff([f.pts for f in frames if f.pts is not None]) > 0)
    assert frames[0].geometry.plane_shapes == ((720, 1280, 1), (360, 640, 1), (360, 640, 1))
    assert (frames[0].color_space, frames[0].color_range) == ("bt709", "limited")


def test_resolution_may_change_within_a_stream(tmp_path: Path) -> None:
    parts = [(64, 48), (96, 80), (32, 32)]
    joined = b""
    for n, (width, height) in enumerate(parts):
        images = [media.numbered(4 * n + i, width, height) for i in range(4)]
        joined += media.write_video(tmp_path / f"{n}.h264", images).read_bytes()
    path = tmp_path / "joined.h264"
    path.write_bytes(joined)
    frames = read(path)
    assert [(f.geometry.width, f.geometry.height) for f in frames] == [p for p in parts for _ in range(4)]
    assert [number(f) for f in frames] == list(range(12))


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
    frames = read(path)
    assert {f.geometry.pixel_format for f in frames} == {delivered}
    assert {(f.color_space, f.color_range) for f in frames} == {("bt601", "limited")}
    assert [number(f) for f in frames] == list(range(6))


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
    (out,) = read(path)
    assert (out.geometry.pixel_format, out.color_range) == (stored.replace("yuvj", "yuv"), "full")
    assert [round(float(p.mean())) for p in out.planes] == pytest.approx([250, 90, 200], abs=2)


@pytest.mark.parametrize("stored", ["bgr24", "rgba", "gbrp", "bgr0"])
def test_rgb_layouts_become_rgb24(tmp_path: Path, stored: str) -> None:
    pixels = av.VideoFrame.from_ndarray(media.oriented()).reformat(format=stored)
    (frame,) = read(media.write_video(tmp_path / "v.nut", [pixels], codec="rawvideo", pixel_format=stored))
    assert (frame.geometry.pixel_format, frame.color_range) == ("rgb24", "full")
    assert np.array_equal(frame.planes[0], media.oriented())


@pytest.mark.parametrize("stored", ["gray", "gray10le", "gray16le"])
def test_gray_layouts_become_gray(tmp_path: Path, stored: str) -> None:
    pixels = av.VideoFrame.from_ndarray(media.numbered(9)).reformat(format=stored)
    (frame,) = read(media.write_video(tmp_path / "v.mkv", [pixels], codec="ffv1", pixel_format=stored))
    assert (frame.geometry.pixel_format, frame.color_range) == ("gray", "full")
    assert number(frame) == 9


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
    (frame,) = read(path)
    chroma = (-(-height // 2), -(-width // 2), 1)
    assert [p.shape for p in frame.planes] == [(height, width, 1), chroma, chroma]
    assert number(frame) == 5
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
    (out,) = read(media.write_video(tmp_path / "v.mp4", [frame], **tags))
    assert (out.color_space, out.color_range) == expected


# Upright --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotated_video_turns_upright(tmp_path: Path, rotation: int) -> None:
    stored = np.rot90(media.oriented(), k=-rotation // 90)
    (frame,) = read(media.write_video(tmp_path / "v.mp4", [stored], pixel_format="yuv444p", rotation=rotation))
    assert frame.rotation == rotation
    assert_upright(frame)


def test_rotation_as_a_phone_writes_it(tmp_path: Path) -> None:
    """A portrait phone clip: the matrix of ISO/IEC 14496-12 maps right to down, a quarter turn clockwise."""
    stored = np.rot90(media.oriented(), k=1)
    matrix = [0, 1 << 16, 0, -(1 << 16), 0, 0, media.WIDTH << 16, 0, 1 << 30]
    (frame,) = read(media.write_video(tmp_path / "v.mp4", [stored], pixel_format="yuv444p", matrix=matrix))
    assert frame.rotation == 270
    assert_upright(frame)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_exif_orientation_turns_upright(tmp_path: Path, suffix: str, orientation: int, size: tuple[int, int]) -> None:
    path = tmp_path / f"p.{suffix}"
    save_as_camera(path, media.oriented(*size), orientation=orientation)
    (frame,) = read(path)
    assert_upright(frame, size)


def save_as_camera(path: Path, upright: media.Pixels, *, orientation: int = 1, focal_35mm: Any = None) -> None:
    """Store ``upright`` as a camera held so that it writes ``orientation`` would."""
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    image = Image.fromarray(upright)
    if orientation in turns:
        image = image.transpose(turns[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    if focal_35mm is not None:
        exif.get_ifd(0x8769)[0xA405] = focal_35mm
    image.save(path, exif=exif, quality=95)


def test_focal_length_from_exif(tmp_path: Path) -> None:
    # On a 3:2 picture the diagonal and the 36 mm width agree: 24 mm is two thirds of the width.
    save_as_camera(tmp_path / "a.jpg", media.oriented(72, 48), focal_35mm=24)
    save_as_camera(tmp_path / "b.jpg", media.oriented(48, 72), orientation=6, focal_35mm=24)
    save_as_camera(tmp_path / "c.jpg", media.oriented(64, 48), focal_35mm=26)
    save_as_camera(tmp_path / "d.jpg", media.oriented(), focal_35mm=0)
    save_as_camera(tmp_path / "e.jpg", media.oriented(), focal_35mm=48388)
    save_as_camera(tmp_path / "f.jpg", media.oriented())
    focal = [f.focal_px for f in read(tmp_path)]
    assert focal == [
        pytest.approx(48.0),
        pytest.approx(48.0),
        pytest.approx(26 * 80 / 43.2666, rel=1e-5),
        None,
        None,
        None,
    ]
    assert Exif(focal_35mm=50).focal_px(3024, 4032) == Exif(focal_35mm=50).focal_px(4032, 3024)


# Pictures -------------------------------------------------------------------------------------------------------------


def save_numbered(path: Path, index: int, size: tuple[int, int] = (64, 48)) -> None:
    Image.fromarray(media.numbered(index, *size)).save(path)


def test_folder_in_natural_order_with_mixed_sizes_and_formats(tmp_path: Path) -> None:
    names = ["img1.png", "img2.jpg", "img9.PNG", "img10.bmp", "img11.tiff", "img100.webp"]
    sizes = [(64, 48), (32, 24), (63, 47), (64, 48), (16, 16), (64, 48)]
    for n, (name, size) in enumerate(zip(names, sizes, strict=True)):
        save_numbered(tmp_path / name, n, size)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._img1.png").write_bytes(b"left by macOS")
    source = open_source(str(tmp_path))
    assert (source.info.frame_count, source.info.frame_rate, source.info.live) == (6, 25, False)
    frames = [_kept(f) for f in source]
    source.close()
    assert [(f.width, f.height) for f in frames] == sizes
    assert [f.pts for f in frames] == [f.index for f in frames] == list(range(6))
    assert [f.capture_time_ns for f in frames] == [i * 40_000_000 for i in range(6)]
    luma = [number(f) if f.color_range == "full" else f.index for f in frames]
    assert luma == list(range(6))


def test_image_rate_sets_the_clock_of_a_folder(tmp_path: Path) -> None:
    for n in range(3):
        save_numbered(tmp_path / f"{n}.png", n)
    assert [f.capture_time_ns for f in read(tmp_path, image_rate=2)] == [0, 500_000_000, 1_000_000_000]


def test_glob(tmp_path: Path) -> None:
    for n in (1, 2, 10):
        save_numbered(tmp_path / f"left{n}.png", n)
        save_numbered(tmp_path / f"right{n}.png", n)
    assert [number(f) for f in read(tmp_path / "left*.png")] == [1, 2, 10]
    with pytest.raises(SourceError, match="matches no pictures"):
        open_source(str(tmp_path / "up*.png"))


def test_names_that_look_like_patterns_or_protocols(tmp_path: Path) -> None:
    for name in ("shot%03d.png", "a[1].png", "tcp:1.png"):
        save_numbered(tmp_path / name, 4)
        assert [number(f) for f in read(tmp_path / name)] == [4]
    clip = media.numbered_video(tmp_path / "v.mp4", 2).rename(tmp_path / "http:%d.mp4")
    assert len(read(clip)) == 2
    assert len(read(clip.as_uri())) == 2


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("RGBA", "rgb24"), ("P", "rgb24"), ("L", "gray"), ("LA", "gray"), ("I;16", "gray"), ("1", "gray")],
)
def test_png_layouts(tmp_path: Path, mode: str, expected: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((48, 64), 200 << 8, np.uint16))
    else:
        image = Image.new("RGB", (64, 48), (200, 200, 200))
        image = image.quantize() if mode == "P" else image.convert(mode, dither=Image.Dither.NONE)
    image.save(tmp_path / "p.png")
    (frame,) = read(tmp_path / "p.png")
    assert (frame.geometry.pixel_format, frame.color_range) == (expected, "full")
    assert np.abs(frame.planes[0].astype(int) - (255 if mode == "1" else 200)).max() <= 1


def test_a_broken_picture_in_a_folder_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(3):
        save_numbered(tmp_path / f"{n}.png", n)
    (tmp_path / "1.png").write_bytes(b"broken")
    frames = read(tmp_path)
    assert [(f.index, f.pts, number(f)) for f in frames] == [(0, 0, 0), (1, 2, 2)]
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "1.png" in caplog.text


def test_a_broken_single_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"broken")
    frames, error = read_until_error(tmp_path / "p.png")
    assert frames == []
    assert "p.png" in str(error)


# Damage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_truncated_file_yields_what_it_holds_then_raises(tmp_path: Path, suffix: str) -> None:
    container_options = {"movflags": "faststart"} if suffix == "mp4" else {}
    path = media.noisy_video(tmp_path / f"v.{suffix}", 30, options=B_FRAMES, container_options=container_options)
    media.truncate(path, 0.5)
    with av.open(str(path)) as container:
        whole = sum(1 for p in container.demux(video=0) if p.size and not p.is_corrupt)
    frames, error = read_until_error(path)
    assert len(frames) == whole >= 10
    assert "cut short" in str(error)
    assert f"last good frame: {len(frames) - 1}" in str(error)
    assert [f.index for f in frames] == list(range(whole))


def test_mp4_without_index(tmp_path: Path) -> None:
    path = media.noisy_video(tmp_path / "v.mp4")
    media.truncate(path, 0.5)
    with pytest.raises(SourceError, match="without its index"):
        open_source(str(path))


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mjpeg")])
def test_a_corrupt_packet_costs_its_own_frame(
    tmp_path: Path, suffix: str, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"x264-params": "keyint=1"} if codec == "libx264" else {}
    layout = "yuv420p" if codec == "libx264" else "yuvj420p"
    path = media.noisy_video(tmp_path / f"v.{suffix}", codec=codec, pixel_format=layout, options=options)
    media.damage_packet(path, 14)
    frames = read(path)
    assert [number(f) for f in frames] == [i for i in range(30) if i != 14]
    assert [f.index for f in frames] == list(range(29))
    assert [r.levelname for r in caplog.records] == ["WARNING"]


def test_many_corrupt_packets_are_counted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = media.noisy_video(tmp_path / "v.mkv", options={"x264-params": "keyint=1"})
    for n in (5, 11, 17):
        media.damage_packet(path, n)
    assert len(read(path)) == 27
    assert [r.levelname for r in caplog.records] == ["WARNING", "WARNING"]
    assert "3 packets" in caplog.records[-1].getMessage()


def test_nothing_decodable(tmp_path: Path) -> None:
    path = media.noisy_video(tmp_path / "v.mkv", 3, options={"x264-params": "keyint=1"})
    for n in range(3):
        media.damage_packet(path, n)
    frames, error = read_until_error(path)
    assert frames == []
    assert "not one frame" in str(error)


# What people get wrong ------------------------------------------------------------------------------------------------


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    (tmp_path / "text.txt").write_text("hello\n" * 100)
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "folder").mkdir()
    cases = {
        str(media.write_audio(tmp_path / "tone.wav")): "sound only",
        str(tmp_path / "empty.mp4"): "empty",
        str(tmp_path / "text.mp4"): "not a video",
        str(tmp_path / "text.txt"): "not a video",
        str(tmp_path / "drawing.svg"): "no decoder",
        str(tmp_path / "missing.mp4"): "no such file",
        str(tmp_path / "folder"): "no pictures",
        "webcam:93": "no such camera",
        "/dev/video93": "no such camera",
        "gopher://host/video": "cannot read gopher://",
    }
    for uri, message in cases.items():
        with pytest.raises(SourceError) as caught:
            open_source(uri)
        assert message in str(caught.value), uri
        assert "\n" not in str(caught.value)
        assert Path(uri).name in str(caught.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (av.error.PermissionError(13, "Permission denied", "x"), "permission denied"),
        (av.error.HTTPUnauthorizedError(1, "Server returned 401", "x"), "user name and password"),
        (av.error.HTTPNotFoundError(1, "Server returned 404", "x"), "404"),
        (av.error.ExitError(1, "Immediate exit requested", "x"), "no data in time"),
        (av.error.OSError(5, "Input/output error", "x"), "Input/output error"),
    ],
)
def test_ffmpeg_errors_become_advice(error: av.FFmpegError, message: str) -> None:
    address = network_address("rtsp://user:hunter2@host/s", SourceConfig())
    translated = source_error(error, address)
    assert message in str(translated)
    assert "hunter2" not in str(translated) + str(error) + repr(error)


@pytest.mark.parametrize(
    "uri",
    [
        "rtsp://user:hunter2@127.0.0.1:{port}/stream",
        "rtsp://hunter2@127.0.0.1:{port}/stream",
        "http://user:hunter2@127.0.0.1:{port}/v.mp4?token=hunter2&channel=3",
        "http://127.0.0.1:{port}/v.mp4?channel=3&API_KEY=hunter2&x=1#password=hunter2",
        "rtsp://127.0.0.1:{port}/user=admin_password=hunter2_channel=1.sdp",
    ],
)
def test_credentials_are_never_shown(uri: str, closed_port: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SourceError) as caught:
        open_source(uri.format(port=closed_port), config=SourceConfig(open_timeout_s=2))
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(caught.value.__cause__)
    assert caught.value.__cause__ is not None
    assert "hunter2" not in shown
    assert str(closed_port) in str(caught.value)


def test_redact_keeps_what_tells_cameras_apart() -> None:
    assert redact("rtsp://u:p@ss@[::1]:554/cam?channel=1&subtype=0") == "rtsp://***@[::1]:554/cam?channel=1&subtype=0"
    assert redact("rtsp://u:pass/word@host/cam") == "rtsp://***@host/cam"
    assert redact("http://host/a@b.mp4") == "http://host/a@b.mp4"
    assert redact("http://h/v?X-Amz-Signature=abc&t=1") == "http://h/v?X-Amz-Signature=***&t=1"
    assert redact("/home/me/token=1.mp4") == "/home/me/token=1.mp4"
    assert "secret" not in repr(network_address("rtsp://u:secret@h/", SourceConfig()))


def test_config_rejects_nonsense() -> None:
    for options in ({"open_timeout_s": 0}, {"image_rate": -1}, {"rtsp_transport": "pigeon"}, {"camera_size": (0, 1)}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            SourceConfig(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("uri", "platform", "target", "format"),
    [
        ("webcam:0", "linux", "/dev/video0", "v4l2"),
        ("webcam:2", "linux", "/dev/video2", "v4l2"),
        ("webcam", "linux", "/dev/video0", "v4l2"),
        ("/dev/video3", "linux", "/dev/video3", "v4l2"),
        ("webcam:1", "darwin", "1:none", "avfoundation"),
        ("webcam:HD Camera", "win32", "video=HD Camera", "dshow"),
    ],
)
def test_cameras_of_each_platform(uri: str, platform: str, target: str, format: str) -> None:
    config = SourceConfig(camera_size=(1280, 720), camera_rate=30)
    address = camera_address(uri, config, platform)
    assert (address.target, address.format, address.live) == (target, format, True)
    assert address.options["video_size"] == "1280x720"
    assert address.options["framerate"] == "30"


# Network --------------------------------------------------------------------------------------------------------------


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; ``/live.mjpg`` is a camera that sends five pictures and hangs up, ``/silent`` says nothing."""

    def do_GET(self) -> None:
        if self.path == "/locked":
            self.send_error(401)
        elif self.path == "/silent":
            time.sleep(1)
        elif self.path == "/live.mjpg":
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=part")
            self.end_headers()
            for n in range(5):
                jpeg = (Path(self.directory) / f"{n}.jpg").read_bytes()
                self.wfile.write(b"--part\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
                self.wfile.write(jpeg + b"\r\n")
        else:
            super().do_GET()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the reader had enough
            super().copyfile(source, outputfile)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(_Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def closed_port() -> int:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as httpd:
        return int(httpd.server_address[1])


def test_file_over_http_is_a_file(tmp_path: Path, server: str) -> None:
    media.numbered_video(tmp_path / "v.mp4", 20, container_options={"movflags": "faststart"})
    source = open_source(f"{server}/v.mp4?token=hunter2")
    assert (source.info.live, source.info.frame_count) == (False, 20)
    assert source.info.name == f"{server}/v.mp4?token=***"
    assert [number(f) for f in source] == list(range(20))
    source.close()


def test_picture_over_http_is_a_file(tmp_path: Path, server: str) -> None:
    save_as_camera(tmp_path / "p.jpg", media.oriented())
    source = open_source(f"{server}/p.jpg")
    assert not source.info.live
    assert len(list(source)) == 1
    source.close()


def test_mjpeg_camera_over_http_is_live(tmp_path: Path, server: str) -> None:
    for n in range(5):
        Image.fromarray(media.numbered(n)).save(tmp_path / f"{n}.jpg", quality=95)
    before = time.monotonic_ns()
    source = open_source(f"{server}/live.mjpg")
    assert (source.info.live, source.info.frame_count) == (True, None)
    frames = []
    with pytest.raises(SourceError, match="last good frame: 4"):
        frames.extend(_kept(f) for f in source)
    source.close()
    assert [number(f) for f in frames] == list(range(5))
    assert {f.clock for f in frames} == {"host-monotonic"}
    times = [f.capture_time_ns for f in frames]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= time.monotonic_ns()


def test_http_errors(server: str) -> None:
    for path, message in (("locked", "401"), ("nowhere.mp4", "404")):
        with pytest.raises(SourceError, match=message):
            open_source(f"{server}/{path}")


def test_a_silent_server_times_out(server: str) -> None:
    start = time.monotonic()
    with pytest.raises(SourceError, match="no data in time"):
        open_source(f"{server}/silent", config=SourceConfig(open_timeout_s=0.3))
    assert time.monotonic() - start < 1


# Cleaning up ----------------------------------------------------------------------------------------------------------


def open_files(path: Path) -> int:
    return sum(fd.resolve() == path for fd in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_no_file_stays_open(tmp_path: Path) -> None:
    path = media.numbered_video(tmp_path / "v.mp4", 5).resolve()
    source = open_source(str(path))
    assert open_files(path) == 1
    iterator = iter(source)
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]  # given up half way
    assert open_files(path) == 0
    source.close()
    source.close()

    list(open_source(str(path)))  # read to the end and forgotten
    assert open_files(path) == 0
    with pytest.raises(SourceError):
        open_source(str(media.write_audio(tmp_path / "a.wav")))
    assert open_files(tmp_path / "a.wav") == 0
    open_source(str(path)).close()
    assert open_files(path) == 0


def test_frames_outlive_their_source(tmp_path: Path) -> None:
    source = open_source(str(media.numbered_video(tmp_path / "v.mp4", 6)))
    frames = list(source)
    source.close()
    del source
    shutil.rmtree(tmp_path)
    assert [number(f) for f in frames] == list(range(6))


def test_unpacker_follows_changing_layouts() -> None:
    unpacker = Unpacker()
    for layout in ("yuv420p12le", "rgba", "gray16le", "yuyv422", "yuv420p12le"):
        picture = unpacker.unpack(media.video_frame(media.numbered(7), layout))
        assert picture.geometry.pixel_format == nearest_format(av.VideoFormat(layout, 64, 48))


def test_local_addresses_survive_ffmpegs_reading_of_names() -> None:
    assert file_address(Path("a:b%d.png")).target == "file:a:b%d.png"


def test_demo_needs_no_input() -> None:
    source = open_source("demo")
    assert not source.info.live
    assert next(iter(source)).geometry.pixel_format == "rgb24"
    source.close()
