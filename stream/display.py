"""What a person at the terminal sees of a run: a progress bar for files, a status line for cameras, a summary.

Where standard error is no terminal, a plain line every ten seconds takes their place, so that logs stay readable.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from stream.command_line import with_options
from stream.errors import printable
from stream.frame import FocalEstimate
from stream.jobs.batch import Place
from stream.ports import SourceInfo
from stream.stats import SinkStatus, Status

_PLAIN_EVERY_S = 10.0

_log = logging.getLogger(__name__)


def log_to(console: Console, *, verbose: bool) -> None:
    """Send log messages to ``console``: above the bar on a terminal, as plain lines elsewhere."""
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(console=console, show_time=False, show_path=False, markup=False)
        handler.setFormatter(_Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for chatty in ("matplotlib", "PIL", "httpx", "httpcore", "urllib3", "filelock", "huggingface_hub", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.INFO if verbose else logging.WARNING)


class _Formatter(logging.Formatter):
    """Names fields as options, as they are typed."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        return printable(with_options(super().formatMessage(record)))


class Display:
    """Shows the status of each source again and again while a run lasts. A context manager.

    Args:
        infos: of the sources, in the order of their statuses.
        console: where to show it.
        place: of a video in its batch, if it has one.
    """

    def __init__(self, infos: Sequence[SourceInfo], console: Console, *, place: Place | None = None) -> None:
        self._infos = infos
        self._place = place
        self._console = console
        self._plain_due = time.monotonic() + _PLAIN_EVERY_S
        if any(info.live for info in infos):
            columns = [SpinnerColumn(), _text("{task.description}")]
        else:
            columns = [
                BarColumn(),
                MofNCompleteColumn(),
                _text("{task.description} ·"),
                _TimeLeft(),
                _text("left"),
            ]
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks = [self._progress.add_task("starting", total=info.frame_count) for info in infos]
        if place is not None:
            self._batch = self._progress.add_task("videos", total=place.total, completed=place.number - 1, left=None)

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, statuses: Sequence[Status]) -> None:
        """Bring what is seen up to date."""
        plain = not self._console.is_terminal and time.monotonic() >= self._plain_due
        if plain:
            self._plain_due += _PLAIN_EVERY_S
        for info, task, status in zip(self._infos, self._tasks, statuses, strict=True):
            line = live_line(status) if info.live else file_line(status)
            name = f"{status.camera}: " if len(statuses) > 1 else ""
            self._progress.update(task, completed=status.processed, description=printable(name + line))
            if plain:
                of = f" of {info.frame_count}" if info.frame_count else ""
                batch = "" if self._place is None else f"video {self._place.number} of {self._place.total}, "
                _log.info("%s%sframe %d%s: %s", batch, name, status.processed, of, line)
        if self._place is not None:
            count = self._infos[0].frame_count
            done = min(statuses[0].processed / count, 1.0) if count else 0.0
            left = self._place.time_left_s(done, time.monotonic())
            self._progress.update(self._batch, left=left, description=printable(f"videos · {self._place.name}"))


def _text(template: str) -> TextColumn:
    """Names of files and what servers say may hold brackets, which are no markup."""
    return TextColumn(template, markup=False)


class _TimeLeft(TimeRemainingColumn):
    """The time left as rich estimates it, or as the task's field ``left`` says, in seconds."""

    def render(self, task: Task) -> Text:
        if "left" not in task.fields:
            return super().render(task)
        left = task.fields["left"]
        return Text("-:--:--" if left is None else str(timedelta(seconds=round(left))), style="progress.remaining")


def file_line(status: Status) -> str:
    """For a file: rate and focal length."""
    return " · ".join([f"{status.fps:.1f} frames/s", *_focal(status.focal), *_failures(status)])


def live_line(status: Status) -> str:
    """For a camera: rate, latency, drops, focal length; or what it waits for."""
    if status.source_state in ("connecting", "stalled", "reconnecting"):
        attempt = f", attempt {status.attempt}" if status.attempt else ""
        reason = f": {status.source_reason}" if status.source_reason else ""
        return " · ".join([f"{status.source_state}{attempt}{reason}", *_failures(status)])
    rate, dropped = f"{status.fps:.1f} frames/s", f"{status.dropped} dropped"
    return " · ".join([rate, *_latency(status), dropped, *_focal(status.focal), *_failures(status)])


def summary(statuses: Sequence[Status]) -> str:
    """Several lines for the end of a run: frames in, out and dropped, rate, each sink with its losses."""
    if len(statuses) == 1:
        return _summary(statuses[0])
    return "\n".join(f"{status.camera}: {_summary(status)}" for status in statuses)


def _summary(status: Status) -> str:
    # Of a film nothing is dropped: what has no depth was on its way when the run was ended.
    without = "dropped" if status.live or not status.dropped else "left without"
    lines = [
        f"{status.produced} frames in, {status.processed} with depth, {status.dropped} {without}; "
        f"{status.seconds:.1f} s, {status.fps:.2f} frames/s"
    ]
    if status.reconnects:
        lines.append(f"{status.reconnects} times lost and found again")
    if status.retried or status.invalid:
        lines.append(f"{status.retried} frames computed again in a wider type, {status.invalid} without any depth")
    return "\n".join([*lines, *_latency(status), *(_sink_line(sink) for sink in status.sinks)])


def _latency(status: Status) -> list[str]:
    if status.latency_p50_s is None or status.latency_p99_s is None:
        return []
    return [f"latency p50 {status.latency_p50_s * 1e3:.0f} ms, p99 {status.latency_p99_s * 1e3:.0f} ms"]


def _focal(focal: FocalEstimate | None) -> list[str]:
    if focal is None:
        return []
    raw = "" if focal.raw_px is None else f"{focal.raw_px:.0f} → "
    return [f"focal {raw}{focal.smoothed_px:.0f} px ({focal.source})"]


def _failures(status: Status) -> list[str]:
    failed = [sink.name for sink in status.sinks if sink.error is not None]
    return [f"FAILED: {', '.join(failed)}"] if failed else []


def _sink_line(sink: SinkStatus) -> str:
    lost = f", {sink.lost} lost" if sink.lost else ""
    failed = f" - FAILED: {sink.error}" if sink.error is not None else ""
    return printable(f"{sink.written} frames → {sink.name}{lost}{failed}")
