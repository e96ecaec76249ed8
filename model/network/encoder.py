"""The multi-scale encoder: one transformer for all tiles of a three-level pyramid, one for the whole picture.

arXiv 2410.02073, "Network" and the figure with it. Shape suffixes: B batch, C channels, D decoder channels, S picture
side, T tile side, K tiles of a batch, N tokens, G token grid side of a tile; a number multiplies.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.network.config import NetworkConfig
from model.network.layers import build_vit, tokens_to_map
from model.network.tiles import merge_tiles, split_tiles


class Features(NamedTuple):
    """The five maps the decoder fuses, finest first."""

    latent0: Tensor  # [B, D, 32G, 32G]
    latent1: Tensor  # [B, D, 16G, 16G]
    x0: Tensor  # [B, C, 8G, 8G]
    x1: Tensor  # [B, C, 4G, 4G]
    lowest: Tensor  # [B, C, 2G, 2G], of the coarsest picture and the global transformer


class Encoder(nn.Module):
    """Picture pyramid in, :class:`Features` out. Attribute names are the keys of the published checkpoint."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width, dim = config.width, config.decoder_dim
        x0_dim, x1_dim, x2_dim = config.feature_dims

        self.patch_encoder = build_vit(config)
        self.image_encoder = build_vit(config)

        self.upsample_latent0 = _project_upsample(width, dim, doublings=3)
        self.upsample_latent1 = _project_upsample(width, dim, doublings=2)
        self.upsample0 = _project_upsample(width, x0_dim, doublings=1)
        self.upsample1 = _project_upsample(width, x1_dim, doublings=1)
        self.upsample2 = _project_upsample(width, x2_dim, doublings=1)
        self.upsample_lowres = nn.ConvTranspose2d(width, x2_dim, kernel_size=2, stride=2)
        self.fuse_lowres = nn.Conv2d(2 * x2_dim, x2_dim, kernel_size=1)

    def forward(self, x0_B3SS: Tensor, x1_B3SS: Tensor, x2_B3TT: Tensor) -> Features:
        """Encode the picture at ``4T``, ``2T`` and ``T`` pixels a side."""
        tile = self.config.tile_size
        # Neighbours overlap by 25 % (5 × 5) and 50 % (3 × 3); all 35 tiles of a picture share one pass.
        x0_tiles = split_tiles(x0_B3SS, tile, count=5)
        x1_tiles = split_tiles(x1_B3SS, tile, count=3)
        tiles_K3TT = torch.cat((x0_tiles, x1_tiles, x2_B3TT))

        final_KNC, hooks_KNC = self.patch_encoder.forward_intermediates(
            tiles_K3TT, indices=list(self.config.hook_blocks), norm=False, output_fmt="NLC"
        )
        maps_KCGG = tokens_to_map(final_KNC[:, 1:])  # without the class token, which the hooks come without
        fine, coarse = len(x0_tiles), len(x0_tiles) + len(x1_tiles)
        x0_maps, x1_maps, x2_BCGG = maps_KCGG[:fine], maps_KCGG[fine:coarse], maps_KCGG[coarse:]
        latent0_maps, latent1_maps = (tokens_to_map(hook[:fine]) for hook in hooks_KNC)

        # Half the overlap, in tokens: a quarter of the tile at 25 %, half of it at 50 %.
        fine_drop, coarse_drop = self.config.grid // 8, self.config.grid // 4

        return Features(
            latent0=self.upsample_latent0(merge_tiles(latent0_maps, 5, fine_drop)),
            latent1=self.upsample_latent1(merge_tiles(latent1_maps, 5, fine_drop)),
            x0=self.upsample0(merge_tiles(x0_maps, 5, fine_drop)),
            x1=self.upsample1(merge_tiles(x1_maps, 3, coarse_drop)),
            lowest=self._lowest(x2_B3TT, x2_BCGG),
        )

    def lowest(self, x2_B3TT: Tensor) -> Tensor:
        """The last of the :class:`Features` alone, which needs the smallest picture only."""
        return self._lowest(x2_B3TT, tokens_to_map(self.patch_encoder.forward_features(x2_B3TT)[:, 1:]))

    def _lowest(self, x2_B3TT: Tensor, x2_BCGG: Tensor) -> Tensor:
        global_BCGG = tokens_to_map(self.image_encoder.forward_features(x2_B3TT)[:, 1:])
        lowres = torch.cat((self.upsample2(x2_BCGG), self.upsample_lowres(global_BCGG)), dim=1)
        fused: Tensor = self.fuse_lowres(lowres)
        return fused


def _project_upsample(in_dim: int, out_dim: int, *, doublings: int) -> nn.Sequential:
    """A 1 × 1 projection and as many learned ×2 upsamplings."""
    return nn.Sequential(
        nn.Conv2d(in_dim, out_dim, kernel_size=1, bias=False),
        *(nn.ConvTranspose2d(out_dim, out_dim, kernel_size=2, stride=2, bias=False) for _ in range(doublings)),
    )
