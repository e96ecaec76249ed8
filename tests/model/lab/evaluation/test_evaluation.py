"""The evaluation from end to end: samples to report, folders and videos to samples, command line to files."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from model.engine import Engine
from model.engine.precision import Precision
from model.focal import FocalConfig
from model.lab.evaluation import Sample, evaluate
from model.lab.evaluation.__main__ import main
from model.lab.evaluation.datasets import DataConfig, open_dataset
from model.lab.evaluation.predictor import Predictor
from model.lab.evaluation.sample import rgb_frame
from model.lab.scenes import HELD_OUT_SEEDS, still
from model.weights import save
from sinks import open_sink
from stream.errors import ModelError, SourceError
from stream.frame import CameraIntrinsics, DepthFrame, FocalEstimate
from tests.conftest import MEDIA
from tests.support.tiny import collect_all, make_engine, make_estimator, tiny_model

_WIDTH, _HEIGHT = 96, 54


@pytest.fixture(scope="module")
def tiny() -> Engine:
    return make_engine()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save(tiny_model().network, path, trained=True)
    return str(path)


def _image(seed: int = 0) -> npt.NDArray[np.uint8]:
    """Smooth, so that pictures of one seed survive any codec, and one shot's frames are alike."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def _depth(seed: int = 0) -> npt.NDArray[np.float32]:
    """1 m to 9 m with steps, in whole centimetres."""
    small = np.random.default_rng(seed).integers(100, 900, (3, 4)).astype(np.float32) / 100
    return np.asarray(cv2.resize(small, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_NEAREST), np.float32)


@pytest.fixture(scope="module")
def totals(tiny: Engine) -> dict[str, Any]:
    """What is to be found for the samples 0, 1 and 2."""
    found: dict[str, Any] = evaluate(tiny, [_sample(i) for i in range(3)]).to_dict()["total"]
    return found


def _sample(seed: int = 0, *, time_s: float = 0.0, **fields: Any) -> Sample:
    fields = {"depth": _depth(seed), "f_px": 100.0, **fields}
    return Sample(name=f"sample {seed}", frame=rgb_frame(_image(seed), time_s=time_s), **fields)


def _sky() -> Sample:
    return _sample(2, depth=np.full((_HEIGHT, _WIDTH), math.inf, np.float32))


# From samples to a report


def test_a_prediction_is_what_the_product_gives(tiny: Engine) -> None:
    frame = rgb_frame(_image())
    (theirs,) = collect_all(make_estimator(engine=tiny, focal=FocalConfig(mode="off")), [frame])
    prediction = Predictor(tiny)(frame)
    assert prediction.raw_f_px is not None
    assert prediction.raw_f_px == theirs.focal.raw_px
    np.testing.assert_array_equal(prediction.depth(prediction.raw_f_px), theirs.depth)


def test_each_row_is_scaled_with_its_own_focal_length(tiny: Engine) -> None:
    """Where the truth is what the network says with another focal length, that is all it gets wrong."""
    prediction = Predictor(tiny)(rgb_frame(_image()))
    assert prediction.raw_f_px is not None
    true_f_px = prediction.raw_f_px * 1.25
    report = evaluate(tiny, [_sample(depth=prediction.depth(true_f_px), f_px=true_f_px)])
    total = report.total
    assert total.metric is not None
    assert total.known_focal is not None
    assert total.median_scaled is not None
    assert total.metric.abs_rel == pytest.approx(0.2, rel=1e-5)
    assert total.known_focal.abs_rel == 0
    assert total.median_scaled.abs_rel == pytest.approx(0, abs=1e-6)
    assert total.focal is not None
    assert total.focal.median == pytest.approx(0.2)
    assert (total.focal.within_10, total.focal.within_25) == (0, 1)
    assert total.boundary is not None
    assert total.boundary.f1 == pytest.approx(1)


def test_totals_are_means_over_pictures_and_kinds(tiny: Engine) -> None:
    samples = [_sample(i, kind=kind) for i, kind in enumerate(("street", "room", "street"))]
    report = evaluate(tiny, samples)
    assert [p.name for p in report.pictures] == ["sample 0", "sample 1", "sample 2"]
    assert list(report.kinds) == ["room", "street"]
    errors = [p.metric.abs_rel for p in report.pictures if p.metric is not None]
    total, street = report.total.metric, report.kinds["street"].metric
    assert total is not None
    assert street is not None
    assert total.abs_rel == pytest.approx(sum(errors) / 3)
    assert street.abs_rel == pytest.approx((errors[0] + errors[2]) / 2)
    assert report.kinds["street"].pictures == 2


