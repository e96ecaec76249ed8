"""Pictures with pages, tiles and codecs that FFmpeg does not read whole; half a JPEG."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stream.errors import SourceError
from stream.frame import Frame
from tests.support import media

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)]


def picture(colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (64, 48), colour)


def close(frame: Frame, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(frame.planes[0].reshape(-1, 3).mean(0) - colour).max() < 12)


@pytest.mark.parametrize("name", ["a.tif", "a.webp", "a.png", "a.avif"])
def test_every_page_is_a_frame(tmp_path: Path, name: str) -> None:
    first, *others = map(picture, COLOURS)
    first.save(tmp_path / name, save_all=True, append_images=others, duration=100)
    frames = media.read(tmp_path / name)
    assert [f.capture.index for f in frames] == [f.capture.pts for f in frames] == [0, 1, 2, 3]
    assert all(close(frame, colour) for frame, colour in zip(frames, COLOURS, strict=True))


def test_jpeg_within_tiff_is_not_black(tmp_path: Path) -> None:
    picture(COLOURS[0]).save(tmp_path / "a.tif", compression="jpeg")
    (frame,) = media.read(tmp_path / "a.tif")
    assert close(frame, COLOURS[0])


def test_heic_is_read_whole(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    large = Image.fromarray(np.tile(np.linspace(0, 255, 1100).astype(np.uint8)[None, :, None], (900, 1, 3)))
    large.save(tmp_path / "a.heic", quality=90)
    (frame,) = media.read(tmp_path / "a.heic")
    assert (frame.width, frame.height) == (1100, 900)
    assert frame.planes[0][450, 1090].mean() > 235


def test_heic_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(SourceError, match=r"pip install -e '.\[heif\]'"):
        media.read(tmp_path / "a.heic")


def test_a_folder_takes_every_kind(tmp_path: Path) -> None:
    for name, colour in zip(("1.jp2", "2.avif", "3.gif", "4.png"), COLOURS, strict=True):
        picture(colour).save(tmp_path / name)
    assert len(media.read(tmp_path)) == 4


def test_half_a_jpeg_is_told_and_with_strict_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "1.jpg")
    data = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "2.jpg").write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.WARNING):
        assert len(media.read(tmp_path)) == 2
    assert "frame 1 is damaged" in caplog.text
    with pytest.raises(SourceError, match="frame 1 is damaged"):
        media.read(tmp_path, strict=True)
