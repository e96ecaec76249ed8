"""Which video files can be written, and how each is asked for so that little is lost when the process dies."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from stream.errors import ConfigError

CodecName = Literal["auto", "h264", "vp9", "ffv1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A file format: FFmpeg's name, what fits in (the first is the default), its unit of time, muxer options.

    Those that many kinds of sound fit in take what the source holds besides pictures (``copies``).
    """

    muxer: str
    codecs: tuple[str, ...]
    tick: Fraction | None = None
    options: dict[str, str] = field(default_factory=dict)
    copies: bool = False


# Whatever a killed process leaves is readable but for its end: MP4 is written in fragments that finishing turns into
# one plain index (delay_moov: without it the time of the first frame is lost), Matroska in short clusters. Measured at
# 10 frames/s, kill -9 takes the last second of mkv and webm and the last three of mp4 and mov: the fragment being
# filled, and before it the frames in the encoder's look-ahead.
# FFmpeg before 8.1 (PyAV 18) loses short MP4 files whole with these two flags together: do not require less.
_FRAGMENTS = {
    "movflags": "+hybrid_fragmented+frag_keyframe+delay_moov",
    "frag_duration": "1000000",
    "flush_packets": "1",
}
_CLUSTERS = {"cluster_time_limit": "1000", "flush_packets": "1", "default_mode": "infer_no_subs"}
_MILLISECOND = Fraction(1, 1000)
_MPEG_CLOCK = Fraction(1, 90_000)

_CONTAINERS = {
    ".mp4": Container(muxer="mp4", codecs=("h264",), options=_FRAGMENTS, copies=True),
    ".m4v": Container(muxer="mp4", codecs=("h264",), options=_FRAGMENTS, copies=True),
    ".mov": Container(muxer="mov", codecs=("h264",), options=_FRAGMENTS, copies=True),
    ".mkv": Container(
        muxer="matroska", codecs=("h264", "vp9", "ffv1"), tick=_MILLISECOND, options=_CLUSTERS, copies=True
    ),
    ".ts": Container(muxer="mpegts", codecs=("h264",), tick=_MPEG_CLOCK, options={"flush_packets": "1"}),
    ".webm": Container(muxer="webm", codecs=("vp9",), tick=_MILLISECOND, options=_CLUSTERS),
}

# No frames coded out of order (bf=0, lag 0): decoding time is presentation time, so a file cut off anywhere keeps its
# timing. A short look-ahead: few frames are still in the encoder when the process dies. "fps" is only what x264 picks
# the level from, which would be one for a frame per tick otherwise.
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "veryfast", "bf": "0", "rc-lookahead": "10", "x264-params": "fps=30"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "b": "0", "lag-in-frames": "0"}),
    "ffv1": ("ffv1", {"level": "3", "g": "1", "slicecrc": "1"}),
}


def choose_container(path: Path, codec: CodecName) -> tuple[Container, str]:
    """The container that the ending of ``path`` means, and the codec to use in it.

    Raises:
        ConfigError: an ending that is not known, or a codec that does not go with it.
    """
    container = _CONTAINERS.get(path.suffix.lower())
    if container is None:
        known = ", ".join(_CONTAINERS)
        raise ConfigError(f"cannot tell the video format of {path.name!r}; its name must end in one of {known}")
    if codec == "auto":
        return container, container.codecs[0]
    if codec not in container.codecs:
        endings = ", ".join(ending for ending, c in _CONTAINERS.items() if codec in c.codecs)
        raise ConfigError(f"codec={codec} does not go into {path.suffix} files; use {endings}, or leave codec out")
    return container, codec
