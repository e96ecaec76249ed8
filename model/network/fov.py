"""The field-of-view branch: a transformer of its own, helped by the depth network's coarsest map.

arXiv 2410.02073, "Focal length estimation". Shape suffixes: B batch, T tile side, N tokens, C channels,
D decoder channels, G token grid side of a tile; a number multiplies or divides.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from model.network.config import NetworkConfig
from model.network.layers import Float32Conv2d, build_vit, tokens_to_map


class FovBranch(nn.Module):
    """Estimates the horizontal field of view. Attribute names are the keys of the published checkpoint."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim = config.decoder_dim
        self.encoder = nn.Sequential(build_vit(config), nn.Linear(config.width, dim // 2))
        self.downsample = nn.Sequential(nn.Conv2d(dim, dim // 2, kernel_size=3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Sequential(
            nn.Conv2d(dim // 2, dim // 4, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(dim // 4, dim // 8, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            # As large as what two halvings leave of the grid, so that one number comes out.
            Float32Conv2d(dim // 8, 1, kernel_size=config.grid // 4),
        )

    def forward(self, x_B3TT: Tensor, lowres_BD_2G: Tensor) -> Tensor:
        """Returns ``fov_B``, float32 degrees."""
        vit: Any = self.encoder[0]
        tokens_BNC = self.encoder[1](vit.forward_features(x_B3TT)[:, 1:])  # without the class token
        fov_B111: Tensor = self.head(tokens_to_map(tokens_BNC) + self.downsample(lowres_BD_2G))
        return fov_B111.flatten()
