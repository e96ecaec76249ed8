"""The picture people look at: depth in colours, beside its source if asked, with a legend."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from sinks.frame_json import untrained_notice
from sinks.video.colormap import DepthColormap
from sinks.video.legend import notice, scale_legend
from stream.errors import SinkError
from stream.frame import DepthFrame

View = Literal["depth", "side-by-side", "over-under"]
Range = Literal["fixed", "shot"]

_ENDS = (2.0, 98.0)  # percentiles of a shot's first frame: a few specks of wrong depth shall not take the colours
_MARGIN = 1.3  # what a shot may come to show nearer and farther than its first frame does


class Preview:
    """Draws frames at the size of the first one. Later frames of another size are fitted in, with black around them.

    ``pixel_format`` is what :meth:`render` returns, ``tags`` describe it in the file.

    Args:
        first: the frame that sets the size and tells whether the model is untrained.
        colormap: metres to colours.
        span: ``shot``: the metres at the ends of the colours are found anew in each shot's first frame, and kept for
            the shot, so that they do not flicker.
        view: depth alone, or the source picture with depth to its right or under it.
        legend: draw the scale of metres. The notice of an untrained model is drawn in any case.
    """

    pixel_format = "yuv420p"

    def __init__(
        self, first: DepthFrame, *, colormap: DepthColormap, view: View, legend: bool, span: Range = "fixed"
    ) -> None:
        self._colormap = colormap
        self._by_shot, self._with_legend = span == "shot", legend
        self._tile = (first.height, first.width)
        down, across = 1 + (view == "over-under"), 1 + (view == "side-by-side")
        self._drawn = (first.height * down, first.width * across)
        # Chroma is stored for pairs of pixels, so both sides must be even: odd ones repeat their last pixel.
        self.height, self.width = (side + side % 2 for side in self._drawn)
        self._canvas = np.zeros((self.height, self.width, 3), np.uint8)
        self._yuv = np.empty((self.height * 3 // 2, self.width), np.uint8)
        top, left = first.height * (down - 1), first.width * (across - 1)
        self._depth_area = self._canvas[top : top + first.height, left : left + first.width]
        self._image_area = self._canvas[: first.height, : first.width if view != "depth" else 0]
        self._view = view
        self._take_range(colormap)
        if self._by_shot:
            self._begin_shot(first)
        untrained = untrained_notice(first)
        self._notice = notice(untrained, *self._tile) if untrained else None
        metres = "metres by shot" if self._by_shot else f"{colormap.min_m:g} to {colormap.max_m:g} m"
        told = f"{metres}, {colormap.scale} scale"
        self.tags = {
            "title": f"Metric depth, {told}" + (f" ({untrained})" if untrained else ""),
            "comment": f"model: {first.model}; {told}, colours {colormap.name}, high end near; grey: no estimate",
        }

    def rgb(self, frame: DepthFrame) -> npt.NDArray[np.uint8]:
        """The picture as RGB ``uint8 [height, width, 3]``; a buffer that the next call overwrites.

        Raises:
            SinkError: the source picture was asked for and the frame came without its image.
        """
        if self._by_shot and frame.scene_cut:
            self._begin_shot(frame)
        _fit(self._colormap.rgb(frame.depth), self._depth_area)
        if self._image_area.size:
            if frame.image is None:
                raise SinkError(
                    f"view={self._view} needs the source picture, and frame {frame.capture.index} came without one"
                )
            _fit(frame.image, self._image_area)
        if self._legend:
            self._legend.draw(self._depth_area)
        if self._notice:
            self._notice.draw(self._depth_area)
        height, width = self._drawn
        self._canvas[height:, :] = self._canvas[height - 1, :]
        self._canvas[:, width:] = self._canvas[:, width - 1 : width]
        return self._canvas

    def _begin_shot(self, frame: DepthFrame) -> None:
        """Find the metres at the ends of the colours; a frame without any depth leaves them as they are."""
        finite = frame.depth[np.isfinite(frame.depth)]
        if finite.size:
            near, far = np.percentile(finite, _ENDS)
            old = self._colormap
            # Two digits are what the legend has room for.
            ends = {"min_m": float(f"{near / _MARGIN:.1e}"), "max_m": float(f"{far * _MARGIN:.1e}")}
            self._take_range(DepthColormap(**ends, scale=old.scale, name=old.name))

    def _take_range(self, colormap: DepthColormap) -> None:
        self._colormap = colormap
        self._legend = scale_legend(colormap, *self._tile) if self._with_legend else None

    def render(self, frame: DepthFrame) -> npt.NDArray[np.uint8]:
        """The picture as planar 4:2:0 Y′CbCr, BT.601, limited range: ``uint8 [height·3/2, width]``, likewise a buffer.

        Raises:
            SinkError: as for :meth:`rgb`.
        """
        cv2.cvtColor(self.rgb(frame), cv2.COLOR_RGB2YUV_I420, self._yuv)
        return self._yuv


def _fit(picture: npt.NDArray[np.uint8], area: npt.NDArray[np.uint8]) -> None:
    """Copy ``picture`` into ``area``, scaled down or up to fit whole where the sizes differ."""
    (rows, columns), (height, width) = area.shape[:2], picture.shape[:2]
    if (rows, columns) == (height, width):
        np.copyto(area, picture)
        return
    scale = min(rows / height, columns / width)
    fitted = (max(1, round(height * scale)), max(1, round(width * scale)))
    top, left = (rows - fitted[0]) // 2, (columns - fitted[1]) // 2
    area[...] = 0
    resized = cv2.resize(
        picture, (fitted[1], fitted[0]), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    area[top : top + fitted[0], left : left + fitted[1]] = resized
