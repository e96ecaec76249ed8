"""A few rendered pictures that come with the package, to see how large the numbers between layers become."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from stream.errors import ModelError

FOLDER = Path(__file__).parent / "calibration_pictures"


def calibration_inputs(size: int, device: torch.device) -> Iterator[Tensor]:
    """Pictures as the network takes them, ``float32 [1, 3, S, S]`` in [-1, 1], one after the other.

    Raises:
        ModelError: they are missing from this installation.
    """
    paths = sorted(FOLDER.glob("*.jpg"))
    if not paths:
        raise ModelError(f"the pictures to calibrate 8 bits with are missing ({FOLDER}); install the package again")
    for path in paths:
        bgr = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if bgr is None:
            raise ModelError(f"{path} is damaged; install the package again")
        x_13HH = torch.from_numpy(np.ascontiguousarray(bgr[..., ::-1])).to(device).permute(2, 0, 1)[None] / 127.5 - 1
        yield interpolate(x_13HH, (size, size), mode="bilinear", align_corners=False)
