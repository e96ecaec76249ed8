"""The picture at three sizes, cut into patches, and which tile has which of them.

Shape suffixes: B batch, S picture side, G token grid side of a tile, P = 21·G² patches of the pyramid, E numbers in a
patch, K tiles of a batch, N tokens of a tile with its class token, M tokens that are kept, C width, D decoder channels,
H W sides of a map; a number multiplies or divides.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.network.inference.layers import Place
from model.network.tiles import merge_tiles, split_tiles

TILES = 35  # of a picture: 25 of the finest, 9, and the smallest picture itself


class PatchPyramid(nn.Module):
    """The picture at three sizes, cut into patches: ``patches_BPE``, row by row, the finest picture first.

    Tiles overlap by whole patches, so it is patches, not pixels, that are shared out among them: each patch is embedded
    once, not once in every tile that it is in.
    """

    def __init__(self, patch_size: int, place: Place) -> None:
        super().__init__()
        self._patch, self._dtype = patch_size, place.dtype

    def forward(self, x_B3SS: Tensor) -> Tensor:
        half_B3HH, quarter_B3HH = _shrink(x_B3SS, 2), _shrink(x_B3SS, 4)
        return torch.cat([self._cut(x.to(self._dtype)) for x in (x_B3SS, half_B3HH, quarter_B3HH)], dim=1)

    def smallest(self, x_B3SS: Tensor) -> Tensor:
        """The last of them alone: those of the smallest picture, ``[B, G², E]``."""
        return self._cut(_shrink(x_B3SS, 4).to(self._dtype))

    def _cut(self, x_B3HH: Tensor) -> Tensor:
        grid = x_B3HH.shape[-1] // self._patch
        patches = x_B3HH.view(-1, 3, grid, self._patch, grid, self._patch).permute(0, 2, 4, 1, 3, 5)
        return patches.reshape(len(x_B3HH), grid * grid, -1)


def _shrink(x_B3SS: Tensor, factor: int) -> Tensor:
    """A half or a quarter of the size, as bilinear interpolation does it: the mean of the two by two middle pixels."""
    first = factor // 2 - 1
    rows = x_B3SS[:, :, first::factor] + x_B3SS[:, :, first + 1 :: factor]
    return (rows[..., first::factor] + rows[..., first + 1 :: factor]) * 0.25


def tile_indices(grid: int) -> tuple[Tensor, Tensor]:
    """How the tiles' tokens and the pyramid's patches belong together.

    Returns:
        ``split``: for each token of each of the 35 tiles, without class tokens, its patch. ``merge``: for each patch
        the token that stands for it, among all tokens of all tiles with their class tokens. Both ``int64``.
    """
    split, merge, patches, tokens = [], [], 0, 0
    for side, count, drop in ((4 * grid, 5, grid // 8), (2 * grid, 3, grid // 4), (grid, 1, 0)):
        picture = torch.arange(patches, patches + side * side).view(1, 1, side, side)
        split.append((split_tiles(picture, grid, count) if count > 1 else picture).flatten())
        # The class token comes first in each tile.
        with_class = torch.arange(tokens, tokens + count * count * (grid * grid + 1)).view(count * count, -1)
        merge.append(merge_tiles(with_class[:, 1:].reshape(-1, 1, grid, grid), count, drop).flatten())
        patches, tokens = patches + side * side, tokens + with_class.numel()
    return torch.cat(split), torch.cat(merge)
