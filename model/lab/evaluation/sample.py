"""One picture with its truth: what is evaluated, wherever it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from model.pixels.planes import host_tensor, image_from_planes
from stream.frame import Capture, Frame, Geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A picture and what is known of it. At least one of ``depth`` and ``matte`` is there.

    Attributes:
        name: for people; unique within a data set.
        frame: the picture as the product decodes it, ``[H, W]`` upright, and when it was taken within a sequence.
        depth: ``float32 [H, W]`` metres along the optical axis. +Inf is sky or beyond the sensor's range: farther than
            anything else. NaN, 0 and negative values are no truth at all.
        matte: ``float32 [H, W]`` share of each pixel that the object in front covers, 0..1.
        f_px: horizontal focal length in pixels of the upright picture; ``None`` where unknown. The principal point is
            its centre.
        kind: what sort of scene it is; figures are also reported per kind. Empty: none.
        sequence: name of the video this is a frame of; frames of one follow each other. Empty: a still picture.
        cut: whether a new shot starts here; ``None``: unknown, the detector of scene cuts decides.
        pose: camera → world, ``float64 [4, 4]``, rigid; ``None`` where unknown.

    Raises:
        ValueError: an array of another shape or type, or neither depth nor matte.
    """

    name: str
    frame: Frame
    depth: npt.NDArray[np.float32] | None = None
    matte: npt.NDArray[np.float32] | None = None
    f_px: float | None = None
    kind: str = ""
    sequence: str = ""
    cut: bool | None = None
    pose: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.depth is None and self.matte is None:
            raise ValueError(f"{self.name} has neither depth nor a matte: there is nothing to compare with")
        for what, array in (("depth", self.depth), ("matte", self.matte)):
            wanted = [self.height, self.width]
            if array is not None and (list(array.shape) != wanted or array.dtype != np.float32):
                raise ValueError(f"{what} must be float32 {wanted}, not {array.dtype} {list(array.shape)}")
        if self.f_px is not None and not 0 < self.f_px < math.inf:
            raise ValueError(f"a focal length of {self.f_px} pixels is impossible")

    @property
    def width(self) -> int:
        return self.frame.width

    @property
    def height(self) -> int:
        return self.frame.height

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """The picture for people, ``uint8 [H, W, 3]`` RGB, upright; made anew each time."""
        planes = [host_tensor(plane) for plane in self.frame.planes]
        image: npt.NDArray[np.uint8] = image_from_planes(
            planes, self.frame, width=self.width, height=self.height
        ).numpy()
        return image


def rgb_frame(image: npt.NDArray[np.uint8], *, index: int = 0, time_s: float = 0.0) -> Frame:
    """A picture ``uint8 [H, W, 3]``, RGB, as a source would have handed it over."""
    height, width = image.shape[:2]
    return Frame(
        capture=Capture(index=index, pts=None, time_base=Fraction(1, 1000), time_ns=round(time_s * 1e9), clock="media"),
        geometry=Geometry("rgb24", width, height),
        planes=(np.require(image, requirements=["C"]),),
    )
