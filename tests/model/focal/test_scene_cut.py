"""Scene cuts on synthetic planes of every layout, on clips whose cuts are known, and on a real clip without any."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from model.focal.scene_cut import SceneCutDetector, thumbnail
from stream.frame import PIXEL_FORMATS, Capture, Frame, Geometry
from tests.support.process import ROOT
from tests.support.shots import Clip, Shots

Picture = npt.NDArray[np.uint8]
HEIGHT, WIDTH = 180, 321  # odd, so that chroma planes are rounded up


def frame(bgr: Picture, pixel_format: str, rotation: Literal[0, 90, 180, 270] = 0) -> Frame:
    """``bgr`` in the layout ``pixel_format``, chroma by picking every second pixel."""
    geometry = Geometry(pixel_format, bgr.shape[1], bgr.shape[0])
    form = geometry.format
    if form.is_rgb:
        planes: tuple[npt.NDArray[np.generic], ...] = (bgr[..., ::-1],)
    else:
        y, cr, cb = cv2.split(cv2.cvtColor(bgr, cv2.COLOR_BGR2YCrCb))
        shift = 0 if form.bits == 8 else 8 if form.msb_aligned else form.bits - 8
        channels = {1: [y], 2: [y, np.dstack([cb, cr])], 3: [y, cb, cr]}[len(form.planes)]
        planes = tuple(
            (
                channel.reshape(*bgr.shape[:2], -1)[:: 1 << spec.y_shift, :: 1 << spec.x_shift].astype(form.dtype)
                << shift
            )
            for channel, spec in zip(channels, form.planes, strict=True)
        )
    return Frame(
        capture=Capture(index=0, pts=None, time_base=Fraction(1, 30), time_ns=0, clock="media", rotation=rotation),
        geometry=geometry,
        planes=planes,
    )


def of_a_camera(frame: Frame) -> Frame:
    return replace(frame, capture=replace(frame.capture, clock="host-monotonic"))


def texture(seed: int, width: int = WIDTH) -> Picture:
    """Soft blobs in all colours, as neighbouring pixels of a real picture resemble each other."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 10, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (width, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def cuts(frames: list[Frame]) -> list[int]:
    detector = SceneCutDetector()
    return [i for i, f in enumerate(frames) if detector.update(f)]


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_cuts_are_found_at_the_very_frame(pixel_format: str) -> None:
    shots = [texture(1)] * 5 + [texture(2)] * 2 + [texture(3)] * 5
    assert cuts([frame(picture, pixel_format) for picture in shots]) == [5, 7]


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_two_cuts_in_a_row_are_two_cuts(pixel_format: str) -> None:
    assert cuts([frame(texture(seed), pixel_format) for seed in (1, 1, 2, 3, 3)]) == [2, 3]


@pytest.mark.parametrize(
    ("others", "found"), [(1, []), (2, []), (3, [7, 10])], ids=["a frame", "two frames", "another shot"]
)
def test_packets_that_a_camera_loses_are_no_cut(others: int, found: list[int]) -> None:
    """What it shows, and what the filters know of its lens, is as before them."""
    shots = [texture(1)] * 5 + [texture(2)] * others + [texture(1)] * 5
    assert cuts([of_a_camera(frame(picture, "yuv420p")) for picture in shots]) == found


def test_a_camera_of_another_size_is_another_at_once() -> None:
    frames = [frame(texture(1, width), "yuv420p") for width in (WIDTH, WIDTH, 2 * WIDTH, 2 * WIDTH)]
    assert cuts([of_a_camera(f) for f in frames]) == [2]


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_a_pan_is_no_cut(pixel_format: str) -> None:
    wide = texture(4, width=2 * WIDTH)
    assert cuts([frame(np.roll(wide, -3 * i, axis=1)[:, :WIDTH], pixel_format) for i in range(40)]) == []


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_flicker_is_no_cut(pixel_format: str) -> None:
    picture = texture(5).astype(np.float32) * 0.8
    frames = [frame((picture * (1 + 0.08 * (-1) ** i)).astype(np.uint8), pixel_format) for i in range(20)]
    assert cuts(frames) == []


