"""The renderer against closed forms: depth of every primitive, axes, focal length, light, fog, and batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from model.lab.scenes.renderer.camera import Camera, rotation
from model.lab.scenes.renderer.materials import PATTERNS
from model.lab.scenes.renderer.render import depth, render, render_batch
from model.lab.scenes.renderer.scene import SceneBuilder
from stream.errors import ConfigError

RIGHT_ANGLE = math.pi / 2


def camera(width: int = 65, height: int = 49, f_px: float = 60.0, position=(0.0, 0.0, 0.0), **angles: float) -> Camera:
    return Camera(position=position, rotation=rotation(**angles), f_px=f_px, width=width, height=height)


def directions(of: Camera) -> np.ndarray:
    """World directions with z = 1 along the optical axis, [H, W, 3] float64."""
    x, y = np.meshgrid(np.arange(of.width) - (of.width - 1) / 2, np.arange(of.height) - (of.height - 1) / 2)
    return np.stack([x / of.f_px, y / of.f_px, np.ones_like(x)], -1) @ np.asarray(of.rotation).T


def builder() -> tuple[SceneBuilder, int]:
    scene = SceneBuilder()
    return scene, scene.material(colors=((0.5, 0.5, 0.5),))


def expect(z: torch.Tensor, truth: np.ndarray, *, edges: int = 0, rtol: float = 1e-5) -> None:
    """Equal to rounding; at most ``edges`` pixels may differ, where an outline passes through a pixel's very centre."""
    z64 = z.numpy().astype(np.float64)
    both = np.isfinite(z64) & (truth < 500)  # nearer the horizon, the rounding of a direction is more than 1e-5
    assert (np.isfinite(z64) != np.isfinite(truth)).sum() <= edges
    assert both.sum() > 50
    np.testing.assert_allclose(z64[both], truth[both], rtol=rtol)


VIEWS = [camera(), camera(position=(0.3, -0.4, 0.2), yaw=0.2, pitch=-0.15, roll=0.3)]


@pytest.mark.parametrize("view", VIEWS)
def test_ground_is_a_plane(view: Camera) -> None:
    scene, grey = builder()
    scene.ground(material=grey, y=1.5)
    down = directions(view)[..., 1]
    with np.errstate(divide="ignore"):
        truth = np.where(down > 0, (1.5 - np.asarray(view.position)[1]) / down, np.inf)
    expect(depth(scene.build(), view), truth)


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("wide", [True, False])
def test_a_squeezed_picture_shows_the_same_view(wide: bool, samples: int) -> None:
    """One of its pixels covers three of those that are not: what the middle one shows."""
    width, height = (195, 65) if wide else (65, 195)
    view = camera(width, height, 80.0, (0.3, -0.4, 0.2), yaw=0.2, pitch=-0.15, roll=0.3)
    scene, grey = builder()
    scene.ground(material=grey, y=1.5)
    scene.ellipsoid((0.5, 0.2, 4.0), (2, 1, 1), material=grey)
    scene.box((-1.5, 0.8, 3.0), (0.4, 1.0, 0.4), material=grey)
    built = scene.build()
    middle = np.s_[:, 1::3] if wide else np.s_[1::3]
    squeezed = view.squeezed(65)
    assert squeezed.pixel_aspect == pytest.approx(3 if wide else 1 / 3)
    assert squeezed.fov_deg == pytest.approx(view.fov_deg)
    expect(depth(built, squeezed), depth(built, view)[middle].numpy().astype(np.float64), edges=2)
    picture = render(built, squeezed, samples=samples).image.numpy()
    plain = render(built, view, samples=samples).image.numpy()[middle]
    assert np.median(np.abs(picture - plain)) < 0.01


@pytest.mark.parametrize("view", VIEWS)
def test_far_small_ellipsoid_is_a_sphere(view: Camera) -> None:
    scene, grey = builder()
    center = np.array([12.0, 3.0, 270.0])
    scene.ellipsoid(center, (90.0, 90.0, 90.0), yaw=0.7, roll=0.4, material=grey)
    d = directions(view)
    oc = np.asarray(view.position) - center
    a, b, c = (d * d).sum(-1), d @ oc, oc @ oc - 45.0**2
    with np.errstate(invalid="ignore"):
        truth = (-b - np.sqrt(b * b - a * c)) / a
    expect(depth(scene.build(), view), np.where(np.isnan(truth), np.inf, truth), edges=2, rtol=3e-5)


