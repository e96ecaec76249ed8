"""One known distance: on synthetic depth, in files, and what is said when it cannot be used."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from model.scale import DepthScaler, ScaleConfig
from stream.errors import ConfigError

Depth = npt.NDArray[np.float32]
RATE = 15.0


@dataclass
class Room:
    """Depth as a network might see it: a wall at ``wall`` metres, a post before its left half, noise over all."""

    wall: float = 2.0
    noise: float = 0.01
    holes: float = 0.0
    post: float | None = None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def frame(self) -> Depth:
        depth = np.full((120, 160), self.wall)
        if self.post is not None:
            depth[:, :81] = self.post
        depth *= 1 + self.noise * self.rng.standard_normal(depth.shape) * 0.5
        depth *= 1 + self.noise * self.rng.standard_normal()
        depth[self.rng.random(depth.shape) < self.holes] = np.nan
        return depth.astype(np.float32)


def watch(
    scaler: DepthScaler,
    room: Room,
    *,
    seconds: float = 1.5,
    start_s: float = 0.0,
    steady: bool = True,
    scene_cut: bool = False,
    at: tuple[float, float] = (80.0, 60.0),
    rate: float = RATE,
    focal_ratio: float = 0.8,
) -> None:
    for i in range(round(seconds * rate)):
        scaler.update(
            room.frame(),
            at=at,
            time_s=start_s + i / rate,
            focal_ratio=focal_ratio,
            steady=steady,
            scene_cut=scene_cut and i == 0,
        )


def scaler_for(text: str = "640,480=3", path: Path | None = None, camera: str = "webcam:0") -> DepthScaler:
    scaler = DepthScaler(ScaleConfig(scale_from=text, scale_file=path), camera=camera)
    scaler.begin("nano")
    return scaler


def from_file(path: Path, text: str | None = None, camera: str = "webcam:0", model: str = "nano") -> DepthScaler:
    scaler = DepthScaler(ScaleConfig(scale_from=text, scale_file=path), camera=camera)
    scaler.begin(model)
    return scaler


def factor_of(scaler: DepthScaler) -> float:
    assert scaler.scale is not None
    return scaler.scale.factor


@pytest.mark.parametrize("true", [0.5, 2.0, 3.1])
def test_the_factor_is_known_over_estimated(true: float) -> None:
    scaler = scaler_for(f"640,480={true}")
    watch(scaler, Room(wall=2.0))
    assert factor_of(scaler) == pytest.approx(true / 2.0, rel=0.005)
    assert scaler.scale is not None
    assert scaler.scale.source == "measured"
    scaler.close()


def test_it_takes_a_second_and_not_less() -> None:
    scaler = scaler_for()
    watch(scaler, Room(), seconds=0.99)
    assert scaler.scale is None
    watch(scaler, Room(), start_s=1.0, seconds=0.1)
    assert scaler.scale is not None


def test_frames_before_the_focal_length_is_steady_do_not_count() -> None:
    scaler = scaler_for()
    watch(scaler, Room(wall=9.0), seconds=5, steady=False)
    assert scaler.scale is None
    watch(scaler, Room(wall=2.0), start_s=5.0)
    assert factor_of(scaler) == pytest.approx(1.5, rel=0.005)


def test_a_cut_and_time_that_runs_back_start_it_anew() -> None:
    for cut, start_s in ((True, 0.9), (False, -100.0)):
        scaler = scaler_for()
        watch(scaler, Room(wall=9.0), seconds=0.9)
        watch(scaler, Room(wall=2.0), start_s=start_s, scene_cut=cut)
        assert factor_of(scaler) == pytest.approx(1.5, rel=0.005)


def test_a_slow_camera_is_watched_for_five_frames() -> None:
    scaler = scaler_for()
    watch(scaler, Room(), rate=1.0, seconds=4)
    assert scaler.scale is None
    watch(scaler, Room(), rate=1.0, start_s=4.0, seconds=1)
    assert scaler.scale is not None


def test_a_frame_that_is_plain_wrong_does_not_decide() -> None:
    scaler = scaler_for()
    watch(scaler, Room(noise=0), seconds=0.9)
    watch(scaler, Room(wall=40.0), start_s=0.9, seconds=1 / RATE)
    watch(scaler, Room(noise=0), start_s=0.9 + 1 / RATE)
    assert factor_of(scaler) == pytest.approx(1.5)


def test_holes_are_left_out() -> None:
    scaler = scaler_for()
    watch(scaler, Room(holes=0.3))
    assert factor_of(scaler) == pytest.approx(1.5, rel=0.005)


@pytest.mark.parametrize("at", [(0.0, 0.0), (159.4, 119.4)])
def test_a_pixel_in_the_corner_is_a_pixel(at: tuple[float, float]) -> None:
    scaler = scaler_for()
    watch(scaler, Room(), at=at)
    assert factor_of(scaler) == pytest.approx(1.5, rel=0.005)


@pytest.mark.parametrize(
    ("room", "complaint"),
    [
        (Room(holes=0.7), "has no depth"),
        (Room(wall=math.inf, noise=0), "100% .* has no depth"),
        (Room(post=1.0), r"scattered from 0\.99 to 2\.\d\d m"),
        (Room(noise=0.1), "scattered"),
    ],
)
def test_depth_that_cannot_be_trusted_is_refused_in_one_line(room: Room, complaint: str) -> None:
    scaler = scaler_for()
    with pytest.raises(ConfigError, match=complaint) as caught:
        watch(scaler, room)
    assert "`scale_from=640,480=3`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert scaler.scale is None
    scaler.close()  # has nothing more to say


def test_a_run_that_is_too_short_says_so() -> None:
    scaler = scaler_for()
    scaler.close()  # nothing was ever seen: whatever happened, it was not this
    watch(scaler, Room(), seconds=0.5)
    with pytest.raises(ConfigError, match="run longer"):
        scaler.close()


def test_waiting_for_ever_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    watch(scaler_for(), Room(), seconds=12, steady=False, rate=2.0)
    assert caplog.text.count("not scaled yet") == 1


def test_a_factor_is_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "cam.json"
    first = scaler_for("640,480=3", path)
    assert not path.exists()
    watch(first, Room())
    record = json.loads(path.read_text(encoding="utf-8"))
    assert (record["pixel"], record["metres"], record["camera"], record["model"]) == ([640, 480], 3, "webcam:0", "nano")
    assert list(tmp_path.iterdir()) == [path]
    for text in (None, "640,480=3.0"):
        later = from_file(path, text)
        assert later.known is None
        assert first.scale is not None
        assert later.scale is not None
        assert (later.scale.factor, later.scale.date) == (first.scale.factor, first.scale.date)
        assert (first.scale.source, later.scale.source) == ("measured", "file")
        watch(later, Room(wall=9.0))
        assert factor_of(later) == factor_of(first)
        later.close()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "cam.json"
    watch(scaler_for("640,480=3", path), Room())
    return path


@pytest.mark.parametrize("text", ["640,480=2.9", "641,480=3"])
def test_a_distance_that_contradicts_the_file_is_refused(saved: Path, text: str) -> None:
    before = saved.read_bytes()
    with pytest.raises(ConfigError, match=r"contradicts .*cam.json, which was measured at 640,480=3; "):
        from_file(saved, text)
    assert saved.read_bytes() == before


def test_a_factor_of_another_network_is_refused(saved: Path) -> None:
    with pytest.raises(ConfigError, match=r"measured with nano, and this is depth-pro"):
        from_file(saved, model="depth-pro")


def test_another_camera_or_focal_length_is_warned_of(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch(from_file(saved), Room(), focal_ratio=0.81)
    assert "WARNING" not in caplog.text
    from_file(saved, camera="rtsp://elsewhere/")
    assert "measured with webcam:0, and this is rtsp://elsewhere/" in caplog.text
    watch(from_file(saved), Room(), focal_ratio=1.0)
    assert caplog.text.count("+25 % off") == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a scale file"),
        (b"{", "not a scale file"),
        (b"[]", "its schema is not"),
        (b'{"factor": 1.2}', "its schema is not"),
        (b"\xff\xd8\xff\xe0" * 9, "not a scale file"),
        (b"[" * 50_000, "not a scale file"),
        (b" " * 70_000, "too long"),
    ],
)
def test_a_file_that_is_something_else_is_refused_in_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "cam.json"
    path.write_bytes(content)
    for text in (None, "640,480=3"):
        with pytest.raises(ConfigError, match=complaint) as caught:
            from_file(path, text)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("factor", -1),
        ("factor", 0),
        ("factor", "1.2"),
        ("factor", True),
        ("factor", math.inf),
        ("factor", math.nan),
        ("metres", None),
        ("focal_ratio", 0),
        ("pixel", [1]),
        ("pixel", [1, -1]),
        ("pixel", "1,1"),
        ("date", 5),
        ("date", "yesterday"),
        ("camera", None),
        ("model", 1),
    ],
)
def test_a_damaged_field_is_named(saved: Path, name: str, value: object) -> None:
    saved.write_text(json.dumps({**json.loads(saved.read_text()), name: value}))
    with pytest.raises(ConfigError, match=name if value != "yesterday" else "yesterday"):
        from_file(saved)


def test_a_file_that_is_not_there_or_cannot_be_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not there; measure with `scale_from`"):
        from_file(tmp_path / "cam.json")
    with pytest.raises(ConfigError, match="its folder is missing"):
        from_file(tmp_path / "no" / "cam.json", "640,480=3")
    with pytest.raises(ConfigError, match="cannot read"):
        from_file(tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "X,Y=METRES"),
        ("640,480", "X,Y=METRES"),
        ("640=3", "X,Y=METRES"),
        ("640,480=three", "X,Y=METRES"),
        ("6.5,480=3", "X,Y=METRES"),
        ("640,480=3m", "X,Y=METRES"),
        ("-1,480=3", "outside the picture"),
        ("640,-480=3", "outside the picture"),
        ("640,480=-3", "above 0"),
        ("640,480=0", "above 0"),
        ("640,480=nan", "above 0"),
        ("640,480=inf", "above 0"),
        ("640,480=20000", "at most 10000"),
    ],
)
def test_a_distance_that_is_none_is_refused_in_one_line(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        ScaleConfig(scale_from=text)
    assert "`scale_from`" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_spaces_do_not_matter() -> None:
    assert str(scaler_for(" 640, 480 = 1.50 ").known) == "640,480=1.5"


def test_somebody_asks_in_mid_run_and_again(tmp_path: Path) -> None:
    file, told = tmp_path / "cam.json", []
    scaler = DepthScaler(ScaleConfig(scale_file=file), camera="wall", may_be_asked=True)
    scaler.begin("tiny")
    watch(scaler, Room(), seconds=3)
    assert (scaler.scale, scaler.known) == (None, None)  # nobody has asked yet
    scaler.ask(80, 60, 2.2, told.append)
    watch(scaler, Room(), seconds=1.5, start_s=3)
    assert scaler.scale is not None
    first = scaler.scale.factor
    assert first == pytest.approx(1.1, rel=0.01)
    assert len(told) == 1
    assert "kept in" in told[0]
    scaler.ask(80, 60, 3.3, told.append)  # depth is scaled already: what is measured comes on top
    watch(scaler, Room(wall=2.0 * first), seconds=1.5, start_s=6)
    assert scaler.scale.factor == pytest.approx(1.65, rel=0.01)
    assert json.loads(file.read_text())["factor"] == scaler.scale.factor
    assert len(told) == 2
    assert "were 2 m" in told[1]


def test_what_cannot_be_measured_for_somebody_ends_nothing() -> None:
    told: list[str] = []
    scaler = DepthScaler(camera="wall", may_be_asked=True)
    scaler.begin("tiny")
    scaler.ask(80, 60, 2.2, told.append)
    watch(scaler, Room(), seconds=12, steady=False)
    assert "not steady" in told[-1]
    scaler.ask(80, 60, 2.2, told.append)
    with pytest.raises(ConfigError) as scattered:  # the estimator hands it on
        watch(scaler, Room(post=1.0), seconds=2, start_s=20)
    assert scaler.answer(str(scattered.value))
    assert "scattered" in told[-1]
    assert not scaler.answer("nobody asks any more")
    scaler.ask(1, 1, 1.0, told.append)
    watch(scaler, Room(), seconds=0.2, start_s=30)
    scaler.ask(80, 60, 2.2, told.append)
    watch(scaler, Room(), seconds=0.2, start_s=31)
    assert "meanwhile" in told[-1]
    scaler.close()
    assert "ended" in told[-1]
    assert scaler.scale is None
