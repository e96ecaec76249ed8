"""The layers of the inference network: each holds weights that are already folded, on their device, in their type.

Shape suffixes: B batch, K tiles of a batch, N tokens of a tile, M tokens, C width, I O channels in and out, D channels,
H side of a map.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, gelu, layer_norm, linear, scaled_dot_product_attention

from model.network.inference import fused
from model.network.inference.variant import PLAIN, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an inference network lives: device and number type of its weights, and how it is put together."""

    device: torch.device
    dtype: torch.dtype
    float8: bool = False
    variant: Variant = PLAIN

    def exact(self, weight: Tensor) -> Tensor:
        """A trained weight, for the algebra."""
        return weight.detach().to(self.device, torch.float64)

    def fixed(self, weight: Tensor) -> nn.Parameter:
        """A weight as it is used. Memory is shared with the trained network where nothing has to change."""
        placed = weight.detach().to(self.device, self.dtype)
        layout = torch.channels_last if placed.ndim == 4 else torch.contiguous_format
        return nn.Parameter(placed.contiguous(memory_format=layout), requires_grad=False)


def as_map(tokens_BMC: Tensor) -> Tensor:
    """Tokens, row by row, as a square channels-last map ``map_BCHH``. Nothing is moved."""
    side = round(tokens_BMC.shape[1] ** 0.5)
    return tokens_BMC.reshape(len(tokens_BMC), side, side, -1).permute(0, 3, 1, 2)


def attention(qkv_KN3C: Tensor, heads: int) -> Tensor:
    """Self-attention of each tile's tokens, their queries scaled already: ``attended_KNC``."""
    tiles, tokens, width = qkv_KN3C.shape
    q, k, v = qkv_KN3C.view(tiles, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
    if qkv_KN3C.device.type == "cpu" and qkv_KN3C.dtype == torch.bfloat16 and tokens <= 128:
        # Of many short sequences two batched products take half the time of the fused kernel, which is for long ones.
        q, k, v = (x.reshape(tiles * heads, tokens, -1) for x in (q, k, v))
        attended = torch.bmm(torch.bmm(q, k.mT).softmax(-1), v).view(tiles, heads, tokens, -1)
    else:
        attended = scaled_dot_product_attention(q, k, v, scale=1.0)
    return attended.transpose(1, 2).reshape(tiles, tokens, width // 3)


class Norm(nn.Module):
    """LayerNorm."""

    def __init__(self, norm: nn.LayerNorm, place: Place) -> None:
        super().__init__()
        self.weight, self.bias, self._eps = place.fixed(norm.weight), place.fixed(norm.bias), norm.eps

        self.variant = place.variant

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight.shape, self.weight, self.bias, self._eps)

    def after(self, x: Tensor, delta: Tensor | None) -> tuple[Tensor, Tensor]:
        """``x + delta``, which may be written into ``delta``, and its norm. ``None``: there is nothing to add."""
        if delta is None:
            return x, self(x)
        if self.variant.fused_norms:
            total, normed = fused.add_norm(x, delta, self.weight, self.bias, self._eps)
            return total, normed
        total = delta.add_(x)
        return total, self(total)


class Linear(nn.Module):
    """A matrix product over the last dimension, then perhaps a GELU.

    On a CPU the weight is kept as oneDNN arranges it. ``linear`` would arrange it anew at every call: about a tenth of
    the time of a product of 2,000 rows, and half of one of 65.
    """

    def __init__(self, weight_OI: Tensor, bias: Tensor | None, place: Place, *, activate: bool = False) -> None:
        super().__init__()
        self.weight, self.bias = place.fixed(weight_OI), None if bias is None else place.fixed(bias)
        self._activate = activate
        self.variant = place.variant
        self._packed: Tensor | None = None
        if _can_pack(place):
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach())
            del self.weight

    @classmethod
    def scaled(cls, layer: Any, scale_O: Tensor, place: Place) -> Self:
        """``layer`` followed by a multiplication by ``scale_O``."""
        scale_O = place.exact(scale_O)
        return cls(scale_O[:, None] * place.exact(layer.weight), scale_O * place.exact(layer.bias), place)

    def forward(self, x: Tensor) -> Tensor:
        if self._packed is None:
            if self._activate and self.bias is not None and self.variant.gelu_in_product:
                rows_MO = torch._addmm_activation(self.bias, x.flatten(0, -2), self.weight.T, use_gelu=True)
                return rows_MO.view(*x.shape[:-1], -1)
            product = linear(x, self.weight, self.bias)
            return gelu(product) if self._activate else product
        then = "gelu" if self._activate else "none"
        fused: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, self._packed, self.bias, then, [], "none")
        return fused


