"""The picture to compute with: depth as it is, in codes for a lossless codec."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sinks.depth_codes import DepthCodes
from sinks.frame_json import describe, to_json, untrained_notice
from sinks.millimetres import BEYOND_RANGE, NO_ESTIMATE
from stream.frame import DepthFrame


class LosslessDepth:
    """Frames in codes, all of one size.

    ``tags`` describe the codes in the file, ``record`` beside it; ``pixel_format`` is what :meth:`render` returns.
    """

    pixel_format = "gray16le"

    def __init__(self, first: DepthFrame, codes: DepthCodes) -> None:
        self.height, self.width = first.height, first.width
        self._codes = codes
        notice = untrained_notice(first)
        self.record: dict[str, object] = {
            "unit": "metre, after decoding",
            "axis": "optical axis (z), not ray length",
            **codes.record(),
            "model": first.model,
            "notice": notice,
            "first_frame": describe(first),
        }
        self.tags = {
            "title": f"Metric depth, {codes.title}" + (f" ({notice})" if notice else ""),
            "DEPTH_ENCODING": to_json(codes.record()).decode(),
            "DEPTH_UNIT": "millimetre" if codes.encoding == "mm" else "code; see DEPTH_ENCODING",
            "DEPTH_AXIS": "optical axis (z), not ray length",
            "DEPTH_NO_ESTIMATE": str(NO_ESTIMATE),
            "DEPTH_BEYOND_RANGE": str(BEYOND_RANGE),
            "DEPTH_MODEL": first.model,
            "DEPTH_FIRST_FRAME": to_json(describe(first)).decode(),
        }

    def render(self, frame: DepthFrame) -> npt.NDArray[np.uint16]:
        """Codes of ``frame`` as ``uint16 [height, width]``."""
        return self._codes.encode(frame.depth)
