"""The smallest Depth Pro that has all its parts, and frames for it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from model.network import DepthProNetwork, init_random
from model.network.config import NetworkConfig
from model.weights import LoadedModel
from stream.frame import Capture, Frame, Geometry
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
    """A white frame."""
    frame = random_frame(index, name="gray")
    return replace(frame, planes=tuple(np.full_like(p, 255) for p in frame.planes))


class LooseLease:
    """A frame that no ring waits for."""

    def __init__(self, frame: Frame, *, dropped: int = 0) -> None:
        self.frame = frame
        self.dropped = dropped
        self.released: list[Event | None] = []

    def release(self, *, after: Event | None = None) -> None:
        self.released.append(after)
