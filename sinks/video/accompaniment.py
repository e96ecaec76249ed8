"""What a source's file holds besides pictures, copied into a preview as it is: sound, subtitles, chapters."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from stream.frame import Capture

_log = logging.getLogger(__name__)

# A run that ends this close to the end of the pictures has seen them all, and what sounds on after them belongs to it.
_END_S = Fraction(1)


class Accompaniment:
    """Copies packets, without decoding them, up to the time that the pictures have reached.

    What the container cannot hold is left out, and so is all that follows where the file is damaged: a log line says
    so. Of a run that began in the middle or ended early, what belongs to its pictures is copied.

    Args:
        path: the source's file.
        output: the preview, before its header is written.
        first: its first frame's.

    Raises:
        av.FFmpegError: the source's file cannot be opened again.
    """

    def __init__(self, path: Path, output: OutputContainer, first: Capture) -> None:
        self._name = path.name
        self._output = output
        self._input: InputContainer = av.open(str(path.absolute()), "r")
        self._streams: dict[int, Stream] = {}
        self._newest: dict[int, int] = {}
        start = first.pts * first.time_base if first.pts is not None else Fraction(0)
        self._from = start if first.index else None
        try:
            for stream in (*self._input.streams.audio, *self._input.streams.subtitles):
                self._add(stream)
        except BaseException:
            self._input.close()
            raise
        self._packets = self._read()
        self._next = next(self._packets, None)

    def set_chapters(self, shift: Fraction) -> None:
        """Copy the chapters, ``shift`` seconds earlier."""
        chapters = self._input.chapters()
        for chapter in chapters:
            ticks = round(shift / (chapter["time_base"] or Fraction(1)))
            chapter["start"], chapter["end"] = max(0, chapter["start"] - ticks), max(0, chapter["end"] - ticks)
        if chapters:
            self._output.set_chapters(chapters)

    def copy(self, until: Fraction | None, shift: Fraction) -> None:
        """Copy what comes before ``until``, in seconds of the source, to ``shift`` seconds earlier; ``None``: all."""
        while self._next is not None and (until is None or _seconds(self._next) < until):
            self._mux(self._next, shift)
            self._next = next(self._packets, None)

    def finish(self, until: Fraction, shift: Fraction) -> None:
        """Copy the rest: all of it, where the pictures were seen to their end, which ``until`` then is."""
        video = self._input.streams.video[0] if self._input.streams.video else None
        end: Fraction | None = None
        if video is not None and video.duration is not None and video.time_base is not None:
            end = ((video.start_time or 0) + video.duration) * video.time_base
        elif self._input.duration is not None:
            end = Fraction((self._input.start_time or 0) + self._input.duration, av.time_base)
        self.copy(None if end is not None and until >= end - _END_S else until, shift)

    def close(self) -> None:
        self._input.close()

    def _add(self, stream: Any) -> None:
        codec, names = "unknown", set[str]()
        if stream.codec_context is not None:
            codec = stream.codec_context.codec.canonical_name
            names = {codec, stream.codec_context.name}
        if not names & self._output.supported_codecs:
            kind = self._output.format.name
            _log.warning("%s: %s (%s) does not go into %s and is left out", self._name, stream.type, codec, kind)
            return
        copied = self._output.add_stream_from_template(stream)
        for key in ("language", "title"):
            if key in stream.metadata:
                copied.metadata[key] = stream.metadata[key]
        self._streams[stream.index] = copied

    def _read(self) -> Iterator[av.Packet[Any]]:
        wanted = [stream for stream in self._input.streams if stream.index in self._streams]
        if not wanted:
            return
        try:
            for packet in self._input.demux(wanted):
                if packet.dts is not None and packet.size:
                    yield packet
        except av.FFmpegError as exc:
            _log.warning("%s: the sound breaks off (%s)", self._name, exc.strerror)

    def _mux(self, packet: av.Packet[Any], shift: Fraction) -> None:
        index, time_base = packet.stream.index, packet.time_base
        assert packet.dts is not None
        assert time_base is not None
        if self._from is not None and _seconds(packet) + (packet.duration or 0) * time_base <= self._from:
            return
        if packet.dts <= self._newest.get(index, packet.dts - 1):
            return  # files put end to end: their clock begins again, and no container takes that
        self._newest[index] = packet.dts
        ticks = round(shift / time_base)
        packet.dts -= ticks
        if packet.pts is not None:
            packet.pts -= ticks
        packet.stream = self._streams[index]
        self._output.mux(packet)


def _seconds(packet: av.Packet[Any]) -> Fraction:
    assert packet.dts is not None
    assert packet.time_base is not None
    return packet.dts * packet.time_base
