"""For cameras that stand still: of each picture, only the tiles that have changed are computed.

Shape suffixes: P patches of the pyramid, E numbers in a patch, K the tiles of a picture, N patches of a tile, S picture
side.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from model.network.inference.network import InferenceNetwork
from model.network.inference.patches import TILES

_GREY = 2 / 255  # one grey level, in pictures from -1 to 1


class ReusingNetwork(nn.Module):
    """An :class:`InferenceNetwork` that remembers its last picture, one at a time.

    A tile has changed if the mean difference within one of its patches is above ``tolerance``, compared with the
    picture that its tokens were computed from; so small differences do not add up over time. What depends on unchanged
    tiles alone is taken from memory: their tokens; tokens and field of view of the whole picture if its smallest size
    has not changed; and everything if no tile has.

    Args:
        network: what computes.
        tolerance: in grey levels of 255. 0: only identical tiles are taken from memory, and the result is what
            ``network`` would have computed. Above: an approximation.

    The host waits for the device once in each picture, to know what has changed.
    """

    def __init__(self, network: InferenceNetwork, *, tolerance: float) -> None:
        super().__init__()
        self.network = network
        self.config = network.config
        self.computed = 0
        self._tolerance = tolerance * _GREY
        self._seen_KNE: Tensor | None = None  # what the tokens were computed from
        self._tokens: list[Tensor] = []
        self._global: Any = None
        self._C_BSS: Any = None
        self._fov_B: Tensor | None = None
        self._lowest: Any = None

    def field_of_view(self, x_B3SS: Tensor) -> Tensor:
        """As :meth:`InferenceNetwork.field_of_view`; nothing is remembered of it."""
        return self.network.field_of_view(x_B3SS)

    def forward(self, x_13SS: Tensor, *, with_fov: bool = True) -> tuple[Tensor, Tensor | None]:
        """As :meth:`InferenceNetwork.forward`, for one picture. ``computed`` then tells how many tiles were."""
        network = self.network
        patches_1PE = network.pyramid(x_13SS)
        smallest_1NE = network.smallest(patches_1PE)
        changed = self._changed(patches_1PE)
        self.computed = len(changed)
        if changed:
            network.tiles.update(self._tokens, network.tiles.embed(patches_1PE), changed)
            if changed[-1] == TILES - 1:
                self._global, _ = network.image(smallest_1NE)
                self._fov_B = None
            self._C_BSS, self._lowest = network.decode(self._tokens[0], self._tokens[1:], self._global)
        if with_fov and self._fov_B is None:
            self._fov_B = network.fov(network.fov.tokens(smallest_1NE), self._lowest)
        return self._C_BSS, self._fov_B if with_fov else None

    def _changed(self, patches_1PE: Tensor) -> list[int]:
        """The numbers of the tiles to compute, whose patches are remembered from now on."""
        tiles_KNE = patches_1PE[0].index_select(0, self.network.tiles.split).view(TILES, -1, patches_1PE.shape[2])
        if self._seen_KNE is None:
            self._seen_KNE, self._tokens = tiles_KNE, self.network.tiles.buffers_for(1)
            return list(range(TILES))
        difference_K = (tiles_KNE - self._seen_KNE).abs().float().mean(2).amax(1)
        changed: list[int] = (~(difference_K <= self._tolerance)).nonzero().flatten().tolist()  # the host waits here
        self._seen_KNE[changed] = tiles_KNE[changed]
        return changed
