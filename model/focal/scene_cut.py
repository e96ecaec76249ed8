"""Where one shot ends and the next begins, so that no focal length is carried over a cut.

PySceneDetect's content detector compares each picture with the one before: mean absolute change of hue, saturation and
brightness. It looks at a thumbnail picked from the decoded planes on the host, so nothing waits for the GPU.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scenedetect import FrameTimecode
from scenedetect.detectors import ContentDetector

from stream.frame import Frame, Geometry

_THUMBNAIL_WIDTH = 160  # pixels, at least, where the picture has them
_ANY_RATE = 30.0  # the detector wants a timecode, but looks at it only where a minimum scene length is set


class SceneCutDetector:
    """Says of each frame of one source whether it starts a new shot. Call :meth:`update` once per frame, in order.

    Args:
        threshold: mean change per pixel and channel, of 255, that makes a cut; PySceneDetect's default.
    """

    def __init__(self, threshold: float = 27.0) -> None:
        self._threshold = threshold
        self._shape: tuple[Geometry, int] | None = None
        self._detector: Any = None  # scenedetect is not typed
        self._count = 0

    def update(self, frame: Frame) -> bool:
        """Whether ``frame`` starts a new shot. The first frame does not: there is nothing to cut from.

        A change of pixel format, size or rotation is a cut.
        """
        shape = (frame.geometry, frame.capture.rotation)
        first, changed = self._shape is None, shape != self._shape
        if changed:
            # Length 0: two cuts in a row are two cuts, reported at once. Without colour, hue and saturation are always
            # 0 and would dilute the change to a third.
            gray = frame.geometry.pixel_format == "gray"
            self._detector = ContentDetector(self._threshold, min_scene_len=0, luma_only=gray)
            self._shape = shape
        self._count += 1
        cuts = self._detector.process_frame(FrameTimecode(self._count, _ANY_RATE), thumbnail(frame))
        return not first and (changed or bool(cuts))


def thumbnail(frame: Frame) -> npt.NDArray[np.uint8]:
    """A small picture ``uint8 [h, w, 3]``, BGR, of every n-th pixel of ``frame`` as decoded (not turned upright).

    Every Y′CbCr picture is read as full-range BT.601: wrong by a few levels for others, equally so in every frame.
    """
    geometry = frame.geometry
    step = max(1, geometry.width // _THUMBNAIL_WIDTH)
    rows, columns = np.arange(0, geometry.height, step), np.arange(0, geometry.width, step)
    channels = []
    for plane, spec in zip(frame.planes, geometry.format.planes, strict=True):
        picked = plane[(rows >> spec.y_shift)[:, None], columns >> spec.x_shift]
        if geometry.format.bits > 8:
            picked = picked >> (8 if geometry.format.msb_aligned else geometry.format.bits - 8)
        channels.append(picked.astype(np.uint8))
    if geometry.format.is_rgb:
        return np.ascontiguousarray(channels[0][..., ::-1])
    if geometry.format.name == "gray":
        return np.repeat(channels[0], 3, axis=2)
    y, cb, cr = np.split(np.concatenate(channels, axis=2), 3, axis=2)
    bgr = cv2.cvtColor(np.concatenate([y, cr, cb], axis=2), cv2.COLOR_YCrCb2BGR)  # OpenCV's order of the two
    return np.asarray(bgr, np.uint8)
