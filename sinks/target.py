"""Whether a file may be created, found out before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from stream.errors import SinkError


def check_target(path: Path, *, overwrite: bool) -> None:
    """See to it that ``path`` can be created, without touching it.

    Raises:
        SinkError: it is a folder, its folder is missing or not writable, or it exists and ``overwrite`` is not set.
    """
    try:
        exists, is_dir, has_folder = path.exists(), path.is_dir(), path.parent.is_dir()
    except OSError as exc:
        raise SinkError(f"cannot write {path}: {exc.strerror}") from exc
    if is_dir:
        raise SinkError(f"cannot write {path}: it is a folder; name a file in it")
    if not has_folder:
        raise SinkError(f"cannot write {path}: there is no folder {path.parent}; create it first")
    if exists and not overwrite:
        raise SinkError(f"{path} exists; choose another name or pass --overwrite")
    if not os.access(path if exists else path.parent, os.W_OK):
        raise SinkError(f"cannot write {path}: no permission; choose a folder you may write to")
