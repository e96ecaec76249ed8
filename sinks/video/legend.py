"""What is drawn over the picture: a slim scale of metres, and a notice where the picture must not be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sinks.video.colormap import DepthColormap

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAP_HEIGHT = 22.0  # pixels of a capital letter at font scale 1
_SMALLEST = (96, 160)  # rows, columns: nothing readable fits in less
_PANEL_OPACITY = 0.55


@dataclass(frozen=True, slots=True)
class Overlay:
    """A small patch blended into every picture at row ``y``, column ``x``.

    ``keep`` is how much of the picture stays, in 256ths, ``uint16 [h, w, 1]``; ``ink`` is what is added, RGB times its
    own share, ``uint16 [h, w, 3]``.
    """

    y: int
    x: int
    keep: npt.NDArray[np.uint16]
    ink: npt.NDArray[np.uint16]

    def draw(self, picture: npt.NDArray[np.uint8]) -> None:
        """Blend into ``picture`` (RGB ``uint8 [H, W, 3]``), in place."""
        height, width = self.keep.shape[:2]
        patch = picture[self.y : self.y + height, self.x : self.x + width]
        mixed = patch * self.keep
        mixed += self.ink
        mixed >>= 8
        patch[...] = mixed


def scale_legend(colormap: DepthColormap, height: int, width: int) -> Overlay | None:
    """A bar of the colours with metres under it, for the lower left of a picture; ``None`` if that is too small."""
    if height < _SMALLEST[0] or width < _SMALLEST[1]:
        return None
    cap = _text_height(height, width)
    margin, bar_height, bar_width = cap, max(3, cap // 2), round(0.3 * width)
    panel = _Panel(rows=bar_height + 2 * cap + cap // 2 + margin // 2, columns=bar_width + 2 * margin)
    metres_at = np.linspace(1.0, 0.0, bar_width)
    bar = colormap.lut[1 + np.rint(254 * metres_at).astype(int)]
    top = cap * 3 // 4
    panel.paint(top, margin, np.broadcast_to(bar, (bar_height, bar_width, 3)))
    baseline = top + bar_height + cap + cap // 2
    for left, text in _labels(colormap, bar_width, cap):
        panel.write(text, baseline, margin + left, cap)
    return panel.overlay(height - panel.rows - margin, margin)


def notice(text: str, height: int, width: int) -> Overlay | None:
    """``text`` on an amber panel for the upper left of a picture; ``None`` if that is too small."""
    if height < _SMALLEST[0] or width < _SMALLEST[1]:
        return None
    cap = _text_height(height, width)
    panel = _Panel(
        rows=cap * 5 // 2, columns=min(_text_width(text, cap) + 2 * cap, width), color=(176, 84, 0), opacity=0.85
    )
    panel.write(text, (panel.rows + cap) // 2, cap, cap)
    return panel.overlay(min(cap, height - panel.rows), min(cap, width - panel.columns))


class _Panel:
    """A translucent rectangle under construction; colours and opacities as floats from 0 to 1."""

    def __init__(
        self, *, rows: int, columns: int, color: tuple[int, int, int] = (0, 0, 0), opacity: float = _PANEL_OPACITY
    ) -> None:
        self.rows, self.columns = rows, columns
        self._opacity = np.full((rows, columns, 1), opacity)
        self._ink = self._opacity * np.array(color)

    def paint(self, row: int, column: int, rgb: npt.NDArray[np.uint8]) -> None:
        area = np.s_[row : row + rgb.shape[0], column : column + rgb.shape[1]]
        self._opacity[area] = 1.0
        self._ink[area] = rgb

    def write(self, text: str, baseline: int, left: int, cap: int) -> None:
        mask = np.zeros((self.rows, self.columns), np.uint8)
        cv2.putText(mask, text, (left, baseline), _FONT, cap / _CAP_HEIGHT, 255, _stroke(cap), cv2.LINE_AA)
        share = mask[:, :, None] / 255
        self._ink = self._ink * (1 - share) + 255 * share
        self._opacity = self._opacity * (1 - share) + share

    def overlay(self, y: int, x: int) -> Overlay:
        keep = np.rint((1 - self._opacity) * 256).astype(np.uint16)
        # Rounded down so that keep and ink together can never pass 255.
        ink = np.minimum(np.floor(self._ink * 256), (256.0 - keep) * 255).astype(np.uint16)
        return Overlay(y, x, keep, ink)


def _text_height(height: int, width: int) -> int:
    """Capital height: 1/40 of a 16:9 picture's height, so 9 px at 640 × 360 and 27 px at 1080p."""
    return max(7, round(min(height, width * 9 / 16) / 40))


def _stroke(cap: int) -> int:
    return max(1, round(cap / 9))


def _text_width(text: str, cap: int) -> int:
    return int(cv2.getTextSize(text, _FONT, cap / _CAP_HEIGHT, _stroke(cap))[0][0])


def _labels(colormap: DepthColormap, bar_width: int, cap: int) -> list[tuple[int, str]]:
    """Left edge and text of the labels under the bar: both ends, and round numbers where they fit between."""
    ends = [colormap.min_m, colormap.max_m]
    round_numbers = [m * 10.0**e for m in (1, 2, 5) for e in range(-3, 5)]
    between = [m for m in round_numbers if colormap.min_m < m < colormap.max_m]
    placed: list[tuple[int, int, str]] = []
    for metres in [*ends, *between]:
        text = f"{metres:g} m" if metres == colormap.max_m else f"{metres:g}"
        text_width = _text_width(text, cap)
        centre = (1 - colormap.nearness(metres)) * bar_width
        left = round(min(max(centre - text_width / 2, 0), bar_width - text_width))
        if all(left > right + cap or left + text_width < other - cap for other, right, _ in placed):
            placed.append((left, left + text_width, text))
    return [(left, text) for left, _, text in placed]
