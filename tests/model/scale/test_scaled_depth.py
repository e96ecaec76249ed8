"""One known distance end to end: through the estimator, with a lens that distorts, and from the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

import run_stream
from model.engine import Engine
from model.estimator import DepthProEstimator
from model.focal import CameraConfig, FocalConfig, GivenCamera
from model.scale import DepthScaler, ScaleConfig
from stream.errors import ConfigError
from stream.frame import DepthFrame, Frame
from tests.model.test_rectified_depth import SeesInverseDepth, calibration, small_lens, wall_seen_by
from tests.support.doubles import recaptured
from tests.support.process import ROOT
from tests.support.tiny import LooseLease, make_engine

RATE = 10


@pytest.fixture(scope="module")
def engine() -> Engine:
    return make_engine(kind=SeesInverseDepth)


def film(frame: Frame, count: int = 15) -> list[Frame]:
    return [recaptured(frame, index=i, time_ns=i * 1_000_000_000 // RATE) for i in range(count)]


def run(estimator: DepthProEstimator, frames: list[Frame]) -> list[DepthFrame]:
    results = []
    for frame in frames:
        estimator.submit(LooseLease(frame), with_image=False)
        results.append(estimator.collect())
    return results


def make(engine: Engine, folder: Path, text: str | None = None, file: Path | None = None, **config: Any) -> Any:
    camera = GivenCamera(CameraConfig(camera_info=calibration(folder, small_lens("barrel").raw), **config))
    scaler = DepthScaler(ScaleConfig(scale_from=text, scale_file=file), camera="wall")
    return DepthProEstimator(engine=engine, camera=camera, scaler=scaler)


def test_depth_is_scaled_from_the_frame_after_the_measurement_on(engine: Engine, tmp_path: Path) -> None:
    lens = small_lens("barrel")
    frames = film(wall_seen_by(lens, lens.rectified.fx / 320))
    file = tmp_path / "cam.json"
    results = run(make(engine, tmp_path, "162,118=3.3", file), frames)  # the wall is 3 m away there
    assert [r.scale is None for r in results] == [True] * 11 + [False] * 4
    scaled = results[-1].scale
    assert scaled is not None
    assert (scaled.factor, scaled.source) == (pytest.approx(1.1, rel=0.01), "measured")
    np.testing.assert_allclose(results[-1].depth, results[0].depth * scaled.factor, rtol=1e-5)
    assert results[-1].camera == results[0].camera  # it is depth that is scaled, not the camera
    assert results[-1].focal == results[0].focal
    later = run(make(engine, tmp_path, file=file), frames[:2])
    assert later[0].scale == replace(scaled, source="file")
    np.testing.assert_array_equal(later[0].depth, results[-1].depth)


def test_who_asks_in_mid_run_is_told_and_depth_is_scaled_from_then_on(engine: Engine, tmp_path: Path) -> None:
    lens, told = small_lens("barrel"), []
    frames = film(wall_seen_by(lens, lens.rectified.fx / 320), 30)
    camera = GivenCamera(CameraConfig(camera_info=calibration(tmp_path, lens.raw)))
    scaler = DepthScaler(camera="wall", may_be_asked=True)
    estimator = DepthProEstimator(engine=engine, camera=camera, scaler=scaler)
    scaler.ask(9999, 118, 3.3, told.append)
    assert run(estimator, frames[:5])[-1].scale is None
    assert "outside the picture" in told.pop()
    scaler.ask(162, 118, 3.3, told.append)
    results = run(estimator, frames[5:])
    assert results[-1].scale is not None
    assert results[-1].scale.factor == pytest.approx(1.1, rel=0.01)
    assert len(told) == 1


def test_the_pixel_is_one_of_the_source_even_where_that_is_rectified(engine: Engine, tmp_path: Path) -> None:
    lens = small_lens("barrel")
    x, y = 250, 200
    (ray,) = lens.rays(np.array([[x, y]], float))
    frames = film(wall_seen_by(lens, lens.rectified.fx / 320))
    true = 3.0 / (0.3 * ray[0] + 0.15 * ray[1] + 1)
    results = run(make(engine, tmp_path, f"{x},{y}={true}"), frames)
    assert results[-1].scale is not None
    assert results[-1].scale.factor == pytest.approx(1.0, abs=0.003)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("320,100=2", "`scale_from=320,100=2` is outside the picture, 320x240 pixels"),
        ("100,240=2", "outside the picture"),
        ("0,120=2", "outside the rectified picture"),
    ],
)
def test_a_pixel_that_is_not_in_the_picture_is_refused(
    engine: Engine, tmp_path: Path, text: str, complaint: str
) -> None:
    lens = small_lens("barrel")
    with pytest.raises(ConfigError, match=complaint):
        run(make(engine, tmp_path, text), film(wall_seen_by(lens, 0.5), 1))


def test_it_needs_a_focal_length_that_becomes_steady(engine: Engine) -> None:
    with pytest.raises(ConfigError, match="steady focal length"):
        DepthProEstimator(
            engine=engine, focal=FocalConfig(mode="off"), scaler=DepthScaler(ScaleConfig(scale_from="1,1=1"))
        )


def test_closing_too_early_is_told(engine: Engine, tmp_path: Path) -> None:
    lens = small_lens("barrel")
    estimator = make(engine, tmp_path, "160,120=2")
    run(estimator, film(wall_seen_by(lens, 0.5), 3))
    with pytest.raises(ConfigError, match="run longer"):
        estimator.close()


# The command line ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered room, 1.4 s of it."""
    picture = cv2.imread(str(ROOT / "model" / "engine" / "calibration_pictures" / "room_3.jpg"))
    picture = np.ascontiguousarray(cv2.resize(picture, (160, 120), interpolation=cv2.INTER_AREA)[..., ::-1])
    path = tmp_path_factory.mktemp("clip") / "room.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(14):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def recorded(path: Path) -> tuple[list[dict[str, Any]], list[npt.NDArray[np.uint16]]]:
    """Headers, and depth in millimetres."""
    cues, pictures = [], []
    with av.open(str(path)) as file:
        for packet in file.demux():
            if packet.stream.type == "subtitle" and packet.size:
                cues.append(json.loads(bytes(packet)))
            elif packet.stream.type == "video":
                pictures += [f.to_ndarray() for f in packet.decode()]
    return cues, pictures


