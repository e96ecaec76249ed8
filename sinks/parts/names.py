"""What files are called until they are whole, and what lies beside them."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from sinks.places import is_file, path_of
from stream.errors import SinkError


def is_whole(uri: str) -> bool:
    """Whether the file that the sink ``uri`` writes is there, and nothing of a run that was to write it or others;
    never of a sink that writes none.
    """
    if not is_file(uri):
        return False
    path = path_of(uri)
    part = part_of(path)
    try:
        return path.exists() and not any(beside(part, ending).exists() for ending in ("journal", "lock"))
    except OSError:  # writing it will say why
        return False


def part_of(path: Path) -> Path:
    """The name of ``path`` until it is whole."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


def journal_of(part: Path) -> Path:
    """Where it is noted what has been written into ``part``."""
    return beside(part, "journal")


def beside(part: Path, ending: str) -> Path:
    """The name of something that belongs to ``part``."""
    return part.with_name(f"{part.name}.{ending}")


def check_length(path: Path) -> None:
    """Refuse a name that leaves no room for those of all that lies beside it.

    Raises:
        SinkError: it is too long.
    """
    try:
        beside(part_of(path), "journal.new").lstat()
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:
            raise SinkError(
                f"cannot write {path}: its name is too long, with what is added until it is whole; give a shorter one"
            ) from exc


def exists_already(path: Path) -> str:
    """What is said of a file that must stay."""
    return f"{path} exists; choose another name or use `overwrite=True`"


def rename(part: Path, path: Path) -> None:
    """Give ``part`` its name; what is in a folder goes into one that is there.

    Raises:
        SinkError: the system refuses.
    """
    try:
        if not part.is_dir() or not path.exists():
            part.replace(path)
            return
        for file in filter(Path.is_file, part.rglob("*")):
            place = path / file.relative_to(part)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
        shutil.rmtree(part)
    except OSError as exc:
        raise SinkError(f"cannot rename {part} to {path}: {exc.strerror}") from exc
