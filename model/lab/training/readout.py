"""How the whole network begins as what the stage ``backbone`` has learnt: later stages start from it and only add.

The linear head's map of log C travels through the coarsest path of the decoder in channels of its own. Nothing else
writes to them at first, and the depth head turns them into C. All other weights stay as they are, and learn.

Shape suffixes: C channels of a token, D decoder channels; ``cells`` are the values of a token along one side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.network import DepthProNetwork
from model.network.decoder import FusionBlock

LEAST_LOG, MOST_LOG = -5.5, 2.5  # of C: between them, the depth head follows the exponential function within 1 %


@torch.no_grad()
def begin_with_readout(network: DepthProNetwork, readout: nn.Linear) -> None:
    """Make ``network`` predict what ``readout`` does on the global transformer's tokens.

    Args:
        network: whose global transformer ``readout`` was trained on; changed in place.
        readout: from a token to ``cells²`` values of log C, row by row; ``cells`` is 2, 4, 8 or 16. Where the decoder
            has too few channels for all of them, neighbouring ones are averaged.
    """
    encoder, decoder = network.encoder, network.decoder
    rows_PPC, biases_PP = _as_square(readout)
    # The coarsest map has 2 × 2 places for a token, each with as many values as there are channels for.
    inner = rows_PPC.shape[0] // 2
    while inner**2 > min(encoder.fuse_lowres.out_channels, network.config.decoder_dim):
        rows_PPC, biases_PP, inner = _halved(rows_PPC), _halved(biases_PP[..., None])[..., 0], inner // 2
    count = inner**2

    places = rows_PPC.reshape(2, inner, 2, inner, -1)  # place's row, value's row, place's column, value's column
    encoder.upsample_lowres.weight[:, :count] = places.permute(4, 1, 3, 0, 2).flatten(1, 2)
    assert encoder.upsample_lowres.bias is not None
    # A bias is the same in all four places.
    encoder.upsample_lowres.bias[:count] = biases_PP.reshape(2, inner, 2, inner).mean((0, 2)).flatten()

    fuse = encoder.fuse_lowres
    _keep(fuse, count, source=fuse.out_channels)  # behind the channels of the tiles' transformer
    coarsest = len(decoder.fusions) - 1
    _keep(decoder.convs[coarsest], count)
    for level in range(coarsest):
        if level == 0:
            _weight(encoder.upsample_latent0[-1])[:, :1] = 0  # the finest map is not projected
        else:
            _weight(decoder.convs[level])[:count] = 0
    for level in reversed(range(coarsest + 1)):
        block = decoder.fusions[level]
        assert isinstance(block, FusionBlock)
        inner = _pass_on(block, inner)
    _exponentiate(network.head)


def _as_square(readout: nn.Linear) -> tuple[Tensor, Tensor]:
    side = round(readout.out_features**0.5)
    return readout.weight.reshape(side, side, -1), readout.bias.reshape(side, side)


def _halved(map_HWC: Tensor) -> Tensor:
    height, width, channels = map_HWC.shape
    return map_HWC.reshape(height // 2, 2, width // 2, 2, channels).mean((1, 3))


def _weight(layer: nn.Module) -> Tensor:
    return layer.get_parameter("weight")


def _keep(conv: nn.Module, count: int, *, source: int = 0) -> None:
    """The first ``count`` channels of a convolution's result are those of its input from ``source`` on."""
    assert isinstance(conv, nn.Conv2d)
    conv.weight[:count] = 0
    middle = conv.kernel_size[0] // 2
    for channel in range(count):
        conv.weight[channel, source + channel, middle, middle] = 1
    if conv.bias is not None:
        conv.bias[:count] = 0


def _pass_on(block: FusionBlock, inner: int) -> int:
    """``inner²`` values a place become a quarter of them at twice the resolution. Returns the new ``inner``."""
    for residual in (block.resnet1.residual[-1], block.resnet2.residual[-1]):
        assert isinstance(residual, nn.Conv2d)
        residual.weight[: inner**2] = 0
        assert residual.bias is not None
        residual.bias[: inner**2] = 0
    if isinstance(block.deconv, nn.ConvTranspose2d):
        finer = max(inner // 2, 1)
        weight = block.deconv.weight  # [in, out, 2, 2]
        weight[:, : finer**2] = 0
        for row in range(2):
            for column in range(2):
                for channel in range(finer**2):
                    y, x = channel // finer, channel % finer
                    source = (row * finer + y) * inner + column * finer + x if inner > 1 else 0
                    weight[source, channel, row, column] = 1
        inner = finer
    _keep(block.out_conv, inner**2)
    return inner


def _exponentiate(head: nn.Sequential) -> None:
    """C from log C in the first channel: straight lines between points of the exponential function."""
    first, double, hidden, _, last, _ = head
    _keep(first, 1)
    assert isinstance(double, nn.ConvTranspose2d)
    assert double.bias is not None
    double.weight[:, :1] = 0
    double.weight[0, 0] = 1
    double.bias[:1] = 0
    assert isinstance(hidden, nn.Conv2d)
    assert hidden.bias is not None
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    knots = torch.linspace(LEAST_LOG, MOST_LOG, hidden.out_channels + 1)
    slopes = knots.exp().diff() / knots.diff()
    hidden.weight.zero_()
    hidden.weight[:, 0, 1, 1] = 1
    hidden.bias.copy_(-knots[:-1])
    last.weight[0, :, 0, 0] = torch.cat((slopes[:1], slopes.diff()))
    last.bias.fill_(float(knots[0].exp()))
