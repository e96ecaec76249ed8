"""Which video files can be written, and how each is asked for so that little is lost when the process dies."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from stream.errors import ConfigError

CodecName = Literal["auto", "h264", "hevc", "av1", "vp9", "ffv1"]


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
FRAGMENTS = {
    "movflags": "+hybrid_fragmented+frag_keyframe+delay_moov",
    "frag_duration": "1000000",
    "flush_packets": "1",
}
_CLUSTERS = {"cluster_time_limit": "1000", "flush_packets": "1", "default_mode": "infer_no_subs"}
_MILLISECOND = Fraction(1, 1000)
_MPEG_CLOCK = Fraction(1, 90_000)

_CONTAINERS = {
    ".mp4": Container(muxer="mp4", codecs=("h264", "hevc", "av1"), options=FRAGMENTS, copies=True),
    ".m4v": Container(muxer="mp4", codecs=("h264", "hevc", "av1"), options=FRAGMENTS, copies=True),
    ".mov": Container(muxer="mov", codecs=("h264", "hevc"), options=FRAGMENTS, copies=True),
    ".mkv": Container(
        muxer="matroska",
        codecs=("h264", "hevc", "av1", "vp9", "ffv1"),
        tick=_MILLISECOND,
        options=_CLUSTERS,
        copies=True,
    ),
    ".ts": Container(muxer="mpegts", codecs=("h264", "hevc"), tick=_MPEG_CLOCK, options={"flush_packets": "1"}),
    ".webm": Container(muxer="webm", codecs=("vp9", "av1"), tick=_MILLISECOND, options=_CLUSTERS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """How pictures are coded: FFmpeg's name of the encoder, its options, and its scale of quality.

    Attributes:
        quality: name of the option that ``crf`` is for, and its value where the user gives none; ``None``: lossless.
        tag: the code that MP4 and MOV files name the codec by, where the muxer would choose one that players refuse.
    """

    name: str
    options: dict[str, str]
    quality: tuple[str, int] | None = None
    tag: str | None = None


# No frames coded out of order: decoding time is presentation time, so a file cut off anywhere keeps its timing. A
# short look-ahead: few frames are still in the encoder when the process dies. "fps" is only what the encoder picks the
# level and its rate control from, which would be one for a frame per tick otherwise.
_ENCODERS = {
    "h264": Encoder(
        name="libx264",
        options={"preset": "veryfast", "bf": "0", "rc-lookahead": "10", "x264-params": "fps=30"},
        quality=("crf", 20),
    ),
    "hevc": Encoder(
        name="libx265",
        options={"preset": "veryfast", "x265-params": "bframes=0:rc-lookahead=10:fps=30:log-level=error"},
        quality=("crf", 22),
        tag="hvc1",  # Apple's players know no other
    ),
    "av1": Encoder(
        name="libsvtav1",
        options={"preset": "10", "svtav1-params": "pred-struct=1:lookahead=0:fps-num=30:fps-denom=1"},
        quality=("crf", 30),
    ),
    "vp9": Encoder(
        name="libvpx-vp9",
        options={"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "b": "0", "lag-in-frames": "0"},
        quality=("crf", 20),
    ),
    "ffv1": Encoder(name="ffv1", options={"level": "3", "g": "1", "slicecrc": "1"}),
}
# NVIDIA's, on the card: as few frames held, constant quality.
_NVENC_OPTIONS = {"preset": "p4", "rc": "vbr", "bf": "0", "rc-lookahead": "0", "delay": "0"}


def choose_encoder(codec: str, *, nvenc: bool) -> Encoder:
    """What encodes ``codec``: on the processor, or on an NVIDIA card.

    Raises:
        ConfigError: a card encodes other codecs only.
    """
    encoder = _ENCODERS[codec]
    if not nvenc:
        if codec == "av1":
            os.environ.setdefault("SVT_LOG", "1")  # errors alone: FFmpeg cannot tell it not to print its settings
        return encoder
    if codec not in ("h264", "hevc", "av1"):
        raise ConfigError(f"encoder=nvenc is for h264, hevc and av1, not for {codec}; leave it out, or give codec=hevc")
    crf = 0 if encoder.quality is None else encoder.quality[1]
    return Encoder(name=f"{codec}_nvenc", options=_NVENC_OPTIONS, quality=("cq", crf), tag=encoder.tag)


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