@pytest.mark.parametrize("view", VIEWS)
def test_turned_box(view: Camera) -> None:
    scene, grey = builder()
    center, size, angles = np.array([0.2, 0.3, 4.0]), np.array([1.6, 1.0, 0.8]), (0.6, 0.3, -0.4)
    scene.box(center, size, yaw=angles[0], pitch=angles[1], roll=angles[2], material=grey)
    turn = rotation(*angles)
    o, d = (np.asarray(view.position) - center) @ turn, directions(view) @ turn
    low, high = (-size / 2 - o) / d, (size / 2 - o) / d
    enter, leave = np.minimum(low, high).max(-1), np.maximum(low, high).min(-1)
    expect(depth(scene.build(), view), np.where(enter <= leave, enter, np.inf), edges=2)


def test_cylinder_side_and_cap() -> None:
    scene, grey = builder()
    scene.frustum((0.0, 1.0, 3.0), (1.0, 1.0, 1.0), material=grey)
    z = depth(scene.build(), camera(pitch=0.0, position=(0.0, 1.0, 0.0)))
    assert float(z[24, 32]) == pytest.approx(2.5, rel=1e-6)
    from_above = depth(scene.build(), camera(position=(0.0, -2.0, 3.0), pitch=-RIGHT_ANGLE))
    assert float(from_above[24, 32]) == pytest.approx(2.5, rel=1e-6)
    radius = 0.5 * 60 / 2.5
    assert int(torch.isfinite(from_above[24]).sum()) == 2 * math.floor(radius) + 1
    from_below = depth(scene.build(), camera(position=(0.0, 4.0, 3.0), pitch=RIGHT_ANGLE))
    assert float(from_below[24, 32]) == pytest.approx(2.5, rel=1e-6)


def test_cone_narrows_upwards() -> None:
    scene, grey = builder()
    scene.frustum((0.0, 0.0, 6.0), (2.0, 2.0, 2.0), taper=0.0, material=grey)
    view = camera()
    d = directions(view)[:, 32]  # the plane x = 0: the cone's outline there is z = 6 - (1 + y) / 2
    slope = d[:, 1]
    truth = 5.5 / (1 + slope / 2)
    inside = np.abs(slope * truth) < 0.99
    np.testing.assert_allclose(depth(scene.build(), view)[:, 32].numpy()[inside], truth[inside], rtol=1e-5)
    widths = torch.isfinite(depth(scene.build(), view)).sum(1)
    assert widths[16] < widths[20] < widths[24] < widths[28]


@pytest.mark.parametrize("outline", [1.0, 1.4, 2.0, math.inf])
def test_card_outline(outline: float) -> None:
    scene, grey = builder()
    scene.card((0.05, 0.02, 2.0), (1.2, 0.8), outline=outline, material=grey)
    view = camera()
    p = directions(view) * 2
    x, y = np.abs(p[..., 0] - 0.05) / 0.6, np.abs(p[..., 1] - 0.02) / 0.4
    inside = np.maximum(x, y) <= 1 if outline == math.inf else x**outline + y**outline <= 1
    expect(depth(scene.build(), view), np.where(inside, 2.0, np.inf), edges=2)


def test_room_has_six_faces_around_the_camera() -> None:
    scene, grey = builder()
    scene.room((0.0, -1.0, 0.0), (4.0, 2.0, 6.0), walls=grey, floor=grey, ceiling=grey)
    built = scene.build()
    at = (0.0, -1.0, 0.0)
    for angles, distance in (
        ({}, 3.0),
        ({"yaw": RIGHT_ANGLE}, 2.0),
        ({"yaw": -RIGHT_ANGLE}, 2.0),
        ({"yaw": math.pi}, 3.0),
        ({"pitch": RIGHT_ANGLE}, 1.0),
        ({"pitch": -RIGHT_ANGLE}, 1.0),
    ):
        z = depth(built, camera(position=at, **angles))
        assert torch.isfinite(z).all()
        assert float(z[24, 32]) == pytest.approx(distance, rel=1e-6)
    scene, grey = builder()
    scene.room(at, (4.0, 2.0, 6.0), walls=grey, floor=grey, ceiling=grey, open_faces=("far",))
    assert torch.isinf(depth(scene.build(), camera(position=at))[24, 32])


