"""Video through FFmpeg: files, webcams, network cameras. Open, demux, decode, one frame at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction

import av
from av.codec.context import Flags

from stream.errors import SourceError
from stream.frame import Capture, Clock, Frame
from stream.ports import SourceInfo
from stream.sources.address import Address
from stream.sources.camera_clock import RTP_FORMATS, CameraClock, uncertainty_ns
from stream.sources.config import SourceConfig
from stream.sources.ffmpeg_errors import source_error
from stream.sources.unpack import Unpacker

log = logging.getLogger(__name__)

_TEXT_FORMATS = ("tty", "bin", "xbin", "adf", "idf")  # demuxers that render text files as pictures
_FALLBACK_RATE = Fraction(25)  # for streams that say nothing about time; FFmpeg's own assumption


class VideoSource:
    """Frames of one video stream, in presentation order, with the container's timestamps.

    A packet the decoder rejects costs its own frame: one warning at the first, one with the count at the end. A file
    that breaks off yields everything that can be decoded and then raises.

    :meth:`_connect` and :meth:`_read` are one connection; what outlives it (the frame count, ``info``) is kept outside
    them, so that a lost camera can be opened again without its consumers noticing more than a gap.

    Raises:
        SourceError: on construction, if it cannot be opened or holds no video.
    """

    def __init__(self, address: Address, config: SourceConfig) -> None:
        self._address = address
        self._config = config
        self._unpacker = Unpacker()
        self._index = 0
        self._rejected = 0
        self._connect()
        self.info = self._describe()

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames; see :meth:`stream.ports.Source.__iter__`.

        Raises:
            SourceError: the file breaks off, the camera is gone, or nothing in it could be decoded.
        """
        try:
            yield from self._read()
        finally:
            if self._rejected > 1:
                log.warning("%s: %d packets were damaged and left out", self.info.name, self._rejected)
            self.close()

    def close(self) -> None:
        """Close the file or device. May be called again, and from the thread that iterates only."""
        self._container.close()

    def _connect(self) -> None:
        self._container = _open(self._address, self._config)
        try:
            self._stream = _video_stream(self._container, self._address)
            live = self._address.live
            # HTTP serves both; a camera has no end and therefore no duration. Nor has a picture, but it is no camera.
            still = self._container.format.name.endswith("_pipe")
            self._live = (self._container.duration is None and not still) if live is None else live
            if self._live:
                # Frame threads would hold back one picture per thread.
                self._stream.codec_context.flags |= Flags.low_delay
                self._stream.thread_type = "SLICE"
            else:
                self._stream.thread_type = "AUTO"
            reports = self._config.capture_clock == "auto" and self._container.format.name in RTP_FORMATS
            self._camera_clock = CameraClock(self._address.name) if reports else None
        except BaseException:
            self._container.close()
            raise

    def _describe(self) -> SourceInfo:
        stream = self._stream
        rate = stream.average_rate or stream.guessed_rate or None
        count = None
        if not self._live:
            seconds = _declared_duration(self._container, stream)
            if seconds is None and self._container.duration is not None:
                seconds = Fraction(self._container.duration, av.time_base)
            count = stream.frames or (round(seconds * rate) if seconds and rate else None)
        return SourceInfo(name=self._address.name, live=self._live, frame_rate=rate, frame_count=count)

    def _read(self) -> Iterator[Frame]:
        """Frames until the end of this connection."""
        origin = self._stream.start_time
        with closing(self._packets()) as packets:
            for packet in packets:
                received_ns = time.monotonic_ns()
                if packet is not None and self._camera_clock is not None:
                    self._camera_clock.observe(packet)
                for picture in self._decode(packet):
                    if origin is None:
                        origin = picture.pts
                    yield self._frame(picture, received_ns, origin or 0)
        if self._index == 0:
            raise SourceError(f"{self._address.name}: not one frame could be decoded; the file or stream is damaged")

    def _packets(self) -> Generator[av.Packet[av.VideoStream] | None, None, None]:
        """Packets, then ``None`` to flush the decoder, then the error if the file or connection broke off."""
        error: av.FFmpegError | None = None
        last: av.Packet[av.VideoStream] | None = None
        reached = Fraction(0)
        demuxer = self._container.demux(self._stream)
        try:
            for packet in demuxer:
                if not packet.size:
                    continue  # PyAV's own flush: ours follows below, after an error too
                if last is not None:
                    yield last
                    last = None
                if packet.pts is not None and packet.time_base is not None:
                    reached = max(reached, (packet.pts + (packet.duration or 0)) * packet.time_base)
                # A damaged packet waits for the next one. If there is none, the file ends within it; decoding it would
                # make frame-threaded decoders drop the good frames they still hold.
                if packet.is_corrupt and not self._live:
                    last = packet
                else:
                    yield packet
        except av.FFmpegError as exc:
            error = exc
        yield None
        if error is not None:
            cause = source_error(error, self._address)
            raise SourceError(f"{cause}{self._last_good()}") from error
        if self._live:
            raise SourceError(f"{self._address.name}: the stream ended; check the camera or server{self._last_good()}")
        if last is not None or self._is_short(reached):
            raise SourceError(
                f"{self._address.name}: the file is cut short; make or copy it again for the rest{self._last_good()}"
            )

    def _is_short(self, reached: Fraction) -> bool:
        """Whether the container promised clearly more than it held: by over a second, or two frames of slow video."""
        declared = _declared_duration(self._container, self._stream)
        if declared is None or self._stream.time_base is None:
            return False
        start = (self._stream.start_time or 0) * self._stream.time_base
        slack = max(Fraction(1), 2 / (self.info.frame_rate or _FALLBACK_RATE))
        return reached - start < declared - slack

    def _last_good(self) -> str:
        return f" (last good frame: {self._index - 1})" if self._index else ""

    def _decode(self, packet: av.Packet[av.VideoStream] | None) -> list[av.VideoFrame]:
        try:
            return self._stream.codec_context.decode(packet)
        except av.error.EOFError:  # nothing left to flush
            return []
        except av.error.InvalidDataError as exc:
            self._rejected += 1
            # A live stream is joined between two key frames: until the first picture there is nothing to warn about.
            if self._rejected == 1 and (self._index or not self._live):
                log.warning("%s: damaged data after frame %d left out", self._address.name, self._index - 1)
            if packet is None:
                log.debug("%s: %s while flushing", self._address.name, exc.strerror)
            return []
        except av.FFmpegError as exc:
            raise source_error(exc, self._address) from exc

    def _frame(self, picture: av.VideoFrame, received_ns: int, origin: int) -> Frame:
        time_base = picture.time_base or self._stream.time_base or 1 / _FALLBACK_RATE
        time_ns, clock, uncertainty = self._capture_time(picture.pts, time_base, received_ns, origin)
        try:
            unpacked = self._unpacker.unpack(picture)
        except av.FFmpegError as exc:
            raise source_error(exc, self._address) from exc
        index = self._index
        self._index += 1
        capture = Capture(
            index=index,
            pts=picture.pts,
            time_base=time_base,
            time_ns=time_ns,
            clock=clock,
            uncertainty_ns=uncertainty,
            received_ns=received_ns,
            rotation=unpacked.rotation,
        )
        return Frame(
            capture=capture,
            geometry=unpacked.geometry,
            planes=unpacked.planes,
            color_space=unpacked.color_space,
            color_range=unpacked.color_range,
        )

    def _capture_time(
        self, pts: int | None, time_base: Fraction, received_ns: int, origin: int
    ) -> tuple[int, Clock, int | None]:
        """When the next frame was taken, in nanoseconds, on which clock, and how far off that may be."""
        if not self._live:
            if pts is None:
                return round(self._index / (self.info.frame_rate or _FALLBACK_RATE) * 10**9), "media", None
            return round((pts - origin) * time_base * 10**9), "media", None
        if self._camera_clock is not None:
            camera_ns = self._camera_clock.capture_time_ns(pts, time_base, received_ns)
            if camera_ns is not None:
                return camera_ns, "camera-rtcp", uncertainty_ns(time_base)
        return received_ns, "host-monotonic", None  # how long it was on its way is unknown


