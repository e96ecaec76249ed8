"""Rectifying on the device: where every pixel comes from is computed once per geometry, by OpenCV, and looked up.

The grid leads straight from the pixels of a result, whatever its size, to the planes as they were decoded: undoing the
distortion, resizing and turning upright are one pass, and no pixel is interpolated twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.focal.lens import Lens
from stream.frame import Frame


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the pixels of a rectified picture come from.

    Attributes:
        places_HW2: ``float32 [H, W, 2]``, x and y in the decoded picture, whose outer edges are at -1 and 1.
        nothing_HW: ``bool [H, W]``, where the decoded picture shows nothing of it; ``None`` where it shows everything.
    """

    places_HW2: Tensor
    nothing_HW: Tensor | None


class GridMemory:
    """The grid of the pictures that come, computed when they change. Used on one of the device's queues.

    Args:
        device: where grids are.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._key: object = None
        self._grid: Grid | None = None

    def grid(self, lens: Lens | None, frame: Frame, *, width: int, height: int) -> Grid | None:
        """The grid for a result of ``width`` × ``height`` pixels; ``None`` without a lens."""
        if lens is None:
            return None
        key = (lens, frame.capture.rotation, width, height)
        if self._grid is None or key != self._key:
            self._key, self._grid = key, make_grid(lens, frame.capture.rotation, width, height, self._device)
        return self._grid


def make_grid(lens: Lens, rotation: int, width: int, height: int, device: torch.device) -> Grid:
    """The grid of ``lens`` for pictures that must be turned by ``rotation`` degrees counter-clockwise."""
    points_HW2, shown_HW = lens.source_points(width, height)
    x, y = np.moveaxis((points_HW2 + 0.5) / (lens.raw.width, lens.raw.height) * 2 - 1, -1, 0)
    decoded = {0: (x, y), 90: (-y, x), 180: (-x, -y), 270: (y, -x)}[rotation]
    places_HW2 = torch.from_numpy(np.stack(decoded, axis=-1).astype(np.float32)).to(device)
    return Grid(places_HW2, None if shown_HW.all() else torch.from_numpy(~shown_HW).to(device))
