"""Whether a file may be created, found out before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from stream.errors import ConfigError, SinkError


def check_target(path: Path, *, overwrite: bool) -> None:
    """Check that ``path`` can be created, without touching it.

    Raises:
        ConfigError: no file can have that name.
        SinkError: it is a folder, its folder is missing or not writable, it exists and ``overwrite`` is not set, or it
            is a symbolic link to where no file can be created.
    """
    if "\0" in str(path):
        raise ConfigError(f"cannot write {str(path)!r}: no file name can have a null byte (%00) in it")
    link = path
    try:
        dangles = path.is_symlink() and not path.exists()
        if dangles:
            path = Path(os.path.realpath(path))
        exists, is_dir, has_folder = path.exists(), path.is_dir(), path.parent.is_dir()
        in_circles = dangles and path.is_symlink()
    except OSError as exc:
        raise SinkError(f"cannot write {path}: {exc.strerror}") from exc
    if dangles and (in_circles or not overwrite):
        where = "itself; remove it" if in_circles else f"{path}, which does not exist; `overwrite=True` creates that"
        raise SinkError(f"cannot write {link}: it is a symbolic link to {where}, or choose another name")
    if is_dir:
        raise SinkError(f"cannot write {path}: it is a folder; name a file in it")
    if not has_folder:
        raise SinkError(f"cannot write {path}: there is no folder {path.parent}; create it first")
    if exists and not overwrite:
        raise SinkError(f"{path} exists; choose another name or use `overwrite=True`")
    if not os.access(path if exists else path.parent, os.W_OK):
        raise SinkError(f"cannot write {path}: no permission; choose a folder you may write to")
