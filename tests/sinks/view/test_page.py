"""The page in a real browser."""

from __future__ import annotations

import math
import re
import socket
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect

from sinks import open_sink
from sinks.depth_codes import DepthCodes
from sinks.files.read_depth import decode, read_depth
from sinks.video.colormap import DepthColormap
from sinks.view import viewer
from stream.frame import Odometry, SourceState
from tests.sinks.view.pages import Open, other_server, point_at, wait_for_frame
from tests.sinks.view.scenes import FOCAL, HEIGHT, WIDTH, address_of, frame_of, showing, slope
from tests.support.doubles import POSE
from tests.support.process import ROOT

SOME_NUMBER = re.compile(r"\d")
_TOKEN = "aPretendedSecret0123"
_LOG = DepthCodes(encoding="log")


@pytest.fixture(autouse=True)
def whole_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also to a browser that a busy machine makes slow."""
    monkeypatch.setattr(viewer, "_SLOW_S", math.inf)


def test_frames_change_and_metres_are_those_of_the_depth_to_the_last_unit(open_page: Open) -> None:
    with showing() as sink:
        page = open_page(sink.link)
        for index, scale in enumerate((1.0, 3.0)):
            depth = slope() * np.float32(scale)
            sink.write(frame_of(index, depth, grey=60 + 100 * index))
            wait_for_frame(page, index)
            grey = page.evaluate(
                """() => { const view = window.depthProStream, panel = view.flat.panels("side")[0];
                  return view.flat.canvas.getContext("2d").getImageData(panel.x + 9, panel.y + 9, 1, 1).data[0]; }"""
            )
            assert abs(grey - (60 + 100 * index)) <= 2
            codes = _LOG.encode(depth)
            shown = page.evaluate("() => Array.from(window.depthProStream.frame.codes)")
            assert np.array_equal(np.reshape(shown, depth.shape), codes)
            for x, y in ((0, HEIGHT - 1), (81, 44), (WIDTH - 1, HEIGHT - 1), (1, 1), (WIDTH - 1, 0)):
                point_at(page, x, y)
                told = float(page.get_attribute("#metres", "data-metres") or "")
                expected = float(decode(codes[y : y + 1, x : x + 1], _LOG.record())[0, 0])
                assert told == pytest.approx(expected, rel=2e-7, nan_ok=True)
        age = page.evaluate("() => window.depthProStream.numbers.age(0.5)")
        assert -5 < age < 2000


def test_colours_are_those_of_the_video_and_each_viewers_own(open_page: Open) -> None:
    depth = np.geomspace(0.2, 120, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.float32)
    depth[0, :3] = np.nan, np.inf, 1.0
    decoded = decode(_LOG.encode(depth), _LOG.record())
    with showing("?min=1&max=20&colormap=magma&scale=inverse") as sink:
        page, other = open_page(sink.link), open_page(sink.link)
        sink.write(frame_of(0, depth))
        for one in (page, other):
            wait_for_frame(one, 0)
        page.select_option("#colormap", "viridis")
        page.select_option("#scale", "linear")
        page.fill("#max", "40")
        page.press("#max", "Enter")
        for one, colormap in (
            (page, DepthColormap(min_m=1, max_m=40, name="viridis", scale="linear")),
            (other, DepthColormap(min_m=1, max_m=20, name="magma", scale="inverse")),
        ):
            one.evaluate("() => window.depthProStream.changed()")
            painted = one.evaluate(
                """() => { const canvas = window.depthProStream.flat.depth;
                  return Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data); }"""
            )
            rgb = np.reshape(painted, (HEIGHT, WIDTH, 4))[..., :3]
            difference = np.abs(rgb - colormap.rgb(decoded).astype(int)).max(axis=2)
            assert (difference > 0).mean() < 0.001  # float32 there, float64 here: a pixel on the edge of two colours
            assert difference.max() < 8


def test_a_frozen_frame_is_saved_bit_for_bit(open_page: Open, tmp_path: Path) -> None:
    depth = slope()
    with showing() as sink:
        page = open_page(sink.link)
        sink.write(frame_of(7, depth, grey=90))
        wait_for_frame(page, 7)
        page.click("#freeze")
        expect(page.locator("#state")).to_have_text("frozen")
        for index in (8, 9):
            sink.write(frame_of(index, depth * 2))
        with page.expect_download() as saved:
            page.click("#save-depth")
        saved.value.save_as(tmp_path / "depth_000007.png")
        (read,) = read_depth(tmp_path / "depth_000007.png")
        assert (read.index, read.K[0, 0]) == (7, FOCAL)
        stored = cv2.imread(str(tmp_path / "depth_000007.png"), cv2.IMREAD_UNCHANGED)
        assert stored.dtype == np.uint16
        assert np.array_equal(stored, _LOG.encode(depth))
        with page.expect_download() as saved:
            page.click("#save-picture")
        saved.value.save_as(tmp_path / "picture.png")
        assert np.abs(cv2.imread(str(tmp_path / "picture.png")).astype(int) - 90).max() <= 1
        page.click("#step")
        wait_for_frame(page, 9)  # the newest one
        sink.write(frame_of(10, depth))
        page.click("#freeze")
        wait_for_frame(page, 10)


def test_a_cube_has_its_size_and_is_hidden_by_what_is_nearer(open_page: Open) -> None:
    depth = np.full((HEIGHT, WIDTH), 4.0, np.float32)
    depth[:, :80] = 1.5  # a post in the left half, in front of a wall
    with showing() as sink:
        page = open_page(sink.link)
        page.click("[data-layout=picture]")
        page.click("[data-tool=cube]")
        page.fill("#cube-size", "1")
        sink.write(frame_of(0, depth))
        wait_for_frame(page, 0)
        point_at(page, 84, 60, click=True)
        expect(page.locator("#cube-text")).to_contain_text("4.000 m ahead")
        inside = page.evaluate(
            """async () => {
              const view = window.depthProStream;
              await view.changed();
              const [panel] = view.flat.panels("picture"), copy = document.createElement("canvas");
              [copy.width, copy.height] = [view.cubes.renderer.domElement.width, view.cubes.renderer.domElement.height];
              copy.getContext("2d").drawImage(view.cubes.renderer.domElement, 0, 0);
              const seen = [];
              for (let y = 0; y < view.frame.height; y++) for (let x = 0; x < view.frame.width; x++)
                seen.push(copy.getContext("2d").getImageData(
                  panel.x + (x + 0.5) / view.frame.width * panel.width,
                  panel.y + (y + 0.5) / view.frame.height * panel.height, 1, 1).data[3] > 127);
              return seen;
            }"""
        )
        seen = np.reshape(inside, (HEIGHT, WIDTH))
        # The near face is half an edge before the wall, as wide as f · 1 m / 3.5 m, and stands where it was put.
        edge = FOCAL / 3.5
        foot = 44.5 + (60 - 44.5) * 4 / 3.5
        middle = 79.5 + (84 - 79.5) * 4 / 3.5
        columns, rows = np.nonzero(seen.any(axis=0))[0], np.nonzero(seen.any(axis=1))[0]
        assert columns[0] == 80  # the post hides the rest
        assert columns[-1] == pytest.approx(middle + edge / 2, abs=1.5)
        assert rows[-1] == pytest.approx(foot, abs=1.5)
        assert rows[0] == pytest.approx(foot - edge, abs=1.5)
        assert seen[rows[0] + 2 : rows[-1] - 1, 80 : columns[-1] - 1].all()
        depth_nearer = np.full_like(depth, 3.0)  # everything is nearer than the cube now
        sink.write(frame_of(1, depth_nearer))
        wait_for_frame(page, 1)
        page.evaluate("() => window.depthProStream.changed()")
        drawn = page.evaluate(
            """() => {
              const gl = window.depthProStream.cubes.renderer.domElement, copy = document.createElement("canvas");
              [copy.width, copy.height] = [gl.width, gl.height];
              copy.getContext("2d").drawImage(gl, 0, 0);
              return copy.getContext("2d").getImageData(0, 0, gl.width, gl.height).data.some((v) => v > 0); }"""
        )
        assert drawn is False


def test_distance_in_space_and_a_known_distance(open_page: Open) -> None:
    depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    depth[:, 100:] = 5.0
    asked: list[tuple[object, ...]] = []
    with showing("?calibrate=yes") as sink:
        sink.calibrate_by(lambda *known: (asked.append(known[:3]), known[3]("depth is scaled by 1.5")))
        page = open_page(sink.link)
        sink.write(frame_of(0, depth))
        wait_for_frame(page, 0)
        page.click("[data-tool=distance]")
        point_at(page, 20, 10, click=True)
        point_at(page, 140, 70, click=True)
        K = frame_of(0, depth).camera
        a, b = (np.array([(x - K.cx) / K.fx, (y - K.cy) / K.fy, 1]) * z for x, y, z in ((20, 10, 2.0), (140, 70, 5.0)))
        expect(page.locator("#distance")).to_have_attribute("data-metres", SOME_NUMBER)
        told = float(page.locator("#distance").get_attribute("data-metres") or "")
        assert told == pytest.approx(np.linalg.norm(b - a), rel=2e-4)
        page.click("[data-tool=calibrate]")
        point_at(page, 50, 40, click=True)
        page.fill("#true-metres", "3")
        expect(page.locator("#factor")).to_have_attribute("data-factor", SOME_NUMBER)
        assert float(page.locator("#factor").get_attribute("data-factor") or "") == pytest.approx(1.5, rel=2e-4)
        expect(page.locator("#factor-line")).to_have_text("--scale-from 101,81=3 --scale-file scale.json")
        page.check("#factor-apply")
        point_at(page, 120, 40)
        expect(page.locator("#metres")).to_have_text("7.500 m")
        page.click("#factor-run")
        expect(page.locator("#run-text")).to_have_text("depth is scaled by 1.5")
        assert asked == [(101, 81, 3)]
        point_at(page, 120, 41)
        expect(page.locator("#metres")).to_have_text("5.000 m")  # the run scales now, and the page does no longer


def test_the_space_view_draws_what_is_there_and_cuts_jumps(open_page: Open) -> None:
    depth = np.full((HEIGHT, WIDTH), 3.0, np.float32)
    depth[30:60, 60:100] = 1.5
    with showing() as sink:
        page = open_page(sink.link)
        page.click("[data-layout=space]")
        sink.write(frame_of(0, depth, grey=200))
        wait_for_frame(page, 0)
        for shape in ("mesh", "points"):
            page.click(f"[data-shape={shape}]")
            light = page.evaluate(
                """async () => {
                  const view = window.depthProStream;
                  const [eye, target] = [view.spaceView.camera.position, view.spaceView.controls.target];
                  eye.set(0, 0, 0.001); target.set(0, 0, -1); view.spaceView.controls.update();
                  view.spaceView.floor.visible = view.spaceView.lens.visible = false;
                  view.draw();  // and read before the browser clears it
                  const gl = view.spaceView.renderer.domElement, copy = document.createElement("canvas");
                  [copy.width, copy.height] = [gl.width, gl.height];
                  copy.getContext("2d").drawImage(gl, 0, 0);
                  const grey = (x, y) => {  // where a pixel of the frame is seen, by the projection of the space camera
                    const k = view.spaceView.camera.projectionMatrix.elements, f = view.frame;
                    const left = (k[0] * (x - f.cx) / f.fx + 1) / 2 * gl.width;
                    const top = (1 - k[5] * (f.cy - y) / f.fy) / 2 * gl.height;
                    return copy.getContext("2d").getImageData(left, top, 1, 1).data[0];
                  };
                  return [grey(80, 45), grey(30, 45), grey(59.5, 45), grey(99.5, 45)];
                }"""
            )
            assert light[0] == pytest.approx(200, abs=3)
            assert light[1] == pytest.approx(200, abs=3)
            assert max(light[2:]) < 60, "a jump is bridged"
        sink.write(frame_of(1, slope(1920, 1080)))
        wait_for_frame(page, 1)
        count = "() => window.depthProStream.spaceView.points.geometry.attributes.position.count"
        assert 200_000 < page.evaluate(count) <= 260_000


def test_a_browser_without_webgl_shows_all_but_space(open_page: Open) -> None:
    without = """const get = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
        return kind.startsWith("webgl") ? null : get.call(this, kind, ...more); };"""
    with showing() as sink:
        page, usual = open_page(sink.link, before=without), open_page(sink.link)
        sink.write(frame_of(0, slope()))
        wait_for_frame(page, 0)
        expect(page.get_by_text("This browser offers no WebGL 2")).to_be_visible()
        for name in ("3-D", "Cube"):
            expect(page.get_by_role("radio", name=name)).to_be_disabled()
            expect(usual.get_by_role("radio", name=name)).to_be_enabled()
        expect(usual.get_by_text("This browser offers no WebGL 2")).to_be_hidden()
        point_at(page, 81, 44)
        assert float(page.get_attribute("#metres", "data-metres") or "") > 0


def test_the_way_of_the_camera_is_seen_from_where_it_is(open_page: Open) -> None:
    depth = np.full((HEIGHT, WIDTH), 3.0, np.float32)
    right = (0.0, math.sin(math.pi / 4), 0.0, math.cos(math.pi / 4))  # turned by 90 degrees about y, which is down
    here = replace(POSE, stretch=0, position=(0.0, 0.0, 0.0), orientation=(0.0, 0.0, 0.0, 1.0))
    with showing() as sink:
        page = open_page(sink.link)
        page.click("[data-layout=space]")

        def seen(index: int, pose: Odometry | None) -> object:
            sink.write(frame_of(index, depth, odometry=pose))
            wait_for_frame(page, index)
            return page.evaluate("() => window.depthProStream.way.seenFromHere()")

        assert seen(0, here) == [[0, 0, 0], [0, 0, 0]]
        ahead = replace(here, position=(0.0, 0.0, 2.0))
        assert seen(1, ahead) == [[0, 0, -2], [0, 0, 0], [0, 0, 0]]
        corner = replace(here, position=(1.0, -0.5, 2.0), orientation=right)
        assert np.allclose(seen(2, corner), [[2, 0.5, -1], [0, 0.5, -1], [0, 0, 0], [0, 0, 0]])  # type: ignore[arg-type]
        expect(page.locator("#way")).to_have_text("2.29 m from where its way began")
        green = page.evaluate(
            """() => {
              const view = window.depthProStream, space = view.spaceView;
              space.camera.position.set(1, 1, 4); space.controls.target.set(1, 0, 1); space.controls.update();
              space.floor.visible = space.lens.visible = space.surface.visible = false;
              view.draw();  // and read before the browser clears it
              const gl = space.renderer.domElement, copy = document.createElement("canvas");
              [copy.width, copy.height] = [gl.width, gl.height];
              copy.getContext("2d").drawImage(gl, 0, 0);
              const at = space.way.position.clone().set(1, -0.5, 1).project(space.camera);  // between two points
              const [x, y] = [(at.x + 1) / 2 * gl.width, (1 - at.y) / 2 * gl.height];
              const near = copy.getContext("2d").getImageData(x - 1, y - 1, 3, 3).data;
              return [0, 1, 2, 3, 4, 5, 6, 7, 8].some((i) => near[4 * i + 1] > 150 && near[4 * i] < 120); }"""
        )
        assert green is True
        assert seen(3, None) is None
        expect(page.locator("#way")).to_be_hidden()
        assert np.allclose(seen(4, corner), [[2, 0.5, -1], [0, 0.5, -1], [0, 0, 0], [0, 0, 0]])  # type: ignore[arg-type]
        assert seen(5, replace(ahead, stretch=1)) == [[0, 0, 0], [0, 0, 0]]


def test_without_the_token_there_is_nothing_to_see(open_page: Open) -> None:
    with showing(f"?token={_TOKEN}&camera=kitchen") as sink:
        sink.write(frame_of(0, slope()))
        assert sink.link.endswith(f"#token={_TOKEN}")
        right = open_page(sink.link)
        wait_for_frame(right, 0)
        assert _TOKEN not in right.url
        assert _TOKEN not in right.content()
        for link in (sink.link.partition("#")[0], sink.link.replace("Secret", "Guessed")):
            wrong = open_page(link)
            expect(wrong.locator("#ask-token")).to_be_visible()
            assert wrong.get_attribute("#stage", "data-index") in (None, "")
            assert "kitchen" not in wrong.content()
        wrong.fill("#token", _TOKEN)
        wrong.press("#token", "Enter")
        wait_for_frame(wrong, 0)


_TRY = """async (link) => {
  const socket = new WebSocket(link.replace("http", "ws") + "live", ["depth-pro-stream.view.1"]);
  const got = await new Promise((done) => {
    socket.onmessage = () => done("a message");
    socket.onopen = () => done("a connection");
    socket.onclose = () => done("nothing");
  });
  const read = await fetch(link + "colormaps.json").then((r) => r.status, () => "nothing");
  return [got, read];
}"""


def test_foreign_pages_and_foreign_names_get_nothing(open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "evil.html").write_text("<!doctype html><title>evil</title><link rel=icon href=data:,>")
    with other_server(tmp_path) as other:
        with showing() as sink:
            sink.write(frame_of(0, slope()))
            page = open_page(f"{other}/evil.html")
            assert page.evaluate(_TRY, sink.link) == ["nothing", "nothing"]
            _, port = address_of(sink)
            response = page.goto(f"http://rebound.example:{port}/")  # a name of somebody else's that leads here
            assert response is not None
            assert response.status == 403
            assert "not known by that name" in page.content()
        with showing(f"?origins={other}") as sink:
            page = open_page(f"{other}/evil.html")
            assert page.evaluate(_TRY, sink.link)[0] != "nothing"


def test_a_lost_connection_comes_back_by_itself(open_page: Open) -> None:
    with showing() as sink:
        host, port = address_of(sink)
        page = open_page(sink.link)
        sink.write(frame_of(0, slope()))
        wait_for_frame(page, 0)
        page.evaluate("() => window.depthProStream.connection.socket.close()")
        expect(page.locator("#state")).to_have_text(re.compile("lost|connecting|streaming"))
        sink.write(frame_of(1, slope()))
        wait_for_frame(page, 1)
    expect(page.locator("#state")).to_have_text(re.compile("ended|lost"))
    with showing(address=f"{host}:{port}") as again:  # a new run at the same address
        again.write(frame_of(2, slope()))
        wait_for_frame(page, 2)


def test_several_cameras_and_what_happens_to_them(open_page: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    front, rear = (open_sink(f"view://127.0.0.1:{port}?camera={name}") for name in ("front", "rear"))
    try:
        page = open_page(f"http://127.0.0.1:{port}/", width=390, height=844)
        expect(page.locator("#grid figure")).to_have_count(2)
        for sink, grey in ((front, 40), (rear, 220)):
            sink.write(frame_of(0, slope(), grey=grey))
        page.locator("#cameras button", has_text="rear").click()
        wait_for_frame(page, 0)
        assert page.evaluate("() => window.depthProStream.frame.header.camera") == "rear"
        state = SourceState(camera="rear", state="reconnecting", reason="cable pulled", attempt=3, since_ns=0)
        rear.observe(state)  # type: ignore[attr-defined]
        expect(page.locator("#state")).to_have_text("reconnecting")
        expect(page.locator("#notice")).to_have_text("cable pulled")
        expect(page.locator("#camera-state")).to_contain_text("attempt 3")
    finally:
        front.close()
        rear.close()


def test_the_short_client_has_depth_as_a_texture(open_page: Open) -> None:
    with other_server(ROOT / "examples") as other, showing(f"?origins={other}") as sink:
        depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
        depth[:, 80:] = 8.0
        sink.write(frame_of(0, depth))
        host, port = address_of(sink)
        page = open_page(f"{other}/browser_depth.html?ws://{host}:{port}/live")
        page.wait_for_selector("canvas[data-index='0']")
        near, far = page.evaluate(
            """() => { const gl = document.querySelector("canvas"), copy = document.createElement("canvas");
              [copy.width, copy.height] = [gl.width, gl.height];
              copy.getContext("2d").drawImage(gl, 0, 0);
              const at = (x) => copy.getContext("2d").getImageData(x * gl.width, gl.height / 2, 1, 1).data[0];
              return [at(0.25), at(0.75)]; }"""
        )
        assert near == pytest.approx(255 * 0.8, abs=2)  # 1 - metres / 10
        assert far == pytest.approx(255 * 0.2, abs=2)
