"""The published size, 952 million parameters at 1536 × 1536: minutes and about ten gigabytes. Run with ``-m slow``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import DepthProForDepthEstimation

from model import weights
from model.network import DepthProNetwork, init_random
from model.network.config import PRESETS
from model.weights import hub
from model.weights.state_dicts import reference_name
from tests.support.transformers_oracle import oracle_config, predict, relative_error

CONFIG = PRESETS["depth-pro"]
pytestmark = [pytest.mark.slow]


def random_network() -> DepthProNetwork:
    with torch.device("meta"):
        network = DepthProNetwork(CONFIG)
    network.to_empty(device="cpu").eval().requires_grad_(False)
    init_random(network, 0)
    return network


def oracle_on_the_same_memory(network: DepthProNetwork) -> DepthProForDepthEstimation:
    """Their network with our tensors; query, key and value are views of ours. Two copies would not fit everywhere."""
    with torch.device("meta"):
        oracle = DepthProForDepthEstimation(oracle_config(CONFIG))
    ours = network.state_dict()

    def tensor_of(name: str, meta: Tensor) -> Tensor:
        if name.endswith("mask_token"):
            return torch.zeros(meta.shape)
        renamed = reference_name(name)
        assert renamed is not None, name
        tensor, third = ours[renamed[0]], renamed[1]
        return tensor if third is None else tensor.chunk(3)[third]

    oracle.load_state_dict({n: tensor_of(n, t) for n, t in oracle.state_dict().items()}, assign=True)
    return oracle.eval().requires_grad_(False)


@torch.inference_mode()
def test_equals_transformers_at_full_size() -> None:
    network = random_network()
    size = CONFIG.input_size
    # Coarse and fine structure, so that every level of the pyramid sees something.
    generator = torch.Generator().manual_seed(0)
    coarse, fine = (torch.rand(1, 3, n, n, generator=generator) * 2 - 1 for n in (12, size))
    x = 0.7 * interpolate(coarse, size=size, mode="bilinear") + 0.3 * fine

    C, fov = network(x)
    assert fov is not None
    C_expected, fov_expected = predict(oracle_on_the_same_memory(network), x)
    print(f"relative errors: C {relative_error(C, C_expected):.2e}, fov {relative_error(fov, fov_expected):.2e}")
    assert relative_error(C, C_expected) < 1e-4
    assert relative_error(fov, fov_expected) < 1e-4


@torch.inference_mode()
def test_published_weights_give_the_published_figures() -> None:
    """The figures of transformers' own integration test, for COCO val2017 image 000000039769."""
    spec = os.environ.get("DEPTH_PRO_WEIGHTS") or hub.find()
    photo = os.environ.get("DEPTH_PRO_COCO_IMAGE") or hub.cache_dir() / "000000039769.jpg"
    if spec is None:
        pytest.skip(f"no published weights: set DEPTH_PRO_WEIGHTS, or put depth_pro.pt into {hub.cache_dir()}")
    if not Path(photo).exists():
        pytest.skip(f"no test picture: set DEPTH_PRO_COCO_IMAGE to COCO val2017 000000039769.jpg, or put it at {photo}")

    network = weights.load(str(spec), config=CONFIG).network.float()
    rgb = torch.from_numpy(np.asarray(Image.open(photo).convert("RGB")).copy())
    x = (rgb.permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
    C, fov = network(interpolate(x, size=CONFIG.input_size, mode="bilinear", align_corners=False))

    corner = [[1.0582, 1.1225, 1.1335], [1.1154, 1.1398, 1.1486], [1.1434, 1.1500, 1.1643]]
    torch.testing.assert_close(C[0, :3, :3], torch.tensor(corner), atol=1e-4, rtol=0)
    torch.testing.assert_close(fov, torch.tensor([47.2459]), atol=1e-4, rtol=1e-4)
