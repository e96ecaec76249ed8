"""Random weights that behave: finite, positive, different everywhere. For networks that nobody has trained."""

from __future__ import annotations

import torch
from torch import nn

from model.network.depth_pro import DepthProNetwork

# What an untrained network should say on average: a lens like that of most cameras, and a scene a few metres away.
FOV_DEG = 55.0
INVERSE_DEPTH = 0.4


@torch.no_grad()
def init_random(network: DepthProNetwork, seed: int) -> None:
    """Fill every parameter of a network on the CPU from ``seed``.

    Weights keep the size of what passes through them. timm's own start (LayerScale 1e-5) suits training from a trained
    backbone; here it would silence the transformers, and the depth would not depend on the picture.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:  # biases, and the scales of LayerNorm and LayerScale
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
        elif name.endswith(("cls_token", "pos_embed")):
            parameter.normal_(0, 0.2, generator=generator)
        else:
            parameter.normal_(0, _fan_in(network, name) ** -0.5, generator=generator)

    # The last layers: small weights around the wanted answer.
    for last, mean, spread in ((network.head[4], INVERSE_DEPTH, 0.02), (network.fov.head[4], FOV_DEG, 2.0)):
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        last.weight.mul_(spread)
        last.bias.fill_(mean)


def _fan_in(network: DepthProNetwork, name: str) -> int:
    """How many inputs each output of a weight adds up."""
    module = network.get_submodule(name.rpartition(".")[0])
    if isinstance(module, nn.ConvTranspose2d):  # [in, out, 2, 2] at stride 2: the four taps never meet
        return module.in_channels
    weight = module.get_parameter("weight")
    return weight[0].numel()
