"""The demo's truth is checked against geometry that is worked out here again, and against the pictures themselves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from stream.demo import DemoSource
from stream.errors import ConfigError

SMALL = {"width": 160, "height": 90}
Points = npt.NDArray[np.float64]


def world_points(demo: DemoSource, index: int) -> Points:
    """Room coordinates ``[H, W, 3]`` of what each pixel shows, by way of the pinhole equations."""
    depth, f = demo.truth(index)
    height, width = depth.shape
    v, u = np.mgrid[:height, :width]
    camera = demo.camera(index)
    points = (
        np.stack(((u - (width - 1) / 2) / f, (v - (height - 1) / 2) / f, np.ones(depth.shape)), -1) * depth[..., None]
    )
    return points @ camera.rotation.T.astype(float) + camera.position


def test_source_properties() -> None:
    demo = DemoSource(width=64, height=36, frame_rate=10, frame_count=6)
    assert (demo.info.live, demo.info.frame_rate, demo.info.frame_count) == (False, 10, 6)
    frames = list(demo)
    demo.close()
    assert [f.index for f in frames] == [f.pts for f in frames] == list(range(6))
    assert [f.capture_time_ns for f in frames] == [i * 10**8 for i in range(6)]
    assert {(f.geometry.pixel_format, f.width, f.height, f.color_range) for f in frames} == {("rgb24", 64, 36, "full")}
    assert {f.focal_px for f in frames} == {None}  # to be estimated, not given away


def test_deterministic() -> None:
    first, second = (list(DemoSource(**SMALL, frame_count=3)) for _ in range(2))
    assert all(np.array_equal(a.planes[0], b.planes[0]) for a, b in zip(first, second, strict=True))
    truth = DemoSource(**SMALL).truth(7)
    again = DemoSource(**SMALL).truth(7)
    assert np.array_equal(truth[0], again[0])
    assert truth[1] == again[1]


@pytest.mark.parametrize("index", [0, 20, 45, 59, 60, 89])
def test_every_point_lies_on_a_surface_of_the_room(index: int) -> None:
    demo = DemoSource(**SMALL)
    depth, f_px = demo.truth(index)
    assert (depth.dtype, depth.shape) == (np.float32, (90, 160))
    assert isinstance(f_px, float)
    p = world_points(demo, index)
    x, y, z = p[..., 0], p[..., 1], p[..., 2]
    distances = [x + 2.6, 2.6 - x, y + 1.45, 1.25 - y, z + 1.2, 8 - z]
    assert min(d.min() for d in distances) > -1e-4  # nothing beyond the walls
    on_wall = np.min(np.abs(distances), axis=0) < 1e-4
    on_column = np.abs(np.hypot(x - 1.7, z - 6.0) - 0.28) < 1e-3
    on_ball = np.abs(np.linalg.norm(p - (-0.75, 0.9, 3.1), axis=-1) - 0.35) < 1e-3
    edges = {0: (-1.75, 1.55, 0.55, 1.25, -2.2, -0.7), 1: (0.35, -0.75, 0.72, 0.6, 0.1)}
    edges[2] = (1.4, 3.0, 2.6, 3.3, 3.9, 4.6, 5.2, 6.1, 6.4)
    on_box = np.any([np.abs(p[..., axis] - e) < 1e-3 for axis, values in edges.items() for e in values], axis=0)
    assert np.all(on_wall | on_column | on_ball | on_box)
    assert 0.3 < on_wall.mean() < 0.95


def test_depth_and_camera_explain_the_next_picture() -> None:
    """Each pixel, moved by depth, pose and focal length into another frame, finds the same depth there."""
    demo = DemoSource(width=320, height=180)
    points, camera = world_points(demo, 20), demo.camera(24)
    assert demo.truth(20)[1] != camera.f_px  # zooming
    x, y, z = np.moveaxis((points - camera.position) @ camera.rotation, -1, 0)
    u = np.round(x / z * camera.f_px + 159.5).astype(int)
    v = np.round(y / z * camera.f_px + 89.5).astype(int)
    seen = (u >= 0) & (u < 320) & (v >= 0) & (v < 180)
    there = demo.truth(24)[0][v[seen], u[seen]]
    assert seen.mean() > 0.5
    assert np.median(np.abs(there / z[seen] - 1)) < 0.003
    assert (np.abs(there / z[seen] - 1) < 0.05).mean() > 0.95  # the rest is hidden behind edges


def test_zoom_is_smooth_and_the_cut_is_hard() -> None:
    demo = DemoSource(width=64, height=36)
    focal = np.array([demo.truth(i)[1] for i in range(90)])
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


def test_pictures_have_texture_and_light() -> None:
    demo = DemoSource(**SMALL, frame_count=4)
    for frame in demo:
        picture = frame.planes[0].astype(float)
        assert 70 < picture.mean() < 190
        assert picture.std() > 25
        assert (picture == 255).mean() < 0.1


def test_odd_and_tiny_sizes() -> None:
    for size in ((1, 1), (33, 17), (20, 60)):
        demo = DemoSource(width=size[0], height=size[1], frame_count=2)
        assert [f.planes[0].shape for f in demo] == [(size[1], size[0], 3)] * 2
        assert np.isfinite(demo.truth(1)[0]).all()


def test_wrong_arguments() -> None:
    for options in ({"width": 0}, {"frame_rate": 0.0}, {"frame_count": -1}):
        with pytest.raises(ConfigError, match="positive"):
            DemoSource(**options)  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        DemoSource(frame_count=3).truth(3)
