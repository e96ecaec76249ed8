"""The two heads: canonical inverse depth, and the field of view.

Their last layers keep float32 whatever the network runs in (``wide=True``; in the trained network,
:class:`model.network.layers.Float32Conv2d`): they say the final numbers.

Shape suffixes: B batch, S picture side, G token grid side of a tile, P = 21·G² patches of the pyramid, E numbers in a
patch, K tiles of a batch, N tokens of a tile with its class token, M tokens that are kept, C width, D decoder channels,
H W sides of a map; a number multiplies or divides.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from model.network.depth_pro import DepthProNetwork
from model.network.fov import FovBranch
from model.network.inference import fused
from model.network.inference.fold import bias_through_conv, deconv_then_conv, pointwise_then_conv
from model.network.inference.layers import Borders, Conv, Deconv, Linear, Place, as_map
from model.network.inference.transformer import Transformer

# On a CPU the head works in bands of this size. They stay in its cache, and below the 32 MiB from which the C library
# takes fresh, zeroed pages from the kernel at every allocation, which costs more than the arithmetic.
_BAND_BYTES = 8 << 20


class DepthHead(nn.Module):
    """The decoder's map to canonical inverse depth ``C_BSS``, with the finest level's 1 × 1 projection in front."""

    def __init__(self, trained: DepthProNetwork, place: Place, *, low_memory: bool) -> None:
        super().__init__()
        self._low_memory = low_memory
        first, deconv, second, _, last, _ = cast(Any, trained.head)
        projection: Any = trained.decoder.fusions[0].out_conv

        conv = place.exact(first.weight)
        bias_O33 = bias_through_conv(place.exact(projection.bias), conv, place.exact(first.bias))
        conv = pointwise_then_conv(place.exact(projection.weight[:, :, 0, 0]), conv)
        self.conv = Conv(conv, bias_O33[:, 1, 1], place)
        self.conv_borders = Borders(bias_O33, place)

        conv = place.exact(second.weight)
        bias_O33 = bias_through_conv(place.exact(deconv.bias), conv, place.exact(second.bias))
        deconv = deconv_then_conv(place.exact(deconv.weight), conv)
        self.upsample = Deconv(deconv, bias_O33[:, 1, 1], place, stride=2)
        self.upsample_borders = Borders(bias_O33, place)

        self.last = Conv(last.weight, last.bias, place, padding=0, wide=True)
        self.variant = place.variant

    def forward(self, fused_BDHH: Tensor) -> Tensor:
        x_BDHH: Tensor = self.conv_borders(self.conv(fused_BDHH))
        if self.variant.fused_head and not self._low_memory:
            upsampled_BDHH = self.upsample_borders(self.upsample.product(x_BDHH))
            C: Tensor = fused.head_end(upsampled_BDHH, self.upsample.bias, self.last.weight.flatten(), self.last.bias)
            return C
        batch, _, height, width = x_BDHH.shape
        last = self.last.weight
        C_BSS = x_BDHH.new_empty((batch, 2 * height, 2 * width), dtype=last.dtype)
        rows = height
        if self._low_memory or x_BDHH.device.type == "cpu":
            rows = max(1, _BAND_BYTES // (batch * 2 * 2 * width * last.shape[1] * last.itemsize))
        for top in range(0, height, rows):
            # A row of the result depends on its own row of the map and on a neighbour.
            above, bottom = max(top - 1, 0), min(top + rows, height)
            band = self.upsample(x_BDHH[:, :, above : bottom + 1])[:, :, 2 * (top - above) : 2 * (bottom - above)]
            band = self.upsample_borders(band, top=top == 0, bottom=bottom == height).to(last.dtype).relu_()
            C_BSS[:, 2 * top : 2 * bottom] = self.last(band)[:, 0]
        return C_BSS.relu_()


class FovHead(nn.Module):
    """A :class:`FovBranch`: ``fov_B``, float32 degrees."""

    def __init__(self, trained: FovBranch, transformer: Transformer, place: Place) -> None:
        super().__init__()
        narrow: Any = trained.encoder[1]
        self.transformer = transformer
        self.narrow = Linear(narrow.weight, narrow.bias, place)
        self.downsample = Conv.like(trained.downsample[0], place)
        self.first, self.second = Conv.like(trained.head[0], place), Conv.like(trained.head[2], place)
        last: Any = trained.head[4]
        self.last = Conv(last.weight, last.bias, place, padding=0, wide=True)

    def tokens(self, patches_BME: Tensor) -> Tensor:
        """The branch's own tokens ``[B, M, C]`` of the smallest picture."""
        tokens_BMC: Tensor = self.transformer(patches_BME)[0]
        return tokens_BMC

    def forward(self, tokens_BMC: Tensor, lowest_BD_2G: Tensor) -> Tensor:
        """``fov_B`` of its tokens and the coarsest skip map."""
        x = self.downsample.relu(lowest_BD_2G).add_(as_map(self.narrow(tokens_BMC)))
        x = self.second.relu(self.first.relu(x))
        fov_B111: Tensor = self.last(x)
        return fov_B111.flatten()
