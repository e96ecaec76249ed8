"""Points followed through pictures whose motion is known."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from model.steady.luma import LumaMaker
from model.steady.motion import MotionTracker
from stream.frame import Frame, Geometry
from tests.support.doubles import recaptured
from tests.support.tiny import random_frame

Picture = npt.NDArray[np.uint8]


def texture(seed: int = 0) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(rng.standard_normal((300, 500)).astype(np.float32), (0, 0), 3)
    return np.asarray(120 + 40 * soft / soft.std(), np.float32)


def window(picture: npt.NDArray[np.float32], x: float, y: float = 40.0) -> Picture:
    shift = np.array([[1, 0, -x], [0, 1, -y]])
    return np.clip(cv2.warpAffine(picture, shift, (320, 180)), 0, 255).astype(np.uint8)


def blurred(picture: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 30), np.uint8)


@pytest.mark.parametrize("step", [0.0, 0.4, 7.3, 25.0, 90.0])
def test_points_are_found_where_they_went(step: float) -> None:
    picture, tracker = texture(), MotionTracker()
    first = tracker.update(window(picture, 60))
    assert len(first.now_N2) == 0
    assert first.renewed
    tracks = tracker.update(window(picture, 60 + step))
    assert len(tracks.now_N2) > (80 if step < 90 else 50)  # a third of the picture has gone
    assert np.abs(np.median(tracks.now_N2 - tracks.before_N2, axis=0) - (-step, 0)).max() < 0.05


def test_a_still_picture_keeps_its_reference_and_a_moving_one_gets_another() -> None:
    picture, tracker = texture(), MotionTracker()
    tracker.update(window(picture, 60))
    assert not any(tracker.update(window(picture, 60)).renewed for _ in range(10))
    assert [tracker.update(window(picture, 60 + 6 * k)).renewed for k in (1, 2, 3)] == [False, False, True]


def test_what_rushes_through_the_middle_does_not_take_the_still_points_with_it() -> None:
    """It is what phase correlation finds, and fewer points go with it than stay."""
    middle = np.zeros((180, 320), np.float32)
    middle[30:150, 60:260] = 1
    middle = cv2.GaussianBlur(middle, (0, 0), 4)
    behind, before = window(texture(), 60), [window(texture(5), x) for x in (20, 110)]
    pictures = [(behind * (1 - middle) + rushing * middle).astype(np.uint8) for rushing in before]
    tracker = MotionTracker()
    tracker.update(pictures[0])
    tracks = tracker.update(pictures[1])
    moved = np.hypot(*(tracks.now_N2 - tracks.before_N2).T)
    assert len(moved) > 70
    assert np.quantile(moved, 0.9) < 0.5


@pytest.mark.parametrize(("gain", "offset"), [(0.7, 0.0), (1.2, 0.0), (1.0, 20.0)])
def test_another_exposure_moves_no_point(gain: float, offset: float) -> None:
    tracker = MotionTracker()
    tracker.update(window(texture(), 60))
    tracks = tracker.update(np.clip(gain * window(texture(), 61.3) + offset, 0, 255).astype(np.uint8))
    off = np.hypot(*(tracks.now_N2 - tracks.before_N2 + (1.3, 0)).T)
    assert len(off) > 140
    assert np.quantile(off, 0.9) < 0.5


def test_nothing_is_followed_over_a_cut_or_on_a_bare_wall() -> None:
    tracker = MotionTracker()
    tracker.update(window(texture(), 60))
    assert len(tracker.update(window(texture(), 60), scene_cut=True).now_N2) == 0
    assert len(tracker.update(window(texture(), 61)).now_N2) > 80
    assert len(tracker.update(window(texture(5), 61)).now_N2) < 15  # a cut that nobody told
    bare = MotionTracker()
    flat = np.full((180, 320), 90, np.uint8)
    assert [len(bare.update(flat).now_N2) for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("count", [1, 2])
def test_a_jolt_does_not_end_what_is_followed(count: int) -> None:
    tracker = MotionTracker()
    for x in (60, 60):
        tracker.update(window(texture(), x))
    jolt = [tracker.update(blurred(window(texture(), 61 + k))) for k in range(count)]
    assert all(len(tracks.now_N2) < 25 and not tracks.renewed for tracks in jolt)
    tracks = tracker.update(window(texture(), 64))
    assert len(tracks.now_N2) > 100
    assert np.abs(np.median(tracks.now_N2 - tracks.before_N2, axis=0) - (-4, 0)).max() < 0.05


@pytest.mark.parametrize("seen_before", [True, False])
def test_what_was_never_followed_is_not_waited_for(seen_before: bool) -> None:
    """A third blurred picture becomes a reference, though nothing led to it; the first sharp one replaces it."""
    tracker = MotionTracker()
    for _ in range(1 + seen_before):
        tracker.update(window(texture(), 60))
    others = [blurred(window(texture(), 61 + k)) for k in range(3)]
    seen = [tracker.update(picture).renewed for picture in [*others, window(texture(), 64)]]
    assert seen == ([False, False, True, True] if seen_before else [True] * 4)
    assert len(tracker.update(window(texture(), 65)).now_N2) > 100


def test_after_a_cut_that_nobody_told_something_is_followed_again() -> None:
    tracker = MotionTracker()
    for x in (60, 60):
        tracker.update(window(texture(), x))
    found = [len(tracker.update(window(texture(5), 60 + k)).now_N2) for k in range(5)]
    assert max(found[:3]) < 25
    assert min(found[3:]) > 100


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_grey_picture_stands_upright(rotation: int) -> None:
    plane = np.zeros((360, 640, 1), np.uint8)
    plane[:180, :320] = 200  # the upper left quarter as decoded
    frame: Frame = recaptured(random_frame(0), rotation=rotation)
    frame = Frame(capture=frame.capture, geometry=Geometry("gray", 640, 360), planes=(plane,))
    luma = LumaMaker()(frame)
    assert luma.shape == ((180, 320) if rotation in (0, 180) else (320, 180))
    upright = np.rot90(plane[..., 0], rotation // 90)
    assert np.array_equal(luma, cv2.resize(upright, luma.shape[::-1], interpolation=cv2.INTER_AREA))