def test_truth_decides_what_can_be_told(tiny: Engine) -> None:
    matte = (_depth() < 4).astype(np.float32)
    report = evaluate(tiny, [_sample(0, depth=None, f_px=None, matte=matte), _sample(1, f_px=None)])
    only_matte, only_depth = report.pictures
    assert only_matte.matte_recall is not None
    assert only_matte.metric is None
    assert only_depth.metric is not None
    assert only_depth.known_focal is None
    assert report.total.focal is None
    assert report.total.matte_recall == only_matte.matte_recall


def test_a_picture_whose_depth_is_all_too_far_keeps_its_other_figures(tiny: Engine) -> None:
    report = evaluate(tiny, [_sample(0), _sample(1, depth=_depth(1) + 100), _sky()])
    far, sky = report.pictures[1:]
    assert (sky.metric, sky.boundary) == (None, None)
    assert far.metric is None
    assert far.boundary is not None
    assert far.focal_error is not None
    assert report.total.metric == report.pictures[0].metric


def test_a_sequence_is_scaled_with_the_filtered_focal_length(tiny: Engine) -> None:
    """Each frame another picture: the network's focal length jumps, the filter holds it."""
    frames = [_sample(i, sequence="walk", time_s=i / 15, cut=i == 0, depth=np.full_like(_depth(), 2)) for i in range(8)]
    report = evaluate(tiny, [_sample(9), *frames, _sample(10)])
    (walk,) = report.sequences
    assert (walk.name, walk.frames, walk.cuts) == ("walk", 8, 0)
    assert walk.known is not None
    assert walk.known.log_focal_std == 0
    assert walk.raw.log_focal_std is not None
    assert walk.smoothed.log_focal_std is not None
    assert walk.raw.log_focal_std > 0
    raw = [p.raw_f_px for p in report.pictures[1:9]]
    assert walk.raw.log_focal_std == pytest.approx(float(np.std(np.log(np.array(raw, np.float64)))))
    used = [p.f_px for p in report.pictures[1:9]]
    assert walk.smoothed.log_focal_std == pytest.approx(float(np.std(np.log(used))))
    assert report.pictures[0].f_px == report.pictures[0].raw_f_px
    assert walk.raw.alignment_error is None  # no poses


def test_a_still_camera_before_a_still_scene_is_aligned(tiny: Engine) -> None:
    frames = [_sample(0, sequence="tripod", time_s=i / 15, pose=np.eye(4)) for i in range(3)]
    (tripod,) = evaluate(tiny, frames).sequences
    assert tripod.truth_alignment_error == pytest.approx(0, abs=1e-5)
    assert tripod.raw.alignment_error == pytest.approx(0, abs=1e-5)
    assert tripod.raw.log_scale_step_std == pytest.approx(0, abs=1e-9)


