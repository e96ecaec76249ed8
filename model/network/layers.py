"""The vision transformer, and a convolution that always computes in float32.

Shape suffixes: B batch, C channels, N tokens, G token grid side, T tile side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import conv2d

from model.network.config import NetworkConfig


def build_vit(config: NetworkConfig) -> Any:
    """A timm ``VisionTransformer`` of DINOv2's kind: class token, learned positions, LayerScale, no classifier.

    Takes ``x_B3TT``; ``forward_features`` returns ``tokens_B(1+N)C``, class token first. (``Any``: timm is untyped.)
    """
    return VisionTransformer(
        img_size=config.tile_size,
        patch_size=config.patch_size,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=config.heads,
        init_values=1e-5,  # only that it is given matters: it makes the LayerScale parameters exist
        num_classes=0,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )


def tokens_to_map(tokens_BNC: Tensor) -> Tensor:
    """Patch tokens, row by row and without the class token, as a picture ``map_BCGG``."""
    batch, tokens, channels = tokens_BNC.shape
    grid = math.isqrt(tokens)
    return tokens_BNC.transpose(1, 2).reshape(batch, channels, grid, grid)


class Float32Conv2d(nn.Conv2d):
    """A convolution that keeps its parameters and does its arithmetic in float32, whatever the network is cast to.

    For the two layers that say the final numbers. bfloat16 has 8 significant bits: rounding to it would alone leave
    steps of 0.4 % in depth, and of 0.25° in a field of view of 55°.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Every cast and move of a module ends up here. Take the device that `fn` chooses, and float32.
        def keep_float32(tensor: Tensor) -> Tensor:
            applied = fn(tensor)
            return applied if applied.dtype == torch.float32 else tensor.to(applied.device, torch.float32)

        super()._apply(keep_float32, recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, x_BCHW: Tensor) -> Tensor:
        # The casts of the parameters do nothing unless a 16-bit checkpoint was assigned directly.
        bias = None if self.bias is None else self.bias.float()
        return conv2d(x_BCHW.float(), self.weight.float(), bias, self.stride, self.padding)
