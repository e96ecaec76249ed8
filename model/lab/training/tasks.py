"""What each stage trains, and on which loss.

Shape suffixes: B batch, N tokens, C channels, S side of a picture, T of a tile, K tiles of a batch, H side of a map,
G token grid side of a tile, P predictions per token.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, l1_loss, pad, pixel_shuffle, smooth_l1_loss

from model.lab.training.batch import Batch
from model.lab.training.config import StageName
from model.lab.training.losses import derivative_losses, mean_log_error
from model.lab.training.readout import begin_with_fov, begin_with_readout, detail_map, join_finer, refined
from model.network import DepthProNetwork
from model.network.depth_pro import pyramid
from model.network.initialise import FOV_DEG
from model.network.layers import tokens_to_map

Losses = dict[str, Tensor]
LEAST_C = 4e-3  # what logarithms see of the sky: as if it were 250 focal lengths away


class Task(nn.Module):
    """A stage of a network's training.

    Attributes:
        network: all of it.
        size: side of the pictures that the stage takes.
    """

    def __init__(self, network: DepthProNetwork, size: int) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def trained(self) -> list[nn.Module]:
        """The modules this stage changes."""
        raise NotImplementedError

    def loss(self, batch: Batch) -> Losses:
        """Scalars by name; their sum is minimised."""
        raise NotImplementedError

    def predict(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """``C_BSS`` and ``fov_B``, each ``None`` where this stage does not learn it."""
        raise NotImplementedError

    def finish(self) -> None:
        """What is to be done to the network when the stage is over."""


class Backbone(Task):
    """The global transformer with linear heads for log canonical inverse depth (8 × 8 per token) and field of view."""

    CELLS = 8
    UNIT_DEG = 20.0  # of the field of view, so that both heads learn at one rate

    def __init__(self, network: DepthProNetwork) -> None:
        super().__init__(network, network.config.tile_size)
        self.depth = nn.Linear(network.config.width, self.CELLS**2)
        self.fov = nn.Linear(network.config.width, 1)
        for head, told in ((self.depth, -1.5), (self.fov, FOV_DEG / self.UNIT_DEG)):
            nn.init.zeros_(head.weight)
            nn.init.constant_(head.bias, told)

    def trained(self) -> list[nn.Module]:
        return [self.network.encoder.image_encoder, self.depth, self.fov]

    def forward(self, x_B3SS: Tensor) -> tuple[Tensor, Tensor]:
        """``log C_BHH``, 8 values a token along each side, and ``fov_B`` in degrees."""
        tokens_BNC = self.network.encoder.image_encoder.forward_features(x_B3SS)[:, 1:]
        log_BPGG = tokens_to_map(self.depth(tokens_BNC))
        return pixel_shuffle(log_BPGG, self.CELLS).squeeze(1), self.UNIT_DEG * self.fov(tokens_BNC.mean(1)).squeeze(1)

    def loss(self, batch: Batch) -> Losses:
        log_C_BHH, fov_B = (value.float() for value in self(batch.x_B3SS))
        step = self.size // log_C_BHH.shape[-1]
        target_BHH = batch.target_BSS[:, step // 2 :: step, step // 2 :: step]
        return {
            "depth": l1_loss(log_C_BHH, target_BHH.clamp_min(LEAST_C).log()),
            "focal": focal_loss(fov_B, batch.fov_B),
        }

    def predict(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        log_C_BHH, fov_B = self(batch.x_B3SS)
        C_BSS = interpolate(log_C_BHH[:, None].exp(), size=(self.size, self.size), mode="nearest").squeeze(1)
        return C_BSS, fov_B

    def finish(self) -> None:
        learnt = self.network.encoder.image_encoder.state_dict()
        for transformer in (self.network.encoder.patch_encoder, self.network.fov.encoder[0]):
            transformer.load_state_dict(learnt)
        begin_with_readout(self.network, self.depth)
        join_finer(self.network)
        begin_with_fov(self.network, self.fov, self.UNIT_DEG)


class Tiles(Task):
    """The tiles' transformer, and the first layers that its maps of tiles at half and at full size go through.

    A tile alone tells no distance, but where its parts lie before and behind each other. So what is learnt are
    differences, the finer levels of a Laplacian pyramid of log C. Where the transformer is unsure, the best guess is
    none, so that no seams arise between tiles.
    """

    TILES = 12, 4  # drawn from each picture, at full and at half size
    # Differences of log C up to here count by their square. By L1 alone, an edge that is less likely than not is none.
    TOLERATED = 0.5

    def __init__(self, network: DepthProNetwork) -> None:
        super().__init__(network, network.config.input_size)
        self.drawn: Tensor
        self.register_buffer("drawn", torch.zeros((), dtype=torch.long))  # batches, which decides their tiles

    def trained(self) -> list[nn.Module]:
        encoder = self.network.encoder
        return [encoder.patch_encoder, encoder.upsample0, encoder.upsample1]

    def loss(self, batch: Batch) -> Losses:
        encoder, config = self.network.encoder, self.network.config
        _, medium_BHH, fine_BHH = self.truth(batch.target_BSS)
        x0_B3SS, x1_B3SS, _ = pyramid(batch.x_B3SS)
        generator = torch.Generator().manual_seed(int(self.drawn))
        self.drawn += 1
        fine_K3TT, fine_KHH = draw_tiles(x0_B3SS, fine_BHH, config.tile_size, self.TILES[0], generator)
        medium_K3TT, medium_KHH = draw_tiles(x1_B3SS, medium_BHH, config.tile_size, self.TILES[1], generator)
        tiles_KNC = encoder.patch_encoder.forward_features(torch.cat((fine_K3TT, medium_K3TT)))[:, 1:]
        count = len(fine_K3TT)
        losses = {}
        for name, upsample, tokens_KNC, truth_KHH in (
            ("medium", encoder.upsample1, tiles_KNC[count:], medium_KHH),
            ("fine", encoder.upsample0, tiles_KNC[:count], fine_KHH),
        ):
            detail_KHH = detail_map(upsample, config.decoder_dim, tokens_KNC).float()
            truth_KHH = averaged(truth_KHH, detail_KHH.shape[-1])
            losses[name] = smooth_l1_loss(detail_KHH, truth_KHH, beta=self.TOLERATED)
        return losses

    def truth(self, target_BSS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The pyramid of whole pictures, coarse, medium and fine: 8 values a token of 1, 4 and 16 tiles.

        The network's sum of all three is the log C of the finest values.
        """
        side = 4 * Backbone.CELLS * self.network.config.grid
        step = self.size // side
        fine_BHH = target_BSS[:, step // 2 :: step, step // 2 :: step].clamp_min(LEAST_C).log()
        medium_BHH, coarse_BHH = (smoothed(averaged(fine_BHH, side // factor)) for factor in (2, 4))
        return coarse_BHH, medium_BHH - refined(coarse_BHH), fine_BHH - refined(medium_BHH)

    def predict(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        return Depth(self.network, derivatives=False).predict(batch)


def averaged(map_BHH: Tensor, side: int) -> Tensor:
    """``map_BHH`` with ``side`` values a side, which divides as many as it has."""
    return avg_pool2d(map_BHH, map_BHH.shape[-1] // side)


def smoothed(map_BHH: Tensor, sigma: float = 2.0) -> Tensor:
    """A Gaussian of ``sigma`` values, a quarter of a token; at the border, the map goes on as its mirror image."""
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=map_BHH.device) / sigma) ** 2)
    kernel = (kernel / kernel.sum())[None, None, None]
    map_B1HH = conv2d(pad(map_BHH[:, None], (reach, reach, 0, 0), mode="reflect"), kernel)
    return conv2d(pad(map_B1HH, (0, 0, reach, reach), mode="reflect"), kernel.mT).squeeze(1)


def draw_tiles(
    x_B3SS: Tensor, target_BHH: Tensor, tile: int, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """``count`` tiles of each picture at random places, ``[K, 3, tile, tile]``, and their part of ``target_BHH``."""
    step = x_B3SS.shape[-1] // target_BHH.shape[-1]
    side = tile // step
    places = torch.randint(0, target_BHH.shape[-1] - side + 1, (len(x_B3SS), count, 2), generator=generator)
    images, targets = [], []
    for x_3SS, target_HH, at in zip(x_B3SS, target_BHH, places.tolist(), strict=True):
        for top, left in at:
            images.append(x_3SS[:, top * step : top * step + tile, left * step : left * step + tile])
            targets.append(target_HH[top : top + side, left : left + side])
    return torch.stack(images), torch.stack(targets)


class Depth(Task):
    """The whole network but the field-of-view branch. ``derivatives``: the second stage."""

    def __init__(self, network: DepthProNetwork, *, derivatives: bool) -> None:
        super().__init__(network, network.config.input_size)
        self._derivatives = derivatives

    def trained(self) -> list[nn.Module]:
        return [self.network.encoder, self.network.decoder, self.network.head]

    def loss(self, batch: Batch) -> Losses:
        C_BHH, _ = self.network(batch.x_B3SS, with_fov=False)
        # The prediction is as large as the picture for patches of 16 pixels, and larger for smaller ones.
        target_BHH = interpolate(batch.target_BSS[:, None], size=C_BHH.shape[1:], mode="nearest-exact").squeeze(1)
        C_BHH = C_BHH.float()
        losses = {"depth": mean_log_error(C_BHH, target_BHH)}
        if self._derivatives:
            losses |= derivative_losses(C_BHH, target_BHH)
        return losses

    def predict(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        C_BHH, _ = self.network(batch.x_B3SS, with_fov=False)
        return interpolate(C_BHH[:, None], size=(self.size, self.size), mode="nearest-exact").squeeze(1), None


class FieldOfView(Task):
    """The field-of-view branch, beside the frozen rest (arXiv 2410.02073, "Focal length estimation")."""

    def __init__(self, network: DepthProNetwork) -> None:
        super().__init__(network, network.config.tile_size)  # the branch sees the smallest picture of the pyramid

    def trained(self) -> list[nn.Module]:
        return [self.network.fov]

    def forward(self, x_B3TT: Tensor) -> Tensor:
        """``fov_B`` in degrees."""
        with torch.no_grad():
            lowres_BD_2G = self.network.decoder.convs[-1](self.network.encoder.lowest(x_B3TT))
        fov_B: Tensor = self.network.fov(x_B3TT, lowres_BD_2G)
        return fov_B

    def loss(self, batch: Batch) -> Losses:
        return {"focal": focal_loss(self(batch.x_B3SS).float(), batch.fov_B)}

    def predict(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        return None, self(batch.x_B3SS)


def focal_loss(fov_B: Tensor, truth_B: Tensor) -> Tensor:
    """Mean error of the logarithm of the focal length, which scales depth; the network itself says degrees."""
    safe_B = fov_B.clamp(5, 170)
    outside = (fov_B - safe_B).abs().mean() / 10  # so that a value out of range finds its way back
    return l1_loss(log_focal(safe_B), log_focal(truth_B)) + outside


def log_focal(fov_B: Tensor) -> Tensor:
    """``log(f_px / width)`` of a horizontal field of view in degrees."""
    return (0.5 / torch.tan(fov_B * (math.pi / 360))).log()


def task(name: StageName, network: DepthProNetwork) -> Task:
    """The stage ``name`` of a network."""
    if name == "backbone":
        return Backbone(network)
    if name == "tiles":
        return Tiles(network)
    if name == "fov":
        return FieldOfView(network)
    return Depth(network, derivatives=name == "boundaries")
