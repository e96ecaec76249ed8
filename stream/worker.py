"""The one thread primitive: several loops that start together, end together, and report the first error.

Loops tell each other to end by closing the queues between them, so there is nothing here to signal: this class only
starts threads, notices how they end, and waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Workers:
    """Named threads with a shared end. A loop that returns has finished, one that raises has failed."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    @property
    def error(self) -> BaseException | None:
        """The first failure of any loop."""
        return self._error

    def start(self, name: str, loop: Callable[[], None]) -> None:
        """Run ``loop`` in a thread of its own."""
        # A daemon, because a read from a dead camera can hang in a driver, and that must not keep the process alive.
        thread = threading.Thread(target=self._run, args=(loop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, timeout: float | None = None) -> list[str]:
        """Wait until all loops have ended, at most ``timeout`` seconds; returns the names of those that have not."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return [t.name for t in self._threads if t.is_alive()]

    def _run(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as exc:  # noqa: BLE001 (a thread's last resort: the owner re-raises it)
            with self._lock:
                self._error = self._error or exc
