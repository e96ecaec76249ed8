"""One run at a time writes an output."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from stream.errors import SinkError


class Claim:
    """A lock beside an output, taken when this is made. A process that is killed lets go of it.

    Args:
        path: of the lock's file, which is there as long as the claim.
        of: what is claimed, for messages.

    Raises:
        SinkError: another run has it, or the file cannot be made.
    """

    def __init__(self, path: Path, *, of: Path) -> None:
        self._path, self._lock = path, FileLock(path.absolute())
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise SinkError(f"another run writes {of}; wait for it, or give this one another name") from None
        except OSError as exc:
            raise SinkError(f"cannot write {of}: {exc.strerror}") from exc

    def release(self) -> None:
        """Let go of it. Nobody waits for the file, so it can go, too."""
        if self._lock.is_locked:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._lock.release()