def _open(address: Address, config: SourceConfig) -> av.container.InputContainer:
    timeout = (config.open_timeout_s, config.read_timeout_s) if address.live is not False else None
    start = time.monotonic()
    try:
        return av.open(
            address.target,
            format=address.format,
            options=dict(address.options),
            metadata_errors="replace",  # a title in an old code page is no reason to refuse the video
            timeout=timeout,
        )
    except av.FFmpegError as exc:
        late = address.network and time.monotonic() - start >= config.open_timeout_s
        raise source_error(exc, address, late=late) from exc
    except ValueError as exc:  # PyAV's own, for a demuxer this build of FFmpeg lacks
        raise SourceError(f"{address.name}: this FFmpeg build cannot read it; install PyAV from its wheels") from exc


def _video_stream(container: av.container.InputContainer, address: Address) -> av.VideoStream:
    """The container's main video; cover art of audio files is none."""
    if container.format.name in _TEXT_FORMATS:
        raise SourceError(f"{address.name}: a text file, not a video; give a video, a picture or a camera")
    best = container.streams.best("video")
    candidates = [s for s in (best, *container.streams.video) if isinstance(s, av.VideoStream)]
    for stream in candidates:
        if stream.disposition & stream.disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise SourceError(f"{address.name}: FFmpeg has no decoder for its video; convert it to H.264 first")
        return stream
    if container.streams.audio:
        raise SourceError(f"{address.name}: holds sound only; give a file with a video stream")
    raise SourceError(f"{address.name}: holds no video stream, or its index is cut off; make or copy it again")


def _declared_duration(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    """Seconds of video by the container's own header; ``None`` where FFmpeg could only estimate them."""
    name = container.format.name
    if "mov" in name and stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    if "matroska" in name:  # the header's duration is that of the longest track; FFmpeg and mkvtoolnix tag each
        tag = stream.metadata.get("DURATION")
        if tag is not None:
            return _clock_seconds(tag)
    return None


def _clock_seconds(text: str) -> Fraction | None:
    """Seconds in ``hh:mm:ss.fff``, ``None`` if it is something else."""
    try:
        hours, minutes, seconds = text.split(":")
        return Fraction(int(hours) * 3600 + int(minutes) * 60) + Fraction(seconds.strip())
    except ValueError:
        return None
