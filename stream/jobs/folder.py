"""A folder that one batch at a time writes into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stream.errors import SinkError

_LOCK = ".depth-pro-stream.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make ``folder`` if need be and have it alone; a process that is killed lets go of it.

    Raises:
        SinkError: another run has it, or it cannot be made or written to.
    """
    lock = FileLock(folder / _LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise SinkError(f"another run writes into {folder}; wait for it, or name another folder") from None
    except OSError as exc:
        raise SinkError(f"cannot write into {folder}: {exc.strerror}; choose a folder you may write to") from exc
    try:
        yield
    finally:
        lock.release()  # the file stays: who removes it takes the lock from under somebody who waits
