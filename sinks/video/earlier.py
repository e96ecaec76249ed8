"""Frames that an earlier run has left in a video file, to be taken over as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

# Containers keep these without start codes, and encoders write them with: muxers want all packets alike.
_START_CODES = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}


def whole_frames(path: Path) -> int:
    """How many frames in ``path`` can be taken over, each with its subtitle if there is a track of them; 0 if none."""
    try:
        with av.open(str(path)) as container:
            wanted = _streams(container)
            counts = Counter({stream.index: 0 for stream in wanted})
            try:
                for packet in container.demux(wanted):
                    if packet.size and not packet.is_corrupt:
                        counts[packet.stream.index] += 1
            except av.FFmpegError:
                pass  # the end of what a killed process has written
            return min(counts.values(), default=0)
    except av.FFmpegError:
        return 0


def tag(path: Path, name: str) -> bytes | None:
    """A tag of the container, if it has one of that name.

    Raises:
        av.FFmpegError: it cannot be read.
    """
    with av.open(str(path)) as container:
        found = container.metadata.get(name)
        return None if found is None else found.encode()


def packets(path: Path, count: int) -> Iterator[tuple[bool, av.Packet[Any]]]:
    """The packets of the first ``count`` frames in ``path``, and their subtitles, in the file's order.

    Each comes with whether it is video.

    Raises:
        av.FFmpegError: it cannot be read.
    """
    with av.open(str(path)) as container:
        wanted = _streams(container)
        codec = wanted[0].codec_context.name
        start_codes = _START_CODES.get(codec) if container.format.name != "mpegts" else None
        filtered = None if start_codes is None else BitStreamFilterContext(start_codes, wanted[0])
        left = Counter({stream.index: count for stream in wanted})
        for packet in container.demux(wanted):
            if not packet.size or not left[packet.stream.index]:
                continue
            left[packet.stream.index] -= 1
            is_video, time_base = packet.stream.index == wanted[0].index, packet.time_base  # the filter empties it
            for made in filtered.filter(packet) if filtered is not None and is_video else [packet]:
                made.time_base = time_base
                yield is_video, made
            if not left.total():
                return


def _streams(container: av.container.InputContainer) -> list[av.stream.Stream]:
    """The video first; with lossless depth, then the track that has a line for each frame."""
    video = container.streams.video[:1]
    has_lines = bool(video) and video[0].codec_context.name == "ffv1"
    return [*video, *(container.streams.subtitles[:1] if has_lines else [])]
