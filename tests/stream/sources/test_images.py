"""What is upright, and images: single, in folders, by pattern."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from stream.errors import SourceError
from stream.frame import Frame
from stream.sources import open_source
from stream.sources.exif import Exif
from tests.support import media

# Upright --------------------------------------------------------------------------------------------------------------


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
    return np.rot90(array, k=frame.capture.rotation // 90)


def assert_upright(frame: Frame, size: tuple[int, int] = (media.WIDTH, media.HEIGHT)) -> None:
    image = rgb(frame).astype(int)
    assert (frame.width, frame.height) == (image.shape[1], image.shape[0]) == size
    h, w = image.shape[:2]
    corners = [image[y, x] for y in (h // 4, 3 * h // 4) for x in (w // 4, 3 * w // 4)]
    expected = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
    assert all(np.abs(c - e).max() < 40 for c, e in zip(corners, expected, strict=True)), corners


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotated_video_turns_upright(tmp_path: Path, rotation: int) -> None:
    stored = np.rot90(media.oriented(), k=-rotation // 90)
    (frame,) = media.read(media.write_video(tmp_path / "v.mp4", [stored], pixel_format="yuv444p", rotation=rotation))
    assert frame.capture.rotation == rotation
    assert_upright(frame)


def test_rotation_as_a_phone_writes_it(tmp_path: Path) -> None:
    """A portrait phone clip: the matrix of ISO/IEC 14496-12 maps right to down, a quarter turn clockwise."""
    stored = np.rot90(media.oriented(), k=1)
    matrix = [0, 1 << 16, 0, -(1 << 16), 0, 0, media.WIDTH << 16, 0, 1 << 30]
    (frame,) = media.read(media.write_video(tmp_path / "v.mp4", [stored], pixel_format="yuv444p", matrix=matrix))
    assert frame.capture.rotation == 270
    assert_upright(frame)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_exif_orientation_turns_upright(tmp_path: Path, suffix: str, orientation: int, size: tuple[int, int]) -> None:
    path = tmp_path / f"p.{suffix}"
    media.save_as_camera(path, media.oriented(*size), orientation=orientation)
    (frame,) = media.read(path)
    assert_upright(frame, size)


def test_focal_length_from_exif(tmp_path: Path) -> None:
    # On a 3:2 picture the diagonal and the 36 mm width agree: 24 mm is two thirds of the width.
    media.save_as_camera(tmp_path / "a.jpg", media.oriented(72, 48), focal_35mm=24)
    media.save_as_camera(tmp_path / "b.jpg", media.oriented(48, 72), orientation=6, focal_35mm=24)
    media.save_as_camera(tmp_path / "c.jpg", media.oriented(64, 48), focal_35mm=26)
    media.save_as_camera(tmp_path / "d.jpg", media.oriented(), focal_35mm=0)
    media.save_as_camera(tmp_path / "e.jpg", media.oriented(), focal_35mm=48388)
    media.save_as_camera(tmp_path / "f.jpg", media.oriented())
    focal = [f.focal_px for f in media.read(tmp_path)]
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
    frames = [media.kept(f) for f in source]
    source.close()
    assert [(f.width, f.height) for f in frames] == sizes
    assert [f.capture.pts for f in frames] == [f.capture.index for f in frames] == list(range(6))
    assert [f.capture.time_ns for f in frames] == [i * 40_000_000 for i in range(6)]
    luma = [media.number(f) if f.color_range == "full" else f.capture.index for f in frames]
    assert luma == list(range(6))


@pytest.mark.parametrize("kind", ["float.exr", "half.exr", "a.hdr"])
def test_light_itself_is_shown_by_the_curve_of_displays(tmp_path: Path, kind: str) -> None:
    light = np.linspace(0, 2, 48 * 64 * 3, dtype=np.float32).reshape(48, 64, 3)
    if kind == "a.hdr":
        cv2.imwrite(str(tmp_path / kind), light[..., ::-1])
    else:
        channels = {"RGB": light.astype(np.float16 if kind == "half.exr" else np.float32)}
        with OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, channels) as file:
            file.write(str(tmp_path / kind))
    (frame,) = media.read(tmp_path / kind)
    assert (frame.geometry.format.name, frame.color_range, frame.transfer) == ("rgb24", "full", "sdr")
    linear = np.clip(light, 0, 1).astype(np.float64)
    shown = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    # Radiance keeps eight bits beside a shared exponent.
    assert np.abs(frame.planes[0] - shown).max() <= (8 if kind == "a.hdr" else 0.6)


def test_image_rate_sets_the_clock_of_a_folder(tmp_path: Path) -> None:
    for n in range(3):
        save_numbered(tmp_path / f"{n}.png", n)
    assert [f.capture.time_ns for f in media.read(tmp_path, image_rate=2)] == [0, 500_000_000, 1_000_000_000]


def test_glob(tmp_path: Path) -> None:
    for n in (1, 2, 10):
        save_numbered(tmp_path / f"left{n}.png", n)
        save_numbered(tmp_path / f"right{n}.png", n)
    assert [media.number(f) for f in media.read(tmp_path / "left*.png")] == [1, 2, 10]
    with pytest.raises(SourceError, match="no file has such a name"):
        open_source(str(tmp_path / "up*.png"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no colon in names")
def test_names_that_look_like_patterns_or_protocols(tmp_path: Path) -> None:
    for name in ("shot%03d.png", "a[1].png", "tcp:1.png"):
        save_numbered(tmp_path / name, 4)
        assert [media.number(f) for f in media.read(tmp_path / name)] == [4]
    clip = media.numbered_video(tmp_path / "v.mp4", 2).rename(tmp_path / "http:%d.mp4")
    assert len(media.read(clip)) == 2
    assert len(media.read(clip.as_uri())) == 2


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
    (frame,) = media.read(tmp_path / "p.png")
    assert (frame.geometry.pixel_format, frame.color_range) == (expected, "full")
    assert np.abs(frame.planes[0].astype(int) - (255 if mode == "1" else 200)).max() <= 1


def test_a_broken_picture_in_a_folder_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(3):
        save_numbered(tmp_path / f"{n}.png", n)
    (tmp_path / "1.png").write_bytes(b"broken")
    frames = media.read(tmp_path)
    assert [(f.capture.index, f.capture.pts, media.number(f)) for f in frames] == [(0, 0, 0), (1, 2, 2)]
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "1.png" in caplog.text


def test_a_folder_of_broken_pictures_says_so(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(b"broken")
    frames, error = media.read_until_error(tmp_path)
    assert frames == []
    assert "none of 3 pictures could be read" in str(error)
    assert "0.png" in str(error)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs in folders")
def test_pipes_are_refused_rather_than_waited_for(tmp_path: Path) -> None:
    for name in ("pipe.mp4", "pipe.png"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(SourceError, match=f"{name}: a pipe"):
            open_source(str(tmp_path / name))
    save_numbered(tmp_path / "zero.png", 0)
    assert [media.number(f) for f in media.read(tmp_path)] == [0]


def test_a_name_that_starts_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    save_numbered(tmp_path / "~tilde.png", 3)
    for name in ("~tilde.png", "~/~tilde.png"):
        assert [media.number(f) for f in media.read(name)] == [3]


def test_a_broken_single_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"broken")
    frames, error = media.read_until_error(tmp_path / "p.png")
    assert frames == []
    assert "p.png" in str(error)
