"""What the stages minimise (arXiv 2410.02073, "Training objectives").

The target is canonical inverse depth, ``C = f_px / (width_px · depth)``, zero for the sky.
Shape suffixes: B batch, H, W.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

# Scharr's derivative, scaled to the difference between neighbouring pixels, and Laplace's operator.
_SCHARR_X = torch.tensor([[-3.0, 0.0, 3.0], [-10.0, 0.0, 10.0], [-3.0, 0.0, 3.0]]) / 32
_GRADIENT_2133 = torch.stack((_SCHARR_X, _SCHARR_X.T))[:, None]
_LAPLACE_1133 = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]


def picture_scale(target_BHW: Tensor, floor: float = 0.02) -> Tensor:
    """``scale_B11``: the mean canonical inverse depth of each picture, and ``floor`` (50 widths away) at least."""
    return target_BHW.mean(dim=(1, 2), keepdim=True).clamp_min(floor)


def mean_log_error(C_BHW: Tensor, target_BHW: Tensor) -> Tensor:
    """Mean of ``|log(C + e) - log(target + e)|``, with ``e`` 5 % of the picture's mean. A scalar.

    The paper's mean absolute error sees billions of pixels, and far ones get their share. In a short training the few
    near pixels would take it all, while depth is judged by ratios wherever it lies; and where the network is unsure,
    zero, which is infinitely far away, would cost no more than twice the truth.
    """
    offset_B11 = 0.05 * picture_scale(target_BHW)
    return ((C_BHW + offset_B11) / (target_BHW + offset_B11)).log().abs().mean()


def derivative_losses(C_BHW: Tensor, target_BHW: Tensor, *, scales: int = 6) -> dict[str, Tensor]:
    """The paper's multi-scale losses on derivatives, of maps divided by each picture's mean. Scalars by name.

    ``MAGE`` and ``MSGE``, mean absolute and mean squared error of Scharr gradients; ``MALE``, mean absolute error of
    the Laplacian. Each is averaged over ``scales`` scales, each half as fine (2 × 2 averages), down to 4 pixels a side.
    """
    # Derivatives are linear: the difference is filtered once instead of both maps.
    error_B1HW = ((C_BHW - target_BHW) / picture_scale(target_BHW))[:, None]
    gradient = _GRADIENT_2133.to(error_B1HW)
    laplace = _LAPLACE_1133.to(error_B1HW)
    mage, msge, male = [], [], []
    for _ in range(scales):
        if min(error_B1HW.shape[-2:]) < 4:
            break
        slope_B2HW = conv2d(error_B1HW, gradient)
        mage.append(slope_B2HW.abs().mean())
        msge.append(slope_B2HW.square().mean())
        male.append(conv2d(error_B1HW, laplace).abs().mean())
        error_B1HW = avg_pool2d(error_B1HW, 2)
    return {name: torch.stack(terms).mean() for name, terms in (("MAGE", mage), ("MSGE", msge), ("MALE", male))}
