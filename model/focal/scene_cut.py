"""Where one shot ends and the next begins, so that no focal length is carried over a cut.

Two pictures are of one shot if what is in one is found again in the other, not far away. So the details of a thumbnail
are looked for in the thumbnail before, quarter by quarter. How alike they are at best (normalised cross-correlation, 1
at most) is compared with how alike pictures of this source usually are. Light, exposure and colour do not count, motion
is followed, and noise only makes the usual likeness lower.

A film is cut at the very frame. A camera hardly ever is, but it loses packets: frames of grey and smear, and then the
same shot goes on. What has been learnt of it is worth more than two frames, so another shot must last longer.

The thumbnail is averaged from decoded rows on the host, so nothing waits for the network.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median_high
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stream.frame import Frame, Geometry

Thumbnail = npt.NDArray[np.float32]

_USUAL = 8  # pairs of pictures that tell how alike they usually are
_NOISE = 2.0  # levels², of 255: details fainter than that are none, so two blank pictures are alike
_DOUBTED = 2  # frames of a camera in a row that may show something else: the next one that does is a cut
_BLANK = 0.1  # levels², of what a picture shows that tells nothing of a lens: a film that begins in black
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)  # of RGB


@dataclass(frozen=True, slots=True)
class _Scale:
    """How thumbnails of pictures of one size are made and compared, in their pixels."""

    width: int
    height: int
    blur: float  # standard deviation: what is larger is light and not detail
    inset: tuple[int, int]  # right and down: detail so near the border may have come from outside
    reach: tuple[int, int]  # how far details may have moved


_LARGE = _Scale(width=64, height=36, blur=6.0, inset=(6, 3), reach=(12, 6))
_SMALL = _Scale(width=32, height=18, blur=4.0, inset=(3, 1), reach=(6, 3))  # so that noise is averaged out there, too
_SMALL_WIDTH = 256  # pictures that are narrower


class SceneCutDetector:
    """Says of each frame of one source whether it starts a new shot. Call :meth:`update` once per frame, in order.

    Args:
        threshold: what share of the usual likeness makes a cut.

    Attributes:
        is_blank: whether the newest frame shows nothing at all.
    """

    def __init__(self, threshold: float = 0.65) -> None:
        self._threshold = threshold
        self._shape: tuple[Geometry, int] | None = None
        self._before: Thumbnail | None = None
        self._likenesses: deque[float] = deque(maxlen=_USUAL)
        self._doubted = 0  # frames since the one before
        self.is_blank = False

    def update(self, frame: Frame) -> bool:
        """Whether ``frame`` starts a new shot, or that a camera has changed over to one two frames ago.

        The first frame does not: there is nothing to cut from.

        Nor does the second: how alike pictures of this source are is not known yet. A change of pixel format, size or
        rotation is a cut.
        """
        shape = (frame.geometry, frame.capture.rotation)
        changed, first = shape != self._shape, self._shape is None
        scale = _SMALL if frame.geometry.width < _SMALL_WIDTH else _LARGE
        details = thumbnail(frame, scale.width, scale.height)
        details -= cv2.GaussianBlur(details, (0, 0), scale.blur)
        self.is_blank = float((details * details).mean()) < _BLANK
        before, self._shape = self._before, shape
        if changed or before is None:
            self._before, self._doubted = details, 0
            self._likenesses.clear()
            return not first
        likeness = _likeness(before, details, scale)
        is_other = likeness < self._threshold * (median_high(self._likenesses) if self._likenesses else 0.0)
        if is_other and frame.capture.clock != "media" and self._doubted < _DOUBTED:
            self._doubted += 1
            return False
        self._before, self._doubted = details, 0
        self._likenesses.append(likeness)
        return is_other


def thumbnail(frame: Frame, width: int, height: int) -> Thumbnail:
    """The brightness of ``frame`` as decoded (not turned upright): ``float32 [height, width]``, 0 to 255 as coded.

    Pixels are averaged, not picked: picking keeps all of the noise, and turns fine patterns into coarse ones.
    """
    form = frame.geometry.format
    rows: npt.NDArray[Any] = frame.luma
    small: npt.NDArray[Any] = cv2.resize(rows, (width, height), interpolation=cv2.INTER_AREA)
    small = small.astype(np.float32)
    if form.is_rgb:
        small = cv2.transform(small, _LUMA)
    if form.bits > 8:
        small *= 1 / (1 << (8 if form.msb_aligned else form.bits - 8))
    return np.asarray(small.reshape(height, width), np.float32)


def _likeness(before: Thumbnail, now: Thumbnail, scale: _Scale) -> float:
    """How alike quarters of ``now`` are to what is about there in ``before``, 1 at most: the mean of the four."""
    (right, down), (reach_x, reach_y) = scale.inset, scale.reach
    total = 0.0
    for y0, y1 in ((down, scale.height // 2), (scale.height // 2, scale.height - down)):
        for x0, x1 in ((right, scale.width // 2), (scale.width // 2, scale.width - right)):
            quarter = now[y0:y1, x0:x1]
            around = before[max(0, y0 - reach_y) : y1 + reach_y, max(0, x0 - reach_x) : x1 + reach_x]
            total += _best_match(around, quarter)
    return total / 4


def _best_match(around: Thumbnail, template: Thumbnail) -> float:
    """Normalised cross-correlation at the place in ``around`` where it is largest. Both have a mean of about 0."""
    product = cv2.matchTemplate(around, template, cv2.TM_CCORR) / template.size
    rows, columns = product.shape
    # Mean squares of everything that was compared with the template.
    squares = cv2.boxFilter(around * around, -1, template.shape[::-1], anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    energy = float((template * template).mean())
    scales = np.sqrt(np.maximum(squares[:rows, :columns], 0) * energy)
    return float(((product + _NOISE) / (scales + _NOISE)).max())
