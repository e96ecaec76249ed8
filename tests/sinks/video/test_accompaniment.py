"""Sound, subtitles and chapters of a source arrive in a preview packet by packet."""

from __future__ import annotations

import io
import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from sinks.video.sink import VideoOptions, VideoSink
from stream.lane import Stream
from stream.pipeline import Pipeline
from stream.ports import SourceInfo
from stream.sources import open_source
from tests.support.doubles import ScriptedEstimator

RATE = 30
SRT = b"1\n00:00:00,200 --> 00:00:00,700\nnear\n\n2\n00:00:01,000 --> 00:00:01,500\nfar\n\n"


def make_source(path: Path, *, sound: str = "aac", subtitles: bool = False, chapters: bool = False) -> Path:
    """Two seconds of video at 30 fps, sound that is a little longer."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4", rate=RATE)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = output.add_stream(sound, rate=48_000)
        text: Any = None
        if subtitles:
            with av.open(io.BytesIO(SRT), format="srt") as template:
                text = output.add_stream_from_template(template.streams.subtitles[0])
                lines = [(p.pts, p.duration, bytes(p)) for p in template.demux() if p.size]
            text.metadata["language"] = "eng"
        if chapters:
            base = Fraction(1, 1000)
            output.set_chapters(
                [{"id": 1, "start": 0, "end": 900, "time_base": base, "metadata": {"title": "one"}},
                 {"id": 2, "start": 900, "end": 2000, "time_base": base, "metadata": {"title": "two"}}]
            )  # fmt: skip
        for index in range(2 * RATE):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 3 * index, np.uint8), format="rgb24")
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        noise = np.random.default_rng(0)
        for index in range(95):
            samples = noise.integers(-9000, 9000, (1, 1024)).astype(np.int16)
            heard = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = 48_000, index * 1024, Fraction(1, 48_000)
            output.mux(audio.encode(heard))
        output.mux(audio.encode(None))
        if text is not None:
            for pts, duration, line in lines:
                packet = av.Packet(line)
                packet.stream, packet.time_base = text, Fraction(1, 1000)
                packet.pts = packet.dts = pts
                packet.duration = duration
                output.mux(packet)
    return path


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    with av.open(str(path), "r") as file:
        streams = [s for s in file.streams if s.type == kind]
        found = file.demux(streams) if streams else []
        return [(float(p.pts * p.time_base), bytes(p)) for p in found if p.size and p.pts is not None]


def run(source: Path, target: Path, options: VideoOptions | None = None) -> None:
    sink = VideoSink(target, options)
    (status,) = Pipeline(
        Stream(source=open_source(str(source)), estimator=ScriptedEstimator(uniform=False), sinks=[sink])
    ).run()
    assert status.error is None
    assert status.sinks[0].error is None


@pytest.mark.parametrize(
    ("kind", "target"), [("mp4", "out.mp4"), ("mp4", "out.mov"), ("mp4", "out.mkv"), ("mkv", "out.mp4")]
)
def test_sound_is_the_sources_packet_by_packet(tmp_path: Path, kind: str, target: str) -> None:
    source = make_source(tmp_path / f"in.{kind}")
    run(source, tmp_path / target)
    ours, theirs = packets(tmp_path / target, "audio"), packets(source, "audio")
    assert len(theirs) > 90
    assert [data for _, data in ours] == [data for _, data in theirs]
    tolerance = 0.0011 if "mkv" in (kind, target[-3:]) else 1e-9
    lead = ours[0][0] - theirs[0][0]  # Matroska has no time before zero: everything is later by the encoder's delay
    videos = [packets(p, "video")[0][0] for p in (tmp_path / target, source)]
    assert lead == pytest.approx(videos[0] - videos[1], abs=tolerance)
    assert [t - lead for t, _ in ours] == pytest.approx([t for t, _ in theirs], abs=tolerance)
    assert len(packets(tmp_path / target, "video")) == 2 * RATE


def test_subtitles_and_chapters_come_along(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in.mkv", subtitles=True, chapters=True)
    run(source, tmp_path / "out.mkv")
    assert [d for _, d in packets(tmp_path / "out.mkv", "subtitle")] == [b"near", b"far"]
    with av.open(str(tmp_path / "out.mkv"), "r") as file:
        assert [c["metadata"]["title"] for c in file.chapters()] == ["one", "two"]
        assert file.streams.subtitles[0].metadata["language"] == "eng"


def test_what_does_not_fit_is_told_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_source(tmp_path / "in.mkv", subtitles=True)
    with caplog.at_level(logging.WARNING):
        run(source, tmp_path / "out.mp4")
    assert [r.getMessage() for r in caplog.records] == [
        "in.mkv: subtitle (subrip) does not go into mp4 and is left out"
    ]
    assert len(packets(tmp_path / "out.mp4", "audio")) > 90


@pytest.mark.parametrize(
    ("target", "options"), [("out.mp4", VideoOptions(audio=False)), ("out.ts", None), ("out.webm", None)]
)
def test_sound_can_be_left_out(tmp_path: Path, target: str, options: VideoOptions | None) -> None:
    source = make_source(tmp_path / "in.mp4")
    run(source, tmp_path / target, options)
    assert packets(tmp_path / target, "audio") == []


def test_a_run_that_ends_early_has_sound_for_its_pictures(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in.mp4")
    full = open_source(str(source))
    sink = VideoSink(tmp_path / "out.mp4")
    sink.prepare(SourceInfo(name="x", live=False, path=source))
    estimator = ScriptedEstimator(uniform=False)

    class Early:
        name, needs_image = "early", False

        def write(self, frame: Any) -> None:
            if frame.capture.index < 15:
                sink.write(frame)

        def close(self) -> None:
            sink.close()

    Pipeline(Stream(source=full, estimator=estimator, sinks=[Early()])).run()
    times = [t for t, _ in packets(tmp_path / "out.mp4", "audio")]
    assert 0.45 < max(times) < 0.5
