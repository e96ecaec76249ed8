"""The network as a device runs it best: in the number type it can compute in, launched as fast as it goes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.config import EngineConfig, Launch
from model.engine.calibration import calibration_inputs
from model.engine.device import choose_device, torch_errors
from model.engine.device_streams import Queue, streams_for
from model.engine.graphs import GraphedNetwork, Network, accelerate, choose_launch
from model.engine.memory import needs_low_memory
from model.engine.passage import LocalStage, Stage
from model.engine.precision import DTYPES, Precision, choose, wider
from model.engine.variants import choose_variant
from model.network import InferenceNetwork
from model.network.inference.reuse import ReusingNetwork
from model.network.inference.variant import PLAIN
from model.weights import LoadedModel, checksum
from model.weights.resample import at_input_size
from stream.errors import ModelError

_log = logging.getLogger(__name__)


class Engine:
    """Runs batches of pictures on one device. Made once, then handed to whatever needs the network.

    Args:
        model: network with weights, on the CPU, where it stays; what runs is an :class:`InferenceNetwork` made of it.
        config: device, number type, and how it is launched.
        compile_beside: with ``launch=compile``, begin with the graph, compile beside it, and go over to compiled code
            between two frames. For cameras: depth is there at once. (A file's depth would depend on when, by rounding.)

    Attributes:
        device: where it runs.
        precision: number type that it runs in: the wanted one, or a wider one where that gave no finite output.
        input_size: side of the network's square input in pixels.
        output_size: side of its square prediction in pixels.
        label: what outputs say of the model: its name, and whatever makes its depth another one than it was trained to
            give.
        streams: the device's queues of work.

    Raises:
        ConfigError: no such device, or something the device cannot do.
        ModelError: the network does not fit on the device, or gives no finite output in any number type.
    """

    def __init__(self, model: LoadedModel, config: EngineConfig | None = None, *, compile_beside: bool = False) -> None:
        self.config = config = config or EngineConfig()
        self.device = choose_device(config.device)
        self._trained = model
        if config.input_size is not None:
            model = at_input_size(model, config.input_size)
            if model is not self._trained:
                _log.warning(
                    "%s: approximate depth, for it was trained at %d px", model.name, self._trained.config.input_size
                )
        self._model, self._compile_beside = model, compile_beside
        self.label = _label(model, config.reuse_tiles)
        self.input_size, self.output_size = model.config.input_size, model.config.output_size
        self.streams = streams_for(self.device)
        self._launch = choose_launch(config.launch, self.device)
        self._networks: dict[Precision, InferenceNetwork | ReusingNetwork] = {}
        self._prepared: list[bool] = []
        wanted = choose(config.precision, self.device)
        low_memory = config.low_memory
        self._low_memory = (
            needs_low_memory(model, self.device, wanted, config.batch) if low_memory is None else low_memory
        )
        with self._computing():
            self.precision = self._first_finite(wanted)
        self._fastest: Network = self._network(self.precision)
        self._variant = choose_variant(config.kernels, self.device, self.precision)
        # What a network that remembers tiles launches depends on the picture; it can neither be recorded nor varied.
        self._is_fast = config.reuse_tiles is None and (self._launch, self._variant) != ("eager", PLAIN)

    @cached_property
    def weights(self) -> str:
        """A checksum of them as they were loaded, which takes a second or so for the published network."""
        return checksum(self._trained.network)

    def close(self) -> None:
        """Nothing outlives it: the counterpart of an engine whose workers do."""

    def stage(self) -> Stage:
        """The network as one source's frames go through it."""
        return LocalStage(self)

    def prepare(self, *, with_fov: Sequence[bool]) -> None:
        """Record or compile what :meth:`run` will launch, so that no time is lost to it in mid-stream.

        Args:
            with_fov: the ways in which :meth:`run` will be called; those of an earlier call stay prepared.

        Raises:
            ModelError: the device failed or is out of memory.
        """
        missing = [way for way in with_fov if way not in self._prepared]
        if missing and self._is_fast:
            ways = [*self._prepared, *missing]
            beside = self._launch == "compile" and self._compile_beside
            self._fastest = self._accelerated("graph" if beside else self._launch, ways, queue="compute")
            if beside:
                threading.Thread(target=self._go_over, args=(ways,), name="compiles", daemon=True).start()
        self._prepared += missing

    def run(self, x_B3SS: Tensor, precision: Precision, *, with_fov: bool) -> tuple[Tensor, Tensor | None]:
        """Canonical inverse depth ``C_BSS``, and ``fov_B`` in degrees, ``None`` without it. All on the current stream.

        Args:
            x_B3SS: pictures as :func:`model.pixels.planes.network_input` makes them, on the device; at most ``batch``.
            precision: :attr:`precision`, or a wider one for pictures that are not finite in it.
            with_fov: whether to estimate the field of view.
        """
        network = self._fastest if precision == self.precision else self._network(precision)
        if isinstance(network, GraphedNetwork):  # how it computes was decided when it was recorded
            return network(x_B3SS, with_fov=with_fov)
        with self._cudnn(precision):
            return network(x_B3SS, with_fov=with_fov)

    def field_of_view(self, x_B3SS: Tensor) -> Tensor:
        """The field of view alone, ``fov_B`` in degrees, on the current stream: a fraction of the work of :meth:`run`.

        Args:
            x_B3SS: pictures as for :meth:`run`.
        """
        with self._cudnn(self.precision):
            return self._network(self.precision).field_of_view(x_B3SS)

    def allocate(self, size: int) -> npt.NDArray[np.uint8]:
        """Memory of the host, ``uint8 [size]``, that the device reads best: page-locked for a GPU.

        Raises:
            ModelError: there is no more of it.
        """
        with torch_errors():
            memory: npt.NDArray[np.uint8] = torch.empty(
                size, dtype=torch.uint8, pin_memory=self.device.type == "cuda"
            ).numpy()
        return memory

    def _accelerated(self, launch: Launch, ways: Sequence[bool], *, queue: Queue) -> Network:
        with self._computing(queue), self._cudnn(self.precision):
            return accelerate(
                self._network(self.precision), launch, self._noise(), variant=self._variant, with_fov=ways
            )

    def _go_over(self, ways: Sequence[bool]) -> None:
        """A thread of its own: compile, then let :meth:`run` use that, from one frame to the next."""
        try:
            faster = self._accelerated("compile", ways, queue="beside")
        except ModelError as exc:
            _log.warning("compiled code is not ready to be used, going on without: %s", exc)
            return
        if faster is not self._network(self.precision):  # or compiling did not work, and the graph goes on
            self._fastest = faster  # seen by the next call of run

    def _network(self, precision: Precision) -> InferenceNetwork | ReusingNetwork:
        """The network in ``precision``; made when first needed."""
        if precision not in self._networks:
            # Always from the weights as they were loaded: a retry in fp32 must not start from rounded ones.
            network = InferenceNetwork(
                self._model.network,
                device=self.device,
                dtype=DTYPES[precision],
                float8=precision == "fp8",
                low_memory=self._low_memory,
            )
            network.calibrate(calibration_inputs(self.input_size, self.device))
            reuse = self.config.reuse_tiles
            self._networks[precision] = network if reuse is None else ReusingNetwork(network, tolerance=reuse)
        return self._networks[precision]

    def _first_finite(self, wanted: Precision) -> Precision:
        """``wanted``, or the next wider number type in which pictures of noise give a finite output."""
        x_B3SS = self._noise()
        precision: Precision | None = wanted
        while precision is not None:
            with self._cudnn(precision):
                C_BSS, fov_B = self._network(precision)(x_B3SS)
            assert fov_B is not None
            if bool(torch.isfinite(C_BSS).all() & torch.isfinite(fov_B).all()):
                return precision
            del self._networks[precision]
            _log.warning("%s gives no finite output in %s on %s", self._model.name, precision, self.device)
            precision = wider(precision)
        raise ModelError(f"{self._model.name} gives no finite output even in fp32: its weights are damaged")

    def _noise(self) -> Tensor:
        """A batch of pictures to try the network with, ``[B, 3, S, S]``, the same every time."""
        shape = (self.config.batch, 3, self.input_size, self.input_size)
        return (torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1).to(self.device)

    @contextmanager
    def _computing(self, queue: Queue = "compute") -> Iterator[None]:
        """Around what is computed outside of :meth:`run`."""
        with torch_errors(), torch.inference_mode(), self.streams.on(queue):
            yield

    def _cudnn(self, precision: Precision) -> AbstractContextManager[None]:
        """How cuDNN computes convolutions inside; what the rest of the process asks of it stays as it was."""
        if self.device.type != "cuda":
            return nullcontext()
        flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
            enabled=True,
            # Its algorithms for transposed convolutions may add up in any order, unless they are asked not to.
            deterministic=self.config.deterministic or precision == "fp32",
            allow_tf32=False,  # fp32 means fp32: TF32 keeps no more bits than fp16
        )
        return flags


def _label(model: LoadedModel, reuse_tiles: float | None) -> str:
    label = model.name
    if reuse_tiles:
        label += f", tiles reused within {reuse_tiles:g} grey levels"
    return label if model.trained else f"{label} (untrained)"
