"""Metric depth as 16-bit millimetres, the form most depth cameras and data sets use."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

NO_ESTIMATE = 0
BEYOND_RANGE = 65535


def to_millimetres(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Depth ``float32 [H, W]`` in metres to ``uint16 [H, W]`` in millimetres, rounded to the nearest.

    NaN becomes 0 (no estimate); +Inf and whatever is over 65.534 m becomes 65535 (beyond range). Real depth is never 0:
    what is nearer than half a millimetre becomes 1.
    """
    mm = depth * np.float32(1000)
    np.rint(mm, out=mm)
    np.clip(mm, 1, BEYOND_RANGE, out=mm)
    cv2.patchNaNs(mm, float(NO_ESTIMATE))
    return mm.astype(np.uint16)
