"""The network as a device runs it best: in the number type it can compute in, launched as fast as it goes."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from model.engine.graphs import Fast, Network, accelerate
from model.engine.precision import DTYPES, Precision, wider
from model.network import InferenceNetwork
from model.network.inference.reuse import ReusingNetwork
from model.weights import LoadedModel
from stream.errors import ModelError

_log = logging.getLogger(__name__)


class Engine:
    """Runs batches of pictures. Everything it launches goes to the current stream.

    Args:
        model: network with weights, on the CPU, where it stays; what runs is an :class:`InferenceNetwork` made of it.
        device: where to run.
        precision: the wanted number type; where pictures of noise give no finite output, the next wider one.
        fast: how to launch; see :mod:`model.engine.graphs`.
        batch: pictures that usually come together.
        with_fov: the ways in which :meth:`run` will be called.
        low_memory: see :class:`InferenceNetwork`.
        reuse_tiles: the tolerance of a :class:`ReusingNetwork`; ``None`` for none.

    Raises:
        ModelError: no precision gives a finite output.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        device: torch.device,
        precision: Precision,
        fast: Fast = "off",
        batch: int = 1,
        with_fov: Sequence[bool] = (True,),
        low_memory: bool = False,
        reuse_tiles: float | None = None,
    ) -> None:
        self._model, self._device = model, device
        self._low_memory, self._reuse_tiles = low_memory, reuse_tiles
        self._networks: dict[Precision, Network] = {}
        self.input_size = model.config.input_size
        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32: TF32 keeps no more bits than fp16
        probe = torch.rand((batch, 3, self.input_size, self.input_size), generator=torch.Generator().manual_seed(0))
        x_B3SS = (probe * 2 - 1).to(device)
        self.precision = self._first_finite(precision, x_B3SS)
        self._networks[self.precision] = accelerate(self._network(self.precision), fast, x_B3SS, with_fov=with_fov)

    def run(self, x_B3SS: Tensor, precision: Precision, *, with_fov: bool) -> tuple[Tensor, Tensor | None]:
        """Canonical inverse depth ``C_BSS``, and ``fov_B`` in degrees, ``None`` without it.

        Args:
            x_B3SS: pictures as :func:`model.pixels.planes.network_input` makes them, on the device.
            precision: :attr:`precision`, or a wider one for pictures that are not finite in it.
            with_fov: whether to estimate the field of view.
        """
        return self._network(precision)(x_B3SS, with_fov=with_fov)

    def close(self) -> None:
        """Let go of the networks."""
        self._networks.clear()

    def _network(self, precision: Precision) -> Network:
        """The network in ``precision``; made when first needed."""
        if precision not in self._networks:
            # Always from the weights as they were loaded: a retry in fp32 must not start from rounded ones.
            network = InferenceNetwork(
                self._model.network,
                device=self._device,
                dtype=DTYPES[precision],
                float8=precision == "fp8",
                low_memory=self._low_memory,
            )
            reuse = self._reuse_tiles
            self._networks[precision] = network if reuse is None else ReusingNetwork(network, tolerance=reuse)
        return self._networks[precision]

    def _first_finite(self, wanted: Precision, x_B3SS: Tensor) -> Precision:
        """``wanted``, or the next wider number type that gives a finite output."""
        precision: Precision | None = wanted
        while precision is not None:
            C_BSS, fov_B = self._network(precision)(x_B3SS)
            assert fov_B is not None
            if bool(torch.isfinite(C_BSS).all() & torch.isfinite(fov_B).all()):
                return precision
            del self._networks[precision]
            _log.warning("%s gives no finite output in %s on %s", self._model.name, precision, self._device)
            precision = wider(precision)
        raise ModelError(f"{self._model.name} gives no finite output even in fp32: its weights are damaged")
