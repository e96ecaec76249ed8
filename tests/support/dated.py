"""When a picture of a camera in software was made, read from the picture itself."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

_ROWS, _COLUMNS = 4, 8


def made_at(picture: npt.NDArray[np.uint8]) -> float:
    """Seconds since 1970 (``time.time()`` of the camera's machine) that a picture of ``rtsp_server.py --dated`` shows.

    Args:
        picture: grey or RGB, ``uint8 [H, W]`` or ``[H, W, 3]``, of any size.
    """
    grey = picture if picture.ndim == 2 else picture.mean(axis=2)
    height, width = grey.shape
    bits = 0
    for field in range(_ROWS * _COLUMNS):
        y, x = (field // _COLUMNS + 0.5) * height / _ROWS, (field % _COLUMNS + 0.5) * width / _COLUMNS
        bits = bits << 1 | int(grey[int(y), int(x)] > 125)
    now = time.time()
    wrapped = (int(now * 1000) & ~0xFFFFFFFF) + bits
    return (wrapped - (1 << 32) if wrapped - now * 1000 > 1 << 31 else wrapped) / 1000
