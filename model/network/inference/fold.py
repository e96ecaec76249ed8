"""Exact algebra on weights: two linear layers become one. Every function takes and gives float64.

A convolution, a transposed convolution and a 1 × 1 projection are linear, so one after the other, with nothing between
them, is linear too, and its weights follow from theirs. Which pairs are folded, and why, is in ``docs/speed.md``.

Shape suffixes: I M O channels in, in the middle, out; k side of a transposed convolution's kernel, which here is also
its stride; q = k + 2; 3 a 3 × 3 convolution padded by one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d


def pointwise_then_deconv(projection_MI: Tensor, deconv_MOkk: Tensor) -> Tensor:
    """``deconv_IOkk`` of a 1 × 1 projection followed by a transposed convolution."""
    return torch.einsum("mi,mokl->iokl", projection_MI, deconv_MOkk)


def deconv_then_pointwise(deconv_IMkk: Tensor, projection_OM: Tensor) -> Tensor:
    """``deconv_IOkk`` of a transposed convolution followed by a 1 × 1 projection."""
    return torch.einsum("imkl,om->iokl", deconv_IMkk, projection_OM)


def deconv_then_deconv(first_IMkk: Tensor, second_MOkk: Tensor) -> Tensor:
    """``deconv_IOkk`` of two upsamplings: with kernels (and strides) a and b it has kernel and stride ``a·b``.

    Nothing overlaps: pixel ``b·u + v`` of the result is tap v of the second in pixel u, which is tap u of the first.
    """
    taps_IOuvst = torch.einsum("imus,movt->iouvst", first_IMkk, second_MOkk)
    return taps_IOuvst.flatten(4, 5).flatten(2, 3)


def deconv_then_conv(deconv_IMkk: Tensor, conv_OM33: Tensor) -> Tensor:
    """``deconv_IOqq`` of an upsampling by k followed by a 3 × 3 convolution: kernel k + 2, stride k, padding 1.

    A pixel of the low resolution reaches k × k pixels of the high one, and through the 3 × 3 window one more on each
    side. The border is exact as well: beyond it the convolution sees its zero padding, and the upsampling without a
    bias gives zero there too, because there is no pixel to upsample.
    """
    inputs, _, k, _ = deconv_IMkk.shape
    folded_IOqq = deconv_IMkk.new_zeros(inputs, len(conv_OM33), k + 2, k + 2)
    for row in range(3):
        for column in range(3):
            # Output y reads the high resolution at y + row - 1, so what is at a goes to y = a + 1 - row.
            reached = folded_IOqq[:, :, 2 - row : 2 - row + k, 2 - column : 2 - column + k]
            reached += deconv_then_pointwise(deconv_IMkk, conv_OM33[:, :, row, column])
    return folded_IOqq


def pointwise_then_conv(projection_MI: Tensor, conv_OM33: Tensor) -> Tensor:
    """``conv_OI33`` of a 1 × 1 projection followed by a 3 × 3 convolution."""
    return torch.einsum("omkl,mi->oikl", conv_OM33, projection_MI)


def bias_through_conv(bias_M: Tensor, conv_OM33: Tensor, conv_bias_O: Tensor | None) -> Tensor:
    """What a constant in front of a zero-padded 3 × 3 convolution becomes behind it: ``bias_O33``.

    Inside the picture one constant per channel, ``[:, 1, 1]``; less along the four sides and in the four corners, where
    part of the window sees padding. A picture of 3 × 3 pixels has exactly these nine cases.
    """
    picture_M33 = bias_M[:, None, None].expand(-1, 3, 3)
    return conv2d(picture_M33[None], conv_OM33, conv_bias_O, padding=1)[0]
