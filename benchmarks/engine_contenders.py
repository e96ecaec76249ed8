"""The network's contenders of ``engine.py``: what there is, and how each is built of the same weights."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import DepthProForDepthEstimation

sys.path.insert(0, str(Path(__file__).parent.parent))  # the oracle lives among the tests

from model.config import Launch
from model.engine.calibration import calibration_inputs
from model.engine.graphs import accelerate, choose_launch
from model.engine.precision import DTYPES, Precision, choose
from model.network import DepthProNetwork, InferenceNetwork
from model.weights import LoadedModel, state_dicts
from model.weights.resample import at_input_size
from tests.support.transformers_oracle import oracle_config

_BACKENDS = {"compile": "compiled"}

Outputs = tuple[Tensor, Tensor | None]
Run = Callable[[Tensor], Outputs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A way to run the network."""

    network: Literal["transformers", "as trained", "ours"]
    precision: Precision
    launch: Launch = "eager"
    batch: int = 1
    low_memory: bool = False
    input_size: int | None = None

    @property
    def name(self) -> str:
        """Unique, for people and ``--only``."""
        how = {"transformers": _BACKENDS.get(self.launch, self.launch), "as trained": "", "ours": self.launch}
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
    ways: tuple[Launch, ...] = ("eager", "graph", "compile") if gpu else ("eager",)
    found = []
    for precision in halves if gpu else ("fp32", *halves):
        backends: tuple[Launch, ...] = ("eager", "compile")
        found += [Contender(network="transformers", precision=precision, launch=backend) for backend in backends]
        found.append(Contender(network="as trained", precision=precision))
        found += [Contender(network="ours", precision=precision, launch=launch) for launch in ways]
    launch = choose_launch("auto", device)
    found.append(Contender(network="ours", precision=default, launch=launch, batch=4))
    found.append(Contender(network="ours", precision=default, launch=launch, low_memory=True))
    if input_size is not None:
        found.append(Contender(network="ours", precision=default, launch=launch, input_size=input_size))
    if gpu:
        found.append(Contender(network="ours", precision="fp8", launch="compile"))
    return found


def place(contender: Contender, model: LoadedModel, device: torch.device) -> nn.Module:
    """The contender's network with the weights of ``model``, on the device.

    Raises:
        ConfigError: it cannot run there.
    """
    choose(contender.precision, device)
    if contender.network == "ours":
        choose_launch(contender.launch, device)
    dtype = DTYPES[contender.precision]
    if contender.network == "ours":
        if contender.input_size is not None:
            model = at_input_size(model, contender.input_size)
        ours = InferenceNetwork(
            model.network,
            device=device,
            dtype=dtype,
            float8=contender.precision == "fp8",
            low_memory=contender.low_memory,
        )
        ours.calibrate(calibration_inputs(model.config.input_size, device))
        return ours
    network: nn.Module
    with torch.device("meta"):
        if contender.network == "transformers":
            network = DepthProForDepthEstimation(oracle_config(model.config))
        else:
            network = DepthProNetwork(model.config)
    weights = {name: tensor.to(device) for name, tensor in model.network.state_dict().items()}
    if contender.network == "transformers":
        weights = _to_transformers(weights, network.state_dict())
    network.load_state_dict(weights, assign=True)
    return network.to(dtype).eval().requires_grad_(False)


def _to_transformers(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights under the names in ``theirs``: the inverse of :func:`model.weights.state_dicts.from_transformers`."""
    weights = {}
    for name, tensor in theirs.items():
        found = state_dicts.reference_name(name)
        if found is None:  # the mask token, which is used in training alone
            some = next(iter(ours.values()))
            weights[name] = torch.zeros(tensor.shape, dtype=some.dtype, device=some.device)
        else:
            source, third = found
            weights[name] = ours[source] if third is None else ours[source].chunk(3)[third].contiguous()
    return weights


def quicken(contender: Contender, network: nn.Module, x: Tensor) -> Run:
    """The contender as it is run, launched the way its ``launch`` says.

    Raises:
        RuntimeError: that does not work here; it says why.
    """
    torch._dynamo.reset()  # it would take another network of the same class for one that keeps changing, and give up
    if contender.network != "ours":
        compiled: Any = torch.compile(network, dynamic=False) if contender.launch == "compile" else network
        if contender.network == "as trained":
            return compiled  # type: ignore[no-any-return]

        def theirs(x: Tensor) -> Outputs:
            output = compiled(pixel_values=x)
            return output.predicted_depth, output.field_of_view

        return theirs
    with failing_on_warnings():
        return accelerate(network, contender.launch, x)


@contextmanager
def failing_on_warnings() -> Iterator[None]:
    """An engine goes on with something else where what was asked for does not work; a benchmark must not.

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
