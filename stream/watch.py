"""A run that somebody watches: signals end it in order, and a display shows how it fares."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from types import FrameType

from rich.console import Console

from stream.display import Display
from stream.jobs.batch import Place
from stream.pipeline import Pipeline
from stream.ports import SourceInfo

_log = logging.getLogger(__name__)

# A terminal that closes ends a run as Ctrl-C does.
ENDINGS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


def watch(pipeline: Pipeline, infos: Sequence[SourceInfo], console: Console, place: Place | None) -> bool:
    """Run to the end with signals handled and the status shown. Returns whether a signal ended it."""
    signals = 0

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal signals
        signals += 1
        if signals > 1:
            raise KeyboardInterrupt
        _log.info("stopping: finishing the outputs; once more to stop at once")
        pipeline.stop()

    for number in ENDINGS:
        signal.signal(number, on_signal)
    pipeline.start()
    with Display(infos, console, place=place) as display:
        while not pipeline.wait(0.1):
            display.show(pipeline.status())
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)  # everything is written; what is left is to say so
    return signals > 0
