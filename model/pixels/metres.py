"""Canonical inverse depth and focal length → metres, at a size of choice. Pure."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (the customary name)
from torch import Tensor

MIN_INVERSE_DEPTH = 1e-4
"""Per metre: what lies farther than 10 km is beyond range. The reference clamps inverse depth here."""

MAX_INVERSE_DEPTH = 1e4
"""Per metre: nothing is nearer than 0.1 mm."""


def metric_depth(C_SS: Tensor, *, focal_ratio: float, width: int, height: int) -> Tensor:
    """Depth in metres for a picture of ``width`` × ``height`` pixels.

    ``1 / depth = C · W / f_px`` (arXiv 2410.02073, section 3.1: ``depth = f_px / (W · C)``). Inverse depth is what is
    resized (bilinear, half-pixel centres): it is the network's own quantity, and unlike depth it is bounded.

    Args:
        C_SS: canonical inverse depth, any float type.
        focal_ratio: ``f_px / W``, the horizontal focal length as a fraction of the picture's width.
        width, height: of the result.

    Returns:
        ``float32 [H, W]``. +Inf where inverse depth is at most :data:`MIN_INVERSE_DEPTH`, NaN where ``C_SS`` is NaN:
        beyond range and no estimate in the terms of REP 117.
    """
    C_HW = resized(C_SS, width=width, height=height)
    # Multiplied, not divided: torch divides by a number on a CPU and multiplies with its inverse on a GPU, and the same
    # inverse depth is to be the same depth on both.
    inverse_HW = (C_HW * (1 / focal_ratio)).clamp(max=MAX_INVERSE_DEPTH)
    return torch.where(inverse_HW <= MIN_INVERSE_DEPTH, torch.inf, inverse_HW.reciprocal())


def resized(C_SS: Tensor, *, width: int, height: int) -> Tensor:
    """Canonical inverse depth at the size that depth will have: ``float32 [H, W]``, bilinear, half-pixel centres."""
    C_SS = C_SS.to(torch.float32)
    if C_SS.shape == (height, width):
        return C_SS
    return F.interpolate(C_SS[None, None], size=(height, width), mode="bilinear", align_corners=False)[0, 0]
