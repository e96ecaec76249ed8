"""Faster ways to launch a network that does not change: CUDA graphs, and code that torch compiles for it.

Both are checked against the plain network with a first batch, and given up where they fail or differ.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from model.config import Launch
from model.network import InferenceNetwork
from model.network.inference.variant import PLAIN, Variant
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


def accelerate(
    network: Network,
    launch: Launch,
    probe_B3SS: Tensor,
    *,
    variant: Variant = PLAIN,
    with_fov: Sequence[bool] = (True,),
) -> Network:
    """``network`` made fast, or as fast as it goes here.

    Args:
        network: what is replaced, in the plain variant; it goes on to be used.
        launch: how the result is launched.
        probe_B3SS: pictures to check with, on the device, as many as will come together.
        variant: how the result is put together. Where that does not work, the plain one is launched.
        with_fov: the ways in which the network will be called; another one takes its time when it first comes.
    """
    expected = [network(probe_B3SS, with_fov=fov) for fov in with_fov]
    if launch == "compile":
        _log.info("compiling the network: a minute or more the first time, seconds when it is in the cache")
    for tried in dict.fromkeys((variant, PLAIN)):
        if launch == "eager" and tried == PLAIN:
            break
        start = time.monotonic()
        what = f"launch {launch}" + ("" if tried == PLAIN else f" with {tried.name}")
        try:
            faster = launched(network, launch, tried, batch=len(probe_B3SS), on_gpu=probe_B3SS.device.type == "cuda")
            found = [faster(probe_B3SS, with_fov=fov) for fov in with_fov]
        except Exception as exc:  # noqa: BLE001 (compilers raise anything, and none of it keeps the plain network from running)
            _log.warning("%s does not work here, going on without: %s", what, one_line(exc)[:_LONGEST])
            continue
        difference = max(
            _difference(mine, theirs)
            for outputs in zip(found, expected, strict=True)
            for mine, theirs in zip(*outputs, strict=True)
        )
        if difference <= _ROUNDING:  # NaN is no agreement either
            _log.info("%s is ready after %.0f s", what, time.monotonic() - start)
            return faster
        _log.warning("%s gives other depth here (%.1f %%), going on without", what, 100 * difference)
    return network


def launched(network: Network, launch: Launch, variant: Variant, *, batch: int, on_gpu: bool) -> Network:
    """``network`` put together as ``variant`` says and launched as ``launch`` says, without any check."""
    if isinstance(network, InferenceNetwork) and (variant != PLAIN or launch == "compile"):
        network = network.in_variant(variant)
        if launch == "compile":
            network.compile_stages()
    return GraphedNetwork(network, batch=batch) if on_gpu and launch != "eager" else network


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
        return 0.0 if found is expected else math.inf
    difference = float((found - expected).abs().mean() / expected.abs().mean().clamp_min(1e-12))
    return math.inf if math.isnan(difference) else difference