_LARGEST_FLOAT8 = torch.finfo(torch.float8_e4m3fn).max
_MARGIN = 2.0  # over what was seen when calibrating. A floating-point type loses no precision by it, only range below.


class Float8Linear(Linear):
    """A matrix product in 8 bits (float8 e4m3: 3 bits of fraction), summed up in float32.

    Each row of the weights is scaled so that its largest number is the largest of the type. So is each token, which
    costs a pass over all of them; or, once calibrated, all tokens share one fixed scale, and what exceeds it is cut.
    """

    input_scale: Tensor

    def __init__(self, weight_OI: Tensor, bias: Tensor | None, place: Place, *, activate: bool = False) -> None:
        nn.Module.__init__(self)
        self._activate, self._dtype = activate, place.dtype
        self.bias = None if bias is None else place.fixed(bias)
        scaled_OI, scale_O1 = _to_float8(place.exact(weight_OI))
        self.weight, self.scale = (nn.Parameter(x, requires_grad=False) for x in (scaled_OI, scale_O1.T.contiguous()))
        # A tensor, not a number: compiled code would be compiled anew for each number.
        self.register_buffer("input_scale", torch.zeros((), device=place.device), persistent=False)
        self.is_calibrating = self.is_calibrated = False

    def forward(self, x: Tensor) -> Tensor:
        x_MI = x.flatten(0, -2)
        if self.is_calibrating:
            self.input_scale = torch.maximum(self.input_scale, x_MI.abs().amax().float())
        if self.is_calibrated:
            scaled_MI = (x_MI / self.input_scale.to(x.dtype)).clamp(-_LARGEST_FLOAT8, _LARGEST_FLOAT8)
            rows_MI, scale_M1 = scaled_MI.to(torch.float8_e4m3fn), self.input_scale.expand(len(x_MI), 1).contiguous()
        else:
            rows_MI, scale_M1 = _to_float8(x_MI)
        product = torch._scaled_mm(
            rows_MI,
            self.weight.T,
            scale_M1,
            self.scale,
            bias=self.bias,
            out_dtype=self._dtype,
            use_fast_accum=x.device.type == "cuda",
        )
        product = product.view(*x.shape[:-1], -1)
        return gelu(product) if self._activate else product

    def fix_scale(self) -> None:
        """From here on all tokens are scaled by the largest number seen while calibrating, and a margin."""
        self.input_scale = (_MARGIN * self.input_scale.clamp_min(1e-12) / _LARGEST_FLOAT8).to(self.input_scale.device)
        self.is_calibrating, self.is_calibrated = False, True


def _to_float8(x_MI: Tensor) -> tuple[Tensor, Tensor]:
    """``x_MI`` as float8, and the ``scale_M1`` to multiply it with again, float32."""
    largest_M1 = x_MI.abs().amax(dim=1, keepdim=True).clamp_min(1e-12).float()
    scale_M1 = largest_M1 / _LARGEST_FLOAT8
    return (x_MI / scale_M1).to(torch.float8_e4m3fn), scale_M1


