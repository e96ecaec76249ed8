"""Depth as points."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ros2_depth_bridge.client import DepthMessage
from ros2_depth_bridge.stamps import as_bytes, stamped

_FLOAT32 = 7  # PointField's number


def point_cloud(frame: DepthMessage, ns: int, msgs: Any, colours: npt.NDArray[np.uint8] | None = None) -> Any:
    """``PointCloud2`` of rectified depth with the rows and columns of the image: float32 x, y, z in metres, ``rgb``.

    No estimate: all three NaN. Beyond range: z is +Inf (REP 117), x and y NaN, as that is nowhere in particular.

    Args:
        frame: rectified.
        ns: its stamp.
        msgs: ``sensor_msgs.msg``.
        colours: ``uint8 [H, W, 3]`` RGB of the same pixels.
    """
    z = frame.depth
    (height, width), (fx, _, cx), (_, fy, cy) = z.shape, *frame.K[:2].astype(np.float32)
    somewhere = np.where(np.isfinite(z), z, np.float32(np.nan))
    names = ("x", "y", "z") if colours is None else ("x", "y", "z", "rgb")
    points = np.empty((height, width, len(names)), "<f4")
    points[..., 0] = (np.arange(width, dtype=np.float32) - cx) / fx * somewhere
    points[..., 1] = (np.arange(height, dtype=np.float32)[:, None] - cy) / fy * somewhere
    points[..., 2] = z
    if colours is not None:  # 0x00RRGGBB in the bits of a float, as PCL has it
        bgr0 = points.view(np.uint8)[..., 12:]
        bgr0[..., :3], bgr0[..., 3] = colours[..., ::-1], 0
    cloud = stamped(msgs.PointCloud2(), frame, ns)
    cloud.height, cloud.width = height, width
    cloud.fields = [_field(name, 4 * number, msgs) for number, name in enumerate(names)]
    cloud.is_bigendian, cloud.is_dense = False, False
    cloud.point_step, cloud.row_step = 4 * len(names), 4 * len(names) * width
    cloud.data = as_bytes(points)
    return cloud


def _field(name: str, offset: int, msgs: Any) -> Any:
    field = msgs.PointField()
    field.name, field.offset, field.datatype, field.count = name, offset, _FLOAT32, 1
    return field
