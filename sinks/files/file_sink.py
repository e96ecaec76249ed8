"""What all sinks that write a file have in common: when it is created and finished, and what its errors mean."""

from __future__ import annotations

import errno
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Protocol

from sinks.files.target import check_target
from stream.errors import SinkError
from stream.frame import DepthFrame

_log = logging.getLogger(__name__)


class OpenFile(Protocol):
    """A file that is being written."""

    def write(self, frame: DepthFrame) -> None: ...

    def finish(self) -> None: ...


class FileSink(ABC):
    """Writes frames to a file that is created with the first one. After an error nothing more is written to it.

    A frame that does not fit into the file, by its size, begins another one: ``a.mkv`` is finished, and ``a-0002.mkv``
    goes on. Such a number is the next one that is free; a file that is there is never replaced by it.

    Args:
        path: the file.
        overwrite: replace a file that is already there.
        errors: exceptions of the library that writes the file. They become ``SinkError``, as ``OSError`` does anyway.
        kept: what to say of the file when the disk is full.

    Attributes:
        paths: of the files that have been created, in order.

    Raises:
        SinkError: the file exists, or cannot be created there.
    """

    def __init__(
        self,
        path: Path,
        *,
        overwrite: bool,
        errors: tuple[type[Exception], ...],
        kept: str = "what reached the disk is kept",
    ) -> None:
        self._path = self._target = path
        self._part = 1
        self._overwrite = overwrite
        self._errors: tuple[type[Exception], ...] = (OSError, *errors)
        self._reasons = {
            errno.ENOSPC: f"disk full; {kept}",
            errno.EDQUOT: f"disk full (quota); {kept}",
            errno.EFBIG: f"the file has become too large for this file system; {kept}",
        }
        self._check(path)
        self._file: OpenFile | None = None
        self.paths: list[Path] = []
        self._failed = self._closed = False

    @property
    def name(self) -> str:
        return str(self._target)

    def _check(self, path: Path, /) -> None:
        """Refuse a path that cannot be created, before any work is done."""
        check_target(path, overwrite=self._overwrite)

    @abstractmethod
    def _create(self, first: DepthFrame, /) -> OpenFile:
        """Create the file, for frames such as ``first``, which is written next."""

    def _fits(self, _frame: DepthFrame, /) -> bool:
        """Whether the open file can take the frame."""
        return True

    def write(self, frame: DepthFrame) -> None:
        """Write one frame.

        Raises:
            SinkError: it cannot be written, an earlier frame failed, or the file is finished.
        """
        if self._failed or self._closed:
            why = "an earlier frame failed" if self._failed else "it is finished"
            raise SinkError(f"cannot write {self._path}: {why}")
        try:
            with self._as_sink_error():
                if self._file is not None and not self._fits(frame):
                    self._finish_part(frame)
                if self._file is None:
                    self._file = self._create(frame)
                    self.paths += [self._path, *self.belonging(self._path)]
                self._file.write(frame)
        except BaseException:
            self._failed = True
            raise

    def close(self) -> None:
        """Finish the file. Without a frame there is none; after an error, what reached the disk stays.

        Raises:
            SinkError: the end of the file cannot be written, and no error was raised before.
        """
        self._closed = True
        file, self._file = self._file, None
        if file is None:
            return
        with suppress(SinkError) if self._failed else nullcontext(), self._as_sink_error():
            file.finish()

    def _is_taken(self, path: Path, /) -> bool:
        """Whether a file of that name is there, or one that belongs to it."""
        return any(p.exists() or p.is_symlink() for p in (path, *self.belonging(path)))

    def belonging(self, _path: Path, /) -> Sequence[Path]:
        """Files that are written beside the one of that name."""
        return ()

    @property
    def places(self) -> set[Path]:
        """The names that are this sink's own."""
        return {self._target, *self.belonging(self._target)}

    def _finish_part(self, frame: DepthFrame) -> None:
        """Finish the file; the next one gets a number."""
        file, self._file = self._file, None
        assert file is not None
        file.finish()
        done, self._overwrite = self._path, False
        while self._is_taken(self._path):
            self._part += 1
            self._path = self._target.with_stem(f"{self._target.stem}-{self._part:04d}")
        _log.warning(
            "%s: frame %d is %dx%d; %s is finished, and %s goes on",
            self._target.name,
            frame.capture.index,
            frame.width,
            frame.height,
            done.name,
            self._path.name,
        )

    @contextmanager
    def _as_sink_error(self) -> Iterator[None]:
        """The library's and the system's errors become ours here and nowhere else."""
        try:
            yield
        except FileExistsError as exc:
            raise SinkError(f"{self._path} exists; choose another name or use `overwrite=True`") from exc
        except self._errors as exc:
            number = getattr(exc, "errno", None) or 0
            reason = self._reasons.get(number) or getattr(exc, "strerror", None) or exc
            raise SinkError(f"cannot write {self._path}: {reason}") from exc
