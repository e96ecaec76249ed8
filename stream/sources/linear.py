"""Pictures whose numbers are light itself, as renderers and merged exposures write them: OpenEXR and Radiance."""

from __future__ import annotations

import av
import numpy as np
import numpy.typing as npt

_LINEAR = (2, 8)  # transfers of ITU-T H.273, table 3: not told, as in Radiance files, and linear


def is_linear(frame: av.VideoFrame) -> bool:
    """Whether ``frame`` holds floating-point numbers that are proportional to light."""
    return int(frame.color_trc) in _LINEAR and frame.format.name.startswith(("gbrpf", "gbrapf"))


def displayed(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """``frame`` as displays show it: ``uint8 [H, W, 3]``, RGB. 1.0 is white, and so is what is brighter.

    The curve is that of sRGB (IEC 61966-2-1). What is no number is black.
    """
    light = np.nan_to_num(frame.reformat(format="gbrpf32le").to_ndarray(), nan=0.0).clip(0, 1)
    curved = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(curved * 255), np.uint8)
