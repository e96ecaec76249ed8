"""Where an earlier run's file lies while a new one takes over what it holds."""

from __future__ import annotations

from pathlib import Path


class Aside:
    """The file at ``path`` under another name, from before the new one is begun until it has all that it needs of it.

    Attributes:
        path: the other name.
    """

    def __init__(self, path: Path) -> None:
        self._whole = path
        self.path = path.with_name(f"{path.name}.earlier")

    def put_back(self) -> None:
        """Undo what a run that was killed while it took over has begun; nothing where none was."""
        if self.path.exists():
            self.path.replace(self._whole)

    def move(self) -> None:
        """Give the file the other name.

        Raises:
            OSError: the system refuses.
        """
        self._whole.replace(self.path)

    def remove(self) -> None:
        """All that is needed of it has been taken over."""
        self.path.unlink()