def test_scale_that_jitters_before_a_still_scene_is_steadied() -> None:
    """Farther and nearer by 10 % in turn, with a field of view that stays."""

    class Breathing(Engine):
        frames = 0

        def run(self, x: Tensor, precision: Precision, *, with_fov: bool) -> tuple[Tensor, Tensor | None]:
            C, fov = super().run(x, precision, with_fov=with_fov)
            assert fov is not None
            self.frames += 1
            return torch.full_like(C, 0.5 * math.exp(0.1 * (-1) ** self.frames)), torch.full_like(fov, 50.0)

    noise = np.random.default_rng(0).integers(0, 256, (_HEIGHT // 2, _WIDTH // 2, 3), np.uint8)
    picture = cv2.resize(noise, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC)
    flat = np.full((_HEIGHT, _WIDTH), 2, np.float32)
    frames = [
        Sample(name=f"{i}", frame=rgb_frame(picture, time_s=i / 15), sequence="tripod", depth=flat, f_px=100.0)
        for i in range(12)
    ]
    (tripod,) = evaluate(make_engine(kind=Breathing), frames).sequences
    assert tripod.smoothed.log_scale_step_std == pytest.approx(0.2, rel=0.01)
    assert tripod.steadied.log_scale_step_std is not None
    assert tripod.steadied.log_scale_step_std < 0.05
    assert tripod.steadied.log_focal_std == tripod.smoothed.log_focal_std


def test_no_frame_is_compared_with_one_of_another_shot(tiny: Engine) -> None:
    frames = [_sample(i, sequence="film", time_s=i / 15, cut=True, pose=np.eye(4)) for i in range(3)]
    (film,) = evaluate(tiny, frames).sequences
    assert film.cuts == 2
    assert film.truth_alignment_error is None
    assert film.raw.log_scale_step_std is None


def test_samples_that_tell_nothing_are_refused(tiny: Engine) -> None:
    with pytest.raises(SourceError, match="the depth of sample 0 is invalid everywhere"):
        evaluate(tiny, [_sample(depth=np.full((_HEIGHT, _WIDTH), math.nan, np.float32))])
    with pytest.raises(SourceError, match=r"no picture has depth up to 0\.5 m"):
        evaluate(tiny, [_sample()], max_depth_m=0.5)
    with pytest.raises(SourceError, match="no pictures"):
        evaluate(tiny, [])
    with pytest.raises(ValueError, match="depth must be float32"):
        _sample(depth=np.ones((3, 4), np.float32))
    with pytest.raises(ValueError, match="nothing to compare with"):
        _sample(depth=None)


def test_a_network_that_gives_nan_is_not_evaluated() -> None:
    class Broken(Engine):
        def run(self, x: Tensor, precision: Precision, *, with_fov: bool) -> tuple[Tensor, Tensor | None]:
            C, fov = super().run(x, precision, with_fov=with_fov)
            return C * math.nan, fov

    with pytest.raises(ModelError, match="not finite"):
        evaluate(make_engine(kind=Broken), [_sample()])


# From files to samples


def _write_image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), _image(seed)[..., ::-1])


def _write_depth(path: Path, seed: int = 0, *, scale: int = 1000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, _depth(seed))
    else:
        cv2.imwrite(str(path), np.rint(_depth(seed) * scale).astype(np.uint16))


def _beside(folder: Path) -> None:
    for i in range(3):
        _write_image(folder / f"{i}.png", i)
        _write_depth(folder / f"{i}.depth.{'npy' if i else 'png'}", i)


def _folders(folder: Path) -> None:
    for i in range(3):
        _write_image(folder / "rgb" / f"{i}.png", i)
        _write_depth(folder / "depth" / f"{i}.png", i)


def _words(folder: Path) -> None:
    for i in range(3):
        _write_image(folder / f"{i}_color.png", i)
        _write_depth(folder / f"{i}_depth.png", i)


def _with_json(folder: Path) -> None:
    _folders(folder)
    (folder / "intrinsics.json").write_text(
        json.dumps({"K": [[200, 0, 95.5], [0, 200, 53.5], [0, 0, 1]], "width": 192})
    )


def _with_json_per_picture(folder: Path) -> None:
    _folders(folder)
    (folder / "intrinsics.json").write_text(json.dumps({str(i): {"fx": 100} for i in range(3)}))


def _with_matrix(folder: Path) -> None:
    _folders(folder)
    (folder / "K.txt").write_text("100 0 47.5\n0 100 26.5\n0 0 1\n")


def _with_calibration(folder: Path) -> None:
    _folders(folder)
    k = "[200, 0, 95.5, 0, 200, 53.5, 0, 0, 1]"
    (folder / "camera.yaml").write_text(f"image_width: 192\nimage_height: 108\ncamera_matrix: {{data: {k}}}\n")


@pytest.mark.parametrize(
    ("lay_out", "options"),
    [
        (_beside, ["--fx", "100"]),
        (_folders, ["--fx", "100"]),
        (_words, ["--fx", "100"]),
        (_with_json, []),
        (_with_json_per_picture, []),
        (_with_matrix, []),
        (_with_calibration, []),
    ],
)
def test_every_layout_of_a_folder_gives_the_same_report(
    lay_out: Callable[[Path], None], options: list[str], tmp_path: Path, totals: dict[str, Any], checkpoint: str
) -> None:
    lay_out(tmp_path / "shots")
    assert main([str(tmp_path / "shots"), "--model", checkpoint, "--json", str(tmp_path / "r.json"), *options]) == 0
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["schema"] == 1
    assert found["model"] == "tiny"
    assert found["total"] == totals
    assert [p["true_f_px"] for p in found["pictures"]] == [100.0] * 3


