"""What is evaluated is what ships: from the same file the product's depth, bit for bit, with the same engine."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from model.focal import FocalConfig
from model.lab.evaluation import Outcome, evaluate
from model.lab.evaluation.__main__ import main
from model.lab.evaluation.datasets import DataConfig, open_dataset
from model.weights import save
from stream.frame import DepthFrame
from stream.sources import open_source
from tests.support import media
from tests.support.tiny import collect_all, make_engine, make_estimator, tiny_model

_SIZE = (media.HEIGHT, media.WIDTH)


def _product(path: Path, focal: FocalConfig, **engine: Any) -> list[DepthFrame]:
    """What a run gives for each frame of ``path``."""
    with closing(open_source(str(path))) as source:
        return collect_all(make_estimator(engine=make_engine(**engine), focal=focal), list(source))


def _evaluation(data: Path, *, depth: Path | None = None, **engine: Any) -> list[Outcome]:
    """What is evaluated for each picture of ``data``."""
    outcomes: list[Outcome] = []
    samples = open_dataset(str(data), DataConfig(fx=100, depth=depth)).samples
    report = evaluate(make_engine(**engine), samples, on_picture=outcomes.append)
    assert report.broken_off is None
    return outcomes


def _assert_same(found: list[Outcome], expected: list[DepthFrame]) -> None:
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.figures.raw_f_px == theirs.focal.raw_px
        assert mine.figures.f_px == theirs.focal.smoothed_px
        assert mine.depth.shape == _SIZE
        assert mine.depth.std() > 0
        np.testing.assert_array_equal(mine.depth, theirs.depth)


def _write_pair(folder: Path, name: str, **camera: Any) -> Path:
    """A picture with true depth of its upright size. Returns its path."""
    path = folder / name
    media.save_as_camera(path, media.oriented(), **camera)
    np.save(path.with_suffix(".depth.npy"), np.full(_SIZE, 3, np.float32))
    return path


@pytest.mark.parametrize("engine", [{}, {"precision": "bf16"}, {"low_memory": True}], ids=str)
@pytest.mark.parametrize("name", ["plain.png", "subsampled.jpg"])
def test_a_picture(tmp_path: Path, name: str, engine: dict[str, Any]) -> None:
    path = _write_pair(tmp_path, name)
    _assert_same(_evaluation(tmp_path, **engine), _product(path, FocalConfig(mode="off"), **engine))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_exif_says(tmp_path: Path, orientation: int) -> None:
    path = _write_pair(tmp_path, "turned.jpg", orientation=orientation)
    found = _evaluation(tmp_path)
    _assert_same(found, _product(path, FocalConfig(mode="off")))
    image = found[0].sample.image  # for the page
    assert image.shape == (*_SIZE, 3)
    assert np.abs(image.astype(int) - media.oriented()).mean() < 10


def test_a_lens_that_exif_names_is_not_taken_for_the_networks_estimate(tmp_path: Path) -> None:
    """What is measured is the network; the product would scale with what the camera wrote."""
    path = _write_pair(tmp_path, "photo.jpg", focal_35mm=28)
    (theirs,) = _product(path, FocalConfig(mode="off"))
    assert theirs.focal.source == "metadata"
    (found,) = _evaluation(tmp_path)
    assert found.figures.f_px == found.figures.raw_f_px != theirs.focal.smoothed_px


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_video_with_a_cut(tmp_path: Path, rotation: int) -> None:
    stored = np.rot90(media.oriented(), k=-rotation // 90)
    images = [np.clip(stored.astype(int) + 3 * i, 0, 255).astype(np.uint8) for i in range(3)]
    images += [255 - image for image in images]
    path = media.write_video(tmp_path / "walk.mp4", images, rotation=rotation)
    truth = tmp_path / "truth.mkv"
    depth = np.full(_SIZE, 3000, np.uint16)
    media.write_video(
        truth, [_millimetres(depth) for _ in images], codec="ffv1", pixel_format="gray16le", color_range=2
    )
    expected = _product(path, FocalConfig())
    assert [frame.scene_cut for frame in expected] == [False, False, False, True, False, False]
    _assert_same(_evaluation(path, depth=truth), expected)


def _millimetres(depth: npt.NDArray[np.uint16]) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(depth, format="gray16le")


# The command line


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save(tiny_model().network, path, trained=True)
    return str(path)


@pytest.mark.parametrize(
    ("options", "precision"),
    [([], "fp32"), (["--device", "cpu"], "fp32"), (["--low-memory"], "fp32"), (["--precision", "bf16"], "bf16")],
)
def test_it_computes_in_fp32_unless_told_otherwise(
    tmp_path: Path, checkpoint: str, options: list[str], precision: str
) -> None:
    """Another option of the engine's changes nothing about that."""
    _write_pair(tmp_path, "plain.png")
    figures = tmp_path / "out" / "r.json"
    assert main([str(tmp_path), "--model", checkpoint, "--fx", "100", "--json", str(figures), *options]) == 0
    assert json.loads(figures.read_text())["precision"] == precision


@pytest.mark.parametrize("option", ["--batch", "--reuse-tiles"])
def test_pictures_have_nothing_to_do_with_each_other(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["seeds:1", option, "2"]) == 2
    assert f"Unknown option: {option}" in capsys.readouterr().err
