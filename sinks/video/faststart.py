"""The index of an MP4 or MOV file in front of its pictures, so that web players begin before all of it is there.

While it is written the file is in fragments, of which a killed process leaves all but the last. Its index can only come
at the end then; so a finished file is copied once more, packet by packet.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path

import av

_log = logging.getLogger(__name__)


def move_index_to_front(path: Path, *, muxer: str) -> None:
    """Rewrite a finished file, with the same packets at the same times. What cannot be rewritten stays as it is.

    Args:
        path: of the file.
        muxer: FFmpeg's name of its format, ``mp4`` or ``mov``.
    """
    copy = path.with_name(f"{path.name}.index")
    try:
        _copy(path, copy, muxer)
        copy.replace(path)
    except (av.FFmpegError, OSError) as exc:
        with suppress(OSError):
            copy.unlink(missing_ok=True)
        reason = exc.strerror or exc
        _log.warning("%s is whole, but its index stays at its end, which web players wait for: %s", path.name, reason)


def _copy(path: Path, copy: Path, muxer: str) -> None:
    with ExitStack() as opened:
        source = opened.enter_context(av.open(str(path)))
        # The first picture's time is noted in units of the film as a whole: those of the pictures, so that it is exact.
        tick = source.streams.video[0].time_base or Fraction(1, 1000)
        options = {"movflags": "+faststart", "movie_timescale": str(tick.denominator)}
        target = opened.enter_context(av.open(str(copy), "w", format=muxer, container_options=options))
        # Chapters are a track of their own too, which the muxer makes again.
        wanted = [s for s in source.streams if s.type in ("video", "audio", "subtitle")]
        streams = {}
        for stream in wanted:
            made = target.add_stream_from_template(stream, opaque=True)
            made.time_base, made.disposition = stream.time_base, stream.disposition
            made.metadata.update(stream.metadata)
            if stream.codec_context is not None:
                made.codec_context.codec_tag = stream.codec_context.codec_tag
            streams[stream.index] = made
        target.metadata.update(source.metadata)
        target.set_chapters(source.chapters())
        for packet in source.demux(wanted):
            if packet.size:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
