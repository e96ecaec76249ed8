"""Measure the steadied scale on real footage, where no truth is known: by dense flow, which the product does not use.

python benchmarks/steady_clip.py CLIP [--model nano] [--hindsight 15] [--figure clip.png]

A pixel that is followed to the next frame has about the depth that it had: a camera that walks changes it by a percent
or so. The median of the changes of a frame's pixels is its step of scale. And what all of it takes of a processor.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import av
import cv2
import cyclopts
import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the benchmarks run from a checkout, installed or not

from model.config import EstimatorConfig  # noqa: E402
from model.engine import Engine  # noqa: E402
from model.estimator import DepthProEstimator  # noqa: E402
from model.steady import MotionTracker, Steadier  # noqa: E402
from model.steady.luma import LumaMaker  # noqa: E402
from model.weights import load  # noqa: E402
from sinks import MemorySink  # noqa: E402
from stream.frame import DepthFrame  # noqa: E402
from stream.pipeline import Pipeline, Stream  # noqa: E402
from stream.sources import open_source  # noqa: E402

Floats = npt.NDArray[np.float32]
WIDTH, HEIGHT = 320, 180
CONSISTENT_PX = 0.5  # followed there and back, a pixel arrives so near to where it was
COARSE = 192  # values along each side of the depth that the scale is told by


def followed(clip: Path) -> list[tuple[Floats, Floats, npt.NDArray[np.bool_]]]:
    """For every frame but the last: where its pixels are in the next one, and which of them can be followed."""
    with av.open(str(clip)) as container:
        grey = [
            cv2.resize(frame.to_ndarray(format="gray"), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
            for frame in container.decode(video=0)
        ]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    found = []
    for before, now in pairwise(grey):
        there, back = dis.calc(before, now, None), dis.calc(now, before, None)
        to_x, to_y = x + there[..., 0], y + there[..., 1]
        returned = there + cv2.remap(back, to_x, to_y, cv2.INTER_LINEAR)
        inside = (to_x > 1) & (to_x < WIDTH - 2) & (to_y > 1) & (to_y < HEIGHT - 2)
        found.append((to_x, to_y, inside & (np.hypot(returned[..., 0], returned[..., 1]) < CONSISTENT_PX)))
    return found


def steps(flow: list[tuple[Floats, Floats, npt.NDArray[np.bool_]]], depths: list[Floats]) -> npt.NDArray[np.float64]:
    """By how much log depth changes from frame to frame: the median over the pixels that can be followed."""
    found = []
    for (to_x, to_y, good), before, now in zip(flow, depths, depths[1:], strict=False):
        there = cv2.remap(now, to_x, to_y, cv2.INTER_LINEAR)
        known = good & np.isfinite(there) & np.isfinite(before)
        found.append(float(np.median(np.log(there[known] / before[known]))))
    return np.array(found)


def estimate(clip: Path, model: str, hindsight: int) -> list[DepthFrame]:
    """Depth of every frame, small and steadied."""
    frames = MemorySink()
    config = EstimatorConfig(output_size=f"{WIDTH}x{HEIGHT}", steady_hindsight=hindsight)
    estimator = DepthProEstimator(engine=Engine(load(model)), config=config)
    Pipeline(Stream(source=open_source(str(clip)), estimator=estimator, sinks=[frames])).run()
    return frames.frames


def cost(clip: Path, frames: list[DepthFrame]) -> dict[str, float]:
    """Milliseconds of processor time that a frame takes, median, by part; one thread, each part by itself."""
    cv2.setNumThreads(1)
    luma_of, tracker, steadier = LumaMaker(), MotionTracker(), Steadier()
    taken: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        start = time.thread_time()
        yield
        taken[part].append(1000 * (time.thread_time() - start))

    with closing(open_source(str(clip))) as source:
        for frame, picture in zip(frames, source, strict=True):
            assert frame.steady is not None
            own = frame.depth * np.float32(math.exp(-frame.steady.log))
            coarse = cv2.resize(own, (COARSE, COARSE), interpolation=cv2.INTER_NEAREST)
            with timed("grey picture"):
                luma = luma_of(picture)
            with timed("motion"):
                tracks = tracker.update(luma)
            with timed("pose and filter"):
                steadier.update(tracks, coarse, frame.camera, time_s=frame.capture.time_s, zooms=True)
    return {part: float(np.median(times)) for part, times in taken.items()}


def figures(name: str, step: npt.NDArray[np.float64]) -> str:
    usual = 1.4826 * float(np.median(np.abs(step - np.median(step))))
    return f"| {name} | {100 * np.std(step):.1f} % | {100 * usual:.1f} % | × {math.exp(np.abs(step).max()):.2f} |"


def tell(name: str, frames: list[DepthFrame]) -> None:
    """How many frames were corrected, and what is known of the camera's way."""
    corrected = sum(frame.steady is not None and frame.steady.inliers > 0 for frame in frames)
    poses = [frame.odometry for frame in frames if frame.odometry is not None]
    longest = Counter(pose.stretch for pose in poses).most_common(1)[0][0]
    end = [pose for pose in poses if pose.stretch == longest][-1]
    std = math.sqrt(sum(end.covariance[k] for k in (0, 7, 14)))
    print(
        f"{name}: {corrected} of {len(frames)} frames corrected; {len(poses)} with a pose, in "
        f"{len({pose.stretch for pose in poses})} stretches; the longest ends at "
        f"({', '.join(f'{p:.2f}' for p in end.position)}) m, deviation {std:.2f} m"
    )


def main(clip: Path, *, model: str = "nano", hindsight: int = 15, figure: Path | None = None) -> None:
    """Print σ of the step of scale, and draw the median of depth over time."""
    flow = followed(clip)
    causal, later = estimate(clip, model, 0), estimate(clip, model, hindsight)
    logs = np.array([frame.steady.log if frame.steady else 0.0 for frame in causal])
    made = {
        "the network's own": [f.depth * np.float32(math.exp(-log)) for f, log in zip(causal, logs, strict=True)],
        "as a camera's": [f.depth for f in causal],
        f"with {hindsight} frames of hindsight": [f.depth for f in later],
    }
    print("| depth | σ of step | median deviation | greatest step |\n| --- | --- | --- | --- |")
    for name, depths in made.items():
        print(figures(name, steps(flow, depths)))
    tell("as a camera's", causal)
    tell("with hindsight", later)
    spent = cost(clip, causal)
    print(
        f"processor time of a frame, median: {sum(spent.values()):.1f} ms ("
        + ", ".join(f"{part} {ms:.2f}" for part, ms in spent.items())
        + ")"
    )
    if figure is not None:
        draw(made, [f.capture.time_s for f in causal], figure)


def draw(made: dict[str, list[Floats]], times_s: list[float], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    for (name, depths), colour in zip(made.items(), ("0.7", "C0", "C1"), strict=True):
        axes.semilogy(times_s, [float(np.nanmedian(d)) for d in depths], color=colour, label=name, lw=1.5)
    axes.set(xlabel="seconds", ylabel="median depth, m")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.legend(frameon=False, ncols=3)
    drawn.savefig(path, dpi=110)


if __name__ == "__main__":
    cyclopts.run(main)
