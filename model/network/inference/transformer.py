"""The vision transformer over tiles, all of them or a few at a time.

Shape suffixes: B batch, S picture side, G token grid side of a tile, P = 21·G² patches of the pyramid, E numbers in a
patch, K tiles of a batch, N tokens of a tile with its class token, M tokens that are kept, C width, D decoder channels,
H W sides of a map; a number multiplies or divides.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from model.network.inference.layers import Float8Linear, Linear, Norm, Place, attention
from model.network.inference.patches import TILES


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
        self.norm: Norm = Norm(vit.norm, place)
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

    def last_tile(self, patches_BNE: Tensor) -> Tensor:
        """``final_BMC`` of a picture's last tile by itself, given its patches: all its tokens but the class token."""
        tokens = torch.arange(self.positions.shape[1], device=patches_BNE.device)
        final_KMC, _ = self._run(self.embed(patches_BNE), tokens, tokens + 1, 0)
        return final_KMC

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
        delta_KNC: Tensor | None = None  # what a block found is added by whoever comes next, together with its norm
        for number, block in enumerate(self.blocks[:-1]):
            x_KNC, delta_KNC = block(x_KNC, delta_KNC)
            if number in self._hooks:
                x_KNC, delta_KNC = delta_KNC.add_(x_KNC), None
                hooked.append(keep(x_KNC, merge[:finest], batch))
        # Of the last block's tokens, those that a neighbouring tile stands for, and the class tokens, are not needed.
        x_BMC, delta_BMC = self.blocks[-1](x_KNC, delta_KNC, kept=merge, batch=batch)
        x_BMC, normed_BMC = self.norm.after(x_BMC, delta_BMC)
        if len(self.blocks) - 1 in self._hooks:
            hooked.append(x_BMC[:, :finest])
        return normed_BMC, hooked

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

    def forward(
        self, x_KNC: Tensor, delta_KNC: Tensor | None = None, *, kept: Tensor | None = None, batch: int = 1
    ) -> tuple[Tensor, Tensor]:
        """The block's tokens as two addends: what came in with the attention added, and what is to be added to it.

        Args:
            x_KNC: the tokens.
            delta_KNC: what is to be added to them first; it may be overwritten.
            kept: finish these tokens only, as ``[B, M, C]``; all are attended to.
            batch: pictures that ``kept`` is meant for.
        """
        x_KNC, normed_KNC = self.norm1.after(x_KNC, delta_KNC)
        attended_KNC = attention(self.qkv(normed_KNC), self._heads)
        if kept is not None:
            x_KNC, attended_KNC = keep(x_KNC, kept, batch), keep(attended_KNC, kept, batch)
        x_KNC, normed_KNC = self.norm2.after(x_KNC, self.proj(attended_KNC))
        return x_KNC, self.fc2(self.fc1(normed_KNC))
