"""Tokens to maps, and maps to one: everything between the transformers and the heads.

Shape suffixes: B batch, S picture side, G token grid side of a tile, P = 21·G² patches of the pyramid, E numbers in a
patch, K tiles of a batch, N tokens of a tile with its class token, M tokens that are kept, C width, D decoder channels,
H W sides of a map; a number multiplies or divides.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from model.network.decoder import ResidualBlock
from model.network.depth_pro import DepthProNetwork
from model.network.inference import fused
from model.network.inference.fold import (
    bias_through_conv,
    deconv_then_conv,
    deconv_then_deconv,
    deconv_then_pointwise,
    pointwise_then_deconv,
)
from model.network.inference.layers import Borders, Conv, Deconv, Linear, Place, as_map


class Upsampling(nn.Module):
    """Tokens to the decoder's five skip maps, finest first: all that is linear between the two, in one step each.

    Includes the 3 × 3 convolution that each map passes first in :class:`Decoder`.
    """

    def __init__(self, trained: DepthProNetwork, place: Place) -> None:
        super().__init__()
        encoder: Any = trained.encoder
        convs: Any = trained.decoder.convs
        self.latent0 = Chain(encoder.upsample_latent0, None, place)
        self.latent1 = Chain(encoder.upsample_latent1, convs[1], place)
        self.x0 = Chain(encoder.upsample0, convs[2], place)
        self.x1 = Chain(encoder.upsample1, convs[3], place)

        # The coarsest map is made of two, which are upsampled, put together and projected.
        of_tiles, of_image = place.exact(encoder.fuse_lowres.weight[:, :, 0, 0]).chunk(2, dim=1)
        projection, deconv = (place.exact(layer.weight) for layer in encoder.upsample2)
        image_deconv, image_bias = encoder.upsample_lowres.weight, encoder.upsample_lowres.bias
        deconv_IMkk = torch.cat(
            (
                pointwise_then_deconv(projection[:, :, 0, 0], deconv_then_pointwise(deconv, of_tiles)),
                deconv_then_pointwise(place.exact(image_deconv), of_image),
            )
        )
        bias = of_image @ place.exact(image_bias) + place.exact(encoder.fuse_lowres.bias)
        conv = place.exact(convs[4].weight)
        bias_O33 = bias_through_conv(bias, conv, None)
        self.lowest = Deconv(deconv_then_conv(deconv_IMkk, conv), bias_O33[:, 1, 1], place, stride=2)
        self.lowest_borders = Borders(bias_O33, place)

    def forward(
        self, latent0_BMC: Tensor, latent1_BMC: Tensor, x0_BMC: Tensor, x1_BMC: Tensor, lowest_BM2C: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        lowest_BD_2G = self.coarsest(lowest_BM2C)
        skips = self.latent0(latent0_BMC), self.latent1(latent1_BMC), self.x0(x0_BMC), self.x1(x1_BMC)
        return (*skips, lowest_BD_2G)

    def coarsest(self, lowest_BM2C: Tensor) -> Tensor:
        """The last map alone: ``lowest_BD_2G``."""
        lowest_BD_2G: Tensor = self.lowest_borders(self.lowest(as_map(lowest_BM2C)))
        return lowest_BD_2G


class Chain(nn.Module):
    """A projection, a number of upsamplings and perhaps a 3 × 3 convolution: a projection and one transposed one."""

    def __init__(self, layers: Any, conv: Any, place: Place) -> None:
        super().__init__()
        projection_MI, deconv, *more = (place.exact(layer.weight) for layer in layers)
        projection_MI = projection_MI[:, :, 0, 0]
        for further in more:
            deconv = deconv_then_deconv(deconv, further)
        stride = deconv.shape[-1]
        if conv is not None:
            deconv = deconv_then_conv(deconv, place.exact(conv.weight))

        folded = pointwise_then_deconv(projection_MI, deconv)
        # A narrow projection in front spares more than it costs; a wide one is folded into what follows as well.
        narrow = projection_MI.numel() + deconv.numel() < folded.numel()
        self.project = Linear(projection_MI, None, place) if narrow else nn.Identity()
        self.upsample = Deconv(deconv if narrow else folded, None, place, stride=stride)

    def forward(self, tokens_BMC: Tensor) -> Tensor:
        map_BDHH: Tensor = self.upsample(as_map(self.project(tokens_BMC)))
        return map_BDHH


class FusionDecoder(nn.Module):
    """Five skip maps, finest first, to one map ``fused_BD(32G)(32G)``, short of the finest level's 1 × 1 projection.

    Those of the other levels are folded into the upsampling before them.
    """

    def __init__(self, trained: DepthProNetwork, place: Place) -> None:
        super().__init__()
        blocks: list[Any] = list(trained.decoder.fusions)
        self.refine_skip = nn.ModuleList(Residual(block.resnet1, place) for block in blocks[:-1])
        self.refine = nn.ModuleList(Residual(block.resnet2, place) for block in blocks)
        self.upsample = nn.ModuleList()
        for block in blocks[1:]:
            projection_OM = place.exact(block.out_conv.weight[:, :, 0, 0])
            deconv = deconv_then_pointwise(place.exact(block.deconv.weight), projection_OM)
            self.upsample.append(Deconv(deconv, block.out_conv.bias, place, stride=2))

        # Where the two are added in one pass, so are their biases.
        self.biases = nn.ParameterList(
            place.fixed(place.exact(skip.resnet1.residual[3].bias) + place.exact(upsampled.out_conv.bias))
            for skip, upsampled in pairwise(blocks)
        )
        self.variant = place.variant

    def forward(self, *skips: Tensor) -> Tensor:
        sum_BDHH, active_BDHH = skips[-1], None
        for level in reversed(range(len(skips) - 1)):
            refined_BDHH = self.refine[level + 1](sum_BDHH, active_BDHH)
            if self.variant.fused_convolutions:
                sum_BDHH = cast(Residual, self.refine_skip[level]).product(skips[level])
                upsampled_BDHH = cast(Deconv, self.upsample[level]).product(refined_BDHH)
                active_BDHH = fused.bias_add_relu_(sum_BDHH, self.biases[level], skips[level], upsampled_BDHH)
            else:
                upsampled_BDHH = self.upsample[level](refined_BDHH)
                sum_BDHH = self.refine_skip[level](skips[level]).add_(upsampled_BDHH)
        finest_BDHH: Tensor = self.refine[0](sum_BDHH, active_BDHH)
        return finest_BDHH


class Residual(nn.Module):
    """A :class:`ResidualBlock`; what is computed here is changed in place."""

    def __init__(self, block: ResidualBlock, place: Place) -> None:
        super().__init__()
        _, first, _, second = block.residual
        self.first, self.second = Conv.like(first, place), Conv.like(second, place)

    def forward(self, x_BDHH: Tensor, active_BDHH: Tensor | None = None) -> Tensor:
        """``active_BDHH``: the ReLU of ``x_BDHH``, where it is at hand."""
        return self.second.plus(self._hidden(x_BDHH, active_BDHH), x_BDHH)

    def product(self, x_BDHH: Tensor) -> Tensor:
        """What is added to ``x_BDHH``, without the last bias."""
        return self.second.product(self._hidden(x_BDHH, None))

    def _hidden(self, x_BDHH: Tensor, active_BDHH: Tensor | None) -> Tensor:
        return self.first.relu(relu(x_BDHH) if active_BDHH is None else active_BDHH)
