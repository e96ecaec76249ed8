"""How the whole network begins as what the stage ``backbone`` has learnt: later stages start from it and only add.

The linear head's map of log C travels through the decoder in channels of its own, and the depth head turns it into C.
Nothing else writes to them at first: details come from the tiles, where the decoder adds the tiles' maps, and begin as
none. All other weights stay as they are, and learn.

The field-of-view branch begins as what the stage has learnt of that in the same way: its convolutions average what
the tokens say.

What is carried is a Laplacian pyramid: each level adds what is finer. A map is refined by :func:`refined`, without
looking beyond a place of the decoder's map, because what lies beyond the picture's border is zero there.

Shape suffixes: B batch, C channels of a token, K tiles of a batch, N tokens, H side of a map, R and S rows and columns
of cells within a token; ``cells`` are the values of a token, or of a place of a decoder's map, along one side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from model.network import DepthProNetwork
from model.network.decoder import FusionBlock
from model.network.layers import tokens_to_map

LEAST_LOG, MOST_LOG = -5.5, 2.5  # of C: between them, the depth head follows the exponential function within 1 %
LIFT = 2.0
"""What makes -log C positive: C up to 7.4, which is what is 11 cm before a camera of 62°."""

# From the values of a place along one side to those of its two halves, two of each. From two: the straight line through
# them, so that slopes stay slopes.
_HALVING = {
    1: torch.ones(4, 1),
    2: torch.tensor([[1.25, -0.25], [0.75, 0.25], [0.25, 0.75], [-0.25, 1.25]]),
    4: torch.eye(4),
}


def refined(map_BHH: Tensor) -> Tensor:
    """``map_BHH`` with twice as many values, on the straight lines through the two of each 2 × 2 values."""
    batch, side = map_BHH.shape[0], map_BHH.shape[-1]
    halving = _HALVING[2].to(map_BHH)
    places = map_BHH.reshape(batch, side // 2, 2, side // 2, 2)
    return torch.einsum("bhywx,py,qx->bhpwq", places, halving, halving).reshape(batch, 2 * side, 2 * side)


@torch.no_grad()
def begin_with_readout(network: DepthProNetwork, readout: nn.Linear) -> None:
    """Make ``network`` predict the exponential of what ``readout`` says of the global transformer's tokens.

    Args:
        network: whose global transformer ``readout`` was trained on; changed in place.
        readout: from a token to ``cells²`` values of log C, row by row; ``cells`` is 2, 4, 8 or 16. Where the decoder
            has too few channels for all of them, neighbouring ones are averaged.
    """
    encoder, decoder = network.encoder, network.decoder
    coarsest = len(decoder.fusions) - 1
    fuse = encoder.fuse_lowres

    cells = _largest(min(fuse.out_channels, network.config.decoder_dim))  # of a place; a token has 2 × 2 places
    rows = _by_place(_averaged(_as_square(readout.weight), 2 * cells))
    encoder.upsample_lowres.weight[:, : cells**2] = rows.permute(3, 2, 0, 1)
    assert readout.bias is not None
    assert encoder.upsample_lowres.bias is not None
    biases = _by_place(_averaged(_as_square(readout.bias[:, None]), 2 * cells))
    encoder.upsample_lowres.bias[: cells**2] = biases.mean((0, 1)).flatten()  # a bias is the same in all four places
    _keep(fuse, cells**2, source=fuse.out_channels)  # behind the channels of the tiles' transformer
    fuse.weight[:, : fuse.out_channels] = 0  # what that sees of the whole picture begins as nothing
    _keep(decoder.convs[coarsest], cells**2)
    cells_of_a_place = cells
    streams = {0: cells}
    for level, upsample in ((coarsest - 1, encoder.upsample1), (coarsest - 2, encoder.upsample0)):
        # The sum has 2 × 2 values a place. What has more enters behind it, and is added when it has as many.
        cells = detail_cells(upsample, network.config.decoder_dim)
        entering = {0: 2, 4: cells} if cells > 2 else {0: 2}
        _pass_on(decoder.fusions[level + 1], streams, _channels(entering))
        streams = entering
        skip = decoder.convs[level]
        assert isinstance(skip, nn.Conv2d)
        skip.weight[: _channels(entering)] = 0
        middle = skip.kernel_size[0] // 2
        for channel in range(cells**2):
            for value in [4 + channel] if cells > 2 else [channel] if cells == 2 else range(4):
                skip.weight[value, channel, middle, middle] = 1
        _begin_as_nothing(upsample, cells**2)
    _pass_on(decoder.fusions[2], streams, 4)
    _join_coarsest(network, cells_of_a_place)
    _weight(decoder.convs[1])[:4] = 0
    _pass_on(decoder.fusions[1], {0: 2}, 1)
    _weight(encoder.upsample_latent0[-1])[:, :1] = 0  # the finest map is not projected
    _pass_on(decoder.fusions[0], {0: 1}, 1)
    _exponentiate(network.head)


def detail_map(upsample: nn.Sequential, room: int, tiles_KNC: Tensor) -> Tensor:
    """``differences_KHH`` of log C that ``upsample`` (``upsample1`` or ``upsample0``) makes of tiles' tokens.

    ``room``: the decoder's channels. 8 values a token along each side, or fewer, as they fit in.
    """
    cells = detail_cells(upsample, room)
    return pixel_shuffle(upsample(tokens_to_map(tiles_KNC))[:, : cells**2], cells).squeeze(1)


def detail_cells(upsample: nn.Sequential, room: int) -> int:
    """How many values a place of a decoder's map has for details along one side."""
    return min(_largest(upsample[0].get_parameter("weight").shape[0] // 4), _largest(room - 4))


@torch.no_grad()
def begin_with_fov(network: DepthProNetwork, readout: nn.Linear, unit_deg: float) -> None:
    """Make the field-of-view branch predict the mean of what ``readout`` says of its transformer's tokens.

    Args:
        network: the field-of-view branch's transformer is the one that ``readout`` was trained on; changed in place.
        readout: from a token to the horizontal field of view, in units of ``unit_deg`` degrees.
        unit_deg: what the branch computes in, up to its last layer.
    """
    branch = network.fov
    project, beside = branch.encoder[1], branch.downsample[0]
    halve, quarter, last = branch.head[0], branch.head[2], branch.head[4]
    assert readout.bias is not None
    for layer in (beside, halve, quarter):  # one channel carries it, and nothing else writes to that
        layer.get_parameter("weight")[0] = 0
        layer.get_parameter("bias")[0] = 0
    project.get_parameter("weight")[0] = readout.weight[0]
    project.get_parameter("bias")[0] = readout.bias[0]
    for conv in (halve, quarter):  # the mean of 2 x 2 places, none of them twice: the taps from the middle on
        conv.get_parameter("weight")[0, 0, 1:, 1:] = 0.25
    weight = last.get_parameter("weight")
    weight.zero_()
    weight[0, 0] = unit_deg / weight[0, 0].numel()
    last.get_parameter("bias").zero_()


def _largest(channels: int) -> int:
    """The most cells a side, of 4, 2 and 1, that so many channels hold."""
    return next(cells for cells in (4, 2, 1) if cells**2 <= channels or cells == 1)


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


def _begin_as_nothing(upsample: nn.Sequential, count: int) -> None:
    """A projection and one doubling: the first ``count`` channels are zero, and each value has a row of its own."""
    projection, doubling = _weight(upsample[0]), _weight(upsample[1])
    projection[: 4 * count] = 0
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


def _pass_on(block: nn.Module, streams: dict[int, int], kept: int) -> None:
    """Nothing touches the streams, and their sum is the only thing in the first ``kept`` channels of the result.

    ``streams``: the first channel of each, and its values along each side of a place. At twice the resolution, their
    sum has 2 × 2 values at each new place. Where a single channel is kept, each value becomes a place instead, which
    keeps edges sharp.
    """
    assert isinstance(block, FusionBlock)
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


def _join_coarsest(network: DepthProNetwork, cells: int) -> None:
    """Join the places of the coarsest map, see :func:`_join`."""
    fuse, project = network.encoder.fuse_lowres, _weight(network.decoder.convs[-1])
    outer = _outer(cells)
    constant = cells**2 + len(outer)
    block = network.decoder.fusions[-1]
    assert isinstance(block, FusionBlock)
    if not _has_room_to_join(block, cells, constant):
        return
    # This convolution has no bias: the constant comes from the one before it.
    assert fuse.bias is not None
    fuse.weight[constant] = 0
    fuse.bias[constant] = 1
    project[cells**2 : constant + 1] = 0
    for channel, (y, x) in enumerate(outer, start=cells**2):
        project[channel] = -project[y * cells + x]
        project[channel, constant, 1, 1] = LIFT
    project[constant, constant, 1, 1] = 1
    _join(block, cells, mirrored=cells**2, constant=constant)


@torch.no_grad()
def join_finer(network: DepthProNetwork) -> None:
    """Join the places of the decoder's next two maps as well: in the corners of the coarsest, something is left.

    For a network after :func:`begin_with_readout`.
    """
    encoder, decoder = network.encoder, network.decoder
    coarsest = len(decoder.fusions) - 1
    for level, upsample in ((coarsest - 1, encoder.upsample1), (coarsest - 2, encoder.upsample0)):
        before, block = decoder.fusions[level + 1], decoder.fusions[level]
        assert isinstance(before, FusionBlock)
        assert isinstance(block, FusionBlock)
        cells = detail_cells(upsample, network.config.decoder_dim)
        mirrored = 4 + (cells**2 if cells > 2 else 0)  # behind the details
        constant = mirrored + 4
        if not _has_room_to_join(block, 2, constant):
            continue
        out, beside = before.out_conv, block.resnet1.residual[-1]
        assert out.bias is not None
        out.weight[mirrored:constant] = -out.weight[:4]
        out.bias[mirrored:constant] = LIFT - out.bias[:4]
        out.weight[constant] = 0
        out.bias[constant] = 1
        _weight(decoder.convs[level])[mirrored : constant + 1] = 0
        assert isinstance(beside, nn.Conv2d)
        assert beside.bias is not None
        beside.weight[mirrored : constant + 1] = 0
        beside.bias[mirrored : constant + 1] = 0
        _join(block, 2, mirrored=mirrored, constant=constant)


def _outer(cells: int) -> list[tuple[int, int]]:
    return [(y, x) for y in range(cells) for x in range(cells) if {y, x} & {0, cells - 1}]


def _has_room_to_join(block: FusionBlock, cells: int, constant: int) -> bool:
    dim = block.out_conv.in_channels
    return cells >= 2 and constant < dim and 8 * cells <= dim  # four sides of values, larger or smaller


def _join(block: FusionBlock, cells: int, *, mirrored: int, constant: int) -> None:
    """Where places meet, both go half of the way to each other, and less the farther inside.

    Tokens say their part of the map each for itself: seen as a picture, it would consist of blocks. What is taken for a
    jump is how far both sides, continued with their slopes, are apart.

    Args:
        block: with ``cells²`` values a place in its first channels.
        mirrored: from here on, it has the outer ones with their sign changed and lifted, because logarithms of C are
            mostly negative, and its ReLUs would let nothing of them pass.
        constant: a channel that is 1, and so tells where the picture ends.
    """
    channels = {cell: mirrored + number for number, cell in enumerate(_outer(cells))}
    first, second = block.resnet2.residual[1], block.resnet2.residual[3]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(second, nn.Conv2d)
    assert first.bias is not None
    beyond = 4 * (MOST_LOG - LEAST_LOG)  # more than any jump
    near, far = 1 + 0.5 / (cells - 1), -0.5 / (cells - 1)  # of the outermost two, continued by half a value
    unit = 0
    for axis, last in [(0, False), (0, True), (1, False), (1, True)]:  # upper, lower, left and right side
        tap = (1, 2 if last else 0) if axis else (2 if last else 0, 1)  # the neighbour
        ours, theirs = (cells - 1, 0) if last else (0, cells - 1)
        for along in range(cells):
            for sign in (1, -1):
                first.weight[unit] = 0
                for place, factor, outermost, inner in (((1, 1), -sign, ours, theirs), (tap, sign, theirs, ours)):
                    for end, weight in ((outermost, near), (inner, far)):
                        at = channels[(along, end) if axis else (end, along)]
                        first.weight[unit, at, place[0], place[1]] += factor * weight
                first.weight[unit, constant, tap[0], tap[1]] = beyond
                first.bias[unit] = -beyond
                for inside in range(cells):
                    y, x = (along, inside) if axis else (inside, along)
                    distance = (cells - 1 - inside if last else inside) + 0.5
                    second.weight[y * cells + x, unit, 1, 1] = -sign * 0.5 * (1 - distance / cells)
                unit += 1


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
