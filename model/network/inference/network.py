"""The network as it runs: the same function as :class:`DepthProNetwork`, in fewer and faster operations.

Built once from a trained network. Nothing is approximated: weights are combined in float64 and rounded once, to the
type the network runs in. ``docs/speed.md`` says what is folded and what it is worth; ``fold.py`` has the algebra.

Maps are channels-last, which is also the order of tokens: a transformer's tokens are a map without being moved.

Shape suffixes: B batch, S picture side, G token grid side of a tile, P = 21·G² patches of the pyramid, E numbers in a
patch, K tiles of a batch, N tokens of a tile with its class token, M tokens that are kept, C width, D decoder channels,
H W sides of a map; a number multiplies or divides.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from model.network.decoder import ResidualBlock
from model.network.depth_pro import DepthProNetwork
from model.network.fov import FovBranch
from model.network.inference.fold import (
    bias_through_conv,
    deconv_then_conv,
    deconv_then_deconv,
    deconv_then_pointwise,
    pointwise_then_conv,
    pointwise_then_deconv,
)
from model.network.inference.layers import Borders, Conv, Deconv, Float8Linear, Linear, Norm, Place, as_map, attention
from model.network.tiles import merge_tiles, split_tiles

# On a CPU the head works in bands of this size. They stay in its cache, and below the 32 MiB from which the C library
# takes fresh, zeroed pages from the kernel at every allocation, which costs more than the arithmetic.
_BAND_BYTES = 8 << 20

TILES = 35  # of a picture: 25 of the finest, 9, and the smallest picture itself
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
    ) -> None:
        super().__init__()
        weight = trained.encoder.fuse_lowres.weight
        place = Place(device=device or weight.device, dtype=dtype or weight.dtype, float8=float8)
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
        self.head = DepthHead(trained, place, in_bands=low_memory or place.device.type == "cpu")
        self.fov = FovHead(trained.fov, Transformer(trained.fov.encoder[0], whole, whole + 1, place), place)
        self.eval()

    def forward(self, x_B3SS: Tensor, *, with_fov: bool = True) -> tuple[Tensor, Tensor | None]:
        """As :meth:`DepthProNetwork.forward`: the same arguments, results and errors."""
        size = self.config.input_size
        if x_B3SS.ndim != 4 or x_B3SS.shape[1:] != (3, size, size):
            raise ValueError(f"the network takes pictures of shape [B, 3, {size}, {size}], not {list(x_B3SS.shape)}")

        patches_BPE = self.pyramid(x_B3SS)
        smallest_BME = self.smallest(patches_BPE)
        global_BMC, _ = self.image(smallest_BME)
        final_BPC, hooked = self.tiles(patches_BPE)
        C_BSS, lowest_BD_2G = self.decode(final_BPC, hooked, global_BMC)
        return C_BSS, self.fov(smallest_BME, lowest_BD_2G) if with_fov else None

    def smallest(self, patches_BPE: Tensor) -> Tensor:
        """The patches ``[B, G², E]`` of the smallest picture, which is the last tile."""
        return patches_BPE[:, -self._counts[-1] :]

    def decode(self, final_BPC: Tensor, hooked: list[Tensor], global_BMC: Tensor) -> tuple[Tensor, Tensor]:
        """All tokens to ``C_BSS``, and the coarsest skip map ``lowest_BD_2G``, which the field of view needs."""
        x0_BMC, x1_BMC, x2_BMC = torch.split(final_BPC, list(self._counts), dim=1)
        skips = self.upsampling(*hooked, x0_BMC, x1_BMC, torch.cat((x2_BMC, global_BMC), dim=2))
        C_BSS: Tensor = self.head(self.decoder(*skips))
        return C_BSS, skips[-1]


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


class Transformer(nn.Module):
    """A trained vision transformer over tiles that are given by their patches.

    Args:
        vit: as ``build_vit`` makes it.
        split: the patches of each tile, for all tiles of a picture.
        merge: the tokens to keep, among all tokens of all tiles of a picture.
        hooks: blocks whose raw outputs are wanted as well, for the finest tiles.
        finest: how many tiles are of the finest picture; they come first.
        at_once: tiles that are worked on together, at most.
    """

    split: Tensor
    merge: Tensor

    def __init__(
        self,
        vit: Any,
        split: Tensor,
        merge: Tensor,
        place: Place,
        *,
        hooks: tuple[int, ...] = (),
        finest: int = 1,
        at_once: int = TILES,
    ) -> None:
        super().__init__()
        embedding = vit.patch_embed.proj
        self.embed = Linear(embedding.weight.flatten(1), embedding.bias, place)
        self.class_token = place.fixed(place.exact(vit.cls_token) + place.exact(vit.pos_embed[:, :1]))
        self.positions = place.fixed(vit.pos_embed[:, 1:])
        self.blocks = nn.ModuleList(Block(block, place) for block in vit.blocks)
        self.norm = Norm(vit.norm, place)
        self.register_buffer("split", split.to(place.device), persistent=False)
        self.register_buffer("merge", merge.to(place.device), persistent=False)
        self._hooks, self._finest, self._at_once = hooks, finest, at_once
        self._count = split.numel() // self.positions.shape[1]
        self._parts: list[_Part] = []  # where not all tiles are worked on together
        if at_once < self._count:
            self._parts = [self._part(some) for some in _chunks(list(range(self._count)), at_once)]

    def forward(self, patches_BPE: Tensor) -> tuple[Tensor, list[Tensor]]:
        """``patches_BPE`` to ``final_BMC``, one token for each of ``merge``, and what ``hooks`` ask for."""
        embedded_BPC = self.embed(patches_BPE)
        if not self._parts:
            finest = 16 * self.positions.shape[1] if self._hooks else 0
            return self._run(embedded_BPC, self.split, self.merge, finest)
        outputs = self.buffers_for(len(patches_BPE))
        for part in self._parts:
            self._fill(outputs, embedded_BPC, part)
        return outputs[0], outputs[1:]

    def buffers_for(self, batch: int) -> list[Tensor]:
        """Uninitialised ``final_BMC`` and outputs of ``hooks``, for :meth:`update`."""
        tokens, width = self.positions.shape[1:]
        counts = (len(self.merge), *(16 * tokens for _ in self._hooks))
        return [self.positions.new_empty(batch, count, width) for count in counts]

    def update(self, outputs: list[Tensor], embedded_BPC: Tensor, tiles: list[int]) -> None:
        """Compute some tiles, ascending, and write their tokens to where they belong in ``outputs``."""
        for some in _chunks(tiles, self._at_once):
            self._fill(outputs, embedded_BPC, self._part(some))

    def _fill(self, outputs: list[Tensor], embedded_BPC: Tensor, part: _Part) -> None:
        final_BMC, hooked = self._run(embedded_BPC, part.split, part.merge, part.finest)
        outputs[0].index_copy_(1, part.places, final_BMC)
        for output, tokens_BMC in zip(outputs[1:], hooked, strict=True):
            output.index_copy_(1, part.places[: part.finest], tokens_BMC)

    def _run(self, embedded_BPC: Tensor, split: Tensor, merge: Tensor, finest: int) -> tuple[Tensor, list[Tensor]]:
        """Tiles that ``split`` cuts to the tokens that ``merge`` keeps, ``finest`` of which are of the finest tiles."""
        batch, (tokens, width) = len(embedded_BPC), self.positions.shape[1:]
        tiles_KNC = embedded_BPC.index_select(1, split).view(-1, tokens, width)
        tiles_KNC.add_(self.positions)
        x_KNC = torch.cat((self.class_token.expand(len(tiles_KNC), -1, -1), tiles_KNC), dim=1)

        hooked = []
        for number, block in enumerate(self.blocks[:-1]):
            x_KNC = block(x_KNC)
            if number in self._hooks:
                hooked.append(keep(x_KNC, merge[:finest], batch))
        # Of the last block's tokens, those that a neighbouring tile stands for, and the class tokens, are not needed.
        x_BMC = self.blocks[-1](x_KNC, kept=merge, batch=batch)
        if len(self.blocks) - 1 in self._hooks:
            hooked.append(x_BMC[:, :finest])
        return self.norm(x_BMC), hooked

    def _part(self, tiles: list[int]) -> _Part:
        tokens = self.positions.shape[1] + 1  # with its class token
        of_tile = self.merge // tokens
        places = [(of_tile == tile).nonzero().flatten() for tile in tiles]
        sources = [
            self.merge[place] + (number - tile) * tokens
            for number, (tile, place) in enumerate(zip(tiles, places, strict=True))
        ]
        return _Part(
            split=self.split.view(self._count, -1)[tiles].flatten(),
            merge=torch.cat(sources),
            places=torch.cat(places),
            finest=sum(len(place) for tile, place in zip(tiles, places, strict=True) if tile < self._finest),
        )


def _chunks(tiles: list[int], at_once: int) -> list[list[int]]:
    return [tiles[first : first + at_once] for first in range(0, len(tiles), at_once)]


class _Part(NamedTuple):
    """Some tiles of a picture."""

    split: Tensor  # their patches
    merge: Tensor  # the tokens to keep, among all of theirs
    places: Tensor  # where those belong among all that are kept
    finest: int  # how many of them are of the finest tiles


def keep(x_KNC: Tensor, kept_M: Tensor, batch: int) -> Tensor:
    """Some of all the tokens of each picture: ``x_BMC``."""
    return x_KNC.reshape(batch, -1, x_KNC.shape[-1]).index_select(1, kept_M)


class Block(nn.Module):
    """A transformer block, LayerScale and the scale of attention folded into the products before them."""

    def __init__(self, block: Any, place: Place) -> None:
        super().__init__()
        self._heads = block.attn.num_heads
        self.norm1, self.norm2 = Norm(block.norm1, place), Norm(block.norm2, place)
        width = block.attn.qkv.in_features
        scale = torch.ones(3 * width, dtype=torch.float64)
        scale[:width] = (width / self._heads) ** -0.5  # of the queries
        product = Float8Linear if place.float8 else Linear
        self.qkv = product.scaled(block.attn.qkv, scale, place)
        self.proj = product.scaled(block.attn.proj, block.ls1.gamma, place)
        self.fc1 = product(block.mlp.fc1.weight, block.mlp.fc1.bias, place, activate=True)
        self.fc2 = product.scaled(block.mlp.fc2, block.ls2.gamma, place)

    def forward(self, x_KNC: Tensor, *, kept: Tensor | None = None, batch: int = 1) -> Tensor:
        """All tokens, or ``x_BMC`` for those that are ``kept``: all are attended to, but only they are finished."""
        attended_KNC = attention(self.qkv(self.norm1(x_KNC)), self._heads)
        if kept is not None:
            x_KNC, attended_KNC = keep(x_KNC, kept, batch), keep(attended_KNC, kept, batch)
        x_KNC = self.proj(attended_KNC).add_(x_KNC)
        hidden: Tensor = self.fc2(self.fc1(self.norm2(x_KNC)))
        return hidden.add_(x_KNC)


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
        lowest_BD_2G = self.lowest_borders(self.lowest(as_map(lowest_BM2C)))
        skips = self.latent0(latent0_BMC), self.latent1(latent1_BMC), self.x0(x0_BMC), self.x1(x1_BMC)
        return (*skips, lowest_BD_2G)


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

    def forward(self, *skips: Tensor) -> Tensor:
        sum_BDHH = skips[-1]
        for level in reversed(range(len(skips) - 1)):
            fused_BDHH = self.upsample[level](self.refine[level + 1](sum_BDHH))
            sum_BDHH = self.refine_skip[level](skips[level]).add_(fused_BDHH)
        finest_BDHH: Tensor = self.refine[0](sum_BDHH)
        return finest_BDHH


class Residual(nn.Module):
    """A :class:`ResidualBlock`; what is computed here is changed in place."""

    def __init__(self, block: ResidualBlock, place: Place) -> None:
        super().__init__()
        _, first, _, second = block.residual
        self.first, self.second = Conv.like(first, place), Conv.like(second, place)

    def forward(self, x_BDHH: Tensor) -> Tensor:
        refined: Tensor = self.second(self.first(relu(x_BDHH)).relu_())
        return refined.add_(x_BDHH)


class DepthHead(nn.Module):
    """The decoder's map to canonical inverse depth ``C_BSS``, with the finest level's 1 × 1 projection in front."""

    def __init__(self, trained: DepthProNetwork, place: Place, *, in_bands: bool) -> None:
        super().__init__()
        self._in_bands = in_bands
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

    def forward(self, fused_BDHH: Tensor) -> Tensor:
        x_BDHH: Tensor = self.conv_borders(self.conv(fused_BDHH))
        batch, _, height, width = x_BDHH.shape
        last = self.last.weight
        C_BSS = x_BDHH.new_empty((batch, 2 * height, 2 * width), dtype=last.dtype)
        rows = height
        if self._in_bands:
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

    def forward(self, patches_BME: Tensor, lowest_BD_2G: Tensor) -> Tensor:
        tokens_BMC, _ = self.transformer(patches_BME)
        x = self.downsample(lowest_BD_2G).relu_().add_(as_map(self.narrow(tokens_BMC)))
        x = self.second(self.first(x).relu_()).relu_()
        fov_B111: Tensor = self.last(x)
        return fov_B111.flatten()
