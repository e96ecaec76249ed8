"""The network against an independent implementation, and its own promises."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from model import weights
from model.network import DepthProNetwork, InferenceNetwork, init_random
from model.network.config import PRESETS, NetworkConfig
from model.network.tiles import merge_tiles, split_tiles
from stream.errors import ConfigError
from tests.support.tiny import TINY, tiny_model
from tests.support.transformers_oracle import predict, random_oracle, relative_error

CONFIGS = (
    NetworkConfig(
        tile_size=64,
        patch_size=8,
        width=24,
        depth=3,
        heads=2,
        hook_blocks=(0, 1),
        decoder_dim=8,
        feature_dims=(8, 12, 16),
    ),
    NetworkConfig(
        tile_size=128,
        patch_size=16,
        width=32,
        depth=4,
        heads=4,
        hook_blocks=(1, 2),
        decoder_dim=16,
        feature_dims=(24, 8, 40),
    ),
    NetworkConfig(
        tile_size=64,
        patch_size=4,
        width=48,
        depth=5,
        heads=3,
        hook_blocks=(0, 4),
        decoder_dim=8,
        feature_dims=(16, 16, 8),
    ),
)


def picture(config: NetworkConfig, batch: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, config.input_size, config.input_size, generator=generator) * 2 - 1


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"tile{c.tile_size}-patch{c.patch_size}-width{c.width}")
def test_equals_transformers_through_both_layouts(config: NetworkConfig, tmp_path: Path) -> None:
    oracle = random_oracle(config, seed=config.width)
    x = picture(config)
    C_expected, fov_expected = predict(oracle, x)

    oracle.save_pretrained(tmp_path / "published")
    from_transformers = weights.load(str(tmp_path / "published"), config=config)
    torch.save(from_transformers.network.state_dict(), tmp_path / "depth_pro.pt")
    from_reference = weights.load(str(tmp_path / "depth_pro.pt"), config=config)

    for loaded in (from_transformers, from_reference):
        C, fov = loaded.network(x)
        assert fov is not None
        assert relative_error(C, C_expected) < 1e-5
        assert relative_error(fov, fov_expected) < 1e-5
        C, fov = InferenceNetwork(loaded.network)(x)
        assert relative_error(C, C_expected) < 1e-5
        assert relative_error(fov, fov_expected) < 1e-5


def test_a_batch_is_its_pictures() -> None:
    network = tiny_model().network
    x = picture(TINY, batch=2)
    C, fov = network(x)
    assert C.shape == (2, TINY.output_size, TINY.output_size)
    assert not torch.allclose(C[0], C[1])
    for i in range(2):
        C_alone, fov_alone = network(x[i : i + 1])
        torch.testing.assert_close(C[i : i + 1], C_alone)
        torch.testing.assert_close(fov[i : i + 1], fov_alone)


def test_known_focal_skips_the_whole_fov_branch() -> None:
    network = tiny_model().network
    x = picture(TINY, batch=1)
    C_with_fov, _ = network(x)

    def fail(*_: Any) -> None:
        raise AssertionError("the field-of-view branch ran")

    hooks = [module.register_forward_pre_hook(fail) for module in network.fov.modules()]
    C, fov = network(x, with_fov=False)
    assert fov is None
    assert torch.equal(C, C_with_fov)
    assert len(hooks) > 20
    with pytest.raises(AssertionError, match="branch ran"):
        network(x)


@pytest.mark.parametrize("shape", [(3, 256, 256), (1, 3, 255, 256), (1, 4, 256, 256), (1, 3, 128, 128)])
def test_wrong_input_is_refused_with_the_right_shape(shape: tuple[int, ...]) -> None:
    network = tiny_model().network
    with pytest.raises(ValueError, match=r"\[B, 3, 256, 256\], not \[") as caught:
        network(torch.zeros(shape))
    assert str(list(shape)) in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_last_layers_stay_in_float32(dtype: torch.dtype) -> None:
    network = tiny_model().network.to(dtype)
    last = (network.head[4], network.fov.head[4])
    assert all(p.dtype == torch.float32 for layer in last for p in layer.parameters())
    assert network.head[2].weight.dtype == network.fov.head[2].weight.dtype == dtype

    C, fov = network(picture(TINY))
    assert C.dtype == fov.dtype == torch.float32
    # Rounding the results would be visible as values that the narrow type can hold.
    assert (C.to(dtype) != C).float().mean() > 0.9
    assert (fov.to(dtype) != fov).any()
    C_exact, fov_exact = tiny_model().network(picture(TINY))
    torch.testing.assert_close(C, C_exact, rtol=0.05, atol=0.02)
    torch.testing.assert_close(fov, fov_exact, rtol=0.01, atol=0)


@pytest.mark.parametrize(("count", "overlap"), [(5, 0.25), (3, 0.5)])
@pytest.mark.parametrize("grid", [8, 24])
def test_splitting_and_merging_keeps_every_token_in_place(count: int, overlap: float, grid: int) -> None:
    patch, batch = 2, 2
    tile = grid * patch
    side = tile + (count - 1) * round(tile * (1 - overlap))
    x = torch.rand(batch, 3, side, side)

    tiles = split_tiles(x, tile, count)
    assert tiles.shape == (count * count * batch, 3, tile, tile)
    # Tile-major: the second tile of both pictures comes after the first of both.
    stride = round(tile * (1 - overlap))
    assert torch.equal(tiles[batch : 2 * batch], x[..., :tile, stride : stride + tile])

    # A "transformer" whose feature is the mean of its patch, alone, must give the picture's own patch means.
    merged = merge_tiles(avg_pool2d(tiles, patch), count, drop=round(grid * overlap / 2))
    assert torch.equal(merged, avg_pool2d(x, patch))


def parameter_count(config: NetworkConfig) -> int:
    with torch.device("meta"):
        network = DepthProNetwork(config)
    assert not list(network.buffers())  # a buffer on the meta device would never be filled by a checkpoint
    return sum(p.numel() for p in network.parameters())


def test_published_size() -> None:
    assert parameter_count(PRESETS["depth-pro"]) == 951_991_330  # the published checkpoint's


def test_nano_is_small() -> None:
    assert parameter_count(PRESETS["nano"]) <= 10_000_000


@pytest.mark.parametrize("seed", range(2))
def test_untrained_nano_is_plausible(seed: int) -> None:
    config = PRESETS["nano"]
    network = DepthProNetwork(config).eval().requires_grad_(False)
    init_random(network, seed)
    ramp = torch.linspace(-1, 1, config.input_size).expand(1, 3, config.input_size, -1)
    results = [network(x) for x in (picture(config, batch=1), ramp)]
    for C, fov in results:
        assert C.isfinite().all()
        assert C.min() > 0
        assert 0.1 < C.median() <= 1
        assert C.std() > 0.01
        assert 45 < fov.item() < 65
    assert not torch.equal(results[0][0], results[1][0])


def test_random_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (tiny_model(seed=seed).network for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.encoder.fuse_lowres.weight, other.encoder.fuse_lowres.weight)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tile_size": 100}, "multiple of 8"),
        ({"tile_size": 96, "patch_size": 8}, "multiple of 8"),
        ({"heads": 5}, "multiple of heads"),
        ({"decoder_dim": 12}, "decoder_dim must be a multiple of 8"),
        ({"hook_blocks": (1, 1)}, "ascending"),
        ({"hook_blocks": (1, 2)}, "below depth 2"),
        ({"hook_blocks": (1,)}, "2 numbers"),
        ({"feature_dims": (8, 8)}, "3 numbers"),
        ({"feature_dims": 8}, "3 numbers"),
        ({"width": (8, 8)}, "a number"),
        ({"depth": 0}, "from 1 on"),
        ({"width": 16.0}, "whole numbers"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TINY, **changes)


def test_config_survives_json() -> None:
    for config in (*PRESETS.values(), *CONFIGS):
        assert NetworkConfig.from_json(config.to_json()) == config
        assert "\n" not in config.to_json()


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", TINY.to_json().replace("heads", "hands"), '{"width": 3}'])
def test_damaged_json_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a network description"):
        NetworkConfig.from_json(text)
