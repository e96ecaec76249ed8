"""Metric depth as 16-bit millimetres, the form most depth cameras and data sets use."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sinks.frame_json import describe, to_json, untrained_notice
from stream.frame import DepthFrame

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


class Millimetres:
    """Frames as they are, in millimetres, for a lossless codec: all of one size."""

    pixel_format = "gray16le"

    def __init__(self, first: DepthFrame) -> None:
        self.height, self.width = first.height, first.width
        notice = untrained_notice(first)
        self.tags = {
            "title": "Metric depth, 16-bit millimetres" + (f" ({notice})" if notice else ""),
            "DEPTH_UNIT": "millimetre",
            "DEPTH_AXIS": "optical axis (z), not ray length",
            "DEPTH_NO_ESTIMATE": str(NO_ESTIMATE),
            "DEPTH_BEYOND_RANGE": str(BEYOND_RANGE),
            "DEPTH_MODEL": first.model,
            "DEPTH_FIRST_FRAME": to_json(describe(first)).decode(),
        }

    def takes(self, frame: DepthFrame) -> bool:
        """Whether ``frame`` is of the size of the first: lossless depth is not resized."""
        return (frame.height, frame.width) == (self.height, self.width)

    def render(self, frame: DepthFrame) -> npt.NDArray[np.uint16]:
        """Depth of ``frame`` as ``uint16 [height, width]``."""
        return to_millimetres(frame.depth)
