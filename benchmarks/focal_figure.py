"""Measure focal smoothing where the truth is known: prints the tables of docs/focal.md, draws docs/figures/focal.png.

python benchmarks/focal_figure.py
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the benchmarks run from a checkout, installed or not

from model.focal import FocalTracker  # noqa: E402

mpl.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

Array = npt.NDArray[np.float64]
Smoother = Callable[[Array, Array], Array]  # (times, raw log focal) → smoothed log focal
FOCAL_PX, WIDTH, SEEDS, JITTER = 1600.0, 1920, 60, 0.04
ZOOM_AT_S, ZOOM_S, ZOOM_LOG = 3.0, 2.0, math.log(2)
EPS = 1e-9  # times are multiples of 1/fps: keep "from 0.5 s on" inclusive


def ours(times: Array, raw: Array) -> Array:
    tracker = FocalTracker()
    pixels = zip(times, FOCAL_PX * np.exp(raw), strict=True)
    return np.log([tracker.update(time_s=t, raw_px=f, width=WIDTH).smoothed_px / FOCAL_PX for t, f in pixels])


def ema(tau_s: float) -> Smoother:
    def smooth(times: Array, raw: Array) -> Array:
        out = raw.copy()
        for i in range(1, len(raw)):
            out[i] += math.exp(-(times[i] - times[i - 1]) / tau_s) * (out[i - 1] - raw[i])
        return out

    return smooth


def median(count: int) -> Smoother:
    return lambda times, raw: np.array([np.median(raw[max(0, i + 1 - count) : i + 1]) for i in range(len(times))])


METHODS: dict[str, Smoother] = {
    "raw": lambda _, raw: raw,
    "EMA, 0.3 s": ema(0.3),
    "EMA, 2 s": ema(2.0),
    "median of 15": median(15),
    "median of 61": median(61),
    "this filter": ours,
}


def jitter(seed: int, count: int, std: float, outliers: float = 0.0, correlation: float = 0.0) -> Array:
    """Log errors: Gaussian, equally strong whatever their correlation between frames, and ±20 .. 40 % outliers."""
    rng = np.random.default_rng(seed)
    wrong = np.log1p(rng.uniform(0.2, 0.4, count) * rng.choice([-1, 1], count))
    is_wrong, errors = rng.random(count) < outliers, std * rng.standard_normal(count)
    for i in range(1, count):
        errors[i] = correlation * errors[i - 1] + math.sqrt(1 - correlation**2) * errors[i]
    return np.where(is_wrong, wrong, 0.0) + errors


def zoom(times: Array) -> Array:
    return ZOOM_LOG * np.clip((times - ZOOM_AT_S) / ZOOM_S, 0, 1)


def still_table(
    fps: int, std: float, outliers: float = 0.05, correlation: float = 0.0
) -> dict[str, tuple[float, float]]:
    """Per method: median and 95th percentile over seeds of the deviation of log focal after 2 s of 12, in percent."""
    times = np.arange(12 * fps) / fps
    rows = {}
    for name, smooth in METHODS.items():
        runs = [smooth(times, jitter(s, len(times), std, outliers, correlation))[times >= 2] for s in range(SEEDS)]
        deviations = 100 * np.std(runs, axis=1)
        rows[name] = (float(np.median(deviations)), float(np.percentile(deviations, 95)))
    return rows


def zoom_errors(smooth: Smoother, fps: int, std: float) -> tuple[Array, Array]:
    """Times, and relative error in percent of every seed at every time, for a twofold zoom."""
    times = np.arange(8 * fps) / fps
    runs = [smooth(times, zoom(times) + jitter(1000 + s, len(times), std)) for s in range(SEEDS)]
    return times, 100 * np.abs(np.expm1(np.array(runs) - zoom(times)))


def zoom_row(smooth: Smoother, fps: int, std: float) -> str:
    """The cells below ``ZOOM_HEADER``."""
    times, errors = zoom_errors(smooth, fps, std)
    followed = errors[:, (times >= ZOOM_AT_S + 0.5 - EPS) & (times <= ZOOM_AT_S + ZOOM_S + 1)]
    settled = errors[:, times >= ZOOM_AT_S + ZOOM_S + 0.5 - EPS]
    cells = (
        np.median(followed, axis=0).max(),
        np.percentile(followed, 95),
        followed.max(),
        100 * (followed <= 3).mean(),
        np.percentile(settled, 95),
    )
    return " | ".join(f"{v:.1f}" for v in cells)


ZOOM_HEADER = """
| | worst moment's median error | 95th percentile | maximum | frames within 3 % | 95th from 0.5 s after its end |
| --- | --- | --- | --- | --- | --- |"""


def informed_line(fps: int, seconds: float) -> float:
    """Share (%) of tracks within 3 % so long into the zoom, for a least-squares line told when and where it starts.

    No filter that has to find that out for itself, from the same noisy frames, can be expected to do better.
    """
    n = round(seconds * fps)
    std = JITTER * n / math.sqrt(sum(i * i for i in range(1, n + 1)))
    return 100 * math.erf(math.log(1.03) / std / math.sqrt(2))


def draw(path: Path) -> None:
    plt.rcParams.update({"font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True})
    plt.rcParams.update({"grid.color": "#e6e6e6", "grid.linewidth": 0.7, "axes.axisbelow": True})
    ink, blue, orange, dots = "#222222", "#1f5fbf", "#d9822b", "#b5b5b5"
    figure, (still, zooming, cut) = plt.subplots(3, 1, figsize=(9.6, 9.6), layout="constrained")
    fps = 30

    def panel(axes: plt.Axes, times: Array, truth: Array, raw: Array, smoothed: Array, slow: Array) -> None:
        axes.plot(times, FOCAL_PX * np.exp(raw), ".", color=dots, ms=4.5, label="raw, one estimate per frame")
        axes.plot(times, FOCAL_PX * np.exp(truth), color=ink, lw=1.1, ls=(0, (5, 3)), label="true", zorder=4)
        axes.plot(times, FOCAL_PX * np.exp(slow), color=orange, lw=1.3, label="EMA, 2 s, for comparison")
        axes.plot(times, FOCAL_PX * np.exp(smoothed), color=blue, lw=2.2, label="smoothed", zorder=3)
        axes.set_ylabel("focal length, px")
        axes.set_xlim(times[0], round(times[-1]))

    times = np.arange(10 * fps) / fps
    raw = jitter(4, len(times), JITTER, 0.05)
    truth = np.zeros_like(times)
    panel(still, times, truth, raw, ours(times, raw), ema(2.0)(times, raw))
    still.set_title("A lens that holds still: 4 % jitter, and 5 % outliers of ±20 to 40 %", loc="left", weight="bold")
    still.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.3), frameon=False)

    times = np.arange(8 * fps) / fps
    truth = zoom(times)
    raw = truth + jitter(1006, len(times), JITTER)
    panel(zooming, times, truth, raw, ours(times, raw), ema(2.0)(times, raw))
    band = FOCAL_PX * np.exp(truth)
    zooming.fill_between(times, 0.97 * band, 1.03 * band, color=blue, alpha=0.13, lw=0, label="true ± 3 %")
    zooming.axvspan(ZOOM_AT_S, ZOOM_AT_S + 0.5, color="#f3ead9", lw=0, zorder=0)
    zooming.text(ZOOM_AT_S + 0.25, 3500, "first\n0.5 s", ha="center", va="top", color="#8a6a2f")
    zooming.text(5.6, 2780, "band: true ± 3 %", color=blue)
    zooming.set_title("Twofold zoom in 2 s: 4 % jitter", loc="left", weight="bold")

    times = np.arange(6 * fps) / fps
    truth = np.where(times < 3, 0.0, math.log(0.7))
    raw = truth + jitter(12, len(times), JITTER)
    before = times < 3
    smoothed = np.concatenate([ours(times[shot], raw[shot]) for shot in (before, ~before)])
    slow = ema(2.0)(times, raw)
    at = int(np.count_nonzero(before))
    panel(cut, *(np.insert(values, at, np.nan) for values in (times, truth, raw, smoothed, slow)))
    value = FOCAL_PX * math.exp(raw[at])
    cut.plot(times[at], value, "o", mfc="none", mec=blue, ms=11, mew=1.6)
    note = "first frame of the shot:\nsmoothed = raw"
    cut.annotate(note, (times[at], value), (3.75, 1560), color=blue, arrowprops={"arrowstyle": "-", "color": blue})
    cut.set_title("A cut to a wider lens at 3 s: nothing is carried over", loc="left", weight="bold")
    cut.set_xlabel("capture time, s (30 frames per second)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def main() -> None:
    print(
        f"{SEEDS} seeds each.\n\nStill lens: deviation of smoothed log focal, %, median (95th percentile) over seeds\n"
    )
    conditions = {
        "30 fps, 4 %": (30, JITTER, 0.05),
        "60 fps, 4 %": (60, JITTER, 0.05),
        "5 fps, 4 %": (5, JITTER, 0.05),
        "30 fps, 1 %": (30, 0.01, 0.05),
        "30 fps, 4 %, no outliers": (30, JITTER, 0.0),
        "30 fps, 4 % correlated 0.6, no outliers": (30, JITTER, 0.0, 0.6),
        "30 fps, 4 % correlated 0.9, no outliers": (30, JITTER, 0.0, 0.9),
    }
    print("| | " + " | ".join(METHODS) + " |\n|" + " --- |" * (len(METHODS) + 1))
    for name, condition in conditions.items():
        cells = (f"{m:.2f} ({p:.2f})" for m, p in still_table(*condition).values())
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nZoom, from 0.5 s into it to 1 s after it, %")
    print(ZOOM_HEADER)
    for name, smooth in METHODS.items():
        print(f"| {name}, 30 fps, 4 % | {zoom_row(smooth, 30, JITTER)} |")
    for fps, std in ((60, JITTER), (5, JITTER), (30, 0.02), (30, 0.01)):
        print(f"| this filter, {fps} fps, {std * 100:.0f} % | {zoom_row(ours, fps, std)} |")
    times, errors = zoom_errors(ours, 30, JITTER)
    for seconds in (0.5, 1.0):
        within = 100 * float((errors[:, np.isclose(times, ZOOM_AT_S + seconds)] <= 3).mean())
        print(
            f"{seconds} s into the zoom: {within:.0f} % within 3 %, an informed line {informed_line(30, seconds):.0f} %"
        )
    every = 100 * float((errors[:, (times >= 3.5 - EPS) & (times <= 6)].max(axis=1) <= 3).mean())
    print(f"tracks within 3 % at every frame from 0.5 s into the zoom to 1 s after it: {every:.0f} %")
    times = np.arange(1000) / 30
    start = time.perf_counter()
    ours(times, jitter(0, 1000, JITTER, 0.05))
    print(f"\n{(time.perf_counter() - start) * 1e3:.0f} µs per frame")


if __name__ == "__main__":
    main()
