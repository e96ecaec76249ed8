"""The small grey picture that motion is followed in, made of decoded rows on the host."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from model.focal.lens import Lens
from model.focal.scene_cut import thumbnail
from stream.frame import Frame

Luma = npt.NDArray[np.uint8]

_LONG_SIDE = 320


class LumaMaker:
    """Makes small grey pictures of one source. Call it while the frame's planes are valid."""

    def __init__(self) -> None:
        self._lens: Lens | None = None
        self._map: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None

    def __call__(self, frame: Frame, lens: Lens | None = None) -> Luma:
        """``uint8 [h, w]``, upright, at most 320 pixels on a side, rectified where ``lens`` says how."""
        decoded = frame.geometry
        shrink = min(1.0, _LONG_SIDE / max(decoded.width, decoded.height))
        size = max(1, round(decoded.width * shrink)), max(1, round(decoded.height * shrink))
        luma = np.clip(thumbnail(frame, *size), 0, 255).astype(np.uint8)
        luma = np.ascontiguousarray(np.rot90(luma, frame.capture.rotation // 90))
        return luma if lens is None else self._rectified(luma, lens)

    def _rectified(self, luma: Luma, lens: Lens) -> Luma:
        height, width = luma.shape
        if self._map is None or lens != self._lens or self._map[0].shape != luma.shape:
            points_HW2, _ = lens.source_points(width, height)
            x_HW = (points_HW2[..., 0] + 0.5) * (width / lens.raw.width) - 0.5
            y_HW = (points_HW2[..., 1] + 0.5) * (height / lens.raw.height) - 0.5
            self._lens, self._map = lens, (x_HW.astype(np.float32), y_HW.astype(np.float32))
        return np.asarray(cv2.remap(luma, *self._map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)
