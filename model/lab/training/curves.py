"""The run as a picture: losses and validation figures over the steps of each stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stream.errors import ConfigError


def draw_curves(history: Path, picture: Path) -> None:
    """Draw the lines of ``history`` (JSON, one validation each), a column of plots per stage.

    Raises:
        ConfigError: matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise ConfigError("curves are drawn with matplotlib; install it with: pip install -e '.[train]'") from exc

    lines: list[dict[str, Any]] = [json.loads(line) for line in history.read_text().splitlines()]
    stages = list(dict.fromkeys(line["stage"] for line in lines))
    figure = Figure(figsize=(4 * len(stages), 6), layout="constrained")
    FigureCanvasAgg(figure)
    plots = figure.subplots(2, len(stages), squeeze=False)
    for column, stage in enumerate(stages):
        mine = [line for line in lines if line["stage"] == stage]
        steps = [line["step"] for line in mine]
        names = [key for key in mine[-1] if key not in ("stage", "step")]
        for row, measured in enumerate((False, True)):
            axes = plots[row, column]
            for name in names:
                if (name in ("AbsRel", "δ1", "focal error")) == measured:
                    axes.plot(steps, [line.get(name) for line in mine], marker=".", label=name)
            axes.set_title(f"{stage}: {'validation' if measured else 'loss'}")
            axes.set_xlabel("step")
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.3)
            axes.legend()
    figure.savefig(picture, dpi=80)
