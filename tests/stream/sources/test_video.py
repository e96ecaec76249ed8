"""Video files against media with known pixels: order, times, damage, and what is left open afterwards."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stream.errors import SourceError
from stream.sources import open_source
from tests.support import media

B_FRAMES = {"x264-params": "bframes=3:b-adapt=0:keyint=12"}


# Order, time and identity ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("options", [{}, B_FRAMES], ids=["default", "b-frames"])
def test_every_frame_in_presentation_order(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    path = media.numbered_video(tmp_path / f"v.{suffix}", 20, options=options)
    frames = media.read(path)
    assert [media.number(f) for f in frames] == list(range(20))
    assert [f.capture.index for f in frames] == list(range(20))
    assert [f.capture.time_ns for f in frames] == pytest.approx([i * 10**8 for i in range(20)], abs=2e6)
    pts = [f.capture.pts for f in frames if f.capture.pts is not None]
    assert len(pts) == 20
    assert np.diff(pts).tolist() == [int(Fraction(1, 10) / frames[0].capture.time_base)] * 19
    assert {f.capture.clock for f in frames} == {"media"}


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
    frames = media.read(path)
    assert [f.capture.pts for f in frames] == pts
    assert [f.capture.time_ns for f in frames] == [p * 10**6 for p in pts]
    assert [media.number(f) for f in frames] == list(range(len(pts)))


def test_elementary_stream_without_timestamps(tmp_path: Path) -> None:
    frames = media.read(media.numbered_video(tmp_path / "v.h264", 8))
    assert [media.number(f) for f in frames] == list(range(8))
    assert all(np.diff([f.capture.time_ns for f in frames]) > 0)


def test_real_clip(street_walk: Path) -> None:
    source = open_source(str(street_walk))
    assert (source.info.frame_count, source.info.frame_rate) == (195, 15)
    frames = list(source)
    assert len(frames) == 195
    assert all(np.diff([f.capture.pts for f in frames if f.capture.pts is not None]) > 0)
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
    frames = media.read(path)
    assert [(f.geometry.width, f.geometry.height) for f in frames] == [p for p in parts for _ in range(4)]
    assert [media.number(f) for f in frames] == list(range(12))


# Damage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_truncated_file_yields_what_it_holds_then_raises(tmp_path: Path, suffix: str) -> None:
    container_options = {"movflags": "faststart"} if suffix == "mp4" else {}
    path = media.noisy_video(tmp_path / f"v.{suffix}", 30, options=B_FRAMES, container_options=container_options)
    media.truncate(path, 0.5)
    with av.open(str(path)) as container:
        whole = sum(1 for p in container.demux(video=0) if p.size and not p.is_corrupt)
    frames, error = media.read_until_error(path)
    assert len(frames) == whole >= 10
    assert "cut short" in str(error)
    assert f"last good frame: {len(frames) - 1}" in str(error)
    assert [f.capture.index for f in frames] == list(range(whole))


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
    frames = media.read(path)
    assert [media.number(f) for f in frames] == [i for i in range(30) if i != 14]
    assert [f.capture.index for f in frames] == list(range(29))
    assert [r.levelname for r in caplog.records] == ["WARNING"]


def test_many_corrupt_packets_are_counted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = media.noisy_video(tmp_path / "v.mkv", options={"x264-params": "keyint=1"})
    for n in (5, 11, 17):
        media.damage_packet(path, n)
    assert len(media.read(path)) == 27
    assert [r.levelname for r in caplog.records] == ["WARNING", "WARNING"]
    assert "3 packets" in caplog.records[-1].getMessage()


def test_nothing_decodable(tmp_path: Path) -> None:
    path = media.noisy_video(tmp_path / "v.mkv", 3, options={"x264-params": "keyint=1"})
    for n in range(3):
        media.damage_packet(path, n)
    frames, error = media.read_until_error(path)
    assert frames == []
    assert "not one frame" in str(error)


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
    assert [media.number(f) for f in frames] == list(range(6))
