"""The decoder: fuses the encoder's maps from the coarsest to the finest, as DPT does (arXiv 2103.13413, section 3).

Depth Pro: arXiv 2410.02073, "Network". Shape suffixes: B batch, D decoder channels, H side of a map, G token grid side
of a tile; a number multiplies.
"""

from __future__ import annotations

from torch import Tensor, nn

from model.network.config import NetworkConfig
from model.network.encoder import Features


class Decoder(nn.Module):
    """:class:`Features` in; the fused map at the finest resolution and the projected coarsest map out."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim = config.decoder_dim
        # The finest map already has the decoder's width.
        in_dims = (dim, *config.feature_dims)
        self.convs = nn.ModuleList(
            [nn.Identity(), *(nn.Conv2d(d, dim, kernel_size=3, padding=1, bias=False) for d in in_dims)]
        )
        self.fusions = nn.ModuleList(FusionBlock(dim, upsample=level > 0) for level in range(len(self.convs)))

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """Returns ``fused_BDHH`` (32G a side) and ``lowres_BDHH`` (2G), which the field-of-view head looks at too."""
        coarsest = len(features) - 1
        lowres_BD_2G: Tensor = self.convs[coarsest](features[coarsest])
        fused_BDHH: Tensor = self.fusions[coarsest](lowres_BD_2G)
        for level in reversed(range(coarsest)):
            fused_BDHH = self.fusions[level](fused_BDHH, self.convs[level](features[level]))
        return fused_BDHH, lowres_BD_2G


class FusionBlock(nn.Module):
    """Adds a refined skip map, refines the sum and, except at the finest level, doubles its resolution."""

    def __init__(self, dim: int, *, upsample: bool) -> None:
        super().__init__()
        self.resnet1 = ResidualBlock(dim)  # the coarsest level has no skip map, but the checkpoint has the weights
        self.resnet2 = ResidualBlock(dim)
        self.deconv = nn.ConvTranspose2d(dim, dim, kernel_size=2, stride=2, bias=False) if upsample else nn.Identity()
        self.out_conv = nn.Conv2d(dim, dim, kernel_size=1)

    def forward(self, x_BDHH: Tensor, skip_BDHH: Tensor | None = None) -> Tensor:
        if skip_BDHH is not None:
            x_BDHH = x_BDHH + self.resnet1(skip_BDHH)
        out: Tensor = self.out_conv(self.deconv(self.resnet2(x_BDHH)))
        return out


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions, each after a ReLU, added to their input."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        # Not in place: the first ReLU's input is what the result is added to.
        self.residual = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(dim, dim, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(dim, dim, kernel_size=3, padding=1),
        )

    def forward(self, x_BDHH: Tensor) -> Tensor:
        refined_BDHH: Tensor = self.residual(x_BDHH)
        return x_BDHH + refined_BDHH