def test_axes_and_focal_length() -> None:
    scene, grey = builder()
    scene.box((0.5, 0.25, 5.0), (1.0, 0.5, 1e-3), material=grey)
    z = depth(scene.build(), camera(width=200, height=160, f_px=300.0))
    rows, columns = torch.isfinite(z).nonzero(as_tuple=True)
    width_px, height_px = columns.unique().numel(), rows.unique().numel()
    assert width_px == pytest.approx(300 * 1.0 / 5.0, abs=1)
    assert height_px == pytest.approx(300 * 0.5 / 5.0, abs=1)
    assert columns.min() == 100  # +x right: the box begins at the axis
    assert rows.min() == 80  # +y down
    for angle, sign in (("yaw", 1), ("pitch", 0)):
        turned = directions(camera(**{angle: 0.1}))[24, 32]
        assert turned[0] > 0 if sign else turned[1] < 0  # yaw to the right, pitch up


def test_nearest_of_many_wins_whatever_the_order() -> None:
    rng = np.random.default_rng(3)
    balls = [(rng.uniform((-2, -2, 4), (2, 2, 8)), rng.uniform(0.2, 0.8)) for _ in range(60)]
    singles = []
    scene, grey = builder()
    for center, size in balls:
        alone, grey_alone = builder()
        alone.ellipsoid(center, (size, size, size), material=grey_alone)
        singles.append(depth(alone.build(), VIEWS[0]))
        scene.ellipsoid(center, (size, size, size), material=grey)
    assert torch.equal(depth(scene.build(), VIEWS[0]), torch.stack(singles).amin(0))


def everything(seed: int = 0) -> SceneBuilder:
    """A scene with every primitive, pattern and kind of light."""
    rng = np.random.default_rng(seed)
    scene = SceneBuilder()
    for pattern in PATTERNS:
        scene.material(pattern=pattern, scale=0.2, bump=0.5, gloss=0.4)
    scene.ground(material=16)
    for i in range(40):
        where, size = rng.uniform((-3, -2, 3), (3, 0, 12)), rng.uniform(0.2, 1.0, 3)
        turn = {"yaw": rng.uniform(0, 6), "pitch": rng.uniform(-1, 1), "roll": rng.uniform(-1, 1)}
        material = i % len(PATTERNS)
        if i % 4 == 0:
            scene.box(where, size, **turn, material=material)
        elif i % 4 == 1:
            scene.ellipsoid(where, size, **turn, material=material)
        elif i % 4 == 2:
            scene.frustum(where, size, taper=rng.uniform(0, 1.5), **turn, material=material)
        else:
            scene.card(where, size[:2], outline=rng.choice([1.4, 2.0, math.inf]), **turn, material=material)
    scene.sun((0.4, 1.0, 0.6), (1.5, 1.4, 1.2))
    scene.lamp((0.0, -3.0, 4.0), (3.0, 2.5, 2.0))
    scene.sky(zenith=(0.1, 0.2, 0.6), horizon=(0.6, 0.7, 0.8), clouds=0.5)
    scene.fog(density=0.01, color=(0.6, 0.65, 0.7))
    return scene


OUTSIDE = camera(position=(0.0, -1.5, 0.0), pitch=0.05, roll=0.02)


def test_picture_is_finite_deterministic_and_its_depth_does_not_depend_on_samples() -> None:
    built = everything().build()
    view = render(built, OUTSIDE)
    again = render(everything().build(), OUTSIDE)
    assert view.image.shape == (49, 65, 3)
    assert view.image.dtype == view.depth.dtype == torch.float32
    assert torch.isfinite(view.image).all()
    assert (view.image >= 0).all()
    assert torch.equal(view.image, again.image)
    assert torch.equal(view.depth, again.depth)
    assert torch.equal(view.depth, render(built, OUTSIDE, samples=1).depth)
    assert torch.equal(view.depth, depth(built, OUTSIDE))
    assert torch.isinf(view.depth).any()
    assert not view.image.isnan().any()


def test_batch_equals_single_pictures() -> None:
    scenes = [everything(seed).build() for seed in range(3)]
    cameras = [
        OUTSIDE,
        camera(position=(1.0, -1.0, 0.0), yaw=-0.2, f_px=40.0),
        camera(position=(0.0, -3.0, 1.0), pitch=-0.4),
    ]
    for one, scene, of in zip(render_batch(scenes, cameras), scenes, cameras, strict=True):
        alone = render(scene, of)
        torch.testing.assert_close(one.depth, alone.depth, rtol=1e-5, atol=0)
        torch.testing.assert_close(one.image, alone.image, rtol=1e-4, atol=1e-5)


