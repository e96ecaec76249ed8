"""The first thing a program imports: Ctrl-C ends it without a traceback while all else is being imported."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130  # the exit status


def quiet_start() -> None:
    """Let Ctrl-C end the program at once, until something else is said of it."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
