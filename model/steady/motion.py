"""Where points of an earlier picture are now: pyramidal Lucas-Kanade, followed there and back again.

What is around a point must also look as it did: something that looks alike is found in any picture, and back from it.

Where most are lost, the picture may have moved by more than that reaches: they are looked for once more from where the
picture as a whole has gone, by phase correlation.

Points are followed from a reference picture, not from picture to picture: errors of following do not add up, and a
camera that stands still is seen to stand still. A new reference is taken when too many points are lost, or the picture
has moved far. A picture or two that show nothing of it, blurred by a jolt or covered, do not end it: it may come back.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from model.steady.luma import Luma

Points = npt.NDArray[np.float32]
Values = npt.NDArray[np.float32]

_MOST_POINTS = 160
_QUALITY = 0.01  # of a corner, relative to the best one
_WINDOW = (11, 11)
_SURROUNDINGS = (31, 31)  # pixels, over which light is taken to be even
# Of 32 + grey level, in 256 steps: below, there is more noise than light.
_LOG = np.rint(255 * np.log1p(np.arange(256) / 32) / np.log1p(255 / 32)).astype(np.uint8)
_LEVELS = 3  # halvings: a window reaches over some sixty pixels
_LEVELS_BACK = 1  # whether it fits is seen close by
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 0.02)
_LEAST_EIGENVALUE = 1e-3
_COARSER = 2  # than the picture, where its motion as a whole is looked for
_BACK_PX = 0.5  # followed back, a point must arrive where it came from
_UNLIKE = 0.4  # mean difference of the windows around it, over the deviation of grey levels there: another point
_FEWEST = 25  # points, below which a reference is not worth following
_LOST = 0.7  # of the reference's points; with fewer left a new one is taken
_PATIENCE = 2  # pictures in a row that may show nothing of a reference that was followed
_FAR = 0.05  # of the picture's width
_LONGEST = 60  # frames that a reference is followed for, as light changes


@dataclass(frozen=True, slots=True)
class Tracks:
    """What was followed from the reference picture to this one.

    Attributes:
        before_N2: ``float32 [N, 2]``, x and y in pixels of the reference picture.
        now_N2: ``float32 [N, 2]``, where the same points are in this picture.
        width, height: of both pictures, in pixels.
        renewed: this picture is the reference of those that come after it.
    """

    before_N2: Points
    now_N2: Points
    width: int
    height: int
    renewed: bool


class MotionTracker:
    """Follows points through the pictures of one source. Call :meth:`update` once per picture, in order."""

    def __init__(self) -> None:
        self._reference: Luma = np.zeros((0, 0), np.uint8)
        self._points: Points = np.zeros((0, 2), np.float32)
        self._guess: Points = self._points
        self._contrast: Values = np.zeros(0, np.float32)
        self._age = 0
        self._patience = 0  # pictures that may show nothing of the reference; none where nothing led to it

    def update(self, luma_HW: Luma, *, scene_cut: bool = False) -> Tracks:
        """Follow the reference's points into ``uint8 [h, w]``.

        Args:
            luma_HW: the picture. Another size than before starts anew.
            scene_cut: it starts a new shot: nothing is followed into it.
        """
        height, width = luma_HW.shape
        luma_HW = _without_light(luma_HW)
        if scene_cut or luma_HW.shape != self._reference.shape:
            self._points, self._patience = self._points[:0], 0
        before, now = self._follow(luma_HW)
        self._age += 1
        if len(before) >= _FEWEST:
            moved = float(np.median(np.hypot(*(now - before).T)))
            renewed = len(before) < _LOST * len(self._points) or moved > _FAR * width or self._age >= _LONGEST
            self._patience = _PATIENCE
        else:
            renewed = self._patience == 0
            self._patience = max(self._patience - 1, 0)
        if renewed:
            found = cv2.goodFeaturesToTrack(luma_HW, _MOST_POINTS, _QUALITY, minDistance=max(3, width // 40))
            points = np.zeros((0, 2), np.float32) if found is None else np.asarray(found, np.float32).reshape(-1, 2)
            self._reference, self._points, self._guess, self._age = luma_HW, points, points, 0
            self._contrast = _contrast(luma_HW, points)
        return Tracks(before, now, width, height, renewed)

    def _follow(self, luma_HW: Luma) -> tuple[Points, Points]:
        """The reference's points that are found again, and where."""
        if len(self._points) < _FEWEST:
            return self._points[:0], self._points[:0]
        there, good = self._there_and_back(luma_HW, self._guess)
        if good.sum() < _LOST * len(self._points):  # perhaps it has moved by more than a window reaches
            again, good_again = self._there_and_back(luma_HW, self._points + _shift(self._reference, luma_HW))
            if good_again.sum() > good.sum():
                there, good = again, good_again
        if good.sum() >= _FEWEST:
            # Those that were lost are looked for where the others went.
            shift = np.median(there[good] - self._points[good], axis=0)
            self._guess = np.where(good[:, None], there, self._points + shift).astype(np.float32)
        return self._points[good], there[good]

    def _there_and_back(self, luma_HW: Luma, guess_N2: Points) -> tuple[Points, npt.NDArray[np.bool_]]:
        """Where the reference's points are, and whether they are there."""
        there, found, difference_N = _lucas_kanade(self._reference, luma_HW, self._points, guess_N2, _LEVELS)
        back, found_back, _ = _lucas_kanade(luma_HW, self._reference, there, self._points, _LEVELS_BACK)
        height, width = luma_HW.shape
        inside = (there > 1).all(axis=1) & (there < (width - 2, height - 2)).all(axis=1)
        alike = difference_N < _UNLIKE * self._contrast
        return there, found & found_back & inside & alike & (np.hypot(*(back - self._points).T) < _BACK_PX)


