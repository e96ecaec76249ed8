"""Depth as a video: colours to look at, or lossless codes to compute with. Only here is video opened to write."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av
from av.codec.codec import UnknownCodecError
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from sinks.depth_codes import FAR_M, NEAR_M, DepthCodes, Encoding
from sinks.files.aside import Aside
from sinks.files.file_sink import FileSink
from sinks.files.target import check_target
from sinks.frame_json import describe, to_json
from sinks.video.accompaniment import Accompaniment
from sinks.video.colormap import COLORMAP, MAX_M, MIN_M, SCALE, ColormapName, DepthColormap, Scale
from sinks.video.containers import CodecName, Container, Encoder, choose_container, choose_encoder
from sinks.video.earlier import packets, whole_frames
from sinks.video.faststart import move_index_to_front
from sinks.video.lossless import LosslessDepth
from sinks.video.preview import Preview, Range, View
from sinks.video.timeline import Timeline, choose_tick
from stream.errors import ConfigError, SinkError
from stream.frame import Capture, DepthFrame
from stream.ports import SourceInfo

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoOptions:
    """How depth becomes a video.

    Attributes:
        view: depth alone, or the source picture with depth to its right or under it.
        min, max: metres at the ends of the colour map, the same in every frame; 0.5 and 50 unless given. Those of the
            codes with encoding=log and inverse; 0.1 and 10000 unless given.
        scale: colours spaced evenly in log depth, inverse depth or depth.
        colormap: OpenCV's name of the colours; near is its high end.
        legend: draw the scale of metres into the picture.
        range: ``fixed``, the same metres in all frames; ``shot``, those of each shot's first frame and somewhat more.
        codec: ``auto`` is h264, in WebM vp9; hevc and av1 make smaller files. ``ffv1`` keeps depth itself, lossless:
            16-bit codes in Matroska, 0 no estimate, 65535 beyond range, and a subtitle track with each frame's focal
            length and exact time as JSON. A frame of another size begins a new file with a number. The others fit it
            into the first one's size.
        encoding: of ffv1's codes, see :mod:`sinks.depth_codes`; noted in the file's tags and in a JSON file beside it.
        encoder: ``cpu``, or ``nvenc``: NVIDIA's, on cards that have one.
        crf: quality, 0 the best and largest … 51. Unless given, 20 for h264 and vp9, 22 for hevc, 30 for av1.
        audio: copy the source's sound, subtitles and chapters into mp4, m4v, mov and mkv as they are.
    """

    view: View = "depth"
    min: float | None = None
    max: float | None = None
    scale: Scale = SCALE
    colormap: ColormapName = COLORMAP
    legend: bool = True
    range: Range = "fixed"
    codec: CodecName = "auto"
    encoding: Encoding = "mm"
    encoder: Literal["cpu", "nvenc"] = "cpu"
    crf: int | None = None
    audio: bool = True

    def __post_init__(self) -> None:
        if self.crf is not None and not 0 <= self.crf <= 51:
            raise ConfigError(f"crf must be from 0 (best) to 51, not {self.crf}")
        changed = [f.name for f in fields(self) if f.name != "codec" and getattr(self, f.name) != f.default]
        if self.codec != "ffv1":
            if self.encoding != "mm":
                raise ConfigError(f"encoding={self.encoding} is that of depth itself; add codec=ffv1")
            if self.range == "shot" and (self.min, self.max) != (None, None):
                raise ConfigError("range=shot finds the metres at the ends itself; leave out min and max, or range")
            self.make_colormap()  # refuses a range that cannot be
            return
        self.make_codes()
        of_codes = {"encoding"} if self.encoding == "mm" else {"encoding", "min", "max"}
        changed = [name for name in changed if name not in of_codes]
        if changed:
            raise ConfigError(
                f"codec=ffv1 stores depth itself, without colours or loss; leave out {', '.join(changed)}"
            )

    def make_colormap(self) -> DepthColormap:
        low, high = MIN_M if self.min is None else self.min, MAX_M if self.max is None else self.max
        return DepthColormap(min_m=low, max_m=high, scale=self.scale, name=self.colormap)

    def make_codes(self) -> DepthCodes:
        low, high = NEAR_M if self.min is None else self.min, FAR_M if self.max is None else self.max
        return DepthCodes(encoding=self.encoding, near_m=low, far_m=high)


class VideoSink(FileSink):
    """Writes depth to a video file, which is created with the first frame.

    Args:
        path: the file; its ending (.mp4, .m4v, .mov, .mkv, .ts, .webm) chooses the container.
        options: how depth is drawn and encoded.
        overwrite: replace a file that is already there.

    Raises:
        ConfigError: a container that is not known or cannot hold the codec.
        SinkError: the file exists, or cannot be created there; the encoder is a card's, and there is none.
    """

    def __init__(
        self, path: str | os.PathLike[str], options: VideoOptions | None = None, *, overwrite: bool = False
    ) -> None:
        whole = Path(path).absolute()  # absolute: FFmpeg would take the first part of "a:b.mp4" for a protocol
        self._options = options or VideoOptions()
        self._container, self._codec = choose_container(whole, self._options.codec)
        self._encoder = choose_encoder(self._codec, nvenc=self._options.encoder == "nvenc")
        if self._options.encoder == "nvenc":
            _check_card(self._encoder)
        self._aside = Aside(whole)
        self._earlier: _Earlier | None = None
        super().__init__(whole, overwrite=overwrite, errors=(av.FFmpegError, UnknownCodecError))
        self._size = (0, 0)
        self._source: Path | None = None
        if self._codec == "ffv1":
            check_target(_beside(whole), overwrite=overwrite)

    @property
    def needs_image(self) -> bool:
        return self._options.view != "depth"

    def prepare(self, info: SourceInfo) -> None:
        """What the source's file holds besides pictures is copied from there."""
        self._source = info.path

    def whole_frames(self, _indices: Sequence[int]) -> int:
        """How many frames of an earlier run are whole in the file; 0 where it went on in another one."""
        if self._path.with_stem(f"{self._path.stem}-0002").exists():
            return 0
        self._aside.put_back()
        return whole_frames(self._path)

    def resume(self, captures: Sequence[Capture]) -> None:
        """Before the first frame: keep what an earlier run has written of so many frames, and go on behind them.

        Raises:
            SinkError: the file cannot be moved aside.
        """
        with self._as_sink_error():
            self._aside.move()
        self._earlier = _Earlier(self._aside.path, captures)

    def close(self) -> None:
        """Finish the file; see :meth:`FileSink.close`."""
        super().close()
        if self.paths and not self._failed and self._container.muxer in ("mp4", "mov"):
            move_index_to_front(self._path, muxer=self._container.muxer)

    def _fits(self, frame: DepthFrame) -> bool:
        return self._codec != "ffv1" or (frame.width, frame.height) == self._size

    def belonging(self, path: Path) -> list[Path]:
        """The JSON file beside depth itself."""
        return [_beside(path)] if self._codec == "ffv1" else []

    def _create(self, first: DepthFrame) -> _VideoFile:
        picture: LosslessDepth | Preview
        self._size = (first.width, first.height)
        if self._codec == "ffv1":
            picture = LosslessDepth(first, self._options.make_codes())
        else:
            o = self._options
            picture = Preview(first, colormap=o.make_colormap(), span=o.range, view=o.view, legend=o.legend)
        tick = self._container.tick or choose_tick(first.capture)
        if not self._overwrite:
            self._path.open("xb").close()  # fails where another sink has taken the name meanwhile
        try:
            if isinstance(picture, LosslessDepth):
                with _beside(self._path).open("wb" if self._overwrite else "xb") as record:
                    record.write(to_json(picture.record) + b"\n")
            with_source = self._options.audio and self._container.copies and self._codec != "ffv1"
            file = _VideoFile(
                self._path,
                self._container,
                self._encoder,
                picture,
                crf=self._options.crf,
                tick=tick,
                pixel_aspect=_pixel_aspect(first),
                begins=first.capture if self._earlier is None else self._earlier.captures[0],
                source=self._source if with_source else None,
            )
            if self._earlier is not None:
                file.take_over(self._earlier)
                self._aside.remove()
            return file
        except BaseException:
            if not self._overwrite and self._path.stat().st_size == 0:
                self._path.unlink()
            raise


