"""How much of a GPU's memory a network needs, so that less is taken before it runs out rather than after."""

from __future__ import annotations

import logging
import math

import torch

from model.engine.precision import DTYPES, Precision
from model.network.config import NetworkConfig
from model.weights import LoadedModel

_log = logging.getLogger(__name__)

# Measured on an H100 at commit 8bede67: 3.5 GiB for depth-pro in bf16, batch 1, the pipeline at 1080p around it, of
# which the weights are 952 million numbers of 2 bytes.
_MEASURED_BYTES = 3.5 * 2**30
_PUBLISHED = NetworkConfig()
_PUBLISHED_WEIGHTS = 952.0e6 * 2


def needs_low_memory(model: LoadedModel, device: torch.device, precision: Precision, batch: int) -> bool:
    """Whether ``device`` has less memory free than ``model`` needs when it works through all tiles at once."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    needed = bytes_needed(model, precision, batch)
    if free >= needed:
        return False
    _log.warning(
        "%s has %.1f GiB free, and %s needs about %.1f GiB: working through a few tiles at a time, slower; "
        "close other programs for more",
        device,
        free / 2**30,
        model.name,
        needed / 2**30,
    )
    return True


def bytes_needed(model: LoadedModel, precision: Precision, batch: int) -> float:
    """About what weights and one batch take together, in bytes.

    What is computed with grows with pixels, width and the size of a number, measured on the published network.
    """
    config, size = model.config, DTYPES[precision].itemsize
    weights = sum(p.numel() for p in model.network.parameters()) * size
    pixels = math.prod((config.input_size, config.input_size, config.width))
    published = math.prod((_PUBLISHED.input_size, _PUBLISHED.input_size, _PUBLISHED.width))
    return weights + (_MEASURED_BYTES - _PUBLISHED_WEIGHTS) * batch * pixels / published * size / 2
