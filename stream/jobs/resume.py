"""Going on where an earlier run was killed: past the frames that it has done, which are decoded and not computed."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from stream.errors import SourceError
from stream.frame import Capture, Frame
from stream.ports import Source, SourceInfo
from stream.sources.address import local_path, redact

_ENDS = 1 << 20  # bytes of a file's head and tail that are looked at
_log = logging.getLogger(__name__)


class Done(Protocol):
    """What is known of a frame whose depth is there: its number, and whatever the estimator found in it."""

    @property
    def index(self) -> int: ...


D = TypeVar("D", bound=Done)
D_contra = TypeVar("D_contra", bound=Done, contravariant=True)


class Replaying(Protocol[D_contra]):
    """An estimator that can be told what it found before."""

    def replay(self, frame: Frame, done: D_contra, /) -> None:
        """Take note of a frame without computing its depth, so that those after it come out as if it had been."""
        ...


class Rest:
    """A source whose iteration has begun already: what is left of it, behind ``count`` frames."""

    def __init__(self, source: Source, frames: Iterator[Frame], count: int) -> None:
        self._source, self._frames = source, frames
        expected = source.info.frame_count
        self.info: SourceInfo = replace(source.info, frame_count=expected and max(expected - count, 1))

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def stop(self) -> None:
        """See :class:`stream.ports.Source`."""
        if (stop := getattr(self._source, "stop", None)) is not None:
            stop()

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def go_past(source: Source, estimator: Replaying[D], done: Sequence[D]) -> tuple[Rest, list[Capture]]:
    """Decode the frames that are ``done``.

    Returns:
        What is left of the source, and when the frames that are done were taken.

    Raises:
        SourceError: the source has other frames than before, or broke off.
    """
    _log.info("%s: going on behind frame %d, up to which an earlier run has come", source.info.name, done[-1].index)
    frames, captures = iter(source), []
    for record in done:
        frame = next((f for f in frames if f.capture.index >= record.index), None)
        if frame is None or frame.capture.index != record.index:
            raise SourceError(
                f"{source.info.name}: frame {record.index} was there before; `overwrite=True` begins anew"
            )
        estimator.replay(frame, record)
        captures.append(frame.capture)
    return Rest(source, frames, len(done)), captures


def fingerprint(source: str) -> dict[str, object]:
    """What tells a file from what it may be replaced with: size, time, and a hash of its head and tail.

    Of a folder, its files' names, sizes and times; of what is no file, the name alone.
    """
    try:
        path = local_path(source)
        if path.is_dir():
            files = sorted((str(p.relative_to(path)), p.stat()) for p in path.rglob("*") if p.is_file())
            listed = "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in files)
            return {"source": str(path.resolve()), "source files": hashlib.sha256(os.fsencode(listed)).hexdigest()}
        return {"source": str(path.resolve()), **_of_file(path)} if path.is_file() else {"source": redact(source)}
    except (OSError, ValueError):  # opening it will say why
        return {"source": redact(source)}


def _of_file(path: Path) -> dict[str, object]:
    size = path.stat().st_size
    with path.open("rb") as file:
        ends = hashlib.sha256(file.read(_ENDS))
        file.seek(max(size - _ENDS, 0))
        ends.update(file.read(_ENDS))
    return {"source size": size, "source time": path.stat().st_mtime_ns, "source head and tail": ends.hexdigest()}
