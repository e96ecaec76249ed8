"""The status line on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stream.display import Display, summary
from stream.jobs.batch import Place
from stream.ports import SourceInfo
from stream.stats import SinkStatus, Status


def shown(status: Status, info: SourceInfo, place: Place | None = None) -> str:
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, color_system=None, width=200)
    with Display([info], console, place=place) as display:
        display.show([status])
        display._progress.refresh()
    return terminal.getvalue()


def status(**changes: object) -> Status:
    usual = {"seconds": 2.0, "produced": 3, "processed": 3, "dropped": 0, "retried": 0, "invalid": 0, "fps": 1.5}
    return Status(latency_p50_s=None, latency_p99_s=None, focal=None, **{**usual, "sinks": (), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "seen"), [("a[/b].mp4", "a[/b].mp4"), ("[red]x\x1b[2J\ny.mp4", r"[red]x\x1b[2J\ny.mp4")]
)
def test_names_are_neither_markup_nor_commands_to_the_terminal(name: str, seen: str) -> None:
    film = SourceInfo(name=name, live=False, frame_count=10)
    assert f"videos · {seen} · " in shown(status(), film, Place(name=name, number=1, total=2, started=0.0))
    failed = SinkStatus(name=name, written=0, lost=0, error=OSError("full"))
    assert f"FAILED: {seen}" in shown(status(sinks=(failed,)), film)
    waiting = status(live=True, source_state="reconnecting", source_reason=name, attempt=2)
    assert f"reconnecting, attempt 2: {seen}" in shown(waiting, SourceInfo(name="cam", live=True))


@pytest.mark.parametrize(
    ("live", "dropped", "said"), [(True, 2, "2 dropped;"), (False, 0, "0 dropped;"), (False, 2, "2 left without;")]
)
def test_of_a_film_nothing_is_dropped(live: bool, dropped: int, said: str) -> None:
    assert f"3 frames in, {3 - dropped} with depth, {said}" in summary(
        [status(live=live, processed=3 - dropped, dropped=dropped)]
    )
