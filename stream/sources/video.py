"""A video file, on a disk or behind a server: every frame, in order, with the container's timestamps."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av

from stream.errors import SourceError
from stream.frame import Frame
from stream.ports import SourceInfo
from stream.sources.address import Address
from stream.sources.connection import FALLBACK_RATE, Connection, FrameMaker
from stream.sources.ffmpeg_errors import source_error

log = logging.getLogger(__name__)


class VideoFile:
    """Frames of one video stream, in presentation order.

    A packet the decoder rejects costs its own frame: one warning at the first, one with the count at the end. A file
    that breaks off yields everything that can be decoded and then raises.

    Args:
        address: of the file.
        connection: the file, opened. It is closed with this source.
        strict: damage anywhere is an error at the end.
        path: of a local file.
    """

    def __init__(
        self, address: Address, connection: Connection, *, strict: bool = False, path: Path | None = None
    ) -> None:
        self._address, self._strict, self._path = address, strict, path
        self._connection = connection
        self._frames = FrameMaker(address)
        self._index = 0
        self._missing_s = Fraction(0)  # at the end
        self._shown_s = Fraction(0)  # of the last frame
        self._longest_gap = Fraction(0), 0  # seconds without a picture, and the frame before
        self.info = self._describe()

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames; see :meth:`stream.ports.Source.__iter__`.

        Raises:
            SourceError: the file breaks off, or nothing in it could be decoded.
        """
        try:
            yield from self._read()
        finally:
            self._connection.damage.tell()
            if self._connection.rejected > 1:
                log.warning("%s: %d packets were damaged and left out", self.info.name, self._connection.rejected)
            if lost := self._lost():
                log.warning("%s: %s", self.info.name, lost)
            self.close()

    def close(self) -> None:
        """Close the file. May be called again, and from the thread that iterates only."""
        self._connection.close()

    def _describe(self) -> SourceInfo:
        container, stream, rate = self._connection.container, self._connection.stream, self._connection.frame_rate
        seconds = _declared_duration(container, stream)
        if seconds is None and container.duration is not None:
            seconds = Fraction(container.duration, av.time_base)
        count = stream.frames or (round(seconds * rate) if seconds and rate else None)
        return SourceInfo(name=self._address.name, live=False, frame_rate=rate, frame_count=count, path=self._path)

    def _read(self) -> Iterator[Frame]:
        origin = self._connection.stream.start_time
        with closing(self._packets()) as packets:
            for packet in packets:
                received_ns = time.monotonic_ns()
                for picture in self._connection.decode(packet):
                    if origin is None:
                        origin = picture.pts
                    yield self._frame(picture, received_ns, origin or 0)
        if self._index == 0:
            raise SourceError(f"{self._address.name}: not one frame could be decoded; the file or stream is damaged")
        if self._strict and (damage := self._damage()):
            raise SourceError(f"{self._address.name}: {damage}; make or copy it again, or leave out `strict=True`")

    def _damage(self) -> str:
        """What is wrong with the file, if anything is."""
        found = [str(self._connection.damage)] if self._connection.damage else []
        if rejected := self._connection.rejected:
            found.append(f"{rejected} packets were damaged and left out")
        if lost := self._lost():
            found.append(lost)
        if self._missing_s:
            found.append(f"the last {float(self._missing_s):.1f} s are missing")
        return ", ".join(found)

    def _lost(self) -> str:
        """The longest stretch without a picture. In a file that is whole it is as it was filmed."""
        gap_s, index = self._longest_gap
        if gap_s < self._long_s or not (self._connection.damage or self._connection.rejected):
            return ""
        return f"there is no picture for {float(gap_s):.1f} s after frame {index}"

    def _packets(self) -> Generator[av.Packet[av.VideoStream] | None, None, None]:
        """Packets, then ``None`` to flush the decoder, then the error if the file broke off."""
        error: av.FFmpegError | None = None
        last: av.Packet[av.VideoStream] | None = None
        reached = Fraction(0)
        try:
            for packet in self._connection.packets():
                if last is not None:
                    yield last
                    last = None
                if packet.pts is not None and packet.time_base is not None:
                    reached = max(reached, (packet.pts + (packet.duration or 0)) * packet.time_base)
                # A damaged packet waits for the next one. If there is none, the file ends within it; decoding it would
                # make frame-threaded decoders drop the good frames they still hold.
                if packet.is_corrupt:
                    last = packet
                else:
                    yield packet
        except av.FFmpegError as exc:
            error = exc
        yield None
        if error is not None:
            cause = source_error(error, self._address)
            raise SourceError(f"{cause}{self._last_good()}") from error
        missing_s = self._left_of(reached)
        if last is not None or missing_s > self._long_s:
            raise SourceError(
                f"{self._address.name}: the file is cut short; make or copy it again for the rest{self._last_good()}"
            )
        if missing_s > self._two_frames_s:
            self._missing_s = missing_s
            log.warning("%s: its last %.1f s are missing", self._address.name, float(missing_s))

    @property
    def _two_frames_s(self) -> Fraction:
        return Fraction(2) / Fraction(self.info.frame_rate or FALLBACK_RATE)

    @property
    def _long_s(self) -> Fraction:
        """Seconds without a picture that are more than a tail that was cut off."""
        return max(Fraction(1), self._two_frames_s)

    def _left_of(self, reached: Fraction) -> Fraction:
        """Seconds that the container promised and did not hold."""
        stream = self._connection.stream
        declared = _declared_duration(self._connection.container, stream)
        if declared is None or stream.time_base is None:
            return Fraction(0)
        return declared - (reached - (stream.start_time or 0) * stream.time_base)

    def _last_good(self) -> str:
        return f" (last good frame: {self._index - 1})" if self._index else ""

    def _frame(self, picture: av.VideoFrame, received_ns: int, origin: int) -> Frame:
        time_base = picture.time_base or self._connection.stream.time_base or 1 / FALLBACK_RATE
        if picture.pts is None:
            seconds = self._index / (self.info.frame_rate or FALLBACK_RATE)
        else:
            seconds = (picture.pts - origin) * time_base
        index = self._index
        if index:
            self._longest_gap = max(self._longest_gap, (seconds - self._shown_s, index - 1))
        self._shown_s = max(self._shown_s, Fraction(seconds))
        self._index += 1
        return self._frames.frame(
            picture,
            index=index,
            time_base=time_base,
            time_ns=round(seconds * 10**9),
            clock="media",
            received_ns=received_ns,
            pixel_aspect=self._connection.pixel_aspect,
        )


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
