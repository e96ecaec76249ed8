"""Where training from scratch starts: weights that already resemble trained ones, which saves a small data set the time
to find them.

A transformer learns slowly from few pictures: it has to find out that pictures are smooth, that neighbours belong
together, and what attention is for. None of that depends on the task, so it is put there.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from model.network import DepthProNetwork, init_random


@torch.no_grad()
def init_for_training(network: DepthProNetwork, seed: int) -> None:
    """Fill every parameter of a network on the CPU from ``seed``; the transformers as :func:`init_transformer` does."""
    init_random(network, seed)
    generator = torch.Generator().manual_seed(seed)
    for transformer in (network.encoder.patch_encoder, network.encoder.image_encoder, network.fov.encoder[0]):
        init_transformer(transformer, generator)


@torch.no_grad()
def init_transformer(vit: Any, generator: torch.Generator) -> None:
    """Smooth filters, positions that are sines, and attention to what is alike.

    Queries and keys start as ``QKᵀ ≈ 0.7·Z + 0.7·I``, values and projection as ``VO ≈ 0.4·Z − 0.4·I`` (Z random), as
    they look after training: "Mimetic Initialization of Self-Attention Layers" (arXiv 2305.09828, section 3).
    """
    width, heads = vit.embed_dim, vit.blocks[0].attn.num_heads
    filters = _cosines(width, vit.patch_embed.proj.kernel_size[0])
    vit.patch_embed.proj.weight[: len(filters)] = filters  # more than there are cosines stay random
    vit.patch_embed.proj.bias.zero_()
    vit.cls_token.normal_(0, 0.02, generator=generator)
    vit.pos_embed.zero_()
    vit.pos_embed[0, 1:] = 0.3 * _waves(math.isqrt(vit.pos_embed.shape[1] - 1), width)
    for block in vit.blocks:
        queries, keys, values = block.attn.qkv.weight.split(width)
        for query, key in zip(queries.chunk(heads), keys.chunk(heads), strict=True):
            u, s, v = torch.linalg.svd(0.7 * _noise(width, generator) + 0.7 * torch.eye(width))
            rank = len(query)
            query.copy_((u[:, :rank] * s[:rank].sqrt()).T)
            key.copy_(s[:rank, None].sqrt() * v[:rank])
        u, s, v = torch.linalg.svd(0.4 * _noise(width, generator) - 0.4 * torch.eye(width))
        values.copy_(s[:, None].sqrt() * v)
        block.attn.proj.weight.copy_(u * s.sqrt())
        for layer in (block.mlp.fc1, block.mlp.fc2):
            layer.weight.normal_(0, 0.02, generator=generator)


def _noise(width: int, generator: torch.Generator) -> Tensor:
    return torch.randn(width, width, generator=generator) / math.sqrt(width)


def _cosines(count: int, side: int) -> Tensor:
    """``[count, 3, side, side]``: two-dimensional cosines of brightness and of two colour differences.

    Coarse ones come first; there are ``3 · side²`` at most. Finer ones are lifted, because fine detail is weak in
    pictures: each number of a token then varies about as much.
    """
    k = torch.arange(side)
    wave = torch.cos(math.pi / side * (k + 0.5) * k[:, None]) * math.sqrt(2 / side)
    wave[0] /= math.sqrt(2)
    colors = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
    colors = colors / colors.norm(dim=1, keepdim=True)
    # Colour has less detail than brightness: its frequencies count 2.5 times.
    ranked = sorted(
        (float(u * u + v * v) * (1.0 if color == 0 else 2.5) + (color > 0), color, u, v)
        for u in range(side)
        for v in range(side)
        for color in range(3)
    )
    filters = [
        0.15 * (1 + math.hypot(u, v)) * colors[color][:, None, None] * torch.outer(wave[u], wave[v])
        for _, color, u, v in ranked[:count]
    ]
    return torch.stack(filters)


def _waves(grid: int, width: int) -> Tensor:
    """``[grid², width]``: sine and cosine of the column and of the row, at wavelengths from 2 to 64 tokens."""
    quarter = width // 4
    frequencies = math.pi / 2 ** torch.linspace(0, 5, quarter)
    rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    phases = [place.flatten()[:, None] * frequencies for place in (columns, rows)]
    return torch.cat([wave(phase) for phase in phases for wave in (torch.sin, torch.cos)], dim=1)
