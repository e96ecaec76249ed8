"""Colours: mostly muted, now and then loud, coherent within a scene. Albedos are linear RGB, 0 … 1."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

RGB = tuple[float, float, float]


def linear(hue: float, saturation: float, value: float) -> RGB:
    """Linear RGB of a colour chosen as people choose it: hue, saturation and value 0 … 1 in sRGB."""
    r, g, b = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colorsys.hsv_to_rgb(hue, saturation, value)
    )
    return r, g, b


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """``share`` of ``b`` in ``a``, as the eye sees it: roots of light are averaged."""
    r, g, c = ((x**0.5 * (1 - share) + y**0.5 * share) ** 2 for x, y in zip(a, b, strict=True))
    return r, g, c


class Colors:
    """Draws colours for one scene."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._theme = [self._hue() for _ in range(3)]  # hues a scene comes back to, as a furnished home does

    def muted(self, low: float = 0.15, high: float = 0.9) -> RGB:
        """A colour as most things have it; ``low`` and ``high`` bound its sRGB value."""
        hue = (
            self._theme[self.rng.integers(3)] + float(self.rng.normal(0, 0.02))
            if self.rng.random() < 0.6
            else self._hue()
        )
        return linear(hue % 1, float(self.rng.beta(1.1, 5)), float(self.rng.uniform(low, high)))

    def vivid(self) -> RGB:
        """A colour that is meant to be seen."""
        return linear(self._hue(), float(self.rng.uniform(0.45, 0.95)), float(self.rng.uniform(0.3, 0.9)))

    def any_color(self, vivid: float = 0.25) -> RGB:
        """Loud with probability ``vivid``, else muted."""
        return self.vivid() if self.rng.random() < vivid else self.muted()

    def _hue(self) -> float:
        """Warm hues are the most frequent around people, then blues; violet is rare."""
        kind = self.rng.random()
        if kind < 0.5:
            return float(self.rng.normal(0.07, 0.04)) % 1
        if kind < 0.75:
            return float(self.rng.normal(0.58, 0.05))
        return float(self.rng.random())

    def earth(self, low: float = 0.25, high: float = 0.7) -> RGB:
        """Soil, stone, wood, brick."""
        return linear(
            float(self.rng.uniform(0.04, 0.13)), float(self.rng.uniform(0.1, 0.6)), float(self.rng.uniform(low, high))
        )

    def green(self, low: float = 0.2, high: float = 0.6) -> RGB:
        """Leaves and grass, a few of them autumnal."""
        hue = self.rng.uniform(0.04, 0.16) if self.rng.random() < 0.12 else self.rng.uniform(0.18, 0.36)
        return linear(float(hue), float(self.rng.uniform(0.25, 0.7)), float(self.rng.uniform(low, high)))

    def grey(self, low: float = 0.15, high: float = 0.85) -> RGB:
        """Nearly without hue."""
        return linear(float(self.rng.random()), float(self.rng.uniform(0, 0.08)), float(self.rng.uniform(low, high)))

    def pick(self, options: Sequence[tuple[float, str]]) -> str:
        """One of ``(weight, name)``."""
        weights = np.array([w for w, _ in options])
        return options[int(self.rng.choice(len(options), p=weights / weights.sum()))][1]