def test_a_change_of_geometry_is_a_cut() -> None:
    picture = texture(6)
    frames = [
        frame(picture, "nv12"),
        frame(picture, "nv12"),
        frame(picture[:, :300], "nv12"),
        frame(picture[:, :300], "nv12", rotation=90),
        frame(picture[:, :300], "yuv420p", rotation=90),
        frame(picture[:, :300], "yuv420p", rotation=90),
    ]
    assert cuts(frames) == [2, 3, 4]


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_thumbnail_is_the_mean_brightness(pixel_format: str) -> None:
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[:] = (200, 120, 40)
    small = thumbnail(frame(picture, pixel_format), 64, 36)
    assert small.shape == (36, 64)
    assert np.abs(small - (0.114 * 200 + 0.587 * 120 + 0.299 * 40)).max() <= 2
    noise = np.random.default_rng(0).integers(0, 256, (360, 640, 1), np.uint8).repeat(3, axis=2)
    assert thumbnail(frame(noise, pixel_format), 64, 36).std() < 10  # of 74: a hundred pixels are averaged


def test_a_fine_pattern_does_not_become_a_coarse_one() -> None:
    stripes = np.zeros((360, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    frames = [frame(np.roll(stripes, i, axis=1), "gray") for i in range(12)]
    assert thumbnail(frames[0], 64, 36).std() < 1
    assert cuts(frames) == []


def test_a_new_source_may_be_noisy_from_the_start() -> None:
    rng = np.random.default_rng(0)
    snow = [rng.integers(0, 256, (240, 320, 1), np.uint8).repeat(3, axis=2) for _ in range(30)]
    assert cuts([frame(picture, "yuv420p") for picture in snow]) == []


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """Of the four rendered pictures that come with the project, and four of no scene at all."""
    pictures = [cv2.imread(str(path)) for path in sorted((ROOT / "model/engine/calibration_pictures").glob("*.jpg"))]
    assert len(pictures) == 4
    return [clip for seed in range(2) for clip in Shots([*pictures, *map(texture, range(4))], seed).all()]


def found(clip: Clip) -> set[int]:
    return set(cuts([frame(picture, "rgb24") for picture in clip.frames]))


def test_noise_and_light_are_no_cuts(clips: list[Clip]) -> None:
    """What was called a cut several times a second: hue is noise where there is little colour."""
    quiet = [clip for clip in clips if re.match("still|dark|blank|ball|snow|exposure|lights|flicker|flash", clip.name)]
    assert len(quiet) == 92
    assert [clip.name for clip in quiet if found(clip)] == []


def test_motion_is_no_cut(clips: list[Clip]) -> None:
    moving = [c for c in clips if re.match("pan, (2|6|12)%|shaken|zoom|something", c.name)]
    assert len(moving) == 24
    assert [clip.name for clip in moving if found(clip)] == []


def test_cuts_are_found_and_little_else(clips: list[Clip]) -> None:
    reported = right = true = 0
    for clip in clips:
        indices = found(clip)
        reported, right, true = reported + len(indices), right + len(indices & clip.cuts), true + len(clip.cuts)
    assert true == 76
    assert right / reported >= 0.97  # precision
    assert right / true >= 0.93  # recall


def test_a_walk_through_a_street_has_no_cuts(street_walk: Path) -> None:
    import av

    frames = []
    with av.open(str(street_walk)) as container:
        for decoded in container.decode(video=0):
            bgr = np.asarray(decoded.to_ndarray(format="bgr24"), np.uint8)
            frames.append(frame(bgr[::2, ::2], "yuv420p"))
    assert cuts(frames) == []
    spliced = frames[:50] + [frame(texture(7, 640), "yuv420p")] * 3 + frames[50:60]
    assert cuts(spliced) == [50, 53]
