"""Operations that a GPU does in one pass over memory, as torch operators of our own: ``depth_pro::…``.

On a CUDA device they are the kernels of ``kernels.py``; elsewhere the plain operations, which is what the kernels are
tested against. As operators they can be captured in graphs, called from compiled code and counted.

Shape suffixes: B batch, C channels, H W sides of a map, N any shape.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, relu


def has_triton() -> bool:
    """Whether kernels can be compiled here."""
    return importlib.util.find_spec("triton") is not None


@torch.library.custom_op("depth_pro::add_norm", mutates_args=())
def add_norm(x: Tensor, delta: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """``x + delta``, and its LayerNorm over the last dimension."""
    total = x + delta
    return total, layer_norm(total, weight.shape, weight, bias, eps)


@add_norm.register_kernel("cuda")
def _(x: Tensor, delta: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    from model.network.inference import kernels

    return kernels.add_norm(x.contiguous(), delta.contiguous(), weight, bias, eps)


@add_norm.register_fake
def _(x: Tensor, delta: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(x)


@torch.library.custom_op("depth_pro::bias_relu_", mutates_args=("x",))
def bias_relu_(x: Tensor, bias_C: Tensor) -> None:
    """``relu(x + bias)`` in place, of a convolution's result."""
    x.add_(bias_C[:, None, None]).relu_()


@bias_relu_.register_kernel("cuda")
def _(x: Tensor, bias_C: Tensor) -> None:
    from model.network.inference import kernels

    assert x.is_contiguous(memory_format=torch.channels_last)
    kernels.finish(x, bias_C, [], relu=True, both=False)


@torch.library.custom_op("depth_pro::bias_add_", mutates_args=("x",))
def bias_add_(x: Tensor, bias_C: Tensor, addend: Tensor) -> None:
    """``x + bias + addend`` in place."""
    x.add_(bias_C[:, None, None]).add_(addend)


@bias_add_.register_kernel("cuda")
def _(x: Tensor, bias_C: Tensor, addend: Tensor) -> None:
    from model.network.inference import kernels

    assert x.is_contiguous(memory_format=torch.channels_last)
    kernels.finish(x, bias_C, [_like(addend, x)], relu=False, both=False)


@torch.library.custom_op("depth_pro::bias_add_relu_", mutates_args=("x",))
def bias_add_relu_(x: Tensor, bias_C: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """``x + bias + first + second`` in place; returns its ReLU, which a residual block begins with."""
    x.add_(bias_C[:, None, None]).add_(first).add_(second)
    return relu(x)


@bias_add_relu_.register_kernel("cuda")
def _(x: Tensor, bias_C: Tensor, first: Tensor, second: Tensor) -> Tensor:
    from model.network.inference import kernels

    assert x.is_contiguous(memory_format=torch.channels_last)
    active = kernels.finish(x, bias_C, [_like(first, x), _like(second, x)], relu=False, both=True)
    assert active is not None
    return active


@bias_add_relu_.register_fake
def _(x: Tensor, bias_C: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("depth_pro::head_end", mutates_args=())
def head_end(x_BCHW: Tensor, bias_C: Tensor, weight_C: Tensor, last_1: Tensor) -> Tensor:
    """``relu(relu(x + bias) · weight + last)`` in float32, ``[B, H, W]``: the head's last convolution and ReLUs."""
    active_BCHW = relu(x_BCHW.float() + bias_C.float()[:, None, None])
    return relu((active_BCHW * weight_C[:, None, None]).sum(1) + last_1)


@head_end.register_kernel("cuda")
def _(x_BCHW: Tensor, bias_C: Tensor, weight_C: Tensor, last_1: Tensor) -> Tensor:
    from model.network.inference import kernels

    return kernels.head_end(x_BCHW.contiguous(memory_format=torch.channels_last), bias_C, weight_C, last_1)


@head_end.register_fake
def _(x_BCHW: Tensor, bias_C: Tensor, weight_C: Tensor, last_1: Tensor) -> Tensor:
    batch, _, height, width = x_BCHW.shape
    return x_BCHW.new_empty((batch, height, width), dtype=torch.float32)


def _like(addend: Tensor, x: Tensor) -> Tensor:
    """``addend`` in the order in memory that ``x`` has."""
    return addend if addend.stride() == x.stride() else torch.empty_like(x).copy_(addend)
