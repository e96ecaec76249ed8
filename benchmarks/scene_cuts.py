"""Scene cuts against clips whose cuts are known: ours and the detectors of PySceneDetect; and what a frame costs.

    python benchmarks/scene_cuts.py --seeds 8

The clips are made of rendered scenes (``tests/support/shots.py``): noise, light, motion and cuts, at 64x48 and 320x240.
Precision: the share of reported cuts that are one. Recall: the share of cuts that are reported, at the very frame.
Prints also every clip that ours is wrong about. Needs the extra ``benchmarks``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import cv2
import cyclopts
import numpy as np
import numpy.typing as npt
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector, ContentDetector, HashDetector, HistogramDetector

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the benchmarks run from a checkout, installed or not

from model.focal.scene_cut import SceneCutDetector  # noqa: E402
from model.lab.scenes.generate import still  # noqa: E402
from stream.frame import PIXEL_FORMATS, Capture, Frame, Geometry  # noqa: E402
from tests.support.shots import Clip, Shots  # noqa: E402

Picture = npt.NDArray[np.uint8]
Detect = Callable[[Iterable[Picture]], set[int]]
SCENES = range(500, 536)
_THEIR_WIDTH = 160  # pixels; larger pictures are averaged down to it


def as_frame(index: int, bgr: Picture) -> Frame:
    """``bgr`` as a decoded frame."""
    return Frame(
        capture=Capture(index=index, pts=index, time_base=Fraction(1, 30), time_ns=0, clock="media"),
        geometry=Geometry("rgb24", bgr.shape[1], bgr.shape[0]),
        planes=(np.ascontiguousarray(bgr[..., ::-1]),),
    )


def ours(frames: Iterable[Picture]) -> set[int]:
    """Indices of the frames that :class:`SceneCutDetector` calls a cut."""
    detector = SceneCutDetector()
    return {i for i, picture in enumerate(frames) if detector.update(as_frame(i, picture))}


def theirs(make: Callable[[], ContentDetector | HashDetector | HistogramDetector]) -> Detect:
    """Indices of the frames that a detector of PySceneDetect calls a cut."""

    def detect(frames: Iterable[Picture]) -> set[int]:
        detector, found = make(), set()
        for i, picture in enumerate(frames):
            height, width = picture.shape[:2]
            if width > _THEIR_WIDTH:
                size = _THEIR_WIDTH, _THEIR_WIDTH * height // width
                picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            # The adaptive one is told the future: it reports some frames later.
            found |= {cut.frame_num for cut in detector.process_frame(FrameTimecode(i, 30.0), picture)}
        return found

    return detect


def main(*, seeds: int = 8) -> None:
    """Print precision and recall of every detector, and the time ours takes.

    Parameters
    ----------
    seeds
        Each is one clip of every kind and size.
    """
    cv2.setNumThreads(1)
    pictures = [np.ascontiguousarray(still(seed, long_side=320, samples=1).image[..., ::-1]) for seed in SCENES]
    clips: list[Clip] = [clip for seed in range(seeds) for clip in Shots(pictures, seed).all()]
    frames, cuts = sum(len(clip.frames) for clip in clips), sum(len(clip.cuts) for clip in clips)
    print(f"{len(clips)} clips, {frames} frames, {cuts} cuts\n")
    print("| | precision | recall | false cuts |\n| --- | --- | --- | --- |")
    for name, detect in {
        "this": ours,
        "content": theirs(lambda: ContentDetector(min_scene_len=0)),
        "content, brightness only": theirs(lambda: ContentDetector(min_scene_len=0, luma_only=True)),
        "adaptive (two frames late)": theirs(lambda: AdaptiveDetector(min_scene_len=0)),
        "histogram": theirs(lambda: HistogramDetector(min_scene_len=0)),
        "hash": theirs(lambda: HashDetector(min_scene_len=0)),
    }.items():
        reported = right = 0
        wrong = []
        for clip in clips:
            found = detect(clip.frames)
            reported, right = reported + len(found), right + len(found & clip.cuts)
            if found != clip.cuts:
                wrong.append(f"{clip.name}: {sorted(found)} instead of {sorted(clip.cuts)}")
        print(f"| {name} | {right / max(1, reported):.3f} | {right / cuts:.3f} | {reported - right} |", flush=True)
        if detect is ours:
            mistakes = wrong
    print("\nwrong about:", *mistakes, sep="\n  ")
    print("\none core, 1920x1080:", ", ".join(f"{name} {cost(name):.2f} ms" for name in PIXEL_FORMATS))


def cost(pixel_format: str) -> float:
    """Milliseconds that one 1080p frame takes, median."""
    geometry, rng = Geometry(pixel_format, 1920, 1080), np.random.default_rng(0)
    planes = tuple(rng.integers(0, 256, shape).astype(geometry.format.dtype) for shape in geometry.plane_shapes)
    capture = Capture(index=0, pts=0, time_base=Fraction(1, 30), time_ns=0, clock="media")
    frame, detector, times = Frame(capture=capture, geometry=geometry, planes=planes), SceneCutDetector(), []
    for _ in range(50):
        start = time.perf_counter()
        detector.update(frame)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


if __name__ == "__main__":
    cyclopts.run(main)
