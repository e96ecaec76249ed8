"""The whole network: picture in, canonical inverse depth and field of view out.

arXiv 2410.02073, "Method". Shape suffixes: B batch, S input side, T tile side, D decoder channels, G token grid side of
a tile; a number multiplies.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import interpolate

from model.network.config import NetworkConfig
from model.network.decoder import Decoder
from model.network.encoder import Encoder
from model.network.fov import FovBranch
from model.network.layers import Float32Conv2d


class DepthProNetwork(nn.Module):
    """Depth Pro at the size ``config`` describes. ``state_dict`` keys are those of the published ``depth_pro.pt``.

    Build it inside ``torch.device("meta")`` to allocate nothing. Cast it with ``.to(dtype)``, not with autocast: the
    last layers of the depth and field-of-view heads stay in float32 (see :class:`Float32Conv2d`).
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.decoder_dim
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.head = nn.Sequential(
            nn.Conv2d(dim, dim // 2, kernel_size=3, padding=1),
            nn.ConvTranspose2d(dim // 2, dim // 2, kernel_size=2, stride=2),
            nn.Conv2d(dim // 2, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            Float32Conv2d(32, 1, kernel_size=1),
            nn.ReLU(),
        )
        self.fov = FovBranch(config)

    def forward(self, x_B3SS: Tensor, *, with_fov: bool = True) -> tuple[Tensor, Tensor | None]:
        """Predict depth up to the focal length and, unless it is known, the field of view.

        Args:
            x_B3SS: RGB in [0, 1] normalised with mean 0.5 and standard deviation 0.5, ``S = config.input_size``.
            with_fov: whether to run the field-of-view branch at all.

        Returns:
            ``C_BSS`` float32, canonical inverse depth, not negative, ``config.output_size`` a side (which is S for
            patches of 16 pixels); metric depth is ``f_px / (width_px · C)``. And ``fov_B`` float32, the
            horizontal field of view in degrees, or ``None``.

        Raises:
            ValueError: the input has another shape.
        """
        size = self.config.input_size
        if x_B3SS.ndim != 4 or x_B3SS.shape[1:] != (3, size, size):
            raise ValueError(f"the network takes pictures of shape [B, 3, {size}, {size}], not {list(x_B3SS.shape)}")

        dtype = self.encoder.fuse_lowres.weight.dtype
        x0_B3SS, x1_B3SS, x2_B3TT = (picture.to(dtype) for picture in pyramid(x_B3SS))
        fused_BD_32G, lowres_BD_2G = self.decoder(self.encoder(x0_B3SS, x1_B3SS, x2_B3TT))
        C_BSS = self.head(fused_BD_32G).squeeze(1)
        fov_B = self.fov(x2_B3TT, lowres_BD_2G) if with_fov else None
        return C_BSS, fov_B


def pyramid(x_B3SS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A picture at full, at half and at a quarter of its size."""
    half_B3HH, quarter_B3TT = (
        interpolate(x_B3SS, scale_factor=factor, mode="bilinear", align_corners=False) for factor in (0.5, 0.25)
    )
    return x_B3SS, half_B3HH, quarter_B3TT
