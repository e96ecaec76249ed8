"""Times of frames where containers tell them badly, or codecs put them in another order."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stream.sources import SourceConfig
from stream.sources.address import Address
from stream.sources.connection import Connection
from tests.support import media

B_FRAMES = {"bf": "3", "b-adapt": "0"}


def film(path: Path, codec: str, *, rate: int, options: dict[str, str] | None = None) -> Path:
    pictures = [np.full((64, 96, 3), 10 + 9 * i, np.uint8) for i in range(24)]
    return media.write_video(path, pictures, codec=codec, rate=rate, options=options or {})


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("b.avi", "libx264", 24),
        ("b.avi", "mpeg4", 24),
        ("b.mkv", "libx264", 24),
        ("b.ts", "mpeg2video", 24),
        ("raw.h264", "libx264", 24),
        ("raw.h264", "libx264", 30),
        ("raw.h265", "libx265", 24),
        ("raw.h265", "libx265", 30),
        ("raw.m2v", "mpeg2video", 24),
    ],
)
def test_frames_come_in_the_order_and_at_the_rate_they_were_taken(
    tmp_path: Path, name: str, codec: str, rate: int
) -> None:
    options = B_FRAMES if codec != "libx265" else {"x265-params": "log-level=none"}
    frames = media.read(film(tmp_path / name, codec, rate=rate, options=options))
    assert [round(f.capture.time_s, 3) for f in frames] == [round(i / rate, 3) for i in range(24)]
    levels = [float(f.planes[0].mean()) for f in frames]
    assert levels == sorted(levels)


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_a_live_stream_with_b_frames_comes_in_order(tmp_path: Path, codec: str) -> None:
    path = film(tmp_path / "b.ts", codec, rate=24, options=B_FRAMES)
    connection = Connection(Address(target=f"file:{path}", name="live", live=True), SourceConfig())
    shown = [picture for packet in connection.packets() for picture in connection.decode(packet)]
    shown += connection.decode(None)
    connection.close()
    times = [picture.pts * (picture.time_base or Fraction(1)) for picture in shown]
    assert len(times) >= 23
    assert times == sorted(set(times))
    levels = [float(picture.to_ndarray(format="gray").mean()) for picture in shown]
    assert levels == sorted(levels)


def test_a_damaged_packet_of_an_avi_moves_no_other_frame(tmp_path: Path) -> None:
    path = media.noisy_video(tmp_path / "a.avi", 24, codec="libx264", options=B_FRAMES)
    whole = {f.capture.time_ns: media.number(f) for f in media.read(path)}
    media.damage_packet(path, 10)
    hurt = media.read(path)
    assert len(hurt) >= 20
    assert all(whole[f.capture.time_ns] == media.number(f) for f in hurt[:8])
