"""The independent implementation our network is compared with: ``transformers.DepthProForDepthEstimation``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import DepthProConfig, DepthProForDepthEstimation

from model.network.config import NetworkConfig


def oracle_config(config: NetworkConfig) -> DepthProConfig:
    """Our configuration in their words. They count maps from the coarsest."""
    vit = {
        "model_type": "dinov2",
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "image_size": config.tile_size,
        "patch_size": config.patch_size,
        "layer_norm_eps": 1e-6,
    }
    return DepthProConfig(
        use_fov_model=True,
        fusion_hidden_size=config.decoder_dim,
        patch_size=config.tile_size,
        intermediate_hook_ids=list(reversed(config.hook_blocks)),
        intermediate_feature_dims=[config.decoder_dim] * 2,
        scaled_images_feature_dims=list(reversed(config.feature_dims)),
        merge_padding_value=config.grid // 8,
        image_model_config=dict(vit),
        patch_model_config=dict(vit),
        fov_model_config=dict(vit),
    )


@torch.no_grad()
def random_oracle(config: NetworkConfig, seed: int) -> DepthProForDepthEstimation:
    """Their network with every parameter random, biases and scales too, so that none can be mixed up unnoticed."""
    model = DepthProForDepthEstimation(oracle_config(config)).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.normal_(0, 0.2, generator=generator)
            if not name.endswith("bias"):
                parameter.add_(1)
        else:
            module = model.get_submodule(name.rpartition(".")[0])
            transposed = isinstance(module, nn.ConvTranspose2d)
            fan_in = parameter.shape[0] if transposed else parameter[0].numel()
            parameter.normal_(0, fan_in**-0.5, generator=generator)
    model.head.layers[4].weight.mul_(0.2)
    model.head.layers[4].bias.fill_(1.0)
    return model


@torch.no_grad()
def predict(model: DepthProForDepthEstimation, x_B3SS: Tensor) -> tuple[Tensor, Tensor]:
    """``C_BSS`` and ``fov_B`` as they see it, after a check that there is something to compare."""
    output = model(pixel_values=x_B3SS)
    C_BSS, fov_B = output.predicted_depth, output.field_of_view
    assert C_BSS.std() > 1e-3
    assert (C_BSS > 0).float().mean() > 0.5
    assert fov_B.abs().min() > 1e-3
    return C_BSS, fov_B


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, in units of the largest value."""
    assert ours.shape == theirs.shape
    assert ours.dtype == torch.float32
    return float((ours - theirs).abs().max() / theirs.abs().max())
