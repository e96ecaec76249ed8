"""Depth in a file of Rerun."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import BinaryIO

from sinks.files.file_sink import FileSink
from sinks.rerun.options import RrdOptions
from sinks.rerun.recording import Recording
from stream.frame import DepthFrame, SourceState
from stream.ports import SourceInfo

_DESCRIPTORS = Path("/dev/fd")
_READ_BYTES = 2**20


class RrdSink(FileSink):
    """Writes an ``.rrd`` file; :mod:`sinks.rerun.recording` says what is in it.

    A file that was not finished (disk full, killed) lacks its index, and may end within a message: ``rerun rrd optimize
    broken.rrd -o whole.rrd`` makes it whole. A camera's never has an index, as Rerun keeps that in memory until the
    end, some kilobytes a frame; the same command adds it.

    Args:
        path: the file.
        options: what is written.
        overwrite: replace a file that is already there.

    Raises:
        ConfigError: no file can have that name.
        SinkError: the file exists, or cannot be created there.
    """

    def __init__(
        self, path: str | os.PathLike[str], options: RrdOptions | None = None, *, overwrite: bool = False
    ) -> None:
        self._options = options or RrdOptions()
        self._info = SourceInfo(name="", live=False)
        super().__init__(
            Path(path).absolute(),
            overwrite=overwrite,
            errors=(RuntimeError,),
            kept="what reached the disk is kept, `rerun rrd optimize` makes it whole",
        )
        self._recording = Recording(self._options)

    @property
    def needs_image(self) -> bool:
        return self._options.image != "none"

    def prepare(self, info: SourceInfo) -> None:
        """Where the frames come from."""
        self._info = info

    def observe(self, state: SourceState) -> None:
        """Write what happens to the camera, also before the first frame: it waits in memory until then."""
        self._recording.tell(state)

    def _create(self, _first: DepthFrame) -> _OpenRrd:
        file = self._path.open("wb" if self._overwrite else "xb", buffering=0)
        return _OpenRrd(file, self._path, self._recording, live=self._info.live)


class _OpenRrd:
    """The open file. Rerun writes into a pipe, and a thread from there into the file.

    Rerun's own writing ends at the first error, which it logs and tells nobody; whatever waits for it then waits for
    ever. A pipe takes all that is written. (Where there is none that has a path, on Windows, Rerun writes the file.)
    """

    def __init__(self, file: BinaryIO | io.RawIOBase, path: Path, recording: Recording, *, live: bool) -> None:
        self._recording = recording
        self._pump: _Pump | None = None
        if _DESCRIPTORS.is_dir():
            self._pump = _Pump(file)
            try:
                recording.stream.save(_DESCRIPTORS / str(self._pump.writable), write_footer=not live)
            finally:
                self._pump.begin()
        else:
            file.close()
            recording.stream.save(path, write_footer=not live)

    def write(self, frame: DepthFrame) -> None:
        self._check()
        self._recording.add(frame)

    def finish(self) -> None:
        self._recording.stream.disconnect()
        if self._pump is not None:
            self._pump.join()
        self._check()

    def _check(self) -> None:
        if self._pump is not None and self._pump.error is not None:
            raise self._pump.error


class _Pump(threading.Thread):
    """Writes what comes through a pipe into ``file``, and closes it; after an error, the rest is thrown away.

    Attributes:
        writable: descriptor of the pipe's end, until ``begin``.
        error: why the file could not be written, if so.
    """

    def __init__(self, file: BinaryIO | io.RawIOBase) -> None:
        super().__init__(name="rrd file", daemon=True)
        self._file = file
        self._readable, self.writable = os.pipe()
        self.error: OSError | None = None

    def begin(self) -> None:
        """The other end has been opened by its path."""
        os.close(self.writable)
        self.start()

    def run(self) -> None:
        """The thread's loop, until the other end is closed."""
        try:
            while data := os.read(self._readable, _READ_BYTES):
                try:
                    self._write(data)
                except OSError as exc:
                    self.error = self.error or exc
        finally:
            os.close(self._readable)
            self._file.close()

    def _write(self, data: bytes) -> None:
        left = memoryview(data if self.error is None else b"")
        while left:  # a full disk may take a part
            left = left[self._file.write(left) or 0 :]
