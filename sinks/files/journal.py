"""What a run that was killed leaves beside a file, so that the same command can go on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import orjson

from stream.errors import SinkError
from stream.frame import DepthFrame


@dataclass(frozen=True, slots=True)
class Record:
    """What of a finished frame those after it depend on: its number in its source and the network's focal length."""

    index: int
    raw_px: float | None


class Journal:
    """A file of lines of JSON: what the run is, then each frame that has been written.

    Args:
        path: of the journal.
        of: the file that is written, for messages.
    """

    def __init__(self, path: Path, *, of: Path) -> None:
        self._path, self._of = path, of
        self._file: TextIO | None = None
        self._identity: dict[str, Any] = {}

    def read(self, identity: Mapping[str, object]) -> list[Record]:
        """The frames of an earlier run of the same ``identity``, in order; none if there was no such run.

        Args:
            identity: what makes the result what it is, by name; anything JSON can hold.

        Raises:
            SinkError: an earlier run was another one; the message names the first difference.
        """
        self._identity = json.loads(orjson.dumps(dict(identity)))
        try:
            lines = self._path.read_bytes().split(b"\n")[:-1]  # the last one may be torn
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise SinkError(f"cannot read {self._path}: {exc.strerror}; `overwrite=True` begins anew") from exc
        try:
            earlier, *rest = [orjson.loads(line) for line in lines]
            records = [Record(index, raw_px) for index, raw_px in rest]
        except (ValueError, TypeError):
            return []  # nothing that could be gone on with
        for name in {**earlier, **self._identity}:
            was, now = earlier.get(name), self._identity.get(name)
            if was != now:
                raise SinkError(
                    f"{self._of} was begun by another run, {name}: {was}, now {now}; the same command goes on with it, "
                    "and `overwrite=True` begins anew"
                )
        return records

    def begin(self, records: Sequence[Record]) -> None:
        """Write anew what has been done, and be ready for more.

        Raises:
            OSError: it cannot be written.
        """
        new = self._path.with_name(f"{self._path.name}.new")
        lines = [orjson.dumps(self._identity), *(orjson.dumps((r.index, r.raw_px)) for r in records)]
        new.write_bytes(b"".join(line + b"\n" for line in lines))
        new.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8")

    def add(self, frame: DepthFrame) -> None:
        """Note a frame that has been handed to the file.

        Raises:
            OSError: it cannot be written.
        """
        assert self._file is not None, "begin comes first"
        self._file.write(orjson.dumps((frame.capture.index, frame.focal.raw_px)).decode() + "\n")
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
