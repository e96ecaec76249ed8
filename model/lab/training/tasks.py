"""What each stage trains, and on which loss.

Shape suffixes: B batch, N tokens, C channels, S side of a picture, G token grid side of a tile,
P predictions per token.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, l1_loss, pixel_shuffle

from model.lab.training.batch import Batch
from model.lab.training.config import StageName
from model.lab.training.losses import derivative_losses, mean_log_error
from model.lab.training.readout import begin_with_readout
from model.network import DepthProNetwork
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
    """The global transformer with a linear head for log canonical inverse depth (8 × 8 per token) and log focal."""

    CELLS = 8

    def __init__(self, network: DepthProNetwork) -> None:
        super().__init__(network, network.config.tile_size)
        self.depth = nn.Linear(network.config.width, self.CELLS**2)
        self.focal = nn.Linear(network.config.width, 1)
        for head in (self.depth, self.focal):
            nn.init.zeros_(head.weight)
            nn.init.constant_(head.bias, -1.5 if head is self.depth else 0.0)

    def trained(self) -> list[nn.Module]:
        return [self.network.encoder.image_encoder, self.depth, self.focal]

    def forward(self, x_B3SS: Tensor) -> tuple[Tensor, Tensor]:
        """``log C_BHH``, 8 values a token along each side, and ``log(f_px / width)_B``."""
        tokens_BNC = self.network.encoder.image_encoder.forward_features(x_B3SS)[:, 1:]
        log_BPGG = tokens_to_map(self.depth(tokens_BNC))
        return pixel_shuffle(log_BPGG, self.CELLS).squeeze(1), self.focal(tokens_BNC.mean(1)).squeeze(1)

    def loss(self, batch: Batch) -> Losses:
        log_C_BHH, log_focal_B = (value.float() for value in self(batch.x_B3SS))
        step = self.size // log_C_BHH.shape[-1]
        target_BHH = batch.target_BSS[:, step // 2 :: step, step // 2 :: step]
        return {
            "depth": l1_loss(log_C_BHH, target_BHH.clamp_min(LEAST_C).log()),
            "focal": l1_loss(log_focal_B, log_focal(batch.fov_B)),
        }

    def predict(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        log_C_BHH, log_focal_B = self(batch.x_B3SS)
        C_BSS = interpolate(log_C_BHH[:, None].exp(), size=(self.size, self.size), mode="nearest").squeeze(1)
        return C_BSS, torch.rad2deg(2 * torch.atan(0.5 / log_focal_B.exp()))

    def finish(self) -> None:
        learnt = self.network.encoder.image_encoder.state_dict()
        for transformer in (self.network.encoder.patch_encoder, self.network.fov.encoder[0]):
            transformer.load_state_dict(learnt)
        begin_with_readout(self.network, self.depth)


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
        fov_B = self(batch.x_B3SS).float()
        # Of logarithms of the focal length: what scales depth. The branch itself says degrees.
        safe_B = fov_B.clamp(5, 170)
        outside = (fov_B - safe_B).abs().mean() / 10  # so that a value out of range finds its way back
        return {"focal": l1_loss(log_focal(safe_B), log_focal(batch.fov_B)) + outside}

    def predict(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        return None, self(batch.x_B3SS)


def log_focal(fov_B: Tensor) -> Tensor:
    """``log(f_px / width)`` of a horizontal field of view in degrees."""
    return (0.5 / torch.tan(fov_B * (math.pi / 360))).log()


def task(name: StageName, network: DepthProNetwork) -> Task:
    """The stage ``name`` of a network."""
    if name == "backbone":
        return Backbone(network)
    if name == "fov":
        return FieldOfView(network)
    return Depth(network, derivatives=name == "boundaries")
