"""What is folded for inference equals what was trained: layer by layer and as a whole."""

from __future__ import annotations

import collections
import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d
from torch.utils._python_dispatch import TorchDispatchMode

from model.network import DepthProNetwork, InferenceNetwork, init_random
from model.network.config import PRESETS, NetworkConfig
from model.network.inference import fold, heads
from model.network.inference.layers import Borders, Place
from model.network.inference.patches import tile_indices
from model.network.inference.variant import FUSED, PLAIN
from tests.model.network.test_network import CONFIGS, picture
from tests.support.tiny import TINY

FLOAT64 = Place(device=torch.device("cpu"), dtype=torch.float64)
SIZES = [(5, 7), (1, 4), (2, 2)]  # borders on every side, and maps that are nothing but borders


def random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def close(ours: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("k", [2, 4])
def test_projections_before_and_behind_an_upsampling(k: int, size: tuple[int, int]) -> None:
    x, projection, deconv = random(2, 5, *size), random(3, 5), random(3, 4, k, k)
    plain = conv_transpose2d(conv2d(x, projection[..., None, None]), deconv, stride=k)
    close(conv_transpose2d(x, fold.pointwise_then_deconv(projection, deconv), stride=k), plain)

    behind = random(6, 4)
    plain = conv2d(conv_transpose2d(x, random(5, 4, k, k), stride=k), behind[..., None, None])
    close(conv_transpose2d(x, fold.deconv_then_pointwise(random(5, 4, k, k), behind), stride=k), plain)


@pytest.mark.parametrize("size", SIZES)
def test_three_upsamplings_are_one(size: tuple[int, int]) -> None:
    x, layers = random(2, 5, *size), (random(5, 3, 2, 2), random(3, 4, 2, 2), random(4, 6, 2, 2))
    plain, folded = x, layers[0]
    for layer in layers:
        plain = conv_transpose2d(plain, layer, stride=2)
    for layer in layers[1:]:
        folded = fold.deconv_then_deconv(folded, layer)
    assert folded.shape == (5, 6, 8, 8)
    close(conv_transpose2d(x, folded, stride=8), plain)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("k", [2, 4])
def test_an_upsampling_and_a_convolution_are_one_up_to_the_border(k: int, size: tuple[int, int]) -> None:
    x, deconv, conv = random(2, 5, *size), random(5, 3, k, k), random(4, 3, 3, 3)
    plain = conv2d(conv_transpose2d(x, deconv, stride=k), conv, padding=1)
    close(conv_transpose2d(x, fold.deconv_then_conv(deconv, conv), stride=k, padding=1), plain)


@pytest.mark.parametrize("size", SIZES)
def test_a_projection_and_a_convolution_are_one(size: tuple[int, int]) -> None:
    x, projection, conv = random(2, 5, *size), random(3, 5), random(4, 3, 3, 3)
    plain = conv2d(conv2d(x, projection[..., None, None]), conv, padding=1)
    close(conv2d(x, fold.pointwise_then_conv(projection, conv), padding=1), plain)


@pytest.mark.parametrize("size", [(5, 7), (3, 3), (2, 2)])
def test_a_bias_before_a_padded_convolution_is_exact_at_the_border(size: tuple[int, int]) -> None:
    x, bias, conv, conv_bias = random(2, 3, *size), random(3), random(4, 3, 3, 3), random(4)
    bias_O33 = fold.bias_through_conv(bias, conv, conv_bias)
    plain = conv2d(x + bias[:, None, None], conv, conv_bias, padding=1)
    borders = Borders(bias_O33, FLOAT64)
    close(borders(conv2d(x, conv, bias_O33[:, 1, 1], padding=1)), plain)

    # In two bands, of which each knows whether it has the picture's first or last row.
    folded = conv2d(x, conv, bias_O33[:, 1, 1], padding=1)
    borders(folded[:, :, :1], bottom=False)
    borders(folded[:, :, 1:], top=False)
    close(folded, plain)


@pytest.mark.parametrize("grid", [8, 16])
def test_every_patch_goes_to_its_tiles_and_comes_back_to_its_place(grid: int) -> None:
    split, merge = tile_indices(grid)
    assert split.shape == (35 * grid**2,)
    assert split.unique().tolist() == list(range(21 * grid**2))
    with_class = torch.cat((torch.full((35, 1), -1), split.view(35, -1)), dim=1)
    assert with_class.flatten()[merge].tolist() == list(range(21 * grid**2))


def trained(config: NetworkConfig, seed: int = 1) -> DepthProNetwork:
    """A network in which every parameter matters, biases and scales too."""
    network = DepthProNetwork(config).eval().requires_grad_(False)
    init_random(network, seed)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    for layer in (network.fov.downsample[0], network.fov.head[0], network.fov.head[2]):
        layer.bias.add_(1)  # type: ignore[union-attr, operator]  # alive behind its ReLU
    network.head[4].bias.fill_(1)  # type: ignore[union-attr, operator]
    return network


def in_float64(network: DepthProNetwork) -> DepthProNetwork:
    """All of it: the last layers, too, which otherwise stay in float32."""
    network = copy.deepcopy(network).double()
    for head in (network.head, network.fov.head):
        last: nn.Conv2d = head[4]  # type: ignore[assignment]
        head[4] = nn.Conv2d(last.in_channels, last.out_channels, last.kernel_size).double()  # type: ignore[arg-type]
        head[4].load_state_dict(last.state_dict())
    return network.requires_grad_(False)


@pytest.mark.parametrize("config", [TINY, *CONFIGS, PRESETS["nano"]], ids=lambda c: f"width{c.width}-depth{c.depth}")
def test_the_whole_network_is_the_same_function(config: NetworkConfig) -> None:
    network = trained(config)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    x = picture(config, batch=2 if config == TINY else 1)
    with torch.inference_mode():
        plain = in_float64(network)
        C, fov = plain(x.double())
        assert C.std() > 1e-3
        assert (C > 0).double().mean() > 0.5
        C_folded, fov_folded = InferenceNetwork(plain)(x.double())
        close(C_folded, C, 1e-9)
        close(fov_folded, fov, 1e-9)

        C_folded, fov_folded = InferenceNetwork(network)(x)
        assert C_folded.dtype == fov_folded.dtype == torch.float32
        torch.testing.assert_close(C_folded.double(), C, rtol=0, atol=1e-5 * float(C.max()))
        torch.testing.assert_close(fov_folded.double(), fov, rtol=1e-5, atol=0)

        # Fewer roundings of weights and of what passes between layers: not further from the truth than the plain one.
        rounded, folded = copy.deepcopy(network).bfloat16(), InferenceNetwork(network, dtype=torch.bfloat16)
        assert (folded(x)[0] - C).abs().mean() < 1.2 * (rounded(x)[0] - C).abs().mean()
        assert folded(x)[0].dtype == torch.float32
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("config", [TINY, PRESETS["nano"]], ids=["tiny", "nano"])
def test_fused_operations_are_the_same_function(config: NetworkConfig) -> None:
    """The form for GPUs, whose operators are plain ones on a CPU. ``test_kernels.py`` has what they are on a GPU."""
    network, x = trained(config), picture(config, batch=2 if config == TINY else 1)
    with torch.inference_mode():
        plain, fused = InferenceNetwork(network), InferenceNetwork(network, variant=FUSED)
        for found, expected in zip(fused(x), plain(x), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.max()))
        assert fused(x, with_fov=False)[1] is None
        exact, _ = plain(x)
        rounded, once = (
            InferenceNetwork(network, dtype=torch.bfloat16, variant=variant)(x)[0] for variant in (PLAIN, FUSED)
        )
        assert (once - exact).abs().mean() < 1.2 * (rounded - exact).abs().mean()


