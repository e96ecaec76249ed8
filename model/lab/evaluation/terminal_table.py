"""The report on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from model.lab.evaluation.metrics import DepthErrors
from model.lab.evaluation.report import Report, Summary
from model.lab.evaluation.temporal import SequenceFigures, Steadiness


def print_report(report: Report, console: Console) -> None:
    """Depth, focal length and boundaries, per kind too, and steadiness of sequences."""
    console.print(_depth_table(report))
    console.print(_scene_table(report))
    if report.sequences:
        console.print(_sequence_table(report.sequences))


def _depth_table(report: Report) -> Table:
    table = _table("Depth", "", "AbsRel ↓", "δ1 ↑", "RMSE ↓", "log10 ↓")
    rows: tuple[tuple[str, DepthErrors | None], ...] = (
        ("estimated focal length", report.total.metric),
        ("known focal length", report.total.known_focal),
        ("median-scaled", report.total.median_scaled),
    )
    for name, errors in rows:
        if errors is not None:
            table.add_row(name, *_errors(errors))
    return table


def _scene_table(report: Report) -> Table:
    columns = ["", "n", "focal ↓", "<10 % ↑", "<25 % ↑", "F1 ↑", "recall ↑", "AbsRel ↓", "δ1 ↑"]
    mattes = report.total.matte_recall is not None
    table = _table("Focal length, boundaries, depth", *columns, *(["matte ↑"] if mattes else []))
    rows = [*report.kinds.items(), ("all", report.total)]
    for kind, summary in rows:
        table.add_row(escape(kind), *_scene(summary), *([_number(summary.matte_recall, ".3f")] if mattes else []))
    return table


def _sequence_table(sequences: tuple[SequenceFigures, ...]) -> Table:
    table = _table("Steadiness", "", "depth", "σ log focal ↓", "σ scale steps ↓", "alignment ↓")
    for sequence in sequences:
        rows = [("raw", sequence.raw), ("smoothed", sequence.smoothed), ("steadied", sequence.steadied)]
        if sequence.known is not None:
            rows.append(("known", sequence.known))
        for name, (focal, figures) in zip(_once(sequence.name), rows, strict=False):
            table.add_row(escape(name), focal, *_steadiness(figures))
        if sequence.truth_alignment_error is not None:
            table.add_row("", "truth", "", "", f"{sequence.truth_alignment_error:.2f}%")
        table.add_section()
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    return table


def _errors(errors: DepthErrors) -> Iterator[str]:
    yield f"{errors.abs_rel:.3f}"
    yield f"{errors.delta1:.3f}"
    yield f"{errors.rmse:.2f} m"
    yield f"{errors.log10:.3f}"


def _scene(summary: Summary) -> Iterator[str]:
    yield str(summary.pictures)
    focal = summary.focal
    yield from ("", "", "") if focal is None else (
        f"{focal.median:.1%}", f"{focal.within_10:.0%}", f"{focal.within_25:.0%}"
    )  # fmt: skip
    yield from ("", "") if summary.boundary is None else (
        f"{summary.boundary.f1:.3f}", f"{summary.boundary.recall:.3f}"
    )  # fmt: skip
    yield from ("", "") if summary.metric is None else tuple(_errors(summary.metric))[:2]


def _steadiness(figures: Steadiness) -> Iterator[str]:
    yield _number(figures.log_focal_std, ".2%")
    yield _number(figures.log_scale_step_std, ".2%")
    error = figures.alignment_error
    yield "" if error is None else f"{error:.2f}%"


def _number(value: float | None, spec: str) -> str:
    return "" if value is None else format(value, spec)


def _once(text: str) -> Iterator[str]:
    """``text`` on the first row, nothing on those below."""
    yield text
    while True:
        yield ""
