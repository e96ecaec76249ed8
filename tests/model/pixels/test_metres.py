"""Metres from canonical inverse depth, against transformers' post-processing, and the ends of the range."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from transformers import DepthProImageProcessor

from model.pixels.metres import metric_depth


@pytest.mark.parametrize(("width", "height"), [(64, 64), (160, 90), (33, 71)])
def test_depth_is_that_of_transformers(width: int, height: int) -> None:
    C = torch.rand(64, 64, generator=torch.Generator().manual_seed(0)) + 0.05
    fov = torch.tensor(47.25)
    theirs = DepthProImageProcessor().post_process_depth_estimation(
        SimpleNamespace(predicted_depth=C[None], field_of_view=fov[None]), target_sizes=[(height, width)]
    )[0]
    f_px = 0.5 * width / math.tan(0.5 * math.radians(47.25))
    assert float(theirs["focal_length"]) == pytest.approx(f_px, rel=1e-5)
    ours = metric_depth(C, focal_ratio=f_px / width, width=width, height=height)
    torch.testing.assert_close(ours, theirs["predicted_depth"], rtol=2e-5, atol=0)


def test_depth_scales_with_focal_length() -> None:
    C = torch.rand(8, 8) + 0.1
    near = metric_depth(C, focal_ratio=0.7, width=8, height=8)
    far = metric_depth(C, focal_ratio=1.4, width=8, height=8)
    torch.testing.assert_close(far, 2 * near)


def test_the_ends_of_the_range() -> None:
    C = torch.tensor([[0.0, 1e-5], [1e9, math.nan]])
    depth = metric_depth(C, focal_ratio=1.0, width=2, height=2)
    assert depth[0].tolist() == [math.inf, math.inf]
    assert depth[1, 0] == pytest.approx(1e-4)
    assert math.isnan(depth[1, 1])


def test_half_precision_input_gives_float32() -> None:
    assert metric_depth(torch.ones(2, 2, dtype=torch.bfloat16), focal_ratio=1, width=4, height=4).dtype == torch.float32
