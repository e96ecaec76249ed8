"""Measures the network's contenders of ``engine.py``, one after the other, each beside ``transformers``."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from benchmarks.engine_contenders import Contender, Run, place, quicken
from benchmarks.engine_device import allocated, free, milliseconds, reason
from model.engine.precision import DTYPES, Precision
from model.lab.demo import DemoSource
from model.pixels.planes import host_tensor, network_input
from model.weights import LoadedModel

_WARM_UP = 3
_LEAST_C = 1e-4  # canonical inverse depth below which nothing is compared: as good as infinitely far


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
    failed_nano: str = ""
    """Why there is no error with nano's weights."""

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
        self._exact_random = self._exact(model)
        self._exact_nano = None if trained is None else self._exact(trained)

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
        except Exception as exc:  # noqa: BLE001 (out of memory, no compiler, no such type: the others go on)
            row.failed = reason(exc)
        free(self._device)
        if self._trained is None or self._exact_nano is None or contender.input_size is not None or row.failed:
            return row
        try:
            row.error_nano = depth_error(self._depth(contender, self._trained), self._exact_nano)
        except Exception as exc:  # noqa: BLE001 (what was measured stays)
            row.failed_nano = reason(exc)
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
            C_BSS, _ = run(x)
        if self._exact_random is not None:
            row.error_random = depth_error(C_BSS[:1].float().cpu(), self._exact_random)
        del C_BSS
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

    def _exact(self, model: LoadedModel) -> Tensor | None:
        """Of ours in fp32; ``None`` where the device has no room for that."""
        try:
            return self._depth(Contender(network="ours", precision="fp32"), model)
        except torch.OutOfMemoryError:
            return None
        finally:
            free(self._device)


def depth_error(C_BSS: Tensor, exact_BSS: Tensor) -> float:
    """The median relative difference of depth, 1 / C, where it is not as good as infinitely far."""
    if C_BSS.shape != exact_BSS.shape:
        C_BSS = interpolate(C_BSS[None], exact_BSS.shape[-2:], mode="bilinear", align_corners=False)[0]
    near = exact_BSS > _LEAST_C
    return float((exact_BSS[near] / C_BSS[near] - 1).abs().median())
