"""Depth to colours, millimetres, times and headers: the pure parts of the sinks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from sinks.frame_json import describe, to_json
from sinks.millimetres import to_millimetres
from sinks.video.colormap import NO_ESTIMATE_RGB, DepthColormap, Scale
from sinks.video.legend import scale_legend
from sinks.video.preview import Preview
from sinks.video.timeline import Timeline, choose_tick
from stream.errors import ConfigError, SinkError
from stream.frame import DepthFrame
from tests.support.doubles import make_depth_frame, recaptured


def at(index: int, pts: int | None, *, base: Fraction = Fraction(1, 90_000), live_ns: int | None = None) -> DepthFrame:
    frame = recaptured(make_depth_frame(index), pts=pts, time_base=base)
    return frame if live_ns is None else recaptured(frame, clock="host-monotonic", time_ns=live_ns)


def row(*metres: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.array([metres], np.float32)


@pytest.mark.parametrize("scale", ["log", "inverse", "linear"])
def test_colours_have_fixed_ends_and_codes(scale: Scale) -> None:
    colormap = DepthColormap(min_m=0.5, max_m=50, scale=scale)
    index = colormap.index(row(math.nan, math.inf, 60, 50, 0.5, 0.1, 0.0))
    assert index.tolist() == [[0, 1, 1, 1, 255, 255, 255]]
    rgb = colormap.rgb(row(math.nan, math.inf, 50, 0.5))
    assert tuple(rgb[0, 0]) == NO_ESTIMATE_RGB
    assert rgb[0, 1].tolist() == rgb[0, 2].tolist() == colormap.lut[1].tolist()
    assert rgb[0, 3, 0] > rgb[0, 3, 2], "near is the red end of turbo"


@pytest.mark.parametrize("scale", ["log", "inverse", "linear"])
def test_colours_follow_the_scale_whatever_else_is_in_the_frame(scale: Scale) -> None:
    colormap = DepthColormap(min_m=1, max_m=10, scale=scale)
    metres = np.linspace(1, 10, 50, dtype=np.float32)
    expected = [1 + round(254 * colormap.nearness(float(m))) for m in metres]
    alone = [int(colormap.index(row(float(m)))[0, 0]) for m in metres]
    together = colormap.index(metres[None]).tolist()[0]
    assert alone == together
    assert max(abs(a - e) for a, e in zip(together, expected, strict=True)) <= 1


@pytest.mark.parametrize(("low", "high"), [(0.0, 10.0), (5.0, 5.0), (1.0, math.inf), (math.nan, 2.0)])
def test_impossible_range_is_refused(low: float, high: float) -> None:
    with pytest.raises(ConfigError, match="0 < min < max"):
        DepthColormap(min_m=low, max_m=high)


def test_millimetres_round_and_keep_the_two_codes() -> None:
    mm = to_millimetres(row(math.nan, math.inf, 65.534, 65.536, 1.0004, 1.0006, 0.0001))
    assert mm.dtype == np.uint16
    assert mm.tolist() == [[0, 65535, 65534, 65535, 1000, 1001, 1]]


@pytest.mark.parametrize(("height", "width"), [(360, 640), (1080, 1920), (1280, 720), (96, 160)])
def test_legend_lies_in_the_lower_left_and_never_overflows(height: int, width: int) -> None:
    legend = scale_legend(DepthColormap(), height, width)
    assert legend is not None
    for value in (0, 255):
        picture = np.full((height, width, 3), value, np.uint8)
        legend.draw(picture)
        changed = np.argwhere((picture != value).any(axis=2))
        assert changed[:, 0].min() > height * 2 / 3
        assert changed[:, 1].max() < width * 0.5
        text_rows = picture[legend.y : legend.y + legend.keep.shape[0], legend.x : legend.x + legend.keep.shape[1]]
        assert text_rows.max() == 255
        assert text_rows.min() < 130


def test_no_legend_where_nothing_would_be_readable() -> None:
    assert scale_legend(DepthColormap(), 48, 64) is None


def preview(frame: DepthFrame, *, side_by_side: bool = False, legend: bool = False) -> Preview:
    return Preview(frame, colormap=DepthColormap(), view="side-by-side" if side_by_side else "depth", legend=legend)


def test_untrained_is_said_on_every_frame_even_without_legend() -> None:
    trained = make_depth_frame(width=640, height=360)
    untrained = replace(trained, model="nano (untrained)")
    plain, marked = preview(trained), preview(untrained)
    for _ in range(2):
        different = np.argwhere((plain.rgb(trained) != marked.rgb(untrained)).any(axis=2))
        assert different.size
        assert different.max(axis=0)[0] < 50
    assert "untrained" in marked.tags["title"]
    assert "untrained" not in plain.tags["title"]


def test_odd_sizes_repeat_the_last_pixel() -> None:
    frame = make_depth_frame(width=7, height=5, value=3.0)
    picture = preview(frame)
    rgb = picture.rgb(frame)
    assert rgb.shape == (6, 8, 3)
    assert (rgb == rgb[0, 0]).all()
    assert picture.render(frame).shape == (9, 8)


def test_side_by_side_needs_the_image_and_shows_it_on_the_left() -> None:
    frame = make_depth_frame()
    view = preview(frame, side_by_side=True)
    with pytest.raises(SinkError, match="without one"):
        view.rgb(frame)
    image = np.full((6, 8, 3), 77, np.uint8)
    rgb = view.rgb(replace(frame, image=image))
    assert (rgb[:, :8] == 77).all()
    assert (rgb[:, 8:] == DepthColormap().rgb(frame.depth)[0, 0]).all()


def test_another_size_is_fitted_into_the_first() -> None:
    first = make_depth_frame(width=16, height=8)
    wide = make_depth_frame(width=32, height=8, value=2.0)
    view = preview(first)
    rgb = view.rgb(wide)
    color = DepthColormap().rgb(wide.depth)[0, 0]
    assert rgb.shape == (8, 16, 3)
    assert (rgb[2:6] == color).all()
    assert (rgb[:2] == 0).all()
    assert (rgb[6:] == 0).all()
    assert (view.rgb(first) != 0).any(axis=2).all(), "the bars do not stay"


def test_timeline_keeps_variable_rates_and_separates_equal_times() -> None:
    timeline = Timeline(Fraction(1, 90_000))
    pts = [900, 3900, 3900, 3899, 12_000]
    assert [timeline.place(at(i, p).capture) for i, p in enumerate(pts)] == [900, 3900, 3901, 3902, 12_000]


def test_timeline_goes_on_when_the_clock_jumps_back() -> None:
    timeline = Timeline(Fraction(1, 90_000))
    pts = [0, 3000, 900_000, 903_000, 0, 3000]
    assert [timeline.place(at(i, p).capture) for i, p in enumerate(pts)][-3:] == [903_000, 906_000, 909_000]


@pytest.mark.parametrize("tick", [Fraction(1, 90_000), Fraction(1, 1000)])
def test_timeline_of_short_files_end_to_end_keeps_their_frames_apart(tick: Fraction) -> None:
    timeline = Timeline(tick)
    pts = [9000 * i for length in (7, 3, 2, 5) for i in range(length)]  # none as long as a second
    assert [timeline.place(at(i, p).capture) * tick for i, p in enumerate(pts)] == [Fraction(i, 10) for i in range(17)]
    assert timeline.step * tick == Fraction(1, 10)


def test_timeline_does_not_take_many_equal_or_two_swapped_frames_for_a_jump() -> None:
    timeline = Timeline(Fraction(1, 1000))
    pts = [0, 3000, *[6000] * 40, 12_000, 9000, 15_000]  # 33.3 ms are 33 ticks
    placed = [timeline.place(at(i, p).capture) for i, p in enumerate(pts)]
    assert placed == [0, 33, *range(67, 107), 133, 134, 167]


def test_timeline_of_a_late_or_negative_start_begins_at_zero() -> None:
    assert Timeline(Fraction(1, 90_000)).place(at(0, 90_000 * 3600).capture) == 0
    assert Timeline(Fraction(1, 90_000)).place(at(0, -2048).capture) == 0


def test_timeline_of_a_live_source_counts_from_its_first_frame() -> None:
    timeline = Timeline(Fraction(1, 1000))
    times = [5_000_000_000, 5_033_400_000, 5_200_000_000]
    assert [timeline.place(at(i, i * 7, live_ns=t).capture) for i, t in enumerate(times)] == [0, 33, 200]


def test_timeline_goes_on_when_another_clock_takes_over() -> None:
    timeline = Timeline(Fraction(1, 1000))
    wall = 1_795_000_000_000_000_000
    frames = [at(i, i, live_ns=5_000_000_000 + i * 40_000_000) for i in range(3)]
    frames += [recaptured(at(i, i, live_ns=wall + i * 40_000_000), clock="camera-rtcp") for i in range(3, 6)]
    frames += [at(i, i, live_ns=5_000_000_000 + i * 40_000_000) for i in range(6, 8)]
    assert [timeline.place(frame.capture) for frame in frames] == [0, 40, 80, 120, 160, 200, 240, 280]


def test_timeline_without_pts_uses_the_capture_time() -> None:
    timeline = Timeline(Fraction(1, 1000))
    frames = [recaptured(at(0, None), time_ns=i * 40_000_000) for i in range(3)]
    assert [timeline.place(f.capture) for f in frames] == [0, 40, 80]


@pytest.mark.parametrize(
    ("base", "expected"),
    [((1, 15360), (1, 15360)), ((1, 30), (1, 90_000)), ((1, 1_000_000_000), (1, 90_000)), ((1001, 30000), (1, 30_000))],
)
def test_tick_is_the_sources_where_it_is_sane(base: tuple[int, int], expected: tuple[int, int]) -> None:
    assert choose_tick(at(0, 1, base=Fraction(*base)).capture) == Fraction(*expected)
    assert choose_tick(at(0, None, base=Fraction(*base)).capture) == Fraction(1, 90_000)


def test_record_is_strict_json_with_null_for_what_is_not_finite() -> None:
    frame = make_depth_frame()
    frame = recaptured(replace(frame, focal=replace(frame.focal, raw_px=None, log_std=math.inf)), pts=None)
    record = json.loads(to_json(describe(frame)))
    assert record["pts"] is None
    assert record["time_base"] == [1, 30]
    assert record["focal"] == {"smoothed_px": 8, "raw_px": None, "log_std": None, "source": "estimated"}
    assert record["K"] == frame.camera.matrix.ravel().tolist()
    assert to_json({"x": math.nan}) == b'{"x":null}'
