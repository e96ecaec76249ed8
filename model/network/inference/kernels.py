"""GPU kernels of our own, in Triton: what is bound by memory, done in one pass over it.

Each computes in float32 and rounds where the plain operations round, so that it differs from them by the order of a sum
at most. They run on a CPU too, in Triton's interpreter (``TRITON_INTERPRET=1``), which is how they are tested.

Shape suffixes: M rows, C channels; the channels of a row lie next to each other.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS = 64  # of the head's end, for one program
_ELEMENTS = 1024  # of an element-wise pass, for one program


@triton.jit  # type: ignore[untyped-decorator]
def _add_norm(x, delta, weight, bias, total, normed, channels, eps, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64) * channels
    column = tl.arange(0, BLOCK)
    inside = column < channels
    summed = tl.load(x + row + column, mask=inside, other=0.0).to(tl.float32)
    summed += tl.load(delta + row + column, mask=inside, other=0.0).to(tl.float32)
    rounded = summed.to(total.dtype.element_ty)
    tl.store(total + row + column, rounded, mask=inside)
    value = rounded.to(tl.float32)
    mean = tl.sum(value, axis=0) / channels
    centred = tl.where(inside, value - mean, 0.0)
    variance = tl.sum(centred * centred, axis=0) / channels
    scaled = centred * (1.0 / tl.sqrt(variance + eps))
    scaled = scaled * tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    scaled = scaled + tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + row + column, scaled.to(normed.dtype.element_ty), mask=inside)


def add_norm(x: Tensor, delta: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """``x + delta`` and its LayerNorm over the last dimension. All contiguous."""
    channels = x.shape[-1]
    total, normed = torch.empty_like(x), torch.empty_like(x)
    block = triton.next_power_of_2(channels)
    _add_norm[(x.numel() // channels,)](x, delta, weight, bias, total, normed, channels, eps, BLOCK=block)
    return total, normed


@triton.jit  # type: ignore[untyped-decorator]
def _finish(  # type: ignore[no-untyped-def]
    x, bias, first, second, active, count, channels,
    ADDENDS: tl.constexpr, RELU: tl.constexpr, BOTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    value = tl.load(x + place, mask=inside).to(tl.float32)
    value += tl.load(bias + place % channels, mask=inside).to(tl.float32)
    if ADDENDS > 0:
        value += tl.load(first + place, mask=inside).to(tl.float32)
    if ADDENDS > 1:
        value += tl.load(second + place, mask=inside).to(tl.float32)
    if RELU:
        tl.store(x + place, tl.maximum(value, 0.0).to(x.dtype.element_ty), mask=inside)
    else:
        rounded = value.to(x.dtype.element_ty)
        tl.store(x + place, rounded, mask=inside)
        if BOTH:
            positive = tl.maximum(rounded.to(tl.float32), 0.0)
            tl.store(active + place, positive.to(x.dtype.element_ty), mask=inside)


def finish(x: Tensor, bias: Tensor, addends: list[Tensor], *, relu: bool, both: bool) -> Tensor | None:
    """What follows a convolution, in place: bias, sums and ReLU. See :mod:`model.network.inference.fused`.

    ``x`` and ``addends`` are of one shape and one dense order in memory, in which channels come first.
    """
    active = torch.empty_like(x) if both else None
    first, second = (*addends, x, x)[:2]
    grid = (triton.cdiv(x.numel(), _ELEMENTS),)
    flags: dict[str, Any] = {"ADDENDS": len(addends), "RELU": relu, "BOTH": both, "BLOCK": _ELEMENTS}
    _finish[grid](x, bias, first, second, x if active is None else active, x.numel(), bias.numel(), **flags)
    return active


@triton.jit  # type: ignore[untyped-decorator]
def _head_end(  # type: ignore[no-untyped-def]
    x, bias, weight, last, out, rows, channels, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    inside = (row < rows)[:, None] & (column < channels)[None, :]
    value = tl.load(x + row[:, None] * channels + column[None, :], mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + column, mask=column < channels, other=0.0).to(tl.float32)[None, :]
    value = tl.maximum(value, 0.0) * tl.load(weight + column, mask=column < channels, other=0.0)[None, :]
    C = tl.sum(value, axis=1) + tl.load(last)
    tl.store(out + row, tl.maximum(C, 0.0), mask=row < rows)


def head_end(x_BCHW: Tensor, bias_C: Tensor, weight_C: Tensor, last_1: Tensor) -> Tensor:
    """The head's last steps in one pass: ``relu(relu(x + bias) · weight + last)``, float32 ``[B, H, W]``.

    ``x_BCHW`` is channels-last; weight and last are float32.
    """
    batch, channels, height, width = x_BCHW.shape
    C_BHW = torch.empty((batch, height, width), dtype=torch.float32, device=x_BCHW.device)
    rows, block = C_BHW.numel(), triton.next_power_of_2(channels)
    grid = (triton.cdiv(rows, _ROWS),)
    _head_end[grid](x_BCHW, bias_C, weight_C, last_1, C_BHW, rows, channels, ROWS=_ROWS, BLOCK=block)
    return C_BHW
