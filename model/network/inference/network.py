"""The network as it runs: the same function as :class:`DepthProNetwork`, in fewer and faster operations.

Built once from a trained network. Nothing is approximated: weights are combined in float64 and rounded once, to the
type the network runs in. ``docs/speed.md`` says what is folded and what it is worth; ``fold.py`` has the algebra.

Maps are channels-last, which is also the order of tokens: a transformer's tokens are a map without being moved.

Shape suffixes: B batch, S picture side, G token grid side of a tile, P = 21·G² patches of the pyramid, E numbers in a
patch, K tiles of a batch, N tokens of a tile with its class token, M tokens that are kept, C width, D decoder channels,
H W sides of a map; a number multiplies or divides.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from model.network.depth_pro import DepthProNetwork
from model.network.inference.decoder import FusionDecoder, Upsampling
from model.network.inference.heads import DepthHead, FovHead
from model.network.inference.layers import Float8Linear, Place
from model.network.inference.patches import TILES, PatchPyramid, tile_indices
from model.network.inference.side_streams import SideStreams
from model.network.inference.transformer import Transformer
from model.network.inference.variant import PLAIN, Variant

_TILES_AT_ONCE = 5  # to save memory


class InferenceNetwork(nn.Module):
    """A :class:`DepthProNetwork` for inference alone. Each child is one stage, in the order in which they run.

    Args:
        trained: where the weights come from; not changed. Later changes to it may or may not be seen.
        device: where to run; default: where ``trained`` is.
        dtype: number type to run in, default: that of ``trained``. The last layers of both heads stay in float32
            (see :class:`Float32Conv2d`). For another type build another: casting would round float32 layers, too.
        float8: multiply the matrices of the transformers' blocks in 8 bits (see :class:`Float8Linear`): approximate.
        low_memory: work through the tiles a few at a time, and through the head in bands on every device.
        variant: how it is put together.
    """

    @torch.no_grad()
    def __init__(
        self,
        trained: DepthProNetwork,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        float8: bool = False,
        low_memory: bool = False,
        variant: Variant = PLAIN,
    ) -> None:
        super().__init__()
        weight = trained.encoder.fuse_lowres.weight
        place = Place(device=device or weight.device, dtype=dtype or weight.dtype, float8=float8, variant=variant)
        self.config = trained.config
        grid = self.config.grid
        self._counts = (16 * grid**2, 4 * grid**2, grid**2)  # patches of the pyramid, finest picture first

        self.pyramid = PatchPyramid(self.config.patch_size, place)
        split, merge = tile_indices(grid)
        hooks = self.config.hook_blocks
        at_once = _TILES_AT_ONCE if low_memory else TILES
        self.tiles = Transformer(
            trained.encoder.patch_encoder, split, merge, place, hooks=hooks, finest=25, at_once=at_once
        )
        whole = torch.arange(grid**2)
        self.image = Transformer(trained.encoder.image_encoder, whole, whole + 1, place)
        self.upsampling = Upsampling(trained, place)
        self.decoder = FusionDecoder(trained, place)
        self.head = DepthHead(trained, place, low_memory=low_memory)
        self.fov = FovHead(trained.fov, Transformer(trained.fov.encoder[0], whole, whole + 1, place), place)
        self._side = _side_streams(place.device, variant)
        self.eval()

    def in_variant(self, variant: Variant) -> InferenceNetwork:
        """The same network put together in another way. It shares this one's weights and takes next to no memory."""
        tensors: list[Any] = [*self.parameters(), *self.buffers()]
        for module in self.modules():
            tensors += [value for value in vars(module).values() if isinstance(value, Tensor | SideStreams)]
        twin = copy.deepcopy(self, {id(shared): shared for shared in tensors})
        varied: Any
        for varied in twin.modules():
            if hasattr(varied, "variant"):
                varied.variant = variant
        twin._side = _side_streams(self.tiles.positions.device, variant)
        return twin

    @torch.inference_mode()
    def calibrate(self, pictures_13SS: Iterable[Tensor]) -> None:
        """Fix the scales of 8-bit products by what they meet in some pictures; of other networks nothing changes."""
        products = [module for module in self.modules() if isinstance(module, Float8Linear)]
        if not products:
            return
        for product in products:
            product.is_calibrating = True
        for x_13SS in pictures_13SS:
            self(x_13SS)
        for product in products:
            product.fix_scale()

    def compile_stages(self) -> None:
        """Let torch compile the stages that gain by it when they are first called: blocks, upsampling, decoder."""
        transformers = (self.tiles, self.image, self.fov.transformer)
        for stage in (*(block for t in transformers for block in t.blocks), self.upsampling, self.decoder):
            stage.compile(dynamic=False)

    def forward(self, x_B3SS: Tensor, *, with_fov: bool = True) -> tuple[Tensor, Tensor | None]:
        """As :meth:`DepthProNetwork.forward`: the same arguments, results and errors."""
        size = self.config.input_size
        if x_B3SS.ndim != 4 or x_B3SS.shape[1:] != (3, size, size):
            raise ValueError(f"the network takes pictures of shape [B, 3, {size}, {size}], not {list(x_B3SS.shape)}")

        patches_BPE = self.pyramid(x_B3SS)
        smallest_BME = self.smallest(patches_BPE)
        with self._side.fork(0):
            global_BMC, _ = self.image(smallest_BME)
        fov_BMC = None
        if with_fov:
            with self._side.fork(1):
                fov_BMC = self.fov.tokens(smallest_BME)
        final_BPC, hooked = self.tiles(patches_BPE)
        self._side.join()
        C_BSS, lowest_BD_2G = self.decode(final_BPC, hooked, global_BMC)
        return C_BSS, None if fov_BMC is None else self.fov(fov_BMC, lowest_BD_2G)

    def field_of_view(self, x_B3SS: Tensor) -> Tensor:
        """What :meth:`forward` says of it, ``fov_B`` in degrees: only what depends on the smallest picture runs."""
        smallest_BME = self.pyramid.smallest(x_B3SS)
        global_BMC, _ = self.image(smallest_BME)
        lowest_BD_2G = self.upsampling.coarsest(torch.cat((self.tiles.last_tile(smallest_BME), global_BMC), dim=2))
        fov_B: Tensor = self.fov(self.fov.tokens(smallest_BME), lowest_BD_2G)
        return fov_B

    def smallest(self, patches_BPE: Tensor) -> Tensor:
        """The patches ``[B, G², E]`` of the smallest picture, which is the last tile."""
        return patches_BPE[:, -self._counts[-1] :]

    def decode(self, final_BPC: Tensor, hooked: list[Tensor], global_BMC: Tensor) -> tuple[Tensor, Tensor]:
        """All tokens to ``C_BSS``, and the coarsest skip map ``lowest_BD_2G``, which the field of view needs."""
        x0_BMC, x1_BMC, x2_BMC = torch.split(final_BPC, list(self._counts), dim=1)
        skips = self.upsampling(*hooked, x0_BMC, x1_BMC, torch.cat((x2_BMC, global_BMC), dim=2))
        C_BSS: Tensor = self.head(self.decoder(*skips))
        return C_BSS, skips[-1]


def _side_streams(device: torch.device, variant: Variant) -> SideStreams:
    return SideStreams(device, 2 if variant.side_streams and device.type == "cuda" else 0)
