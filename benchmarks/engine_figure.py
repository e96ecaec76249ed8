"""Draws what ``engine.py`` measured."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

if TYPE_CHECKING:
    from benchmarks.engine import Result

mpl.use("agg")
import matplotlib.pyplot as plt

_COLOURS = {"transformers": "#d9822b", "as trained": "#b5b5b5", "ours": "#1f5fbf", "end to end": "#4f9d69"}


def draw(result: Result, path: Path) -> None:
    """A bar for each that did not fail: frames per second, with its spread over rounds, and where the floor is."""
    bars = []  # (label, colour, frames per second by round, precision)
    for row in result.network:
        if not row.failed:
            label = row.name + (" (approximate)" if row.approximate else "")
            bars.append((label, row.name.partition(",")[0], [1e3 / ms for ms in row.medians_ms], row.precision))
    for stage in result.end_to_end:
        if not stage.failed and stage.precision is not None:
            for what, rates in (("estimator", stage.estimator_per_s), ("pipeline", stage.pipeline_per_s)):
                bars.append((f"{what}, {stage.name}, {stage.precision}", "end to end", rates, stage.precision))

    plt.rcParams.update(
        {"font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
    )
    figure, axes = plt.subplots(figsize=(9.6, 1.6 + 0.3 * len(bars)), layout="constrained")
    for y, (_, kind, rates, precision) in enumerate(bars):
        rate, floor = statistics.median(rates), 1e3 / result.floors[precision].frame_ms
        axes.barh(y, rate, height=0.7, color=_COLOURS[kind])
        axes.plot((min(rates), max(rates)), (y, y), color="#222222", lw=1)
        axes.plot((floor, floor), (y - 0.42, y + 0.42), color="#c0392b", lw=2)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
        axes.annotate(f"{rate:.1f}", (max(rates), y), (4, 0), textcoords="offset points", va="center", bbox=box)
    axes.plot((), (), color="#c0392b", lw=2, label="the trained network's work at the rate of a large matrix product")
    axes.plot((), (), color="#222222", lw=1, label="lowest to highest round")
    axes.legend(ncols=2, loc="upper left", bbox_to_anchor=(0, -0.16 * 8 / (len(bars) + 4)), frameon=False)
    axes.set_yticks(range(len(bars)), [label for label, *_ in bars])
    axes.invert_yaxis()
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.7)
    axes.set_xlim(left=0)
    axes.set_xlabel("frames per second")
    device = result.machine["device"]
    axes.set_title(f"{result.model} at {result.input_size} px on {device}", loc="left", weight="bold")
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)
