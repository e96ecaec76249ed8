"""The last stage: metres at the size that is wanted, averaged with the past, on their way to the host."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from model.engine.engine import Engine
from model.estimator.passing import Computed, Queued
from model.pixels.metres import metric_depth
from model.pixels.planes import image_from_planes
from model.pixels.rectify import Grid, GridMemory
from model.steady import DepthAverage
from stream.frame import CameraIntrinsics, Odometry


class MetreStage:
    """Makes metres of canonical inverse depth, for one source's frames in order.

    Args:
        engine: on whose device, and whose download stream.
        average: of pixels over time, where that is wanted.
    """

    def __init__(self, engine: Engine, average: DepthAverage | None) -> None:
        self._streams, self._average = engine.streams, average
        self._grids = GridMemory(engine.device)

    def download(
        self, job: Computed, factor: float, camera: CameraIntrinsics, pose: Odometry | None
    ) -> tuple[Tensor, Tensor | None, float | None]:
        """Depth ``float32 [H, W]``; if wanted, the picture ``uint8 [H, W, 3]``; and, if pixels are averaged, the share
        of those that are. All on the host.

        Args:
            job: the frame.
            factor: focal length in pixels of the source picture, and all else that depth is multiplied with.
            camera: of the depth.
            pose: of the camera.
        """
        queued, lane = job.queued, job.queued.lane
        width, height = lane.width, lane.height
        with self._streams.on("download"):
            self._streams.wait("download", job.done)
            ratio = factor / queued.frame.width
            depth_HW = metric_depth(lane.C_HW, focal_ratio=ratio, width=width, height=height)
            if not lane.is_finite:
                depth_HW.fill_(math.nan)
            grid = self._grids.grid(queued.looked.lens, queued.frame, width=width, height=height)
            if grid is not None and grid.nothing_HW is not None:
                depth_HW.masked_fill_(grid.nothing_HW, math.nan)
            averaged = None
            if self._average is not None:
                depth_HW, share = self._average.update(depth_HW, camera, pose, scene_cut=queued.looked.scene_cut)
                averaged = _to_host(share)
            depth = _to_host(depth_HW)
            image = _to_host(_image(queued, grid, width=width, height=height)) if queued.with_image else None
            downloaded = self._streams.mark("download")
        downloaded.synchronize()  # the sinks read this memory
        return depth, image, None if averaged is None else float(averaged)


def _image(queued: Queued, grid: Grid | None, *, width: int, height: int) -> Tensor:
    """The picture that belongs to the depth; black where the source shows nothing of it."""
    places_HW2 = None if grid is None else grid.places_HW2
    image_HW3 = image_from_planes(queued.lane.planes, queued.frame, width=width, height=height, grid_HW2=places_HW2)
    if grid is not None and grid.nothing_HW is not None:
        image_HW3.masked_fill_(grid.nothing_HW[..., None], 0)
    return image_HW3


def _to_host(x: Tensor) -> Tensor:
    """Start copying ``x`` to page-locked memory, which torch recycles once the last sink has let go of it."""
    if x.device.type == "cpu":
        return x
    return torch.empty(x.shape, dtype=x.dtype, pin_memory=True).copy_(x, non_blocking=True)
