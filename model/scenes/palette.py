"""Colours and materials: mostly muted, now and then loud, and never tied to one kind of object.

Albedos are linear RGB, 0 … 1. Every call draws a new material from the scene's random numbers, so the same chair is wood in
one scene and blue plastic in the next: what a network can learn from is shape and size, not colour.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

from model.scenes.materials import PATTERNS
from model.scenes.scene import SceneBuilder

RGB = tuple[float, float, float]

ANY_SHARE = 0.05
"""How often a surface is made of something unexpected."""



def linear(hue: float, saturation: float, value: float) -> RGB:
    """Linear RGB of a colour chosen as people choose it: hue, saturation and value 0 … 1 in sRGB."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colorsys.hsv_to_rgb(hue, saturation, value))
    return r, g, b


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """``share`` of ``b`` in ``a``."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


class Palette:
    """Draws materials for one scene and adds them to its builder. Every method returns a material's number."""

    def __init__(self, builder: SceneBuilder, rng: np.random.Generator) -> None:
        self._builder, self.rng = builder, rng
        self._theme = [self._hue() for _ in range(3)]  # hues a scene comes back to, as a furnished home does
        self._age = rng.uniform(0.03, 0.25)  # how uneven its surfaces are

    # Colours

    def muted(self, low: float = 0.15, high: float = 0.9) -> RGB:
        """A colour as most things have it; ``low`` and ``high`` bound its sRGB value."""
        hue = self._theme[self.rng.integers(3)] + float(self.rng.normal(0, 0.02)) if self.rng.random() < 0.6 else self._hue()
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
        return linear(float(self.rng.uniform(0.04, 0.13)), float(self.rng.uniform(0.1, 0.6)), float(self.rng.uniform(low, high)))

    def green(self, low: float = 0.2, high: float = 0.6) -> RGB:
        """Leaves and grass, a few of them autumnal."""
        hue = self.rng.uniform(0.04, 0.16) if self.rng.random() < 0.12 else self.rng.uniform(0.18, 0.36)
        return linear(float(hue), float(self.rng.uniform(0.25, 0.7)), float(self.rng.uniform(low, high)))

    def grey(self, low: float = 0.15, high: float = 0.85) -> RGB:
        """Nearly without hue."""
        return linear(float(self.rng.random()), float(self.rng.uniform(0, 0.08)), float(self.rng.uniform(low, high)))

    # Materials

    def make(
        self,
        pattern: str,
        colors: Sequence[RGB],
        scale: float = 0.3,
        *,
        aspect: float = 1.0,
        gap: float = 0.04,
        gloss: float = 0.0,
        bump: float = 0.0,
        emission: float = 0.0,
        jitter: float | None = None,
    ) -> int:
        """The material that was asked for, exactly."""
        three = (*colors, *colors, *colors)[:3] if len(colors) < 3 else tuple(colors[:3])
        return self._builder.material(
            pattern=pattern,
            colors=three,
            scale=scale,
            aspect=aspect,
            gap=gap,
            jitter=self._age if jitter is None else jitter,
            gloss=gloss,
            bump=bump,
            emission=emission,
        )

    def anything(self, scale: float = 0.3) -> int:
        """Any pattern in any colours, its features about ``scale`` metres."""
        rng = self.rng
        colors = [self.any_color(0.15) for _ in range(3)]
        if rng.random() < 0.5:  # close to each other, as prints and worn surfaces are
            colors = [colors[0], mix(colors[0], colors[1], 0.35), mix(colors[0], colors[2], 0.35)]
        return self.make(
            PATTERNS[rng.integers(len(PATTERNS))],
            colors,
            scale * float(np.exp(rng.normal(0, 0.6))),
            aspect=float(np.exp(rng.normal(0, 0.4))),
            gap=float(rng.uniform(0.01, 0.12)),
            gloss=float(rng.beta(1, 4)),
            bump=float(rng.beta(1, 4)),
        )

    def surface(self, pattern: str, colors: Sequence[RGB], scale: float, *, aspect: float = 1.0, gap: float = 0.04, gloss: float = 0.0, bump: float = 0.0) -> int:  # fmt: skip
        """The material that was asked for, most of the time, and :meth:`anything` in its place otherwise."""
        if self.rng.random() < ANY_SHARE:
            return self.anything(scale)
        return self.make(pattern, colors, scale, aspect=aspect, gap=gap, gloss=gloss, bump=bump)

    def plain(self, color: RGB, gloss: float = 0.0) -> int:
        """One colour, slightly worn."""
        if self.rng.random() < 0.65:
            return self.surface("plain", [color], 1.0, gloss=gloss)
        return self.surface("noise", [color, mix(color, (0, 0, 0), 0.2), mix(color, (1, 1, 1), 0.08)], float(self.rng.uniform(0.05, 0.8)), gloss=gloss)  # fmt: skip

    def pick(self, options: Sequence[tuple[float, str]]) -> str:
        """One of ``(weight, name)``."""
        weights = np.array([w for w, _ in options])
        return options[int(self.rng.choice(len(options), p=weights / weights.sum()))][1]

    def wall(self) -> int:
        """Paint, plaster, wallpaper, tiles, panels, brick."""
        rng, color = self.rng, self.muted(0.6, 0.97) if self.rng.random() < 0.85 else self.any_color(0.3)
        other = mix(color, self.muted(), 0.25)
        kind = self.pick([(5, "paint"), (2, "plaster"), (1.2, "paper"), (1, "tiles"), (0.7, "panels"), (0.7, "brick")])
        if kind == "paint":
            return self.plain(color)
        if kind == "plaster":
            return self.surface("noise", [color, other, mix(color, (1, 1, 1), 0.2)], float(rng.uniform(0.03, 0.4)), bump=0.3)
        if kind == "paper":
            pattern = ("stripes", "dots", "marble", "checks", "foliage")[rng.integers(5)]
            return self.surface(pattern, [color, other, mix(color, other, 0.5)], float(rng.uniform(0.05, 0.25)))
        if kind == "tiles":
            return self.tiles(float(rng.uniform(0.08, 0.4)))
        if kind == "panels":
            return self.surface("planks", [self.earth(), self.earth()], float(rng.uniform(0.08, 0.2)), aspect=8)
        return self.bricks()

    def tiles(self, scale: float) -> int:
        """Ceramic or stone tiles of ``scale`` metres."""
        color = self.muted(0.35, 0.95)
        grout = self.grey(0.3, 0.8)
        return self.surface("tiles", [color, grout, mix(color, self.muted(), 0.2)], scale, aspect=float(self.rng.choice([1, 1, 2])), gap=float(self.rng.uniform(0.01, 0.05)), gloss=float(self.rng.uniform(0, 0.6)))  # fmt: skip

    def bricks(self) -> int:
        """Bricks of the usual 21 to 25 cm."""
        color = linear(float(self.rng.uniform(0, 0.09)), float(self.rng.uniform(0.1, 0.6)), float(self.rng.uniform(0.3, 0.8)))
        return self.surface("bricks", [color, self.grey(0.4, 0.8), mix(color, (0, 0, 0), 0.3)], float(self.rng.uniform(0.21, 0.25)), aspect=3.2, gap=0.05, bump=0.3)  # fmt: skip

    def floor(self) -> int:
        """Boards, parquet, tiles, carpet, concrete."""
        rng = self.rng
        kind = self.pick([(4, "planks"), (2.5, "tiles"), (2.5, "carpet"), (1, "concrete"), (0.6, "checks"), (0.6, "marble")])
        if kind == "planks":
            color = self.earth(0.25, 0.8)
            return self.surface("planks", [color, mix(color, (0, 0, 0), 0.4), mix(color, self.earth(), 0.3)], float(rng.uniform(0.07, 0.22)), aspect=float(rng.uniform(5, 12)), gap=0.02, gloss=float(rng.uniform(0, 0.4)))  # fmt: skip
        if kind == "tiles":
            return self.tiles(float(rng.uniform(0.2, 0.8)))
        if kind == "carpet":
            color = self.muted(0.2, 0.8)
            return self.surface("speckle" if rng.random() < 0.5 else "noise", [color, mix(color, (0, 0, 0), 0.3), mix(color, (1, 1, 1), 0.2)], float(rng.uniform(0.01, 0.05)))  # fmt: skip
        if kind == "concrete":
            return self.concrete()
        return self.surface(kind, [self.muted(0.5, 0.95), self.muted(0.1, 0.6), self.muted()], float(rng.uniform(0.2, 0.6)), gloss=0.3)

    def concrete(self) -> int:
        """Concrete, screed, render."""
        color = self.grey(0.4, 0.8)
        return self.surface("noise", [color, mix(color, (0, 0, 0), 0.25), mix(color, (1, 1, 1), 0.15)], float(self.rng.uniform(0.1, 1.5)), bump=0.2)

    def ceiling(self) -> int:
        """Mostly white; office tiles; boards."""
        rng, color = self.rng, self.grey(0.7, 0.97)
        if rng.random() < 0.2:
            return self.surface("tiles", [color, self.grey(0.4, 0.7), color], 0.6, gap=0.03)
        if rng.random() < 0.1:
            return self.wood()
        return self.plain(color)

    def wood(self) -> int:
        """Furniture wood."""
        color = self.earth(0.2, 0.85)
        return self.surface("wood", [color, mix(color, (0, 0, 0), 0.45), mix(color, (1, 0.9, 0.7), 0.15)], float(self.rng.uniform(0.04, 0.2)), gloss=float(self.rng.uniform(0, 0.4)))  # fmt: skip

    def lacquer(self) -> int:
        """Wood or paint, as furniture is."""
        return self.wood() if self.rng.random() < 0.5 else self.plain(self.any_color(0.2), gloss=float(self.rng.uniform(0, 0.5)))

    def cloth(self) -> int:
        """Upholstery, clothes, curtains, rugs."""
        rng, color = self.rng, self.any_color(0.25)
        other = self.any_color(0.3) if rng.random() < 0.4 else mix(color, (0, 0, 0), 0.3)
        kind = self.pick([(5, "plain"), (2, "noise"), (1, "stripes"), (1, "checks"), (0.5, "dots"), (0.5, "speckle"), (0.4, "marble")])
        if kind == "plain":
            return self.plain(color)
        return self.surface(kind, [color, other, mix(color, other, 0.5)], float(rng.uniform(0.01, 0.12)))

    def metal(self) -> int:
        """Steel, aluminium, chrome, painted metal."""
        color = self.grey(0.25, 0.85) if self.rng.random() < 0.75 else self.any_color(0.5)
        return self.surface("plain", [color], 1.0, gloss=float(self.rng.uniform(0.3, 0.9)))

    def plastic(self) -> int:
        """Loud more often than not, and shiny."""
        return self.plain(self.any_color(0.5), gloss=float(self.rng.uniform(0.1, 0.7)))

    def dark(self) -> int:
        """Rubber, screens that are off, the inside of things."""
        return self.make("plain", [self.grey(0.05, 0.25)], gloss=float(self.rng.uniform(0, 0.6)))

    def print(self) -> int:
        """Pictures, covers, packages, posters, screens."""
        rng = self.rng
        pattern = ("marks", "marks", "marble", "noise", "gradient", "checks", "stripes", "dots", "foliage")[rng.integers(9)]
        return self.make(pattern, [self.any_color(0.45) for _ in range(3)], float(np.exp(rng.uniform(np.log(0.015), np.log(0.2)))), gloss=float(rng.uniform(0, 0.4)))  # fmt: skip

    def glow(self, strength: float, color: RGB = (1, 1, 1)) -> int:
        """A surface that shines by itself."""
        return self.make("plain", [color], emission=strength, jitter=0.0)

    def skin(self) -> int:
        """Human skin, light to dark."""
        return self.make("plain", [linear(float(self.rng.uniform(0.03, 0.08)), float(self.rng.uniform(0.25, 0.6)), float(self.rng.uniform(0.3, 0.95)))])

    def hair(self) -> int:
        """Black, brown, blond, grey; hats and helmets too."""
        if self.rng.random() < 0.2:
            return self.cloth()
        return self.make("noise", [self.earth(0.08, 0.6), self.grey(0.05, 0.4)], 0.02)

    def leaves(self) -> int:
        """A crown's or hedge's surface."""
        a = self.green()
        return self.surface("foliage" if self.rng.random() < 0.75 else "noise", [a, self.green(0.1, 0.35), mix(a, (1, 1, 0.6), 0.2)], float(self.rng.uniform(0.05, 0.3)), bump=0.5)  # fmt: skip

    def bark(self) -> int:
        """Trunks and branches."""
        return self.surface("noise", [self.earth(0.15, 0.5), self.earth(0.1, 0.3), self.grey(0.2, 0.6)], float(self.rng.uniform(0.02, 0.15)), bump=0.5)

    def stone(self) -> int:
        """Rock."""
        color = self.grey(0.25, 0.75) if self.rng.random() < 0.6 else self.earth()
        return self.surface("noise" if self.rng.random() < 0.7 else "marble", [color, mix(color, (0, 0, 0), 0.5), mix(color, (1, 1, 1), 0.2)], float(self.rng.uniform(0.05, 0.8)), bump=0.6)  # fmt: skip

    def road(self) -> int:
        """Asphalt, now and then concrete or cobbles."""
        if self.rng.random() < 0.12:
            return self.paving(0.12)
        color = self.grey(0.2, 0.6)
        return self.surface("asphalt", [color, mix(color, (0, 0, 0), 0.4), mix(color, (1, 1, 1), 0.25)], float(self.rng.uniform(0.02, 0.3)))

    def paving(self, scale: float | None = None) -> int:
        """Slabs, cobbles, brick pavement."""
        color = self.grey(0.35, 0.8) if self.rng.random() < 0.6 else self.earth(0.4, 0.8)
        size = scale or float(self.rng.uniform(0.15, 0.9))
        return self.surface("tiles" if self.rng.random() < 0.6 else "bricks", [color, mix(color, (0, 0, 0), 0.5), mix(color, (1, 1, 1), 0.15)], size, aspect=float(self.rng.choice([1, 1.5, 2])))  # fmt: skip

    def lawn(self) -> int:
        """Grass, short or dry."""
        a = self.green(0.3, 0.65)
        return self.surface("grass", [a, self.green(0.15, 0.4), mix(a, self.earth(), 0.5)], float(self.rng.uniform(0.03, 0.4)))

    def ground(self) -> int:
        """What open ground is made of."""
        kind = self.pick([(4, "lawn"), (1.5, "paving"), (1.5, "road"), (1.5, "soil"), (1, "sand"), (0.6, "snow")])
        if kind == "lawn":
            return self.lawn()
        if kind == "paving":
            return self.paving()
        if kind == "road":
            return self.road()
        color = {"soil": self.earth(0.2, 0.55), "sand": self.earth(0.6, 0.9), "snow": self.grey(0.85, 0.97)}[kind]
        return self.surface("noise", [color, mix(color, (0, 0, 0), 0.3), mix(color, (1, 1, 1), 0.2)], float(self.rng.uniform(0.05, 1.5)), bump=0.3)

    def facade(self, storey: float) -> int:
        """A house front with a grid of windows, one row per ``storey`` metres."""
        rng = self.rng
        wall = self.muted(0.35, 0.95) if rng.random() < 0.7 else self.earth(0.3, 0.8)
        glass = mix(linear(0.58, 0.25, float(rng.uniform(0.1, 0.5))), self.grey(), 0.3)
        bay = storey * float(rng.uniform(0.6, 1.6))
        return self.make("panes", [wall, glass, mix(wall, self.grey(), 0.5)], storey, aspect=bay / storey, gap=float(rng.uniform(0.2, 0.45)), gloss=0.1)  # fmt: skip
