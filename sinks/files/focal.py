"""Each frame's focal length and scale as a table, for a match-mover or a plot."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from sinks.files.file_sink import FileSink
from sinks.frame_json import to_json
from stream.errors import ConfigError
from stream.frame import Capture, DepthFrame


class FocalSink(FileSink):
    """Writes ``frame``, ``pts`` and ``time_s``; ``raw`` (the network's estimate, empty where it did not run) and
    ``smoothed`` (what depth was scaled with), in pixels of the source picture; ``deviation`` of log focal length;
    ``cut``, whether a shot begins; ``source`` of the focal length; ``width`` and ``height`` of the source picture; and
    how the scale was steadied, empty where that is not done: ``correction``, the logarithm of what depth was multiplied
    with, ``correction_deviation``, ``inliers`` and ``resets``, as in :class:`stream.frame.ScaleCorrection`.

    The file is whole after every frame: CSV, or a JSON array of objects.

    Args:
        path: the file; its ending, .csv or .json, chooses the format.
        overwrite: replace a file that is already there.

    Raises:
        ConfigError: another ending.
        SinkError: the file exists, or cannot be created there.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        whole = Path(path).absolute()
        if whole.suffix.lower() not in (".csv", ".json"):
            raise ConfigError(f"cannot tell the format of {whole.name!r}; its name must end in .csv or .json")
        self._kept: list[dict[str, object]] = []
        super().__init__(whole, overwrite=overwrite, errors=())

    @property
    def needs_image(self) -> bool:
        return False

    @property
    def _is_csv(self) -> bool:
        return self._path.suffix.lower() == ".csv"

    def whole_frames(self, _indices: Sequence[int]) -> int:
        """How many frames of an earlier run are in the file."""
        return len(self._rows())

    def resume(self, captures: Sequence[Capture]) -> None:
        """Before the first frame: keep what an earlier run has written of so many frames, and go on behind them."""
        self._kept = self._rows()[: len(captures)]

    def _rows(self) -> list[dict[str, object]]:
        try:
            text = self._path.read_text(encoding="utf-8")
            if not self._is_csv:
                rows: list[dict[str, object]] = json.loads(text)
                return rows
            return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))  # the last line may be torn
        except (OSError, ValueError):  # there is none, or it is something else
            return []

    def _create(self, _first: DepthFrame) -> _Table:
        file = self._path.open("wb" if self._overwrite else "xb", buffering=0)
        table = _Table(file, is_csv=self._is_csv)
        for row in self._kept:
            table.add(row)
        return table


class _Table:
    """The open file."""

    def __init__(self, file: BinaryIO | io.RawIOBase, *, is_csv: bool) -> None:
        self._file, self._is_csv, self._rows = file, is_csv, 0

    def write(self, frame: DepthFrame) -> None:
        focal, steady, pts = frame.focal, frame.steady, frame.capture.pts
        row: dict[str, object] = {
            "frame": frame.capture.index,
            "pts": pts,
            "time_s": float(pts * frame.capture.time_base) if pts is not None else frame.capture.time_s,
            "raw": focal.raw_px,
            "smoothed": focal.smoothed_px,
            "deviation": focal.log_std,
            "cut": int(frame.scene_cut) if self._is_csv else frame.scene_cut,
            "source": focal.source,
            "width": frame.source_width,
            "height": frame.source_height,
            "correction": None if steady is None else steady.log,
            "correction_deviation": None if steady is None else steady.log_std,
            "inliers": None if steady is None else steady.inliers,
            "resets": None if steady is None else steady.resets,
        }
        self.add(row)

    def add(self, row: dict[str, object]) -> None:
        """Write a line as it is."""
        self._put(_csv_line(row, header=self._rows == 0) if self._is_csv else self._json_line(row))
        self._rows += 1

    def finish(self) -> None:
        self._file.close()

    def _json_line(self, row: dict[str, object]) -> bytes:
        if self._rows:
            self._file.seek(-len(b"\n]\n"), os.SEEK_END)
        return (b",\n" if self._rows else b"[\n") + to_json(row) + b"\n]\n"

    def _put(self, data: bytes) -> None:
        left = memoryview(data)
        while left:  # a full disk may take a part
            left = left[self._file.write(left) or 0 :]


def _csv_line(row: dict[str, object], *, header: bool) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, row, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerow(row)
    return text.getvalue().encode()
