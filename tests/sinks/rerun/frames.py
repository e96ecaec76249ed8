"""Frames to be told from each other, and what a recording of Rerun has of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rerun.chunk import RrdReader

from stream.frame import CameraIntrinsics, DepthFrame
from tests.support.doubles import make_depth_frame

WIDTH, HEIGHT = 64, 48


def scene(index: int, *, width: int = WIDTH, height: int = HEIGHT) -> DepthFrame:
    """Noisy depth with every code in it, a smooth picture, a focal length that moves."""
    depth = np.random.default_rng(index).uniform(0.5, 50, (height, width)).astype(np.float32)
    depth[0, :5] = np.nan, np.inf, 65.534, 0.0001, 1.2344
    ramp = np.linspace(0, 255, width).astype(np.uint8)[None, :].repeat(height, axis=0)
    return replace(
        make_depth_frame(index, width=width, height=height),
        depth=depth,
        image=np.dstack([ramp, ramp[:, ::-1], np.full_like(ramp, 40 + index)]),
        camera=CameraIntrinsics(fx=500.25 + index, fy=501.1, cx=31.75, cy=23.3, width=width, height=height),
    )


@dataclass
class Rows:
    """What one entity was told: values by component, and times by time line, row by row."""

    values: dict[str, list[Any]] = field(default_factory=dict)
    times: dict[str, list[int]] = field(default_factory=dict)


def read(path: Path) -> dict[str, Rows]:
    """By entity, from the file, by Rerun's own reader, also where it has no index."""
    entities: dict[str, Rows] = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RRD file has no footer")
        reader = RrdReader(path)
    for chunk in reader.stream():
        rows = entities.setdefault(chunk.entity_path, Rows())
        batch = chunk.to_record_batch()
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            kind = (batch.schema.field(name).metadata or {}).get(b"rerun:kind")
            if kind == b"index":
                rows.times.setdefault(name, []).extend(column.cast("int64").to_pylist())
            elif kind == b"data":
                component = name.rpartition(":")[2]
                rows.values.setdefault(component, []).extend(value[0] for value in column.to_pylist())
    return entities