def test_depth_in_other_units(tmp_path: Path, checkpoint: str, tiny: Engine) -> None:
    _write_image(tmp_path / "color.png")
    _write_depth(tmp_path / "depth.png", scale=5000)
    _run_json(tmp_path, checkpoint, "--fx", "100", "--depth-scale", "5000")
    found = json.loads((tmp_path / "out" / "r.json").read_text())
    assert found["total"] == evaluate(tiny, [_sample(0)]).to_dict()["total"]


def _run_json(data: Path, checkpoint: str, *options: str) -> None:
    assert main([str(data), "--model", checkpoint, "--json", str(data / "out" / "r.json"), *options]) == 0


def test_mattes_need_neither_depth_nor_focal_length(tmp_path: Path, checkpoint: str) -> None:
    _write_image(tmp_path / "hair.jpg")
    cv2.imwrite(str(tmp_path / "hair.matte.png"), (_depth() < 4).astype(np.uint8) * 255)
    _run_json(tmp_path, checkpoint)
    (picture,) = json.loads((tmp_path / "out" / "r.json").read_text())["pictures"]
    assert 0 <= picture["matte_recall"] <= 1
    assert picture["metric"] is None


def _damaged_picture(folder: Path) -> None:
    _words(folder)
    (folder / "1_color.png").write_bytes(b"no picture")


def _damaged_depth(folder: Path) -> None:
    _beside(folder)
    (folder / "1.depth.npy").write_bytes(b"no array")


def _picture_as_depth(folder: Path) -> None:
    _words(folder)
    _write_image(folder / "1_depth.png")


def _depth_of_another_size(folder: Path) -> None:
    _words(folder)
    cv2.imwrite(str(folder / "1_depth.png"), np.ones((48, 64), np.uint16))


def _no_depth_for_one(folder: Path) -> None:
    _words(folder)
    (folder / "1_depth.png").unlink()


def _depth_twice(folder: Path) -> None:
    _beside(folder)
    _write_depth(folder / "1.depth.png", 2)


def _no_truth(folder: Path) -> None:
    _words(folder)
    cv2.imwrite(str(folder / "1_depth.png"), np.zeros((_HEIGHT, _WIDTH), np.uint16))


