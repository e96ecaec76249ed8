"""A folder of numbered files, one for each frame: what every sink that writes one has in common."""

from __future__ import annotations

import errno
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sinks.files.target import check_target
from stream.errors import ConfigError, SinkError
from stream.frame import Capture, DepthFrame

_NUMBERED = re.compile(r"depth_\d{6,}\.\w+")  # frames of a sequence in any format


class SequenceSink(ABC):
    """Writes ``depth_000123.png`` for frame 123 of the source. After an error nothing more is written.

    Each file appears whole: it is written under another name (``.depth_000123.png.part``) and then renamed. Frames may
    change their size.

    Args:
        folder: made where it is missing; the folder it lies in must be there.
        suffix: of the files.
        overwrite: replace the frames that are already there, all of them: two films are never mixed.
        errors: exceptions of the library that writes the file. They become ``SinkError``, as ``OSError`` does anyway.

    Raises:
        ConfigError: no folder can have that name.
        SinkError: the folder cannot be written, or has such files already.
    """

    def __init__(self, folder: Path, *, suffix: str, overwrite: bool, errors: tuple[type[Exception], ...] = ()) -> None:
        self._folder, self._suffix, self._overwrite = folder.absolute(), suffix, overwrite
        self._errors: tuple[type[Exception], ...] = (OSError, *errors)
        self._failed = self._closed = self._has_begun = False
        self._check()

    @property
    def name(self) -> str:
        return str(self._folder)

    @property
    def needs_image(self) -> bool:
        return False

    @property
    def paths(self) -> list[Path]:
        """The folder, once it is there."""
        return [self._folder] if self._folder.is_dir() else []

    @property
    def places(self) -> set[Path]:
        """The names that are this sink's own."""
        return {self._folder}

    def whole_frames(self, indices: Sequence[int]) -> int:
        """How many of the frames with these numbers, from the first one on, an earlier run has left here."""
        return next((count for count, index in enumerate(indices) if not self._has(index)), len(indices))

    def _has(self, index: int) -> bool:
        try:
            return self._file_of(index).stat().st_size > 0  # the system may have crashed before its bytes were there
        except OSError:
            return False

    def _file_of(self, index: int) -> Path:
        return self._folder / f"depth_{index:06d}{self._suffix}"

    def resume(self, _captures: Sequence[Capture]) -> None:
        """Before the first frame: keep what an earlier run has written, and go on behind it."""
        self._overwrite = self._has_begun = True

    def leftovers(self, folder: Path) -> list[Path]:
        """Frames of any sequence that are in ``folder``."""
        return [path for path in folder.iterdir() if _NUMBERED.fullmatch(path.name)]

    @abstractmethod
    def _save(self, frame: DepthFrame, path: Path, /) -> None:
        """Write ``frame`` to ``path``, which is not there."""

    def write(self, frame: DepthFrame) -> None:
        """Write one frame.

        Raises:
            SinkError: it cannot be written, an earlier frame failed, or the sink is closed.
        """
        path = self._file_of(frame.capture.index)
        if self._failed or self._closed:
            why = "an earlier frame failed" if self._failed else "the sequence is finished"
            raise SinkError(f"cannot write {path}: {why}")
        part = path.with_name(f".{path.name}.part")
        try:
            self._folder.mkdir(exist_ok=True)
            part.unlink(missing_ok=True)  # of a process that was killed
            self._save(frame, part)
            if self._overwrite and not self._has_begun:
                for old in self.leftovers(self._folder):
                    old.unlink(missing_ok=True)
            self._has_begun = True
            self._publish(part, path)
        except BaseException as exc:
            self._failed = True
            with suppress(OSError):
                part.unlink(missing_ok=True)
            if isinstance(exc, FileExistsError):
                raise SinkError(f"{path} exists; choose another folder or use `overwrite=True`") from exc
            if isinstance(exc, self._errors):
                raise SinkError(f"cannot write {path}: {self._reason(exc)}") from exc
            raise

    def close(self) -> None:
        """Nothing is left to finish: every file is whole."""
        self._closed = True

    def _check(self) -> None:
        folder = self._folder
        if "\0" in str(folder):
            raise ConfigError(f"cannot write {str(folder)!r}: no folder name can have a null byte (%00) in it")
        try:
            if not folder.is_dir():
                if folder.exists():
                    raise SinkError(f"cannot write {folder}: it is a file; name a folder")
                check_target(folder, overwrite=False)
                return
            if not os.access(folder, os.W_OK | os.X_OK):
                raise SinkError(f"cannot write into {folder}: no permission; choose a folder you may write to")
            there = None if self._overwrite else next(folder.glob(f"depth_*{self._suffix}"), None)
        except OSError as exc:
            raise SinkError(f"cannot write {folder}: {exc.strerror}") from exc
        if there is not None:
            raise SinkError(f"{there} exists; choose another folder or use `overwrite=True`")

    def _publish(self, part: Path, path: Path) -> None:
        """Give the finished file its name."""
        if self._overwrite:
            part.replace(path)
            return
        try:
            os.link(part, path)  # as no rename does, it fails where the name is taken
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if path.exists():
                raise FileExistsError(path) from None
            part.rename(path)
        else:
            part.unlink()

    def _reason(self, exc: BaseException) -> str:
        number = getattr(exc, "errno", None)
        if number is None:  # a library that keeps the system's words at most
            text = str(exc)
            number = next((n for n in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) if os.strerror(n) in text), 0)
        full = {
            errno.ENOSPC: "disk full",
            errno.EDQUOT: "disk full (quota)",
            errno.EFBIG: "the file has become too large for this file system",
        }.get(number or 0)
        if full:
            return f"{full}; the files before it are whole"
        return str(getattr(exc, "strerror", None) or exc).splitlines()[0]
