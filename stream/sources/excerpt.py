"""A part of a file: from here to there, or every so many frames."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Any

from cyclopts import Parameter

from stream.errors import ConfigError, SourceError
from stream.frame import Frame
from stream.ports import Source, SourceInfo

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)s?", re.ASCII)
_NUMBERED = re.compile(r"(\d+)f", re.ASCII)


@dataclass(frozen=True, slots=True)
class Moment:
    """A place in a file: a number of frames, or a time in seconds since its first frame."""

    value: Fraction
    is_frame: bool

    def __str__(self) -> str:
        return f"{self.value}f" if self.is_frame else f"{float(self.value):g}"

    def of(self, frame: Frame) -> Fraction:
        """Where ``frame`` is, as this moment counts."""
        capture = frame.capture
        return Fraction(capture.index) if self.is_frame else Fraction(capture.time_ns, 10**9)


def parse_moment(text: str) -> Moment:
    """``90``, ``1:30``, ``0:01:30.5`` as a time, ``2250f`` as a number of frames.

    Raises:
        ConfigError: it is neither.
    """
    if numbered := _NUMBERED.fullmatch(text.strip()):
        return Moment(Fraction(int(numbered[1])), is_frame=True)
    if clock := _CLOCK.fullmatch(text.strip()):
        hours, minutes, seconds = (Fraction(part or 0) for part in clock.groups())
        return Moment(hours * 3600 + minutes * 60 + seconds, is_frame=False)
    raise ConfigError(f"{text!r} is no place in a video; write seconds (90), a time (1:30) or a frame (2250f)")


def _typed(_kind: type, tokens: Any) -> Moment:
    return parse_moment(tokens[0].value)


_Typed = Annotated[Moment | None, Parameter(n_tokens=1, converter=_typed, accepts_keys=False, metavar="TIME|Nf")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcerptConfig:
    """Which part of a file is read. Frames keep their number and time in the file."""

    start: _Typed = None
    """First moment that is read: seconds (90), a time (1:30) or a frame (2250f). Default: the beginning."""

    end: _Typed = None
    """First moment that is not read any more, written likewise. Default: the end."""

    every: _Typed = None
    """Read one frame in so many (5f), or one in so many seconds (0.5). Default: all."""

    def __post_init__(self) -> None:
        if self.every is not None and self.every.value <= 0:
            raise ConfigError("`every` must be more than nothing, such as 5f or 0.5")
        start, end = self.start, self.end
        if start and end and start.is_frame == end.is_frame and start.value >= end.value:
            raise ConfigError(f"`start` ({start}) must be before `end` ({end})")

    @property
    def is_all(self) -> bool:
        return self.start is None and self.end is None and self.every is None


class Excerpt:
    """Part of another source, which is closed with this one. Frames before the start are decoded and dropped.

    Seeking would be faster, and could not tell which number a frame has.

    Raises:
        ConfigError: the source is a camera.
    """

    def __init__(self, source: Source, config: ExcerptConfig) -> None:
        if source.info.live:
            raise ConfigError(f"{source.info.name} is a camera; `start`, `end` and `every` are for files")
        self._source, self._config = source, config
        self.info: SourceInfo = replace(source.info, frame_count=self._expected(source.info))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames of the part.

        Raises:
            SourceError: the source broke off, or ends before the start.
        """
        start, end, every = self._config.start, self._config.end, self._config.every
        due: Fraction | None = None
        for frame in self._source:
            if end is not None and end.of(frame) >= end.value:
                break
            if start is not None and start.of(frame) < start.value:
                continue
            if every is None:
                due = Fraction(0)
            else:
                place = every.of(frame)
                if due is not None and place < due:
                    continue
                # On the grid that the first frame begins, also where frames come at uneven times.
                due = place + every.value if due is None else due + ((place - due) // every.value + 1) * every.value
            yield frame
        if due is None:
            raise SourceError(f"{self.info.name}: no frame is in the part that was asked for ({self._described()})")

    def stop(self) -> None:
        """See :class:`stream.ports.Source`."""
        if (stop := getattr(self._source, "stop", None)) is not None:
            stop()

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _described(self) -> str:
        config = self._config
        return ", ".join(f"{n} {m}" for n, m in (("start", config.start), ("end", config.end)) if m is not None)

    def _expected(self, info: SourceInfo) -> int | None:
        """How many frames there will be, as far as a constant rate tells."""
        rate, count = info.frame_rate, info.frame_count

        def frames(moment: Moment) -> Fraction | None:
            return moment.value if moment.is_frame else None if rate is None else moment.value * rate

        first = Fraction(0) if self._config.start is None else frames(self._config.start)
        last = None if count is None else Fraction(count)
        if self._config.end is not None and (asked := frames(self._config.end)) is not None:
            last = asked if last is None else min(asked, last)
        step = Fraction(1) if self._config.every is None else frames(self._config.every)
        if first is None or last is None or step is None:
            return None
        return max(-int(-(last - first) // max(step, Fraction(1))), 0)
