"""What a run that was killed leaves beside a file, so that the same command can go on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from stream.errors import SinkError
from stream.frame import DepthFrame, DepthScale, Odometry


@dataclass(frozen=True, slots=True)
class Record:
    """What of a finished frame those after it depend on.

    Attributes:
        index: its number in its source.
        raw_px: the focal length the network saw in it.
        ratio, ratio_std: what geometry told of its scale, :class:`stream.frame.ScaleCorrection`.
        scale: what depth was multiplied with because a distance is known.
        odometry: where the camera was, if later frames are followed from this one.
    """

    index: int
    raw_px: float | None
    ratio: float | None = None
    ratio_std: float = 0.0
    scale: DepthScale | None = None
    odometry: Odometry | None = None

    @classmethod
    def of(cls, frame: DepthFrame) -> Record:
        """That of ``frame``."""
        index, raw_px, steady = frame.capture.index, frame.focal.raw_px, frame.steady
        if steady is None:
            return cls(index, raw_px, scale=frame.scale)
        odometry = frame.odometry if frame.odometry is not None and frame.odometry.is_reference else None
        return cls(index, raw_px, steady.ratio, steady.ratio_std, frame.scale, odometry)

    @classmethod
    def read(cls, line: bytes) -> Record:
        """That of a line of a journal.

        Raises:
            ValueError, TypeError: it is none.
        """
        index, raw_px, ratio, ratio_std, scale, odometry = orjson.loads(line)
        return cls(
            index,
            raw_px,
            ratio,
            ratio_std,
            None if scale is None else DepthScale(**scale),
            None if odometry is None else _odometry(**odometry),
        )

    def line(self) -> bytes:
        """As a line of a journal, with its end."""
        return orjson.dumps((self.index, self.raw_px, self.ratio, self.ratio_std, self.scale, self.odometry)) + b"\n"


class Journal:
    """A file of lines of JSON: what the run is, then each frame that has been written.

    Args:
        path: of the journal.
        of: the file that is written, for messages.
    """

    def __init__(self, path: Path, *, of: Path) -> None:
        self._path, self._of = path, of
        self._file: BinaryIO | None = None
        self._identity: dict[str, Any] = {}

    def exists(self) -> bool:
        """Whether an earlier run, which is not over, has left it."""
        return self._path.exists()

    def read(self, identity: Mapping[str, object], *, anew: bool = False) -> list[Record]:
        """The frames of an earlier run of the same ``identity``, in order; none if there was no such run.

        Args:
            identity: what makes the result what it is, by name; anything JSON can hold.
            anew: leave an earlier run alone.

        Raises:
            SinkError: an earlier run was another one, and the message names the first difference; or it is damaged.
        """
        self._identity = json.loads(json.dumps(dict(identity)))
        if anew:
            return []
        try:
            lines = self._path.read_bytes().split(b"\n")[:-1]  # the last one may be torn
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise SinkError(f"cannot read {self._path}: {exc.strerror}; `overwrite=True` begins anew") from exc
        try:
            earlier = dict(json.loads(lines[0]))
            records = [Record.read(line) for line in lines[1:]]
        except (ValueError, TypeError, IndexError) as exc:
            raise SinkError(
                f"{self._path} is damaged, so that nothing can go on with {self._of}; `overwrite=True` begins anew"
            ) from exc
        for name in {**earlier, **self._identity}:
            was, now = earlier.get(name), self._identity.get(name)
            if was != now:
                differs = f"{name}: {_told(name, was)}, now {_told(name, now)}"
                raise SinkError(
                    f"{self._of} was begun by another run, {differs}; the same command goes on with it, and "
                    "`overwrite=True` begins anew"
                )
        return records

    def begin(self, records: Sequence[Record]) -> None:
        """Write anew what has been done, and be ready for more.

        Raises:
            OSError: it cannot be written.
        """
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            new.write_bytes(json.dumps(self._identity).encode() + b"\n" + b"".join(record.line() for record in records))
            new.replace(self._path)
        except OSError:
            with suppress(OSError):
                new.unlink()
            raise
        self._file = self._path.open("ab")

    def add(self, frame: DepthFrame) -> None:
        """Note a frame that has been handed to the file.

        Raises:
            OSError: it cannot be written.
        """
        assert self._file is not None, "begin comes first"
        self._file.write(Record.of(frame).line())
        self._file.flush()  # to the system, which keeps it when this process is killed

    def close(self) -> None:
        """Close the file, which stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Close and remove it."""
        self.close()
        self._path.unlink(missing_ok=True)


def _told(name: str, value: object) -> str:
    if name.endswith(" time") and isinstance(value, int):  # nanoseconds of a file system
        return datetime.fromtimestamp(value / 1e9).isoformat(" ", "milliseconds")
    return "not given" if value is None else str(value)


def _odometry(
    stretch: int, position: list[float], orientation: list[float], covariance: list[float], is_reference: bool
) -> Odometry:
    (x, y, z), (qx, qy, qz, qw) = position, orientation
    return Odometry(
        stretch=stretch,
        position=(x, y, z),
        orientation=(qx, qy, qz, qw),
        covariance=tuple(covariance),
        is_reference=is_reference,
    )
