"""Cutting a picture into overlapping tiles, and joining the tiles' feature maps without the overlap.

Arithmetic on shapes alone (arXiv 2410.02073, "Network"). Shape suffixes: B batch, C channels, S picture side, T tile
side, G token grid side of a tile, K = n·n·B tiles of a batch, H side of a joined map.
"""

from __future__ import annotations

import torch
from torch import Tensor


def split_tiles(x_BCSS: Tensor, tile: int, count: int) -> Tensor:
    """``count`` × ``count`` evenly spaced tiles that cover the picture, ``count >= 2``, as ``tiles_KCTT``.

    Tile-major: the first tile of every picture in the batch, then the second of every picture, and so on.
    """
    stride = (x_BCSS.shape[-1] - tile) // (count - 1)
    tiles_BCnnTT = x_BCSS.unfold(2, tile, stride).unfold(3, tile, stride)
    return tiles_BCnnTT.permute(2, 3, 0, 1, 4, 5).flatten(0, 2)


def merge_tiles(tiles_KCGG: Tensor, count: int, drop: int) -> Tensor:
    """Join the maps of ``count`` × ``count`` tile-major tiles into ``map_BCHH``.

    At every inner border each of the two neighbours gives up ``drop`` tokens: half of what they share.
    """
    grid = tiles_KCGG.shape[-1]
    kept = [slice(drop if i > 0 else 0, grid - drop if i < count - 1 else grid) for i in range(count)]
    tiles_nnBCGG = tiles_KCGG.reshape(count, count, -1, *tiles_KCGG.shape[1:])
    rows = [
        torch.cat([tiles_nnBCGG[row, column, ..., kept[row], kept[column]] for column in range(count)], dim=-1)
        for row in range(count)
    ]
    return torch.cat(rows, dim=-2)
