"""The demo's frames, its truth, and the comparison with it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise

import numpy as np
import pytest

from model.lab.demo import DemoLoop, DemoScore, DemoSource
from stream.errors import ConfigError
from stream.frame import CameraIntrinsics, Capture, DepthFrame, FocalEstimate

SMALL = {"width": 96, "height": 54}


def test_source_properties() -> None:
    demo = DemoSource(**SMALL, frame_rate=10, frame_count=6)
    assert (demo.info.live, demo.info.frame_rate, demo.info.frame_count) == (False, 10, 6)
    frames = list(demo)
    demo.close()
    assert [f.capture.index for f in frames] == [f.capture.pts for f in frames] == list(range(6))
    assert [f.capture.time_ns for f in frames] == [i * 10**8 for i in range(6)]
    assert {(f.geometry.pixel_format, f.width, f.height, f.color_range) for f in frames} == {("rgb24", 96, 54, "full")}
    assert {f.focal_px for f in frames} == {None}  # to be estimated, not given away


def test_deterministic() -> None:
    first, second = (list(DemoSource(**SMALL, frame_count=3)) for _ in range(2))
    assert all(np.array_equal(a.planes[0], b.planes[0]) for a, b in zip(first, second, strict=True))


def test_zoom_is_smooth_and_the_cut_is_hard() -> None:
    demo = DemoSource(**SMALL)
    focal = np.array([demo.camera(i).f_px for i in range(90)])
    cut = demo.cut_index
    assert cut == 60
    assert focal[cut - 1] == pytest.approx(2 * focal[0])
    steps = np.diff(np.log(focal[:cut]))
    assert steps.min() >= 0
    assert steps.max() < 0.07
    pictures = [f.planes[0].astype(float) for f in demo]
    changes = np.array([np.abs(a - b).mean() for a, b in pairwise(pictures)])
    assert changes.argmax() == cut - 1
    assert changes[cut - 1] > 2 * np.delete(changes, cut - 1).max()


def test_depth_and_camera_explain_the_next_picture() -> None:
    """Each pixel, moved by depth, pose and focal length into another frame, finds the same depth there."""
    demo = DemoSource(width=320, height=180)
    here, there = demo.camera(24), demo.camera(28)
    assert here.f_px != there.f_px  # zooming
    depth = demo.truth(24, width=320, height=180)[0].astype(float)
    rows, columns = np.nonzero(np.isfinite(depth))
    z = depth[rows, columns]
    points = np.stack(((columns - 159.5) / here.f_px, (rows - 89.5) / here.f_px, np.ones(len(z))), -1) * z[:, None]
    world = points @ np.asarray(here.rotation).T + np.asarray(here.position)
    x, y, z = ((world - np.asarray(there.position)) @ np.asarray(there.rotation)).T
    u, v = np.round(x / z * there.f_px + 159.5).astype(int), np.round(y / z * there.f_px + 89.5).astype(int)
    seen = (u >= 0) & (u < 320) & (v >= 0) & (v < 180)
    ratio = demo.truth(28, width=320, height=180)[0][v[seen], u[seen]] / z[seen]
    assert seen.mean() > 0.5
    assert np.median(np.abs(ratio - 1)) < 0.003
    assert (np.abs(ratio - 1) < 0.05).mean() > 0.88  # the rest is hidden behind edges


def test_pictures_have_texture_and_light() -> None:
    for frame in DemoSource(**SMALL, frame_count=4):
        picture = frame.planes[0].astype(float)
        assert 50 < picture.mean() < 200
        assert picture.std() > 20
        assert (picture == 255).mean() < 0.15


def test_odd_and_tiny_sizes() -> None:
    for size in ((1, 1), (33, 17), (20, 60)):
        demo = DemoSource(width=size[0], height=size[1], frame_count=2)
        assert [f.planes[0].shape for f in demo] == [(size[1], size[0], 3)] * 2


def test_wrong_arguments() -> None:
    for options in ({"width": 0}, {"frame_rate": 0.0}, {"frame_count": -1}):
        with pytest.raises(ConfigError, match="positive"):
            DemoSource(**options)  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        DemoSource(frame_count=3).truth(3, width=4, height=4)


def estimate(demo: DemoSource, index: int, *, scale: float, raw: float | None, smoothed: float) -> DepthFrame:
    """What a network would say that is off by these factors."""
    depth, f_px = demo.truth(index, width=48, height=27)
    return DepthFrame(
        capture=Capture(index=index, pts=index, time_base=Fraction(1, 15), time_ns=0, clock="media"),
        depth=depth * np.float32(scale),
        camera=CameraIntrinsics.from_focal(f_px * smoothed * 48 / 96, width=48, height=27),
        focal=FocalEstimate(
            smoothed_px=f_px * smoothed, raw_px=None if raw is None else f_px * raw, log_std=0.1, source="estimated"
        ),
        source_width=96,
        source_height=54,
    )


def test_the_score_is_the_error_that_was_made() -> None:
    demo = DemoSource(**SMALL, frame_count=6)
    score = DemoScore(demo)
    assert score.summary() == ""
    for index in (0, 3, 5):
        score.write(estimate(demo, index, scale=1.1, raw=0.8, smoothed=0.95))
    score.close()
    text = score.summary()
    assert "3 frames" in text
    assert "AbsRel 0.100" in text
    assert "δ1 1.000" in text
    assert "20.0% raw and 5.0% smoothed" in text


def test_a_given_focal_length_has_no_raw_error() -> None:
    demo = DemoSource(**SMALL, frame_count=2)
    score = DemoScore(demo)
    frame = estimate(demo, 0, scale=1.0, raw=None, smoothed=1.0)
    score.write(replace(frame, focal=replace(frame.focal, source="given")))
    assert "raw" not in score.summary()
    assert "0.0% smoothed" in score.summary()


@pytest.mark.parametrize(("model", "is_small"), [("nano", True), ("nano (untrained)", True), ("depth-pro", False)])
def test_whose_figures_they_are_is_told_where_much_better_ones_exist(model: str, is_small: bool) -> None:
    demo = DemoSource(**SMALL, frame_count=2)
    score = DemoScore(demo)
    score.write(replace(estimate(demo, 0, scale=1.0, raw=None, smoothed=1.0), model=model))
    assert score.summary().endswith("smoothed (figures of nano, which is small)" if is_small else "smoothed")


def test_the_loop_is_a_camera_that_shows_the_same_again_and_again() -> None:
    demo = DemoSource(**SMALL, frame_rate=100, frame_count=3)
    loop = DemoLoop(demo)
    assert (loop.info.live, loop.info.frame_count) == (True, None)
    frames = list(islice(loop, 7))
    assert [f.capture.index for f in frames] == list(range(7))
    assert {f.capture.clock for f in frames} == {"host-monotonic"}
    assert all(np.array_equal(a.planes[0], b.planes[0]) for a, b in zip(frames, frames[3:], strict=False))
    rounds = [b.capture.time_ns - a.capture.time_ns for a, b in pairwise(frames[3:])]
    assert min(rounds) > 9.9e6  # no faster than its rate, once everything is rendered
    loop.stop()
    assert list(loop) == []
    loop.close()