def command(clip: Path, folder: Path, name: str, *arguments: str) -> int:
    sink = f"{folder / name}?codec=ffv1"
    return run_stream.main([str(clip), "--sink", sink, "--model", "nano", "--fov", "60", "--overwrite", *arguments])


@pytest.mark.usefixtures("logs_go_back")
def test_a_run_measures_and_the_next_one_remembers(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(clip, tmp_path, "a.mkv", "--scale-from", "80,100=1.83", "--scale-file", "cam.json") == 0
    cues, depths = recorded(tmp_path / "a.mkv")
    assert cues[0]["scale"] is None
    assert cues[-1]["scale"]["source"] == "measured"
    assert int(depths[-1][100, 80]) == pytest.approx(1830, rel=0.05)
    assert depths[-1][100, 80] == pytest.approx(depths[0][100, 80] * cues[-1]["scale"]["factor"], rel=0.04)
    assert json.loads(Path("cam.json").read_text())["camera"].endswith("room.mp4")

    assert command(clip, tmp_path, "b.mkv", "--scale-file", "cam.json") == 0
    cues_b, depths_b = recorded(tmp_path / "b.mkv")
    assert {c["scale"]["source"] for c in cues_b} == {"file"}
    np.testing.assert_array_equal(depths_b[-1], depths[-1])


@pytest.mark.usefixtures("logs_go_back")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--scale-from", "80,100"], "X,Y=METRES"),
        (["--scale-from", "80,100=-2"], "above 0"),
        (["--scale-from", "800,100=2"], "--scale-from 800,100=2 is outside the picture, 160x120 pixels"),
        (["--scale-file", "none.json"], "none.json is not there; measure with --scale-from"),
        (["--scale-file", "foreign.json"], "foreign.json is not a scale file"),
        (["--scale-file", "a.mkv", "--scale-from", "80,100=2"], "named twice"),
    ],
)
def test_a_mistake_gets_one_line(
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("foreign.json").write_text('{"fx": 525}')
    assert command(clip, tmp_path, "a.mkv", *arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("run_stream.py: ")]
    assert len(lines) == 1
    assert says in lines[0]


@pytest.mark.usefixtures("logs_go_back")
def test_a_run_of_less_than_a_second_fails_and_leaves_its_depth_as_a_part(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short.mp4"
    with av.open(str(clip)) as source, av.open(str(short), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in list(source.demux(video=0))[:5]:
            packet.stream = stream
            target.mux(packet)
    assert command(short, tmp_path, "a.mkv", "--scale-from", "80,100=2") == 2
    assert "run longer" in capsys.readouterr().err
    assert len(recorded(tmp_path / "a.part.mkv")[1]) >= 3
    assert not (tmp_path / "a.mkv").exists()
