"""Damage that decoders hide: torn Motion JPEG, an end that is missing. It is told, and with strict an error."""

from __future__ import annotations

import io
import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from stream.errors import SourceError
from stream.frame import Frame
from stream.sources import SourceConfig, open_source
from stream.sources.damage import is_whole_jpeg

COUNT, RATE = 12, 5


def jpeg(index: int) -> bytes:
    rng = np.random.default_rng(index)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(file, format="JPEG", quality=80)
    return file.getvalue()


def motion_jpeg(path: Path, torn: tuple[int, ...], *, missing: range = range(0)) -> Path:
    """Packets as they are, some of them cut in the middle."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for i in range(COUNT):
            if i in missing:
                continue
            data = jpeg(i)
            packet = av.Packet(data[: len(data) // 2] if i in torn else data)
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, RATE), i, i
            packet.duration, packet.is_keyframe = 1, True
            container.mux(packet)
    return path


def read(path: Path, *, strict: bool = False) -> list[Frame]:
    return list(open_source(str(path), config=SourceConfig(strict=strict)))


def test_torn_pictures_are_used_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = motion_jpeg(tmp_path / "a.mkv", (3, 7))
    with caplog.at_level(logging.WARNING):
        assert len(read(path)) == COUNT
    assert "frame 3 is damaged" in caplog.text
    assert "frames 3, 7 are damaged" in caplog.text
    with pytest.raises(
        SourceError, match=r"frames 3, 7 are damaged; make or copy it again, or leave out `strict=True`"
    ):
        read(path, strict=True)


def test_a_whole_file_is_not_spoken_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(read(motion_jpeg(tmp_path / "a.mkv", ()), strict=True)) == COUNT
    assert not caplog.records


@pytest.mark.parametrize("torn", [True, False])
def test_what_is_lost_in_the_middle_is_told_where_the_file_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, torn: bool
) -> None:
    path = motion_jpeg(tmp_path / "a.mkv", (3,) if torn else (), missing=range(4, 10))
    assert len(read(path)) == COUNT - 6
    assert ("there is no picture for 1.4 s after frame 3" in caplog.text) == torn
    if torn:
        with pytest.raises(
            SourceError, match=r"frame 3 is damaged, there is no picture for 1\.4 s after frame 3; make"
        ):
            read(path, strict=True)


def test_many_torn_pictures_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read(motion_jpeg(tmp_path / "a.mkv", tuple(range(1, 12))))
    assert "frames 1, 2, 3, 4, 5, 6, 7, 8 and 3 more are damaged" in caplog.text


def test_a_jpeg_is_whole_whatever_follows_it() -> None:
    data = jpeg(0)
    assert is_whole_jpeg(data)
    assert is_whole_jpeg(data + b"a film that the phone keeps behind the picture")
    assert not is_whole_jpeg(data[:-2])
    assert not is_whole_jpeg(data[: len(data) // 2])
    thumbnail = b"\xff\xe1" + (len(data) + 2).to_bytes(2, "big") + data
    assert not is_whole_jpeg(data[:2] + thumbnail + data[2 : len(data) // 2]), "the end of a thumbnail is not its own"
    assert is_whole_jpeg(b"\x89PNG\r\n")