def test_edges_are_antialiased_by_coverage() -> None:
    scene = SceneBuilder()
    glowing = scene.material(colors=((1.0, 1.0, 1.0),), emission=1.0, jitter=0.0)
    scene.ambient((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    scene.sky(zenith=(0.0, 0.0, 0.0), horizon=(0.0, 0.0, 0.0))
    scene.ellipsoid((0.0, 0.0, 5.0), (2.0, 2.0, 2.0), material=glowing)
    view = camera()
    fine, coarse = (render(scene.build(), view, samples=s).image[..., 0] for s in (4, 1))
    steps = (fine * 16).round() / 16
    torch.testing.assert_close(fine, steps, atol=1e-4, rtol=0)
    assert ((fine > 0.01) & (fine < 0.99)).sum() > 20
    assert ((coarse > 0.01) & (coarse < 0.99)).sum() == 0
    area = math.pi * (60 / math.sqrt(24)) ** 2
    assert float(fine.sum()) == pytest.approx(area, rel=0.01)


def test_sub_pixel_wires_are_seen() -> None:
    scene = SceneBuilder()
    glowing = scene.material(colors=((1.0, 1.0, 1.0),), emission=1.0)
    scene.sky(zenith=(0.0, 0.0, 0.0), horizon=(0.0, 0.0, 0.0))
    scene.box((0.0237, 0.0, 3.0), (0.02, 2.0, 0.02), material=glowing)  # 0.4 pixels wide, between pixel centres
    view = camera()
    assert torch.isinf(depth(scene.build(), view)[24]).all()
    assert float(render(scene.build(), view, samples=4).image[24, :, 0].sum()) > 0.2


def lit(shadows: bool = True) -> tuple[SceneBuilder, Camera]:
    scene = SceneBuilder()
    white = scene.material(colors=((0.8, 0.8, 0.8),), jitter=0.0)
    scene.ground(material=white)
    scene.sun((0.0, 1.0, 0.0), (1.0, 1.0, 1.0))
    scene.ambient((0.2, 0.2, 0.2), (0.2, 0.2, 0.2))
    if shadows:
        scene.box((0.0, -1.0, 6.0), (1.0, 0.2, 1.0), material=white)
    return scene, camera(position=(0.0, -2.0, 0.0), pitch=-0.3215)  # looks at the ground 6 m ahead


def test_ground_under_a_box_is_in_shadow() -> None:
    (with_box, view), (without, _) = lit(), lit(shadows=False)
    behind = camera(position=(0.0, -0.5, 0.0), pitch=-0.0831, f_px=900.0)  # looks below the box at the ground 6 m ahead
    shaded, bright = (float(render(s.build(), behind).image[24, 32].mean()) for s in (with_box, without))
    assert bright == pytest.approx(0.8 * 1.2, rel=0.02)
    assert shaded == pytest.approx(0.8 * 0.2, rel=0.05)
    unshadowed = render(with_box.build(), behind, shadows=False).image[24, 32].mean()
    assert float(unshadowed) == pytest.approx(bright, rel=0.02)
    assert float(render(without.build(), view).image[24, 32].mean()) == pytest.approx(bright, rel=0.02)


def test_lamp_falls_with_the_square_of_the_distance() -> None:
    values = []
    for distance in (1.0, 2.0):
        scene = SceneBuilder()
        white = scene.material(colors=((1.0, 1.0, 1.0),), jitter=0.0)
        scene.ambient((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
        scene.card((0.0, 0.0, distance), (9.0, 9.0), material=white)
        scene.lamp((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        values.append(float(render(scene.build(), camera(position=(0.0, 0.0, -1.0))).image[24, 32, 0]))
    assert values == pytest.approx([1.0, 0.25], rel=0.01)


def test_corner_is_darker_than_open_floor() -> None:
    scene = SceneBuilder()
    white = scene.material(colors=((0.8, 0.8, 0.8),), jitter=0.0)
    scene.ambient((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    scene.ground(material=white)
    scene.box((0.0, -2.0, 7.0), (20.0, 4.0, 2.0), material=white)
    view = camera(width=64, height=240, f_px=300.0, position=(0.0, -1.5, 0.0), pitch=-0.25)
    seen = render(scene.build(), view)
    column, z = seen.image[..., 0].mean(1), seen.depth[:, 32].numpy() * directions(view)[:, 32, 2]
    foot = int(np.flatnonzero(np.abs(z - 6) < 1e-3).max()) + 1  # the first row of floor, where the wall stands on it
    assert 20 < foot < 220
    assert float(column[foot + 1]) < 0.8 * float(column[-1])  # the floor
    assert float(column[foot - 3]) < 0.8 * float(column[0])  # the wall
    assert float(column[-1]) == pytest.approx(0.4, rel=1e-3)


def test_fog_changes_colour_only() -> None:
    clear, foggy = everything(), everything()
    clear.fog(density=0.0, color=(1.0, 1.0, 1.0))
    foggy.fog(density=0.5, color=(1.0, 1.0, 1.0))
    a, b = render(clear.build(), OUTSIDE), render(foggy.build(), OUTSIDE)
    assert torch.equal(a.depth, b.depth)
    far = torch.isfinite(a.depth) & (a.depth > 12)
    assert float((b.image[far] - 1).abs().median()) < 0.02  # the sky behind outlines is not in the fog
    assert float((a.image[far] - 1).abs().median()) > 0.1


def test_textures_fade_into_their_mean_in_the_distance() -> None:
    scene = SceneBuilder()
    checks = scene.material(pattern="checks", colors=((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)), scale=0.05, jitter=0.0)
    scene.card((0.0, 0.0, 100.0), (400.0, 400.0), material=checks)
    scene.ambient((1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
    image = render(scene.build(), camera()).image
    assert float(image.std()) < 0.01
    assert float(image.mean()) == pytest.approx(0.5, abs=0.02)


def test_empty_scene_is_sky() -> None:
    view = render(SceneBuilder().build(), camera())
    assert torch.isinf(view.depth).all()
    assert (view.image > 0).all()


def test_scaled_camera_keeps_its_view() -> None:
    view = camera(width=640, height=480, f_px=500.0)
    small = view.scaled(320, 240)
    assert small.fov_deg == pytest.approx(view.fov_deg) == pytest.approx(65.238, abs=1e-3)
    assert small.f_px == 250


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s: s.material(pattern="plaid"),
        lambda s: s.material(colors=((0.5, -0.1, 0.5),)),
        lambda s: s.material(colors=()),
        lambda s: s.material(scale=0.0),
        lambda s: s.material(gloss=math.nan),
        lambda s: s.box((0, 0, math.nan), (1, 1, 1), material=0),
        lambda s: s.box((0, 0, 0), (1, 0, 1), material=0),
        lambda s: s.box((0, 0, 0), (1, 1), material=0),
        lambda s: s.ellipsoid((0, 0, 0), (1, 1, 1), yaw=math.inf, material=0),
        lambda s: s.frustum((0, 0, 0), (1, 1, 1), taper=-1, material=0),
        lambda s: s.card((0, 0, 0), (1, 1), outline=0, material=0),
        lambda s: s.room((0, 0, 0), (1, 1, 1), walls=0, floor=0, ceiling=0, open_faces=("door",)),
        lambda s: s.sun((0, 0, 0), (1, 1, 1)),
        lambda s: s.lamp((0, 0, 0), (1, 1)),
        lambda s: [s.lamp((0, 0, 0), (1, 1, 1)) for _ in range(5)],
        lambda s: s.fog(density=-1, color=(1, 1, 1)),
        lambda s: s.sky(zenith=(1, 1, 1), horizon=(1, 1, 1), clouds=2),
        lambda s: (s.ground(material=7), s.build()),
    ],
)
def test_impossible_numbers_are_refused(wrong) -> None:
    scene = SceneBuilder()
    scene.material()
    with pytest.raises(ConfigError):
        wrong(scene)


@pytest.mark.parametrize(
    "wrong",
    [
        {"f_px": 0.0},
        {"f_px": math.nan},
        {"width": 0},
        {"position": (0, 0)},
        {"rotation": np.zeros((3, 3))},
        {"pixel_aspect": 0.0},
        {"pixel_aspect": math.inf},
    ],
)
def test_impossible_cameras_are_refused(wrong: dict) -> None:
    given = {"position": (0, 0, 0), "rotation": np.eye(3), "f_px": 50.0, "width": 8, "height": 8}
    with pytest.raises(ConfigError):
        Camera(**{**given, **wrong})


def test_impossible_batches_are_refused() -> None:
    empty = SceneBuilder().build()
    for scenes, cameras, samples in (
        ([], [], 2),
        ([empty], [camera(), camera()], 2),
        ([empty, empty], [camera(), camera(width=9)], 2),
        ([empty], [camera()], 0),
    ):
        with pytest.raises(ConfigError):
            render_batch(scenes, cameras, samples=samples)
