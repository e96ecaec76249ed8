"""Focal lengths are written, then read back after every frame."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sinks import open_sink
from stream.errors import ConfigError, SinkError
from stream.frame import DepthFrame, ScaleCorrection
from tests.support.doubles import make_depth_frame


def scene(index: int) -> DepthFrame:
    frame = make_depth_frame(index)
    raw = None if index == 1 else 510.5 + index
    steady = ScaleCorrection(log=-0.02, log_std=0.004, inliers=90, resets=1) if index else None
    focal = replace(frame.focal, raw_px=raw, smoothed_px=500.25)
    return replace(frame, focal=focal, steady=steady, scene_cut=index == 2)


def test_json_is_whole_after_every_frame(tmp_path: Path) -> None:
    sink = open_sink(f"focal:{tmp_path}/focal.json")
    for index in range(3):
        sink.write(scene(index))
        rows = json.loads((tmp_path / "focal.json").read_text())
        assert [row["frame"] for row in rows] == list(range(index + 1))
    sink.close()
    assert [row["raw"] for row in rows] == [510.5, None, 512.5]
    assert [row["cut"] for row in rows] == [False, False, True]
    assert rows[2]["pts"] == 2
    assert rows[2]["time_s"] == pytest.approx(2 / 30)
    correction = ("correction", "correction_deviation", "inliers", "resets")
    assert [[row[name] for name in correction] for row in rows[:2]] == [[None] * 4, [-0.02, 0.004, 90, 1]]
    assert (rows[0]["smoothed"], rows[0]["deviation"], rows[0]["source"]) == (500.25, 0.01, "estimated")


def test_csv_is_read_by_others(tmp_path: Path) -> None:
    sink = open_sink(f"focal:{tmp_path}/focal.csv")
    for index in range(3):
        sink.write(scene(index))
    with (tmp_path / "focal.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["frame"], r["raw"], r["cut"]) for r in rows] == [
        ("0", "510.5", "0"),
        ("1", "", "0"),
        ("2", "512.5", "1"),
    ]
    sink.close()
    table = np.genfromtxt(tmp_path / "focal.csv", delimiter=",", names=True, dtype=None, encoding=None)
    assert table["smoothed"].tolist() == [500.25] * 3


def test_targets_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must end in \.csv or \.json"):
        open_sink(f"focal:{tmp_path}/focal.txt")
    with pytest.raises(ConfigError, match="names no file"):
        open_sink("focal:")
    (tmp_path / "a.csv").write_text("precious")
    with pytest.raises(SinkError, match="exists"):
        open_sink(f"focal:{tmp_path}/a.csv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_full_disk_is_one_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/dev/full")
    sink = open_sink(f"focal:{tmp_path}/{name}", overwrite=True)
    with pytest.raises(SinkError, match="disk full"):
        sink.write(scene(0))
    sink.close()
