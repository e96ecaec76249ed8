"""The command line in a process of its own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Process:
    """run_stream.py in a process of its own.

    Args:
        arguments: the command line.
        cwd: where it runs.
        environment: added to this process's.
        most_bytes: that a file of its may have, as if the disk were full then.
    """

    def __init__(
        self,
        *arguments: object,
        cwd: Path,
        environment: dict[str, str] | None = None,
        most_bytes: int = resource.RLIM_INFINITY,
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "run_stream.py"), *map(str, arguments)],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)),
        )
        self.err: list[str] = []
        self._over = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.err.append(line)
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def wait_for(self, text: str, timeout: float = 90) -> None:
        """Wait until a line on standard error holds ``text``."""

        def said() -> bool:
            return any(text in line for line in self.err)

        with self._changed:
            self._changed.wait_for(lambda: said() or self._over, timeout)
            assert said(), "".join(self.err)

    def end(self, timeout: float = 60) -> tuple[int, str]:
        """Wait for the end; returns exit status and standard output."""
        status = self.process.wait(timeout)
        self._reader.join()
        assert self.process.stdout is not None
        return status, self.process.stdout.read()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.kill()
        self._reader.join()
        with self.process:
            pass  # closes the pipes