@pytest.mark.parametrize(
    ("lay_out", "options", "status", "words"),
    [
        (lambda f: f.mkdir(), [], 2, "no pairs in"),
        (_no_depth_for_one, ["--fx=100"], 1, "1_color.png has no depth: expected .*1_depth.npy or .*1_depth.png"),
        (_damaged_picture, ["--fx=100"], 1, "1_color.png: not a video or picture FFmpeg can read"),
        (_damaged_depth, ["--fx=100"], 1, "1.depth.npy: it is no numpy file of numbers, or damaged"),
        (_depth_twice, ["--fx=100"], 1, "1.png has both 1.depth.npy and 1.depth.png"),
        (_picture_as_depth, ["--fx=100"], 1, r"1_depth.png holds uint8 \[54, 96, 3\], but depth is"),
        (_depth_of_another_size, ["--fx=100"], 1, "1_depth.png is 64x48, but its picture 96x54"),
        (_no_truth, ["--fx=100"], 1, "the depth of 1_color is invalid everywhere"),
        (_words, [], 2, "no intrinsics for 0_color: give its focal length in pixels as --fx"),
        (_words, ["--fx=-1"], 2, "--fx must be a positive number"),
        (_words, ["--fx=100", "--camera-info=c.yaml"], 2, "give only one"),
        (_words, ["--fx=100", "--depth-scale=0"], 2, "--depth-scale must be a positive number"),
        (_words, ["--fx=100", "--depth-scale=1"], 1, "no picture has depth up to 80 m: check the unit"),
        (_words, ["--fx=100", "--max-depth=0"], 2, "--max-depth must be metres above zero"),
        (_words, ["--fx=100", "--depth=truth.mkv"], 2, "--depth is for videos"),
        (_words, ["--fx=100", "--limit=0"], 2, "--limit must be at least 1"),
        (_words, ["--fx=100", "--camera"], 2, "Unknown option"),
    ],
)
def test_what_is_wrong_with_a_folder_is_one_line(
    lay_out: Callable[[Path], None],
    options: list[str],
    status: int,
    words: str,
    tmp_path: Path,
    checkpoint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lay_out(tmp_path / "shots")
    assert main([str(tmp_path / "shots"), "--model", checkpoint, *options]) == status
    error = capsys.readouterr().err
    assert error.startswith("evaluation: ")
    assert error.count("\n") == 1
    assert re.search(words, error)


def test_pictures_before_a_bad_one_are_still_reported(
    tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _damaged_picture(tmp_path / "shots")
    figures = tmp_path / "r.json"
    arguments = ["--model", checkpoint, "--fx=100", "--json", str(figures), "--page", str(tmp_path / "page")]
    assert main([str(tmp_path / "shots"), *arguments]) == 1
    printed = capsys.readouterr()
    assert "shots: 1 picture," in printed.out
    assert "broken off after 1 picture: " in printed.err
    report = json.loads(figures.read_text())
    assert report["total"]["pictures"] == 1
    assert "1_color.png" in report["broken_off"]
    assert (tmp_path / "page" / "index.html").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot read the intrinsics"),
        ("[]", "hold no named fields"),
        ('{"width": 96}', "has no fx and no K for 0"),
        ('{"fx": "wide"}', "must be numbers above zero"),
        ('{"K": [[]]}', "must be numbers above zero"),
        ('{"fx": 0}', "must be numbers above zero"),
        ('{"0": 5}', "the entry of 0 is no camera"),
    ],
)
def test_what_is_wrong_with_intrinsics_is_one_line(
    text: str, words: str, tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _folders(tmp_path)
    (tmp_path / "intrinsics.json").write_text(text)
    assert main([str(tmp_path), "--model", checkpoint]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "words"),
    [("nowhere", "neither a folder, a video"), ("seeds:many", "seeds:0-2"), ("flights:9-3", "flights:9-3")],
)
def test_data_that_is_nothing_is_one_line(data: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([data]) == 2
    assert words in capsys.readouterr().err


# Videos


def _write_video(path: Path, pictures: list[npt.NDArray[Any]], pixel_format: str) -> None:
    with av.open(str(path), "w") as video:
        stream = video.add_stream("ffv1", rate=15)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, pixel_format
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24" if picture.ndim == 3 else "gray16le")
            video.mux(stream.encode(frame))
        video.mux(stream.encode(None))


def _millimetres(seed: int) -> npt.NDArray[np.uint16]:
    return np.rint(_depth(seed) * 1000).astype(np.uint16)


def test_a_video_with_depth(tmp_path: Path, checkpoint: str, tiny: Engine) -> None:
    _write_video(tmp_path / "walk.mkv", [_image(i) for i in range(3)], "bgr0")
    _write_video(tmp_path / "truth.mkv", [_millimetres(i) for i in range(3)], "gray16le")
    options = ["--depth", str(tmp_path / "truth.mkv"), "--fx", "100", "--json", str(tmp_path / "r.json")]
    assert main([str(tmp_path / "walk.mkv"), "--model", checkpoint, *options]) == 0
    found = json.loads((tmp_path / "r.json").read_text())
    milliseconds = [round(i * 1000 / 15) for i in range(3)]  # Matroska's
    samples = [_sample(i, sequence="walk", time_s=ms / 1000) for i, ms in enumerate(milliseconds)]
    expected = evaluate(tiny, samples).to_dict()
    assert found["total"] == expected["total"]
    (walk,) = found["sequences"]
    assert walk == expected["sequences"][0]


def test_brackets_in_a_name_are_no_markup(tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "[red]").mkdir()
    film = tmp_path / "[red]" / "a [b] c.mkv"
    _write_video(film, [_image(i) for i in range(2)], "bgr0")
    _write_video(tmp_path / "truth.mkv", [_millimetres(i) for i in range(2)], "gray16le")
    assert main([str(film), "--depth", str(tmp_path / "truth.mkv"), "--fx", "100", "--model", checkpoint]) == 0
    printed = capsys.readouterr().out
    assert printed.count("a [b] c") == 2  # the heading, and the row of its steadiness


def test_our_own_lossless_output_is_a_truth(tmp_path: Path, checkpoint: str) -> None:
    _write_video(tmp_path / "walk.mkv", [_image(i) for i in range(2)], "bgr0")
    sink = open_sink(f"{tmp_path / 'mm.mkv'}?codec=ffv1")
    for i in range(2):
        depth = _depth(i)
        depth[0, :2] = (math.nan, math.inf)
        sink.write(_depth_frame(i, depth))
    sink.close()
    options = ["--depth", str(tmp_path / "mm.mkv"), "--fx", "100", "--json", str(tmp_path / "r.json")]
    assert main([str(tmp_path / "walk.mkv"), "--model", checkpoint, *options]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["total"]["pictures"] == 2


def _depth_frame(index: int, depth: npt.NDArray[np.float32]) -> DepthFrame:
    frame = rgb_frame(_image(index), index=index, time_s=index / 15)
    return DepthFrame(
        capture=frame.capture,
        depth=depth,
        camera=CameraIntrinsics.from_focal(100, _WIDTH, _HEIGHT),
        focal=FocalEstimate(smoothed_px=100, raw_px=None, log_std=0, source="given"),
        source_width=_WIDTH,
        source_height=_HEIGHT,
    )


@pytest.mark.parametrize(
    ("depths", "words"),
    [
        (lambda: [_millimetres(0)], "truth.mkv ends after 1 frames, .*walk.mkv goes on"),
        (lambda: [_millimetres(0)] * 3, "walk.mkv ends after 2 frames, .*truth.mkv goes on"),
        (lambda: [_image(0)] * 2, "truth.mkv holds .* pictures, not 16-bit gray depth"),
    ],
)
def test_what_is_wrong_with_a_video_is_one_line(
    depths: Callable[[], list[npt.NDArray[Any]]],
    words: str,
    tmp_path: Path,
    checkpoint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _write_video(tmp_path / "walk.mkv", [_image(i) for i in range(2)], "bgr0")
    pictures = depths()
    _write_video(tmp_path / "truth.mkv", pictures, "bgr0" if pictures[0].ndim == 3 else "gray16le")
    options = ["--model", checkpoint, "--depth", str(tmp_path / "truth.mkv"), "--fx", "100"]
    assert main([str(tmp_path / "walk.mkv"), *options]) == 1
    assert re.search(words, capsys.readouterr().err)


def test_files_that_are_no_videos_are_one_line(
    tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "walk.mkv").write_bytes(b"no video")
    assert main([str(tmp_path / "walk.mkv"), "--model", checkpoint, "--fx", "100"]) == 2
    assert "give the video of its depth as --depth" in capsys.readouterr().err
    options = ["--depth", str(tmp_path / "missing.mkv"), "--fx", "100"]
    assert main([str(tmp_path / "walk.mkv"), "--model", checkpoint, *options]) == 1
    assert "walk.mkv: not a video or picture FFmpeg can read" in capsys.readouterr().err


# Rendered scenes


def test_held_out_scenes_by_kind(tmp_path: Path, checkpoint: str) -> None:
    figures = tmp_path / "r.json"
    options = ["--model", checkpoint, "--json", str(figures), "--long-side", "48", "--samples", "1"]
    assert main(["seeds:1-2", *options]) == 0
    found = json.loads(figures.read_text())
    first, second = found["pictures"]
    truth = still(HELD_OUT_SEEDS[1], long_side=48, samples=1)
    assert (first["kind"], first["true_f_px"]) == (truth.kind, truth.f_px)
    assert max(first["width"], first["height"]) == 48
    assert set(found["kinds"]) == {first["kind"], second["kind"]}


def test_rendered_pictures_are_kept_in_the_cache(tmp_path: Path) -> None:
    config = DataConfig(long_side=48, samples=1, cache=tmp_path / "cache")
    (rendered,) = open_dataset("seeds:1", config).samples
    (file,) = (tmp_path / "cache").iterdir()
    (kept,) = open_dataset("seeds:1", config).samples
    assert rendered.depth is not None
    assert kept.depth is not None
    np.testing.assert_array_equal(rendered.image, kept.image)
    np.testing.assert_array_equal(rendered.depth, kept.depth)
    assert (rendered.name, rendered.kind, rendered.f_px) == (kept.name, kept.kind, kept.f_px)

    with np.load(file) as stored:
        changed = dict(stored) | {"f_px": np.float64(7)}
    np.savez(file, **changed)
    assert next(open_dataset("seeds:1", config).samples).f_px == 7
    file.write_bytes(file.read_bytes()[:100])  # left behind by a run that was killed
    assert next(open_dataset("seeds:1", config).samples).f_px == rendered.f_px


def test_flights_have_poses_that_fit_their_depth(tmp_path: Path, checkpoint: str) -> None:
    figures = tmp_path / "r.json"
    options = ["--model", checkpoint, "--json", str(figures), "--long-side", "96", "--samples", "1", "--frames", "4"]
    assert main(["flights:3-4", *options]) == 0
    zoom, cut = json.loads(figures.read_text())["sequences"]
    assert (zoom["name"], zoom["frames"], zoom["cuts"]) == ("zoom 3", 4, 0)
    assert (cut["name"], cut["frames"], cut["cuts"]) == ("cut 4", 4, 1)
    for flight in (zoom, cut):
        assert flight["truth_alignment_error"] < 5  # wrong axes, or a forgotten zoom, give tens of percent
        assert flight["raw"]["alignment_error"] > 0


# What is written


def test_the_page_shows_every_picture_worst_first(tmp_path: Path, checkpoint: str) -> None:
    _beside(tmp_path / "shots")
    page, figures = tmp_path / "page", tmp_path / "r.json"
    options = ["--fx", "100", "--page", str(page), "--json", str(figures)]
    assert main([str(tmp_path / "shots"), "--model", checkpoint, *options]) == 0
    html = (page / "index.html").read_text(encoding="utf-8")
    pictures = json.loads(figures.read_text())["pictures"]
    worst_first = sorted(pictures, key=lambda p: -p["metric"]["abs_rel"])
    assert re.findall("<h2>(.*?)</h2>", html) == [p["name"] for p in worst_first]
    sources = re.findall('src="(.*?)"', html)
    assert len(sources) == 3 * 4
    for source in sources:
        assert cv2.imread(str(page / source)).shape == (_HEIGHT, _WIDTH, 3)
    assert re.findall("<figcaption>depth (.*?) … (.*?) m</figcaption>", html)
    assert "http" not in html


def test_what_is_there_is_left_alone(tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    _words(tmp_path / "shots")
    figures, page = tmp_path / "r.json", tmp_path / "page"
    figures.write_text("mine")
    page.mkdir()
    (page / "mine.txt").write_text("mine")
    arguments = [str(tmp_path / "shots"), "--model", checkpoint, "--fx", "100"]
    assert main([*arguments, "--json", str(figures)]) == 2
    assert "exists; name another file" in capsys.readouterr().err
    assert main([*arguments, "--page", str(page)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert figures.read_text() == "mine"
    assert main([*arguments, "--json", str(figures), "--page", str(page), "--overwrite"]) == 0
    assert json.loads(figures.read_text())["total"]["pictures"] == 3
    assert (page / "mine.txt").read_text() == "mine"


def test_figures_that_cannot_be_written_leave_no_half_file(
    tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _words(tmp_path / "shots")
    (tmp_path / "r.json").mkdir()
    arguments = ["--model", checkpoint, "--fx=100", "--limit=1", "--overwrite", "--json", str(tmp_path / "r.json")]
    assert main([str(tmp_path / "shots"), *arguments]) == 1
    assert "cannot write" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json", "shots"]


def test_the_table_names_what_was_measured(tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    _words(tmp_path / "shots")
    assert main([str(tmp_path / "shots"), "--model", checkpoint, "--fx", "100", "--limit", "2"]) == 0
    printed = capsys.readouterr().out
    assert "tiny, evaluated on shots: 2 pictures" in printed
    for row in ("estimated focal length", "known focal length", "median-scaled"):
        assert row in printed


def test_a_real_pair(tmp_path: Path, checkpoint: str) -> None:
    folder = MEDIA / "rgbd_pair"
    if not folder.exists():
        pytest.skip("the real pair is not here: rgbd_pair in a folder shared/media beside the checkout")
    options = ["--fx", "525", "--depth-scale", "5000", "--json", str(tmp_path / "r.json")]
    assert main([str(folder), "--model", checkpoint, *options]) == 0
    (picture,) = json.loads((tmp_path / "r.json").read_text())["pictures"]
    assert (picture["width"], picture["height"], picture["true_f_px"]) == (640, 480, 525.0)
