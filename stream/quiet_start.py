"""The first thing a program imports: Ctrl-C ends it without a traceback while all else is being imported."""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130  # the exit status


def quiet_start() -> None:
    """Let Ctrl-C end the program at once, until something else is said of it."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    have_streams()


def have_streams() -> None:
    """Let standard streams that were closed (``1>&-``) go nowhere; else the next file that is opened would be one."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 (open for as long as the program runs)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
