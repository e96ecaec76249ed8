"""The picture to compute with: depth as it is, in codes for a lossless codec."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import orjson

from sinks.depth_codes import DepthCodes
from sinks.frame_json import describe, to_json, untrained_notice
from sinks.millimetres import BEYOND_RANGE, NO_ESTIMATE
from stream.frame import DepthFrame


class LosslessDepth:
    """Frames in codes, all of one size.

    ``tags`` describe the codes in the file, ``record`` beside it; ``pixel_format`` is what :meth:`render` returns.

    Args:
        first: the first one that is written.
        codes: for metres.
        began: what an earlier run said of its first frame, if its frames come before.
    """

    pixel_format = "gray16le"

    def __init__(self, first: DepthFrame, codes: DepthCodes, *, began: bytes | None = None) -> None:
        self.height, self.width = first.height, first.width
        self._codes = codes
        notice = untrained_notice(first)
        began = to_json(describe(first)) if began is None else began
        self.record: dict[str, object] = {
            "unit": "metre, after decoding",
            "axis": "optical axis (z), not ray length",
            **codes.record(),
            "model": first.model,
            "notice": notice,
            "first_frame": orjson.loads(began),
        }
        self.tags = {
            "title": f"Metric depth, {codes.title}" + (f" ({notice})" if notice else ""),
            "DEPTH_ENCODING": to_json(codes.record()).decode(),
            "DEPTH_UNIT": "millimetre" if codes.encoding == "mm" else "code; see DEPTH_ENCODING",
            "DEPTH_AXIS": "optical axis (z), not ray length",
            "DEPTH_NO_ESTIMATE": str(NO_ESTIMATE),
            "DEPTH_BEYOND_RANGE": str(BEYOND_RANGE),
            "DEPTH_MODEL": first.model,
            "DEPTH_FIRST_FRAME": began.decode(),
        }

    def render(self, frame: DepthFrame) -> npt.NDArray[np.uint16]:
        """Codes of ``frame`` as ``uint16 [height, width]``."""
        return self._codes.encode(frame.depth)
