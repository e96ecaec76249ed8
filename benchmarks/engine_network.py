"""The network's contenders: how each is built of the same weights, and how one is measured beside ``transformers``.

Used by ``engine.py``, which says what the figures mean.
"""

from __future__ import annotations

import gc
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import interpolate
from torch.utils.flop_counter import FlopCounterMode
from transformers import DepthProForDepthEstimation

sys.path.insert(0, str(Path(__file__).parent.parent))  # the oracle lives among the tests

from model import layouts
from model.demo import DemoSource
from model.fast import Fast, accelerate, choose_fast
from model.network import DepthProNetwork, InferenceNetwork
from model.precision import DTYPES, Precision, choose
from model.preprocess import host_tensor, network_input
from model.presets import NetworkConfig
from model.resize import at_input_size
from model.weights import LoadedModel
from stream.errors import one_line
from tests.transformers_oracle import oracle_config

_WARM_UP = 3
_LEAST_C = 1e-4  # canonical inverse depth below which nothing is compared: as good as infinitely far
_BACKENDS = {"off": "eager", "compile": "compiled"}

Outputs = tuple[Tensor, Tensor | None]
Run = Callable[[Tensor], Outputs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A way to run the network."""

    network: Literal["transformers", "as trained", "ours"]
    precision: Precision
    fast: Fast = "off"
    batch: int = 1
    low_memory: bool = False
    input_size: int | None = None

    @property
    def name(self) -> str:
        """Unique, for people and ``--only``."""
        how = {"transformers": _BACKENDS.get(self.fast, self.fast), "as trained": "", "ours": self.fast}
        parts = [self.network, how[self.network]]
        parts += [f"batch {self.batch}"] * (self.batch > 1) + ["low memory"] * self.low_memory
        parts += [f"input {self.input_size}"] * (self.input_size is not None)
        return ", ".join([part for part in parts if part] + [self.precision])

    @property
    def approximate(self) -> bool:
        """Whether it computes something else than the network does, not only rounded otherwise."""
        return self.precision == "fp8" or self.input_size is not None

    @property
    def reference(self) -> Contender:
        """What it is compared with."""
        return Contender(network="transformers", precision="bf16" if self.precision == "fp8" else self.precision)


def contenders(device: torch.device, *, input_size: int | None) -> list[Contender]:
    """All that make sense on ``device``, those that are compared with each other one after the other.

    ``input_size``: a smaller side of the network's input to try as well.
    """
    gpu = device.type == "cuda"
    default = choose("auto", device)
    halves: tuple[Precision, ...] = ("fp16", "bf16") if gpu else ("bf16",) if default == "bf16" else ()
    ways: tuple[Fast, ...] = ("off", "graph", "compile") if gpu else ("off", "compile")
    found = []
    for precision in halves if gpu else ("fp32", *halves):
        found += [Contender(network="transformers", precision=precision, fast=fast) for fast in ("off", "compile")]
        found.append(Contender(network="as trained", precision=precision))
        found += [Contender(network="ours", precision=precision, fast=fast) for fast in ways]
    fast = choose_fast("auto", device)
    found.append(Contender(network="ours", precision=default, fast=fast, batch=4))
    found.append(Contender(network="ours", precision=default, fast=fast, low_memory=True))
    if input_size is not None:
        found.append(Contender(network="ours", precision=default, fast=fast, input_size=input_size))
    if gpu:
        found.append(Contender(network="ours", precision="fp8", fast="compile"))
    return found


# Building -------------------------------------------------------------------------------------------------------------


def place(contender: Contender, model: LoadedModel, device: torch.device) -> nn.Module:
    """The contender's network with the weights of ``model``, on the device.

    Raises:
        ConfigError: it cannot run there.
    """
    choose(contender.precision, device)
    choose_fast(contender.fast, device)
    dtype = DTYPES[contender.precision]
    if contender.network == "ours":
        if contender.input_size is not None:
            model = at_input_size(model, contender.input_size)
        return InferenceNetwork(
            model.network,
            device=device,
            dtype=dtype,
            float8=contender.precision == "fp8",
            low_memory=contender.low_memory,
        )
    network: nn.Module
    with torch.device("meta"):
        if contender.network == "transformers":
            network = DepthProForDepthEstimation(oracle_config(model.config))
        else:
            network = DepthProNetwork(model.config)
    weights = {name: tensor.to(device, dtype) for name, tensor in model.network.state_dict().items()}
    if contender.network == "transformers":
        weights = _to_transformers(weights, network.state_dict())
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def _to_transformers(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights under the names in ``theirs``: the inverse of :func:`model.layouts.from_transformers`."""
    weights = {}
    for name, tensor in theirs.items():
        found = layouts.reference_name(name)
        if found is None:  # the mask token, which is used in training alone
            some = next(iter(ours.values()))
            weights[name] = torch.zeros(tensor.shape, dtype=some.dtype, device=some.device)
        else:
            source, third = found
            weights[name] = ours[source] if third is None else ours[source].chunk(3)[third].contiguous()
    return weights


def quicken(contender: Contender, network: nn.Module, x: Tensor) -> Run:
    """The contender as it is run, launched the way its ``fast`` says.

    Raises:
        RuntimeError: that does not work here; it says why.
    """
    torch._dynamo.reset()  # it would take another network of the same class for one that keeps changing, and give up
    if contender.network != "ours":
        compiled: Any = torch.compile(network, dynamic=False) if contender.fast == "compile" else network
        if contender.network == "as trained":
            return compiled  # type: ignore[no-any-return]

        def theirs(x: Tensor) -> Outputs:
            output = compiled(pixel_values=x)
            return output.predicted_depth, output.field_of_view

        return theirs
    with failing_on_warnings():
        return accelerate(network, contender.fast, x)


@contextmanager
def failing_on_warnings() -> Iterator[None]:
    """The estimator goes on with something else where what was asked for does not work; a benchmark must not.

    Raises:
        RuntimeError: at the end, with the first warning of the project's ``model`` package.
    """
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("model")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
    if said:
        raise RuntimeError(said[0])


# Measuring ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class NetworkRow:
    """What one contender did. Without ``frames_ms`` it failed, and ``failed`` says why."""

    name: str
    precision: Precision
    approximate: bool
    batch: int
    frames_ms: list[list[float]] = field(default_factory=list)
    """Milliseconds per frame, by round; of a batch, its share."""
    reference_ms: list[list[float]] = field(default_factory=list)
    """The same of transformers, eager, in the same rounds. Empty: it was not measured."""
    peak_mib: float | None = None
    """Most device memory at a time, weights included, building left out."""
    error_random: float | None = None
    error_nano: float | None = None
    """Median relative difference of depth from ours in fp32, with random weights and with nano's."""
    failed: str = ""

    @property
    def medians_ms(self) -> list[float]:
        """The median of each round."""
        return [statistics.median(times) for times in self.frames_ms]

    @property
    def ratios(self) -> list[float]:
        """How many frames it did for each of transformers, eager, round by round."""
        return [statistics.median(t) / m for t, m in zip(self.reference_ms, self.medians_ms, strict=False)]


class NetworkBenchmark:
    """Measures contenders one after the other; of each two, the memory of the first is free before the second comes.

    Only ``transformers, eager`` stays, as long as others in its number type follow: in every round it runs beside them.

    Args:
        model: the weights that are timed.
        trained: weights of a trained network, to see errors where they mean something; ``None``: not looked at.
        frames: in each round.
    """

    def __init__(
        self, model: LoadedModel, trained: LoadedModel | None, device: torch.device, *, frames: int, rounds: int
    ) -> None:
        self._model, self._trained, self._device = model, trained, device
        self._frames, self._rounds = frames, rounds
        self._frame = next(iter(DemoSource(frame_count=12)))
        self._reference: tuple[Contender, Run, Tensor] | None = None
        exact = Contender(network="ours", precision="fp32")
        self._exact = {one.name: self._depth(exact, one) for one in (model, trained) if one is not None}

    @torch.inference_mode()
    def measure(self, contender: Contender) -> NetworkRow:
        """Build, measure and forget one. What fails becomes a row that says why."""
        row = NetworkRow(
            name=contender.name,
            precision=contender.precision,
            approximate=contender.approximate,
            batch=contender.batch,
        )
        try:
            self._measure(contender, row)
            row.error_random = self._error(contender, self._model)
            if self._trained is not None and contender.input_size is None:
                row.error_nano = self._error(contender, self._trained)
        except Exception as exc:  # noqa: BLE001 (out of memory, no compiler, no such type: the others go on)
            row.failed = one_line(exc) or type(exc).__name__
        free(self._device)
        return row

    def _measure(self, contender: Contender, row: NetworkRow) -> None:
        if self._reference is not None and self._reference[0] != contender.reference:
            self._reference = None
            free(self._device)
        before = allocated(self._device)
        network = place(contender, self._model, self._device)
        free(self._device)  # what was in the way while weights were folded
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        x = self._input(contender, self._model)
        run = quicken(contender, network, x)
        for _ in range(_WARM_UP):
            run(x)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            row.peak_mib = (torch.cuda.max_memory_allocated(self._device) - before) / 2**20
        count = max(1, self._frames // contender.batch)
        for _ in range(self._rounds):
            if self._reference is not None:
                _, reference, theirs = self._reference
                row.reference_ms.append(milliseconds(reference, theirs, self._frames))
            row.frames_ms.append([t / contender.batch for t in milliseconds(run, x, count)])
        if contender == contender.reference:
            self._reference = contender, run, x
            row.reference_ms = row.frames_ms

    def _input(self, contender: Contender, model: LoadedModel) -> Tensor:
        """A rendered picture, on the device."""
        size = contender.input_size or model.config.input_size
        x = network_input([host_tensor(p) for p in self._frame.planes], self._frame, size=size).to(self._device)
        x = x.expand(contender.batch, -1, -1, -1).contiguous()
        return x.to(DTYPES[contender.precision]) if contender.network == "transformers" else x

    @torch.inference_mode()
    def _depth(self, contender: Contender, model: LoadedModel) -> Tensor:
        """Canonical inverse depth of the picture, ``float32 [1, S, S]`` on the host."""
        x = self._input(contender, model)
        C_BSS, _ = quicken(contender, place(contender, model, self._device), x)(x)
        return C_BSS[:1].float().cpu()

    def _error(self, contender: Contender, model: LoadedModel) -> float:
        return depth_error(self._depth(contender, model), self._exact[model.name])


def milliseconds(run: Run, x: Tensor, count: int) -> list[float]:
    """How long each of ``count`` runs takes, after one that is not counted: the caches were another contender's."""
    run(x)
    if x.device.type == "cpu":
        times = [time.perf_counter()]
        for _ in range(count):
            run(x)
            times.append(time.perf_counter())
        return [(end - start) * 1e3 for start, end in pairwise(times)]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    torch.cuda.synchronize(x.device)
    events[0].record()
    for event in events[1:]:  # from end to end, so that waiting for the host to launch counts
        run(x)
        event.record()
    torch.cuda.synchronize(x.device)
    return [start.elapsed_time(end) for start, end in pairwise(events)]


def depth_error(C_BSS: Tensor, exact_BSS: Tensor) -> float:
    """The median relative difference of depth, 1 / C, where it is not as good as infinitely far."""
    if C_BSS.shape != exact_BSS.shape:
        C_BSS = interpolate(C_BSS[None], exact_BSS.shape[-2:], mode="bilinear", align_corners=False)[0]
    near = exact_BSS > _LEAST_C
    return float((exact_BSS[near] / C_BSS[near] - 1).abs().median())


# The floor ------------------------------------------------------------------------------------------------------------


def useful_flops(config: NetworkConfig) -> int:
    """Floating-point operations of the trained network for one frame: the work, however little of it one gets by with.

    A multiplication and an addition count as two, and only those of products and convolutions count.
    """
    with torch.device("meta"):
        network, x = DepthProNetwork(config), torch.empty(1, 3, config.input_size, config.input_size)
    # Attention as its two products: what counts them does not know all the kernels that do it in one.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        network(x)
    return int(counter.get_total_flops())


def product_rate(precision: Precision, device: torch.device) -> float:
    """Floating-point operations per second of a large matrix product: the median of some."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    if precision == "fp8":
        a8, b8 = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn)
        one = torch.ones((), device=device)

        def product(_: Tensor) -> Outputs:
            return torch._scaled_mm(a8, b8.T, one, one, out_dtype=torch.bfloat16), None
    else:
        a, b = a.to(DTYPES[precision]), b.to(DTYPES[precision])

        def product(_: Tensor) -> Outputs:
            return a @ b, None

    return 2 * side**3 / (statistics.median(milliseconds(product, a, 20)) * 1e-3)


def copy_rate(device: torch.device) -> float:
    """Bytes per second that a copy within the device's memory reads and writes."""
    source = torch.ones(1 << (30 if device.type == "cuda" else 27), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    taken = milliseconds(lambda x: (target.copy_(x), None), source, 10)
    return 2 * source.numel() / (statistics.median(taken) * 1e-3)


def allocated(device: torch.device) -> int:
    """Bytes in use on a GPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def free(device: torch.device) -> None:
    """Give memory back that nobody uses any longer."""
    torch._dynamo.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