def _without_light(luma_HW: Luma) -> Luma:
    """Logarithms of grey levels, less the mean of their surroundings: what changes of the light leave as it is.

    Cameras change their exposure, and lamps flicker: a picture that is brighter by a fifth moves points by a pixel.
    """
    log_HW = cv2.LUT(luma_HW, _LOG)
    return np.asarray(cv2.addWeighted(log_HW, 1.0, cv2.blur(log_HW, _SURROUNDINGS), -1.0, 128.0), np.uint8)


def _contrast(luma_HW: Luma, points_N2: Points) -> Values:
    """``float32 [N]``, the standard deviation of the grey levels around each point."""
    mean = cv2.boxFilter(luma_HW, cv2.CV_32F, _WINDOW)
    variance = cv2.sqrBoxFilter(luma_HW, cv2.CV_32F, _WINDOW) - mean * mean
    x_N, y_N = points_N2.astype(int).T
    return np.asarray(np.sqrt(np.maximum(variance[y_N, x_N], 0.0)), np.float32)


def _shift(before_HW: Luma, now_HW: Luma) -> Points:
    """By how much the picture as a whole has moved: ``float32 [2]``, x and y in pixels."""
    before, now = (picture[::_COARSER, ::_COARSER].astype(np.float32) for picture in (before_HW, now_HW))
    height, width = before.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(before, now, window)
    return np.array([x * _COARSER, y * _COARSER], np.float32)


def _lucas_kanade(
    source: Luma, target: Luma, points_N2: Points, guess_N2: Points, levels: int
) -> tuple[Points, npt.NDArray[np.bool_], Values]:
    """Where points are, whether they were found, and the mean difference of the windows around them in grey levels."""
    there, status, difference = cv2.calcOpticalFlowPyrLK(
        source,
        target,
        points_N2,
        guess_N2.copy(),
        winSize=_WINDOW,
        maxLevel=levels,
        criteria=_CRITERIA,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=_LEAST_EIGENVALUE,
    )
    found = np.asarray(status).ravel().astype(bool)
    return np.asarray(there, np.float32), found, np.asarray(difference, np.float32).ravel()
