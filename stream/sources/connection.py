"""One opened file, device or server: packets out of the container, pictures out of the decoder."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from fractions import Fraction
from heapq import heapify, heappop, heappush
from typing import cast

import av
from av.codec.context import Flags
from av.format import Flags as FormatFlags

from stream.errors import SourceError
from stream.frame import Capture, Clock, Frame
from stream.sources.address import Address
from stream.sources.config import SourceConfig
from stream.sources.damage import Damage, is_whole_jpeg
from stream.sources.deinterlace import Deinterlacer
from stream.sources.ffmpeg_errors import cause_of, source_error
from stream.sources.hardware import accelerator
from stream.sources.pacer import SEGMENTED_FORMATS
from stream.sources.unpack import Unpacker

log = logging.getLogger(__name__)

FALLBACK_RATE = Fraction(25)  # for streams that say nothing about time; FFmpeg's own assumption
_DEVICES = ("video4linux2,v4l2", "video4linux2", "v4l2", "avfoundation", "dshow")  # demuxers of cameras
_LEAST_ASPECT = Fraction(1, 8)
_HELD = 6  # pictures that may wait for the ring, or be copied by it, in the decoder's own memory
_DISORDERED_CODECS = (
    "mpeg1video",
    "mpeg2video",
    "mpeg4",
    "h263",
    "vc1",
    "wmv3",
)  # with low delay, where there are B-frames
_TEXT_FORMATS = ("tty", "bin", "xbin", "adf", "idf")  # demuxers that render text files as pictures


class Connection:
    """FFmpeg's container with its main video. Used by one thread.

    Args:
        address: what to open.
        config: how long to wait for it.
        first_index: number of its first picture in the whole run, for what is said of damage.

    Attributes:
        container, stream: PyAV's.
        is_timed: the container tells when pictures are due. If not, FFmpeg assumes that there are 25 a second.
        live: a camera, which has no end.
        pictures: how many have been decoded.
        rejected: packets that the decoder refused.
        damage: frames that were decoded of damaged packets.

    Raises:
        SourceError: it cannot be opened or holds no video.
    """

    def __init__(self, address: Address, config: SourceConfig, *, first_index: int = 0) -> None:
        self._address = address
        self._first_index = first_index
        self._times: list[int] = []  # of packets in the decoder, where those of pictures are not told
        self.pictures = self.rejected = 0
        self.damage = Damage(address.name)
        self.container = _open(address, config)
        self.is_timed = FormatFlags.no_timestamps not in FormatFlags(self.container.format.flags)
        try:
            self.stream = _video_stream(self.container, address)
            self._deinterlacer = Deinterlacer(self.stream.time_base or 1 / FALLBACK_RATE)
            if config.stay_on is not None:  # an NVIDIA decoder has few surfaces, and fails when all are held
                self.stream.codec_context.options = {"extra_hw_frames": str(_HELD)}
            self._lends = self.container.format.name in _DEVICES
            self.live = _is_live(self.container, config.live) if address.live is None else address.live
            if self.live:
                # Frame threads would hold back one picture per thread.
                context = self.stream.codec_context
                if not (context.has_b_frames and context.name in _DISORDERED_CODECS):
                    context.flags |= Flags.low_delay
                self.stream.thread_type = "SLICE"
            else:
                self.stream.thread_type = "AUTO"
        except BaseException:
            self.container.close()
            raise

    @property
    def frame_rate(self) -> Fraction | None:
        """Pictures per second by the container, ``None`` where it does not tell."""
        if not self.is_timed:  # its average is what FFmpeg assumes
            return self.stream.guessed_rate or None
        return self.stream.average_rate or self.stream.guessed_rate or None

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a decoded pixel over its height, 1 where nothing sensible is told."""
        told = self.stream.sample_aspect_ratio
        return Fraction(told) if told and _LEAST_ASPECT <= told <= 1 / _LEAST_ASPECT else Fraction(1)

    def packets(self) -> Iterator[av.Packet[av.VideoStream]]:
        """Packets until the container ends.

        Raises:
            av.FFmpegError: it broke off.
        """
        for packet in self.container.demux(self.stream):
            if packet.size:  # PyAV flushes with an empty one; whether to flush is not its decision
                packet = _owned(packet) if self._lends else packet
                yield packet

    def decode(self, packet: av.Packet[av.VideoStream] | None) -> list[av.VideoFrame]:
        """Pictures that ``packet`` completes, deinterlaced; with ``None`` those that are still held.

        A packet the decoder rejects costs its own picture: one warning at the first.

        Raises:
            SourceError: the decoder failed altogether.
        """
        if packet is not None and self.container.format.name == "avi" and packet.dts is not None:
            heappush(self._times, packet.dts)
        try:
            decoded = self.stream.codec_context.decode(packet)
        except av.error.EOFError:  # nothing left to flush
            decoded = []
        except av.error.InvalidDataError as exc:
            self.rejected += 1
            if packet is not None and packet.dts in self._times:
                self._times.remove(packet.dts)
                heapify(self._times)
            # A live stream is joined between two key frames: until the first picture there is nothing to warn about.
            if self.rejected == 1 and (self.pictures or not self.live):
                last = self._first_index + self.pictures - 1
                log.warning("%s: damaged data after frame %d left out", self._address.name, last)
            if packet is None:
                log.debug("%s: %s while flushing", self._address.name, exc.strerror)
            decoded = []
        except av.FFmpegError as exc:
            raise source_error(exc, self._address) from exc
        self.pictures += len(decoded)
        for picture in decoded[: len(self._times)]:
            # AVI has the order of decoding alone. The n-th picture is shown when the n-th packet is due.
            picture.pts = heappop(self._times)
        if decoded and not self.live and (self._is_damaged(packet) or any(p.is_corrupt for p in decoded)):
            self.damage.note(self._first_index + self.pictures - 1)
        try:
            whole = self._deinterlacer.pictures(decoded)
            return whole if packet is not None else [*whole, *self._deinterlacer.flush()]
        except av.FFmpegError as exc:
            raise source_error(exc, self._address) from exc

    def _is_damaged(self, packet: av.Packet[av.VideoStream] | None) -> bool:
        if packet is None:
            return False
        return packet.is_corrupt or (self.stream.codec_context.name == "mjpeg" and not is_whole_jpeg(bytes(packet)))

    def close(self) -> None:
        """Close the file or device. May be called again."""
        self.container.close()