class Counter(TorchDispatchMode):
    """Counts the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: collections.Counter[str] = collections.Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))


def test_nothing_runs_by_itself_that_can_run_with_what_is_before_it() -> None:
    """One frame of the form for GPUs: no bias, ReLU, sum or LayerNorm alone but the few that follow no product."""
    config = PRESETS["nano"]
    network = InferenceNetwork(trained(config), dtype=torch.bfloat16, variant=FUSED)
    with torch.inference_mode(), Counter() as counter:
        network(picture(config))
    calls = counter.calls
    levels, blocks = 4, config.depth
    # Two sums with norms a block, in each of three transformers, but none before the first and after the hooks.
    norms = 3 * 2 * blocks - len(config.hook_blocks)
    assert calls["depth_pro.add_norm.default"] == norms
    assert calls["aten.layer_norm.default"] == 3 + len(config.hook_blocks)
    # A residual block ends in a sum: one with the upsampled map at each level, one at each refinement.
    assert calls["depth_pro.bias_add_relu_.default"] == levels
    assert calls["depth_pro.bias_add_.default"] == levels + 1
    assert calls["depth_pro.bias_relu_.default"] == 2 * levels + 1 + 3  # and three in the field-of-view head
    assert calls["depth_pro.head_end.default"] == 1
    # The first ReLU of a residual block is alone where its map comes from the tokens.
    assert calls["aten.relu.default"] + calls["aten.relu_.default"] == levels + 1
    assert sum(n for name, n in calls.items() if name.startswith("aten.gelu")) == 0


def test_bands_of_the_head_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = InferenceNetwork(in_float64(trained(TINY)))
    x = picture(TINY).double()
    whole, _ = network(x, with_fov=False)
    for rows in (1, 7, 100):
        row_bytes = len(x) * 4 * network.config.output_size // 2 * 32 * 8
        monkeypatch.setattr(heads, "_BAND_BYTES", rows * row_bytes)
        close(network(x, with_fov=False)[0], whole)


def test_a_batch_is_its_pictures() -> None:
    network, x = InferenceNetwork(trained(TINY)), picture(TINY, batch=3)
    C, fov = network(x)
    assert fov is not None
    for i in range(3):
        C_alone, fov_alone = network(x[i : i + 1])
        torch.testing.assert_close(C[i : i + 1], C_alone)
        torch.testing.assert_close(fov[i : i + 1], fov_alone)


def test_half_precision_checkpoints_are_folded_from_what_they_hold() -> None:
    halved = copy.deepcopy(trained(TINY)).half()
    exact = copy.deepcopy(halved).float()
    x = picture(TINY)
    C, fov = InferenceNetwork(halved, dtype=torch.float32)(x)
    C_exact, fov_exact = InferenceNetwork(exact)(x)
    assert torch.equal(C, C_exact)
    assert fov is not None
    assert torch.equal(fov, fov_exact)


def test_known_focal_skips_the_whole_fov_branch() -> None:
    network = InferenceNetwork(trained(TINY))
    x = picture(TINY)
    expected, _ = network(x)
    del network.fov
    C, fov = network(x, with_fov=False)
    assert fov is None
    assert torch.equal(C, expected)


def test_wrong_input_is_refused_with_the_right_shape() -> None:
    with pytest.raises(ValueError, match=r"\[B, 3, 256, 256\], not \[1, 3, 128, 128\]"):
        InferenceNetwork(trained(TINY))(torch.zeros(1, 3, 128, 128))