def _can_pack(place: Place) -> bool:
    """Whether oneDNN multiplies matrices of this type on this CPU. The operators are those of ``torch.compile``."""
    if place.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")):
        return False
    return place.dtype == torch.float32 or (
        place.dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


class Conv(nn.Module):
    """A convolution. ``wide``: in float32 even in a 16-bit network (see :class:`Float32Conv2d`)."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        place: Place,
        *,
        stride: int = 1,
        padding: int = 1,
        wide: bool = False,
    ) -> None:
        super().__init__()
        if wide:
            place = replace(place, dtype=torch.promote_types(place.dtype, torch.float32))
        self.weight, self.bias = place.fixed(weight), None if bias is None else place.fixed(bias)
        self._stride, self._padding = stride, padding
        self.variant = place.variant

    @classmethod
    def like(cls, layer: Any, place: Place) -> Conv:
        return cls(layer.weight, layer.bias, place, stride=layer.stride[0], padding=layer.padding[0])

    def forward(self, x_BIHH: Tensor) -> Tensor:
        return conv2d(x_BIHH.to(self.weight.dtype), self.weight, self.bias, self._stride, self._padding)

    def relu(self, x_BIHH: Tensor) -> Tensor:
        """The convolution, then a ReLU."""
        if not self.variant.fused_convolutions or self.bias is None:
            return self.forward(x_BIHH).relu_()
        out_BOHH = self.product(x_BIHH)
        fused.bias_relu_(out_BOHH, self.bias)
        return out_BOHH

    def plus(self, x_BIHH: Tensor, addend_BOHH: Tensor) -> Tensor:
        """The convolution, then a sum."""
        if not self.variant.fused_convolutions or self.bias is None:
            return self.forward(x_BIHH).add_(addend_BOHH)
        out_BOHH = self.product(x_BIHH)
        fused.bias_add_(out_BOHH, self.bias, addend_BOHH)
        return out_BOHH

    def product(self, x_BIHH: Tensor) -> Tensor:
        """The convolution without its bias."""
        return conv2d(x_BIHH.to(self.weight.dtype), self.weight, None, self._stride, self._padding)


class Deconv(nn.Module):
    """A transposed convolution that enlarges by ``stride``; its kernel is as large, or one larger on each side."""

    def __init__(self, weight: Tensor, bias: Tensor | None, place: Place, *, stride: int) -> None:
        super().__init__()
        self.weight, self.bias = place.fixed(weight), None if bias is None else place.fixed(bias)
        self._stride, self._padding = stride, (weight.shape[-1] - stride) // 2

    def forward(self, x: Tensor) -> Tensor:
        return conv_transpose2d(x, self.weight, self.bias, self._stride, self._padding)

    def product(self, x: Tensor) -> Tensor:
        """The convolution without its bias."""
        return conv_transpose2d(x, self.weight, None, self._stride, self._padding)


class Borders(nn.Module):
    """What a constant behind a zero-padded convolution lacks along the borders, added in place.

    ``bias_O33`` comes from ``bias_through_conv``; its middle is the bias of the layer before this one.
    """

    def __init__(self, bias_O33: Tensor, place: Place) -> None:
        super().__init__()
        # One column each for left and right, then for top and bottom what a corner has beyond them.
        sides = bias_O33 - bias_O33[:, 1:2, 1:2]
        self.columns = place.fixed(sides[:, 1:2, ::2])
        self.rows = place.fixed(sides[:, ::2, 1:2])
        self.corners = place.fixed(sides[:, ::2, ::2] - sides[:, 1:2, ::2] - sides[:, ::2, 1:2])

    def forward(self, x_BOHH: Tensor, *, top: bool = True, bottom: bool = True) -> Tensor:
        """``x_BOHH`` itself, changed. ``top`` and ``bottom``: whether its first and last row are the picture's."""
        right = x_BOHH.shape[3] - 1
        x_BOHH[:, :, :, ::right] += self.columns
        for side, row in ((0, 0),) * top + ((1, -1),) * bottom:
            x_BOHH[:, :, row] += self.rows[:, side]
            x_BOHH[:, :, row, ::right] += self.corners[:, side]
        return x_BOHH
