"""One picture with its truth: what is evaluated, wherever it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A picture and what is known of it. At least one of ``depth`` and ``matte`` is there.

    Attributes:
        name: for people; unique within a data set.
        image: ``uint8 [H, W, 3]`` RGB, upright.
        depth: ``float32 [H, W]`` metres along the optical axis. +Inf is sky or beyond the sensor's range: farther than
            anything else. NaN, 0 and negative values are no truth at all.
        matte: ``float32 [H, W]`` share of each pixel that the object in front covers, 0..1.
        f_px: horizontal focal length in pixels of ``image``; ``None`` where unknown. The principal point is the centre.
        kind: what sort of scene it is; figures are also reported per kind. Empty: none.
        sequence: name of the video this is a frame of; frames of one follow each other. Empty: a still picture.
        time_s: capture time within the sequence, in seconds.
        cut: whether a new shot starts here; ``None``: unknown, the detector of scene cuts decides.
        pose: camera → world, ``float64 [4, 4]``, rigid; ``None`` where unknown.

    Raises:
        ValueError: an array of another shape or type, or neither depth nor matte.
    """

    name: str
    image: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32] | None = None
    matte: npt.NDArray[np.float32] | None = None
    f_px: float | None = None
    kind: str = ""
    sequence: str = ""
    time_s: float = 0.0
    cut: bool | None = None
    pose: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"image must be uint8 [H, W, 3], not {self.image.dtype} {list(self.image.shape)}")
        if self.depth is None and self.matte is None:
            raise ValueError(f"{self.name} has neither depth nor a matte: there is nothing to compare with")
        for what, array in (("depth", self.depth), ("matte", self.matte)):
            if array is not None and (array.shape != self.image.shape[:2] or array.dtype != np.float32):
                wanted = list(self.image.shape[:2])
                raise ValueError(f"{what} must be float32 {wanted}, not {array.dtype} {list(array.shape)}")
        if self.f_px is not None and not 0 < self.f_px < math.inf:
            raise ValueError(f"a focal length of {self.f_px} pixels is impossible")

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        return int(self.image.shape[0])
