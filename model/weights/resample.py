"""A trained network at another input size: cheaper or finer, and approximate, because it was not trained there."""

from __future__ import annotations

from dataclasses import replace

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor
from torch.nn.functional import interpolate

from model.weights.loader import LoadedModel, frozen, on_meta
from stream.errors import ConfigError

_LARGEST = 4096


def at_input_size(model: LoadedModel, size: int) -> LoadedModel:
    """The same network for pictures of ``size`` × ``size`` pixels; tiles and patches keep their share and their size.

    Learned positions are resampled (bicubic), and so is the one kernel that is as large as its map, the last one of the
    field-of-view head; its sum stays what it was.

    Raises:
        ConfigError: tiles of that size would not overlap by whole patches.
    """
    config = model.config
    step = 4 * 8 * config.patch_size
    if not step <= size <= _LARGEST or size % step:
        raise ConfigError(
            f"`input_size` must be a multiple of {step} up to {_LARGEST} for {model.name}, such as {2 * step}, "
            f"not {size}"
        )
    if size == config.input_size:
        return model
    config = replace(config, tile_size=size // 4)
    network = on_meta(config)
    wanted = network.state_dict()
    tensors = {
        name: _resampled(name, tensor, wanted[name].shape, config.grid)
        for name, tensor in model.network.state_dict().items()
    }
    network.load_state_dict(tensors, assign=True)
    return replace(model, network=frozen(network), name=f"{model.name} at {size} px", config=config)


def _resampled(name: str, tensor: Tensor, shape: torch.Size, grid: int) -> Tensor:
    if tensor.shape == shape:
        return tensor
    if name.endswith("pos_embed"):
        positions: Tensor = resample_abs_pos_embed(tensor.float(), [grid, grid], num_prefix_tokens=1)
        return positions.to(tensor.dtype)
    kernel = interpolate(tensor.float(), size=shape[2:], mode="bilinear", antialias=True)
    return (kernel * (tensor.shape[2] * tensor.shape[3] / (shape[2] * shape[3]))).to(tensor.dtype)
