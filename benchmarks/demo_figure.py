"""Draws docs/figures/demo.jpg, the README's picture of what comes out: a frame of the demo beside nano's depth.

python benchmarks/demo_figure.py
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from model.engine import Engine
from model.estimator import DepthProEstimator
from model.lab.demo import DemoSource
from model.weights import load
from sinks import MemorySink
from sinks.video.colormap import DepthColormap
from sinks.video.preview import Preview
from stream.frame import Frame
from stream.pipeline import Pipeline, Stream

TARGET = Path(__file__).resolve().parents[1] / "docs" / "figures" / "demo.jpg"
FRAMES = (80,)


class PickedFrames:
    """The demo, but for most of its frames."""

    def __init__(self) -> None:
        self._demo = DemoSource(width=480, height=270)
        self.info = self._demo.info

    def __iter__(self):  # type: ignore[no-untyped-def]
        frames: list[Frame] = list(islice(self._demo, max(FRAMES) + 1))
        return iter([frames[index] for index in FRAMES])

    def close(self) -> None:
        self._demo.close()


def main() -> None:
    kept = MemorySink(needs_image=True)
    Pipeline(
        Stream(source=PickedFrames(), estimator=DepthProEstimator(engine=Engine(load("nano"))), sinks=[kept])
    ).run()
    colormap = DepthColormap(min_m=0.5, max_m=50)
    rows = []
    for frame in kept.frames:
        preview = Preview(frame, colormap=colormap, view="side-by-side", legend=True)
        rows.append(preview.rgb(frame).copy())
    picture = np.concatenate(rows)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(TARGET), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(f"{TARGET}: {picture.shape[1]}x{picture.shape[0]}")


if __name__ == "__main__":
    main()
