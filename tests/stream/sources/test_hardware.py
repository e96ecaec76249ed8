"""NVIDIA's decoder: the same pictures as the CPU's where there is one, else the CPU and one warning.

Its pictures stay on the card where they can, and come down where somebody needs them on the host.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.codec.hwaccel import HWAccel

from stream.errors import SourceError
from stream.frame import Frame, Geometry
from stream.sources import SourceConfig, hardware, open_source
from stream.sources.address import file_address
from stream.sources.connection import Connection
from tests.support import media
from tests.support.card import Card, CardVideoFrame
from tests.support.process import ROOT


def decoded(path: Path, decode: hardware.Decode) -> list[np.ndarray]:
    return [np.asarray(frame.planes[0][..., 0]).astype(int) for frame in media.read(path, decode=decode)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a decoder")
def test_without_a_decoder_the_cpu_decodes_and_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hardware._is_there.cache_clear()
    path = media.numbered_video(tmp_path / "a.mp4", 5)
    with caplog.at_level(logging.WARNING):
        wanted, plain = decoded(path, "cuda"), decoded(path, "cpu")
        decoded(path, "cuda")
    assert all((a == b).all() for a, b in zip(wanted, plain, strict=True))
    assert caplog.text.count("decoding on the CPU") == 1


@pytest.mark.needs_cuda
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx265"), ("a.avi", "mpeg4")])
def test_nvidias_decoder_gives_the_same_pictures(tmp_path: Path, name: str, codec: str) -> None:
    path = media.write_video(tmp_path / name, [media.numbered(i, 640, 480) for i in range(12)], codec=codec)
    connection = Connection(file_address(path), SourceConfig(decode="cuda"))
    next(connection.packets())
    assert codec == "mpeg4" or connection.stream.codec_context.is_hwaccel
    connection.close()
    for a, b in zip(decoded(path, "cuda"), decoded(path, "cpu"), strict=True):
        assert np.abs(a - b).max() <= 1


def frames_of(path: Path) -> list[Frame]:
    source = open_source(str(path))
    try:
        return list(source)
    finally:
        source.close()


def oriented(path: Path, width: int, height: int, **options: object) -> Path:
    return media.write_video(path, [media.oriented(width, height)] * 3, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", ["nv12", "p010le"])
@pytest.mark.parametrize("rotation", [0, 90])
def test_pictures_stay_on_the_card_and_are_those_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, rotation: int
) -> None:
    path = oriented(tmp_path / "a.mp4", 64, 1100, rotation=rotation)
    with monkeypatch.context() as here:
        Card(here, layout=layout, holds=False)
        expected = frames_of(path)
    card = Card(monkeypatch, layout=layout)
    found = frames_of(path)
    assert len(found) == 3
    assert card.downloads == 0
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.on_device is not None
        assert ours.planes == ()
        assert (ours.geometry, ours.capture.rotation) == (theirs.geometry, rotation)
        assert (ours.geometry.pixel_format, ours.width) == (layout, 1100 if rotation else 64)
        # Not told by the file: a card's format has no colours that it could be guessed from.
        assert (ours.color_space, ours.color_range) == (theirs.color_space, theirs.color_range) == ("bt709", "limited")
        assert ours.luma.shape == (550, 64, 1)
        np.testing.assert_array_equal(ours.luma, theirs.luma)
        down = ours.on_host()
        assert down.on_device is None
        for mine, plane in zip(down.planes, theirs.planes, strict=True):
            np.testing.assert_array_equal(mine, plane)
    assert card.downloads == 3  # each once, for luma and planes
    assert expected[0].on_host() is expected[0]


MIRROR = (-(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize(
    ("layout", "width", "height", "options"),
    [
        ("nv12", 62, 47, {"codec": "ffv1", "pixel_format": "yuv420p"}),
        ("nv12", 63, 48, {"codec": "ffv1", "pixel_format": "yuv420p"}),
        ("yuv444p", 64, 48, {}),
        ("p016le", 64, 48, {}),
        ("nv12", 64, 48, {"matrix": MIRROR}),
    ],
    ids=["odd height", "odd width", "full chroma", "12 bits", "mirrored"],
)
def test_what_cannot_be_handed_over_comes_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, width: int, height: int, options: dict[str, object]
) -> None:
    path = oriented(tmp_path / ("a.mkv" if "codec" in options else "a.mp4"), width, height, **options)
    with monkeypatch.context() as here:
        Card(here, layout=layout, holds=False)
        expected = [media.kept(frame) for frame in frames_of(path)]
    card = Card(monkeypatch, layout=layout)
    found = frames_of(path)
    assert len(found) == card.downloads == 3
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.on_device is None
        assert (ours.geometry, ours.color_range) == (theirs.geometry, theirs.color_range)
        for mine, plane in zip(ours.planes, theirs.planes, strict=True):
            np.testing.assert_array_equal(mine, plane)


def test_interlaced_pictures_come_down_and_so_do_those_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "bff=1:keyint=1", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct
        for index in range(4):
            picture = media.video_frame(media.numbered(index), "yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    card = Card(monkeypatch)
    found = frames_of(path)
    assert [media.number(frame) for frame in found] == [0, 1, 2, 3]
    assert card.downloads == 4
    assert all(frame.on_device is None for frame in found)


def test_a_card_that_fails_while_a_picture_comes_down_is_told_as_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(monkeypatch)
    picture = CardVideoFrame(av.VideoFrame(64, 48, "nv12"), card)

    def fails(**_options: object) -> av.VideoFrame:
        raise av.error.ExternalError(542398533, "Generic error in an external library")

    monkeypatch.setattr(picture, "reformat", fails)
    frame = hardware.CardPicture(picture, Geometry("nv12", 64, 48))  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=r"cannot be brought down from the card: .*external library"):
        frame.download()


def test_pictures_stay_only_where_that_was_asked_for_and_the_context_can_be_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hardware, "_is_there", lambda: True)
    monkeypatch.setattr(hardware, "_shared_context", lambda device: HWAccel("cuda") if device == 1 else None)
    for stay_on, stays in ((None, False), (0, False), (1, True)):
        made = hardware.accelerator("cuda", stay_on=stay_on)
        assert made is not None
        assert (made.is_hw_owned, made.device_id) == (stays, 1 if stays else 0)
    assert hardware.accelerator("auto", stay_on=1) is hardware.accelerator("cpu", stay_on=1) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_a_context_that_cannot_be_shared_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    hardware._shared_context.cache_clear()
    assert hardware._shared_context(0) is hardware._shared_context(0) is None
    assert caplog.text.count("cannot stay on CUDA device 0") == caplog.text.count("\n") == 1


@pytest.mark.parametrize("stay_on", [None, 0])
def test_the_decoder_has_surfaces_for_pictures_that_wait(tmp_path: Path, stay_on: int | None) -> None:
    path = media.numbered_video(tmp_path / "a.mp4", 3)
    connection = Connection(file_address(path), SourceConfig(stay_on=stay_on))
    context = connection.stream.codec_context
    assert context.options == ({} if stay_on is None else {"extra_hw_frames": "6"})
    assert sum(len(connection.decode(packet)) for packet in connection.packets()) + len(connection.decode(None)) == 3
    assert context.options == {}  # FFmpeg knows it
    connection.close()


STAYING = """
import logging, sys
import numpy as np
logging.basicConfig(level=logging.WARNING)
from stream.sources import SourceConfig, open_source
path = sys.argv[1]
config = SourceConfig(decode="cuda", stay_on=0)
sources = [open_source(path, config=config)]  # before the network, as the program does it: it chooses the context
from model.engine.device_slot import DeviceSlot
from sinks import MemorySink
from stream.pipeline import Pipeline, Stream
from tests.support.tiny import make_engine, make_estimator
engine, filled, made = make_engine(device="cuda"), [], []
fill = DeviceSlot.fill
DeviceSlot.fill = lambda slot, frame: filled.append(frame.geometry.pixel_format) or fill(slot, frame)
sources += [open_source(path, config=config), open_source(path, config=SourceConfig(decode="cuda"))]
for source in sources:
    sink = MemorySink()
    estimator = make_estimator(engine=engine, steady="scale", steady_hindsight=3)
    Pipeline(Stream(source=source, estimator=estimator, sinks=[sink])).run()
    made.append(sink.frames)
    print(len(sink.frames), len(filled), sorted(set(filled)))
for once, again, down in zip(*made, strict=True):
    assert once.steady == again.steady == down.steady
    np.testing.assert_array_equal(once.depth, down.depth)
    np.testing.assert_array_equal(again.depth, down.depth)
"""


@pytest.mark.needs_cuda
@pytest.mark.parametrize(("pixel_format", "layout"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
def test_depth_of_pictures_that_stay_on_the_card_is_that_of_those_that_come_down(
    tmp_path: Path, pixel_format: str, layout: str
) -> None:
    """In a process of its own: here torch has chosen how the card's context waits, and FFmpeg may not share it."""
    rng = np.random.default_rng(0)
    pictures = [np.repeat(rng.integers(0, 255, (90, 160, 3), np.uint8), 8, 0).repeat(8, 1) for _ in range(40)]
    path = media.write_video(tmp_path / "a.mkv", pictures, codec="libx265", pixel_format=pixel_format)
    done = subprocess.run([sys.executable, "-c", STAYING, str(path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"40 {count} ['{layout}']" for count in (40, 80, 80)]
    assert "cannot" not in done.stderr
