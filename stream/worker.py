"""The one thread primitive: several loops that start together, end together, and report the first error.

Loops tell each other to end by closing the queues between them. So there is nothing here to signal: this module starts
threads, notices how they end, waits for them, and knows since when one has been inside somebody else's code.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

_log = logging.getLogger(__name__)


class ForeignCall:
    """Since when a thread has been inside a source, an estimator or a sink, which may never return from there.

    A context manager around each such call. One thread enters, any thread asks.
    """

    def __init__(self) -> None:
        self._since: float | None = None

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._since = None

    def hangs(self, *, limit_s: float, since: float) -> bool:
        """Whether the call that goes on now has lasted ``limit_s`` seconds, counted from ``since`` at the earliest."""
        began = self._since
        return began is not None and time.monotonic() - max(began, since) > limit_s


class Workers:
    """Named threads with a shared end. A loop that returns has finished, one that raises has failed.

    The first error of all of them is kept. Later ones are logged: they tend to be its consequences.
    """

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    @property
    def error(self) -> BaseException | None:
        """The first failure of any loop."""
        return self._error

    def start(self, name: str, loop: Callable[[], None], *, cleanup: Sequence[Callable[[], None]] = ()) -> None:
        """Run ``loop`` in a thread of its own, then each step of ``cleanup``, whatever the steps before it raised."""
        # A daemon, because a read from a dead camera can hang in a driver, and that must not keep the process alive.
        thread = threading.Thread(target=self._run, args=(loop, *cleanup), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, timeout: float | None = None) -> list[str]:
        """Wait until all loops have ended, at most ``timeout`` seconds; returns the names of those that have not."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return [t.name for t in self._threads if t.is_alive()]

    def fail(self, error: BaseException) -> None:
        """Report a failure; the first one counts."""
        with self._lock:
            first = self._error is None
            self._error = self._error or error
        if not first and error is not self._error:
            _log.warning("another error after the first one: %s: %s", type(error).__name__, error)

    def _run(self, *steps: Callable[[], None]) -> None:
        for step in steps:
            try:
                step()
            except BaseException as exc:  # noqa: BLE001 (a thread's last resort: the owner re-raises it)
                self.fail(exc)
