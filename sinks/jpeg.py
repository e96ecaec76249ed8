"""A frame's picture as JPEG."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stream.errors import SinkError


def to_jpeg(picture: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """``picture``, ``uint8 [H, W, 3]`` RGB, as the bytes of a JPEG file, ``uint8 [N]``.

    Raises:
        SinkError: OpenCV cannot make one, for example because a side is longer than 65,500 pixels.
    """
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    try:
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error:
        done = False
    if not done:
        raise SinkError(f"a picture of {picture.shape[1]}x{picture.shape[0]} pixels cannot become a JPEG")
    return data.reshape(-1).view(np.uint8)
