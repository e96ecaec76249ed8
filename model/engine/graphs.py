"""Faster ways to launch a network that does not change: CUDA graphs, and code that torch compiles for it.

Both are checked against the plain network with a first batch, and given up where they fail or differ.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from model.config import Launch
from stream.errors import ConfigError, one_line

_WARM_UP = 3  # runs before a capture: libraries choose algorithms and take memory in the first ones
_ROUNDING = 0.02  # mean relative difference that another order of operations in 16 bits may make
_LONGEST = 300  # characters of a reason; compilers print their whole program
_log = logging.getLogger(__name__)


class Network(Protocol):
    """An :class:`model.network.InferenceNetwork`, or what runs in its place."""

    def __call__(self, x_B3SS: Tensor, *, with_fov: bool = True) -> tuple[Tensor, Tensor | None]: ...


def choose_launch(wanted: Launch | Literal["auto"], device: torch.device) -> Launch:
    """What ``auto`` means on ``device``: graph on a GPU, eager on a CPU.

    Raises:
        ConfigError: ``wanted`` cannot run on ``device``.
    """
    if wanted == "auto":
        return "graph" if device.type == "cuda" else "eager"
    if wanted != "eager" and device.type != "cuda":
        # There is no graph on a CPU, and compiled code is slower there than what runs without (docs/speed.md).
        raise ConfigError(f"`launch={wanted}` is for NVIDIA GPUs, and the device is {device}; leave it out")
    return wanted


def accelerate(network: Network, launch: Launch, probe_B3SS: Tensor, *, with_fov: Sequence[bool] = (True,)) -> Network:
    """``network`` made fast, or itself where that does not work here.

    Args:
        network: what is replaced; it goes on to be used.
        probe_B3SS: pictures to check with, on the device, as many as will come together.
        with_fov: the ways in which the network will be called; another one takes its time when it first comes.
    """
    if launch == "eager":
        return network
    start = time.monotonic()
    if launch == "compile":
        _log.info("compiling the network: a minute or more the first time, seconds when it is in the cache")
    try:
        faster = _faster(network, launch, probe_B3SS)
        differences = [
            _difference(found, expected)
            for fov in with_fov
            for found, expected in zip(faster(probe_B3SS, with_fov=fov), network(probe_B3SS, with_fov=fov), strict=True)
        ]
    except Exception as exc:  # noqa: BLE001 (compilers raise anything, and none of it keeps the plain network from running)
        _log.warning("launch %s does not work here, going on without: %s", launch, one_line(exc)[:_LONGEST])
        return network
    if not all(difference <= _ROUNDING for difference in differences):  # NaN is no agreement either
        _log.warning("launch %s gives other depth here (%.1f %%), going on without", launch, 100 * max(differences))
        return network
    _log.info("launch %s is ready after %.0f s", launch, time.monotonic() - start)
    return faster


def _faster(network: Network, launch: Launch, probe_B3SS: Tensor) -> Network:
    if launch == "compile":
        compiled: Network = torch.compile(network, dynamic=False)
        network = compiled
    return GraphedNetwork(network, batch=len(probe_B3SS)) if probe_B3SS.device.type == "cuda" else network


class GraphedNetwork:
    """Replays what a network launches, kernel for kernel, as one CUDA graph: the CPU launches one thing, not thousands.

    There is one graph with the field of view and one without, each for a full batch; it is recorded when it is first
    called for. A batch that is not full fills the first places of the graph's, and the results of the others are
    nobody's: a graph for each size would be recorded in mid-stream, and the whole device waits for that. Results are
    copies: the next replay may overwrite its own.

    Args:
        network: what is recorded.
        batch: pictures in a full batch.
    """

    def __init__(self, network: Network, *, batch: int) -> None:
        self._network = network
        self._batch = batch
        self._recordings: dict[bool, _Recording] = {}
        self._pool: Any = None  # graphs run one after the other, so they share memory

    def __call__(self, x_B3SS: Tensor, *, with_fov: bool = True) -> tuple[Tensor, Tensor | None]:
        count = len(x_B3SS)
        if with_fov not in self._recordings:
            self._recordings[with_fov] = self._record(x_B3SS, with_fov)
        recording = self._recordings[with_fov]
        recording.x_B3SS[:count].copy_(x_B3SS)
        recording.graph.replay()
        fov_B = recording.fov_B
        return recording.C_BSS[:count].clone(), None if fov_B is None else fov_B[:count].clone()

    def _record(self, x_B3SS: Tensor, with_fov: bool) -> _Recording:
        x_B3SS = x_B3SS[:1].repeat(self._batch, 1, 1, 1)
        for _ in range(_WARM_UP):
            self._network(x_B3SS, with_fov=with_fov)
        graph = torch.cuda.CUDAGraph()
        # Other threads go on to use the device: the producer waits for uploads, sinks give memory back.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            C_BSS, fov_B = self._network(x_B3SS, with_fov=with_fov)
        self._pool = graph.pool()
        return _Recording(graph=graph, x_B3SS=x_B3SS, C_BSS=C_BSS, fov_B=fov_B)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recording:
    """A graph, the memory it reads and the memory it writes."""

    graph: Any
    x_B3SS: Tensor
    C_BSS: Tensor
    fov_B: Tensor | None


def _difference(found: Tensor | None, expected: Tensor | None) -> float:
    """Mean absolute difference, relative to the mean."""
    if found is None or expected is None:
        return 0.0 if found is expected else float("inf")
    return float((found - expected).abs().mean() / expected.abs().mean().clamp_min(1e-12))
