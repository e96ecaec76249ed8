"""The smallest Depth Pro that has all its parts, and frames for it."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import numpy as np
from torch import Tensor

from model.config import EngineConfig, EstimatorConfig
from model.engine import Engine
from model.engine.precision import Precision
from model.estimator import DepthProEstimator
from model.focal import FocalConfig, GivenCamera
from model.network import DepthProNetwork, init_random
from model.network.config import NetworkConfig
from model.scale import DepthScaler
from model.weights import LoadedModel
from stream.frame import Capture, DepthFrame, Frame, Geometry
from stream.ports import Event

TINY = NetworkConfig(
    tile_size=64,
    patch_size=8,
    width=16,
    depth=2,
    heads=2,
    hook_blocks=(0, 1),
    decoder_dim=8,
    feature_dims=(8, 16, 24),
)


def tiny_model(*, seed: int = 0, trained: bool = True) -> LoadedModel:
    network = DepthProNetwork(TINY)
    init_random(network, seed)
    return LoadedModel(network=network.eval().requires_grad_(False), name="tiny", config=TINY, trained=trained)


def random_frame(index: int, *, name: str = "yuv420p", width: int = 96, height: int = 54) -> Frame:
    """A frame of noise, the same for the same index."""
    rng = np.random.default_rng(index)
    geometry = Geometry(name, width, height)
    top = 1 << geometry.format.bits
    return Frame(
        capture=Capture(
            index=index, pts=index * 100, time_base=Fraction(1, 3000), time_ns=index * 33_333_333, clock="media"
        ),
        geometry=geometry,
        planes=tuple(rng.integers(0, top, s).astype(geometry.format.dtype) for s in geometry.plane_shapes),
    )


def bright_frame(index: int) -> Frame:
    """A nearly white frame."""
    frame = random_frame(index, name="gray")
    return replace(frame, planes=tuple(240 + p // 16 for p in frame.planes))


def make_engine(model: LoadedModel | None = None, kind: type[Engine] = Engine, **options: Any) -> Engine:
    """An engine in float32 on the CPU, unless the fields of :class:`EngineConfig` say otherwise."""
    return kind(model or tiny_model(), EngineConfig(**{"device": "cpu", "precision": "fp32", **options}))


def make_estimator(
    model: LoadedModel | None = None,
    *,
    engine: Engine | None = None,
    camera: GivenCamera | None = None,
    focal: FocalConfig | None = None,
    scaler: DepthScaler | None = None,
    **options: Any,
) -> DepthProEstimator:
    """An estimator with ``engine``, or one of its own; ``options`` are of either config. Scale is not steadied."""
    options = {"steady": "off", **options}
    own = {f.name for f in fields(EstimatorConfig)}
    config = EstimatorConfig(**{name: value for name, value in options.items() if name in own})
    engine = engine or make_engine(model, **{name: value for name, value in options.items() if name not in own})
    return DepthProEstimator(engine=engine, camera=camera, focal=focal, config=config, scaler=scaler)


class CountedEngine(Engine):
    """Notes how many pictures each batch had, and whether it was asked for their field of view."""

    def __init__(self, model: LoadedModel, config: EngineConfig | None = None) -> None:
        super().__init__(model, config)
        self.batches: list[int] = []
        self.with_fov: list[bool] = []

    def run(self, x_B3SS: Tensor, precision: Precision, *, with_fov: bool) -> tuple[Tensor, Tensor | None]:
        self.batches.append(len(x_B3SS))
        self.with_fov.append(with_fov)
        return super().run(x_B3SS, precision, with_fov=with_fov)


def collect_all(estimator: DepthProEstimator, frames: list[Frame], *, with_image: bool = False) -> list[DepthFrame]:
    """As the pipeline does it: keep as many frames in flight as the estimator takes."""
    results: list[DepthFrame] = []
    for index, frame in enumerate(frames):
        if index >= estimator.capacity + estimator.hindsight:
            results.append(estimator.collect())
        estimator.submit(LooseLease(frame), with_image=with_image)
    while len(results) < len(frames):
        results.append(estimator.collect())
    return results


class LooseLease:
    """A frame that no ring waits for."""

    def __init__(self, frame: Frame, *, dropped: int = 0) -> None:
        self.frame = frame
        self.dropped = dropped
        self.released: list[Event | None] = []

    def release(self, *, after: Event | None = None) -> None:
        self.released.append(after)