def _check_card(encoder: Encoder) -> None:
    """Find out whether a card's encoder starts, before any work is done.

    Raises:
        SinkError: it does not.
    """
    try:
        context = cast(VideoCodecContext, av.CodecContext.create(encoder.name, "w"))
        context.width, context.height, context.pix_fmt, context.time_base = 256, 256, "yuv420p", Fraction(1, 30)
        context.open()
    except (av.FFmpegError, UnknownCodecError) as exc:
        raise SinkError(
            f"{encoder.name} does not start: this machine's card has no such encoder, or there is no card "
            "(data-centre cards such as H100 and A100 have none); leave out encoder=nvenc"
        ) from exc


def _beside(path: Path) -> Path:
    """The JSON file that says what the codes mean."""
    return path.with_name(f"{path.name}.json")


@dataclass(frozen=True, slots=True)
class _Earlier:
    """What an earlier run has written: the file, and when the frames were taken that are to be kept of it."""

    path: Path
    captures: Sequence[Capture]


class _VideoFile:
    """An open container with one video stream and, where depth is lossless, one of JSON about each frame."""

    def __init__(
        self,
        path: Path,
        container: Container,
        encoder: Encoder,
        picture: LosslessDepth | Preview,
        *,
        crf: int | None,
        tick: Fraction,
        pixel_aspect: Fraction,
        begins: Capture,
        source: Path | None,
    ) -> None:
        options = dict(encoder.options)
        if encoder.quality is not None:
            option, usual = encoder.quality
            options[option] = str(usual if crf is None else crf)
        self._picture = picture
        self._timeline = Timeline(tick)
        muxing = dict(container.options)
        if container.tick is None:  # MP4 notes the time of the first frame in units of its own, else milliseconds
            muxing["movie_timescale"] = str(tick.denominator)
        self._output = av.open(str(path), "w", format=container.muxer, container_options=muxing)
        self._output.metadata.update(picture.tags)
        self._video = cast(VideoStream, self._output.add_stream(encoder.name, options=options))
        context = self._video.codec_context
        context.width, context.height, context.pix_fmt = picture.width, picture.height, picture.pixel_format
        context.sample_aspect_ratio = pixel_aspect
        context.framerate, context.time_base = Fraction(0), tick  # no rate: Matroska would promise that it is constant
        context.thread_count = min(4, os.cpu_count() or 1)
        if isinstance(picture, Preview):
            context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG
            context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        if encoder.tag is not None and container.muxer in ("mp4", "mov"):
            context.codec_tag = encoder.tag
        self._cues = self._add_cues() if isinstance(picture, LosslessDepth) else None
        self._beside = self._open_source(source, begins)
        if self._beside is not None:
            at_first = Timeline(tick)
            at_first.place(begins)
            self._beside.set_chapters(at_first.shift)
        self._output.start_encoding()

    def write(self, frame: DepthFrame) -> None:
        picture = av.VideoFrame.from_ndarray(self._picture.render(frame), format=self._picture.pixel_format)
        picture.pts, picture.time_base = self._timeline.place(frame.capture), self._timeline.tick
        self._copy_beside(picture.pts)
        if self._cues is not None:
            cue = av.Packet(to_json(describe(frame)))
            cue.stream, cue.time_base = self._cues, self._timeline.tick
            cue.pts = cue.dts = picture.pts
            cue.duration = 1
            self._output.mux(cue)
        self._mux(self._video.encode(picture))

    def take_over(self, earlier: _Earlier) -> None:
        """Begin with frames of another file, as they are.

        Raises:
            SinkError: they are not those that they should be.
        """
        places = iter([self._timeline.place(capture) for capture in earlier.captures])
        for is_video, packet in packets(earlier.path, len(earlier.captures)):
            if is_video:
                expected = next(places)
                if packet.pts is None or packet.pts * packet.time_base != expected * self._timeline.tick:
                    raise SinkError(f"what an earlier run has left in {earlier.path} is something else; remove it")
                packet.stream = self._video
                self._copy_beside(expected)
            elif self._cues is not None:
                packet.stream = self._cues
            self._output.mux(packet)

    def finish(self) -> None:
        try:
            self._mux(self._video.encode(None))
            if self._beside is not None:
                end = self._timeline.shift + (self._timeline.newest + self._timeline.step) * self._timeline.tick
                self._beside.finish(end, self._timeline.shift)
        finally:
            self._output.close()
            if self._beside is not None:
                self._beside.close()

    def _copy_beside(self, pts: int) -> None:
        """Copy what the source's file holds besides pictures, up to a frame's time."""
        if self._beside is not None:
            self._beside.copy(self._timeline.shift + pts * self._timeline.tick, self._timeline.shift)

    def _mux(self, packets: list[av.Packet[VideoStream]]) -> None:
        for packet in packets:
            packet.duration = self._timeline.step  # without a rate, how long the last frame lasts is ours to say
            self._output.mux(packet)

    def _open_source(self, source: Path | None, begins: Capture) -> Accompaniment | None:
        if source is None:
            return None
        try:
            return Accompaniment(source, self._output, begins)
        except (av.FFmpegError, OSError) as exc:
            _log.warning("%s cannot be opened for its sound: %s", source.name, exc.strerror)
            return None

    def _add_cues(self) -> Stream:
        # Tags are written before the frames are known, so what belongs to a frame is a subtitle of its own: seekable,
        # and shown by ffprobe. PyAV has no encoder for text, hence a stream copied from an empty SubRip file.
        with av.open(io.BytesIO(b"1\n00:00:00,000 --> 00:00:01,000\n{}\n\n"), format="srt") as template:
            cues = self._output.add_stream_from_template(template.streams.subtitles[0])
        cues.metadata["title"] = "one JSON object per frame: focal length, camera, exact time"
        return cues


def _pixel_aspect(frame: DepthFrame) -> Fraction:
    """Width of a pixel of the depth over its height, as far as the source told it of its own."""
    stretched = Fraction(frame.source_width * frame.height, frame.source_height * frame.width)
    return frame.capture.pixel_aspect * stretched if frame.capture.pixel_aspect != 1 else Fraction(1)
