"""How the whole network begins as what linear heads on its transformers have learnt: later stages only add to it.

The heads' maps of log C travel through the decoder in channels of their own. Nothing else writes to them at first, and
the depth head turns their sum into C. All other weights stay as they are, and learn.

The maps are a pyramid. The global transformer's is the coarse one, and those of the tiles at half and at full size are
what is finer; they are added where the decoder adds the tiles' maps. A map is refined by :func:`refined`, without
looking beyond a place of the decoder, because what lies beyond the picture's border is zero there.

Shape suffixes: C channels of a token, D decoder channels, H side of a map, R and S rows and columns of cells within a
token; ``cells`` are the values of a token, or of a place of a decoder's map, along one side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.network import DepthProNetwork
from model.network.decoder import FusionBlock

LEAST_LOG, MOST_LOG = -5.5, 2.5  # of C: between them, the depth head follows the exponential function within 1 %

# From the values of a place along one side to those of its two halves, two of each. From two: the straight line through
# them, so that slopes stay slopes.
_HALVING = {
    1: torch.ones(4, 1),
    2: torch.tensor([[1.25, -0.25], [0.75, 0.25], [0.25, 0.75], [-0.25, 1.25]]),
    4: torch.eye(4),
}


@dataclass(frozen=True, slots=True)
class Readouts:
    """Linear heads from a token to ``cells²`` values of log C each, row by row; ``cells`` is 2, 4, 8 or 16.

    Attributes:
        coarse: on the global transformer.
        medium: on the tiles of the picture at half size: what is to be added. Without biases.
        fine: likewise, at full size.
    """

    coarse: nn.Linear
    medium: nn.Linear | None = None
    fine: nn.Linear | None = None


def refined(map_BHH: Tensor) -> Tensor:
    """``map_BHH`` with twice as many values, on the straight lines through the two of each 2 × 2 values."""
    batch, side = map_BHH.shape[0], map_BHH.shape[-1]
    halving = _HALVING[2].to(map_BHH)
    places = map_BHH.reshape(batch, side // 2, 2, side // 2, 2)
    return torch.einsum("bhywx,py,qx->bhpwq", places, halving, halving).reshape(batch, 2 * side, 2 * side)


@torch.no_grad()
def begin_with_readouts(network: DepthProNetwork, readouts: Readouts) -> None:
    """Make ``network`` predict the exponential of what the heads say together, at half its resolution.

    Args:
        network: whose transformers the heads were trained on; changed in place. Where it has too few channels for all
            values of a token, neighbouring ones are averaged.
        readouts: the heads.
    """
    encoder, decoder = network.encoder, network.decoder
    room = network.config.decoder_dim
    coarsest = len(decoder.fusions) - 1

    coarse_RSC = _rows(readouts.coarse, 2 * _largest(min(encoder.fuse_lowres.out_channels, room)))
    cells = len(coarse_RSC) // 2  # of a place
    places = _by_place(coarse_RSC)
    encoder.upsample_lowres.weight[:, : cells**2] = places.permute(3, 2, 0, 1)
    assert readouts.coarse.bias is not None
    assert encoder.upsample_lowres.bias is not None
    biases_RS1 = _averaged(_as_square(readouts.coarse.bias[:, None]), 2 * cells)
    # A bias is the same in all four places.
    encoder.upsample_lowres.bias[: cells**2] = _by_place(biases_RS1).mean((0, 1)).flatten()
    _keep(encoder.fuse_lowres, cells**2, source=encoder.fuse_lowres.out_channels)  # behind the tiles' transformer's
    _keep(decoder.convs[coarsest], cells**2)
    streams = {0: cells}
    for level, head, upsample in (
        (coarsest - 1, readouts.medium, encoder.upsample1),
        (coarsest - 2, readouts.fine, encoder.upsample0),
    ):
        # The sum has 2 × 2 values a place. What has more enters behind it, and is added when it has as many.
        cells = 0 if head is None else min(_largest(upsample[0].out_channels // 4), _largest(room - 4))
        entering = {0: 2, 4: cells} if cells > 2 else {0: 2}
        _pass_on(decoder.fusions[level + 1], streams, _channels(entering))
        streams = entering
        skip = decoder.convs[level]
        assert isinstance(skip, nn.Conv2d)
        skip.weight[: _channels(entering)] = 0
        if head is not None:
            _project(upsample, _by_place(_rows(head, 2 * cells)))
            middle = skip.kernel_size[0] // 2
            for channel in range(cells**2):
                for value in [4 + channel] if cells > 2 else [channel] if cells == 2 else range(4):
                    skip.weight[value, channel, middle, middle] = 1
    _pass_on(decoder.fusions[2], streams, 4)
    _weight(decoder.convs[1])[:4] = 0
    _pass_on(decoder.fusions[1], {0: 2}, 1)
    _weight(encoder.upsample_latent0[-1])[:, :1] = 0  # the finest map is not projected
    _pass_on(decoder.fusions[0], {0: 1}, 1)
    _exponentiate(network.head)


def _largest(channels: int) -> int:
    """The most cells a side, of 4, 2 and 1, that so many channels hold."""
    return next(cells for cells in (4, 2, 1) if cells**2 <= channels or cells == 1)


def _rows(head: nn.Linear, most: int) -> Tensor:
    """``rows_RSC``, averaged down to ``most`` along each side."""
    return _averaged(_as_square(head.weight), most)


def _as_square(rows_PC: Tensor) -> Tensor:
    side = round(len(rows_PC) ** 0.5)
    return rows_PC.reshape(side, side, -1)


def _averaged(rows_RSC: Tensor, most: int) -> Tensor:
    while len(rows_RSC) > most:
        half = len(rows_RSC) // 2
        rows_RSC = rows_RSC.reshape(half, 2, half, 2, -1).mean((1, 3))
    return rows_RSC


def _by_place(rows_RSC: Tensor) -> Tensor:
    """``[2, 2, cells², C]``: a token has 2 × 2 places, each with ``cells²`` values, row by row."""
    cells = len(rows_RSC) // 2
    return rows_RSC.reshape(2, cells, 2, cells, -1).permute(0, 2, 1, 3, 4).flatten(2, 3)


def _project(upsample: nn.Sequential, places: Tensor) -> None:
    """The first ``cells²`` channels of a projection and one doubling are the rows of the four places."""
    count = places.shape[2]
    projection, doubling = _weight(upsample[0]), _weight(upsample[1])
    projection[: 4 * count] = places.flatten(0, 2)[..., None, None]
    doubling[:, :count] = 0
    for place in range(4):
        for value in range(count):
            doubling[place * count + value, value, place // 2, place % 2] = 1


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


def _channels(streams: dict[int, int]) -> int:
    return max(first + cells**2 for first, cells in streams.items())


def _pass_on(block: FusionBlock, streams: dict[int, int], kept: int) -> None:
    """Nothing touches the streams, and their sum is the only thing in the first ``kept`` channels of the result.

    ``streams``: the first channel of each, and its values along each side of a place. At twice the resolution, their
    sum has 2 × 2 values at each new place. Where a single channel is kept, each value becomes a place instead, which
    keeps edges sharp.
    """
    count = _channels(streams)
    for residual in (block.resnet1.residual[-1], block.resnet2.residual[-1]):
        assert isinstance(residual, nn.Conv2d)
        residual.weight[:count] = 0
        assert residual.bias is not None
        residual.bias[:count] = 0
    if isinstance(block.deconv, nn.ConvTranspose2d):
        weight = block.deconv.weight  # [in, out, 2, 2]
        weight[:, :kept] = 0
        for first, cells in streams.items():
            halving = torch.eye(2) if kept == 1 else _HALVING[cells]
            # [half, its value, half, its value, source], rows before columns
            square = torch.einsum("ry,sx->rsyx", halving, halving).reshape(2, -1, 2, len(halving) // 2, cells**2)
            values = square.permute(4, 1, 3, 0, 2).flatten(1, 2)
            weight[first : first + cells**2, : values.shape[1]] = values
    _keep(block.out_conv, kept)


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