class FrameMaker:
    """Makes frames of decoded pictures. Keeps one converter, which is set up once per layout."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._unpacker = Unpacker()
        self._told_hdr = False

    def frame(
        self,
        picture: av.VideoFrame,
        *,
        index: int,
        time_base: Fraction,
        time_ns: int,
        clock: Clock,
        uncertainty_ns: int | None = None,
        received_ns: int,
        late_ns: int = 0,
        pixel_aspect: Fraction = Fraction(1),
    ) -> Frame:
        """``picture`` as a frame; its planes keep the picture's memory alive, on the host or on a device.

        Args:
            pixel_aspect: width of a decoded pixel over its height; the others as in :class:`Capture`.

        Raises:
            SourceError: its layout cannot be converted.
        """
        try:
            unpacked = self._unpacker.unpack(picture)
        except av.FFmpegError as exc:
            raise source_error(exc, self._address) from exc
        if unpacked.transfer != "sdr" and not self._told_hdr:
            self._told_hdr = True
            log.info("%s: HDR (%s), which is brought to SDR first", self._address.name, unpacked.transfer.upper())
        capture = Capture(
            index=index,
            pts=picture.pts,
            time_base=time_base,
            time_ns=time_ns,
            clock=clock,
            uncertainty_ns=uncertainty_ns,
            received_ns=received_ns,
            late_ns=late_ns,
            rotation=unpacked.rotation,
            pixel_aspect=pixel_aspect if unpacked.rotation in (0, 180) else 1 / pixel_aspect,
        )
        return Frame(
            capture=capture,
            geometry=unpacked.geometry,
            planes=unpacked.planes,
            on_device=unpacked.on_device,
            color_space=unpacked.color_space,
            color_range=unpacked.color_range,
            transfer=unpacked.transfer,
        )


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
            hwaccel=accelerator(config.decode, stay_on=config.stay_on) if address.format is None else None,
        )
    except av.FFmpegError as exc:
        late = address.network and time.monotonic() - start >= config.open_timeout_s
        raise source_error(exc, address, late=late) from cause_of(exc, address, late=late)
    except ValueError as exc:  # PyAV's own, for a demuxer this build of FFmpeg lacks
        raise SourceError(f"{address.name}: this FFmpeg build cannot read it; install PyAV from its wheels") from exc


def _is_live(container: av.container.InputContainer, told: bool | None) -> bool:
    """Whether what HTTP serves is a camera: it has no end, and so no duration and no length."""
    if told is not None:
        return told
    name = container.format.name
    still = name.endswith("_pipe")
    has_length = name not in SEGMENTED_FORMATS and (container.size or 0) > 0  # a playlist's own means nothing
    return container.duration is None and not still and not has_length


def _owned(packet: av.Packet[av.VideoStream]) -> av.Packet[av.VideoStream]:
    """``packet`` in memory of its own. A driver's buffers end with its camera, and raw pictures are views of them."""
    copy = cast("av.Packet[av.VideoStream]", av.Packet(bytes(packet)))
    copy.stream, copy.time_base = packet.stream, packet.time_base
    copy.pts, copy.dts, copy.duration, copy.is_keyframe = packet.pts, packet.dts, packet.duration, packet.is_keyframe
    return copy


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
