"""Each frame's focal length as a table, for a match-mover or a plot."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import BinaryIO

from sinks.files.file_sink import FileSink
from sinks.frame_json import to_json
from stream.errors import ConfigError
from stream.frame import DepthFrame


class FocalSink(FileSink):
    """Writes ``frame``, ``pts`` and ``time_s``; ``raw`` (the network's estimate, empty where it did not run) and
    ``smoothed`` (what depth was scaled with), in pixels of the source picture; ``deviation`` of log focal length;
    ``cut``, whether a shot begins; ``source`` of the focal length; ``width`` and ``height`` of the source picture.

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
        super().__init__(whole, overwrite=overwrite, errors=())

    @property
    def needs_image(self) -> bool:
        return False

    def _create(self, _first: DepthFrame) -> _Table:
        file = self._path.open("wb" if self._overwrite else "xb", buffering=0)
        return _Table(file, is_csv=self._path.suffix.lower() == ".csv")


class _Table:
    """The open file."""

    def __init__(self, file: BinaryIO | io.RawIOBase, *, is_csv: bool) -> None:
        self._file, self._is_csv, self._rows = file, is_csv, 0

    def write(self, frame: DepthFrame) -> None:
        focal, pts = frame.focal, frame.capture.pts
        row: dict[str, object] = {
            "frame": frame.capture.index,
            "pts": pts,
            "time_s": float(pts * frame.capture.time_base) if pts is not None else frame.capture.time_s,
            "raw": focal.raw_px,
            "smoothed": focal.smoothed_px,
            "deviation": focal.log_std,
            "cut": frame.scene_cut,
            "source": focal.source,
            "width": frame.source_width,
            "height": frame.source_height,
        }
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
    writer.writerow({**row, "cut": int(bool(row["cut"]))})
    return text.getvalue().encode()
