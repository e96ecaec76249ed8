"""What things are made of: wood, cloth, metal, skin, leaves, print. Never tied to one kind of object.

Every call draws a new material from the scene's random numbers, so the same chair is wood in one scene and blue plastic
in the next: what a network can learn from is shape and size, not colour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.lab.scenes.colors import RGB, Colors, linear, mix
from model.lab.scenes.renderer.materials import PATTERNS
from model.lab.scenes.renderer.scene import SceneBuilder

ANY_SHARE = 0.05
"""How often a surface is made of something unexpected."""


class Finishes(Colors):
    """Draws materials for the things in a scene and adds them to its builder. Methods return a material's number."""

    def __init__(self, builder: SceneBuilder, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self._builder = builder
        self._age = rng.uniform(0.03, 0.25)  # how uneven the scene's surfaces are

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

    def surface(
        self,
        pattern: str,
        colors: Sequence[RGB],
        scale: float,
        *,
        aspect: float = 1.0,
        gap: float = 0.04,
        gloss: float = 0.0,
        bump: float = 0.0,
    ) -> int:
        """The material that was asked for, most of the time, and :meth:`anything` in its place otherwise."""
        if self.rng.random() < ANY_SHARE:
            return self.anything(scale)
        return self.make(pattern, colors, scale, aspect=aspect, gap=gap, gloss=gloss, bump=bump)

    def plain(self, color: RGB, gloss: float = 0.0) -> int:
        """One colour, slightly worn."""
        if self.rng.random() < 0.65:
            return self.surface("plain", [color], 1.0, gloss=gloss)
        return self.surface(
            "noise",
            [color, mix(color, (0, 0, 0), 0.12), mix(color, (1, 1, 1), 0.06)],
            float(self.rng.uniform(0.05, 0.8)),
            gloss=gloss,
        )

    def wood(self) -> int:
        """Furniture wood."""
        color = self.earth(0.2, 0.85)
        return self.surface(
            "wood",
            [color, mix(color, (0, 0, 0), 0.45), mix(color, (1, 0.9, 0.7), 0.15)],
            float(self.rng.uniform(0.04, 0.2)),
            gloss=float(self.rng.uniform(0, 0.4)),
        )

    def lacquer(self) -> int:
        """Wood or paint, as furniture is."""
        return (
            self.wood()
            if self.rng.random() < 0.5
            else self.plain(self.any_color(0.2), gloss=float(self.rng.uniform(0, 0.5)))
        )

    def cloth(self) -> int:
        """Upholstery, clothes, curtains, rugs."""
        rng, color = self.rng, self.any_color(0.25)
        other = self.any_color(0.3) if rng.random() < 0.4 else mix(color, (0, 0, 0), 0.3)
        kind = self.pick(
            [
                (5, "plain"),
                (2, "noise"),
                (1, "stripes"),
                (1, "checks"),
                (0.5, "dots"),
                (0.5, "speckle"),
                (0.4, "marble"),
            ]
        )
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
        pattern = ("marks", "marks", "marble", "noise", "gradient", "checks", "stripes", "dots", "foliage")[
            rng.integers(9)
        ]
        return self.make(
            pattern,
            [self.any_color(0.45) for _ in range(3)],
            float(np.exp(rng.uniform(np.log(0.015), np.log(0.2)))),
            gloss=float(rng.uniform(0, 0.4)),
        )

    def glow(self, strength: float, color: RGB = (1, 1, 1)) -> int:
        """A surface that shines by itself."""
        return self.make("plain", [color], emission=strength, jitter=0.0)

    def skin(self) -> int:
        """Human skin, light to dark."""
        return self.make(
            "plain",
            [
                linear(
                    float(self.rng.uniform(0.03, 0.08)),
                    float(self.rng.uniform(0.25, 0.6)),
                    float(self.rng.uniform(0.3, 0.95)),
                )
            ],
        )

    def hair(self) -> int:
        """Black, brown, blond, grey; hats and helmets too."""
        if self.rng.random() < 0.2:
            return self.cloth()
        return self.make("noise", [self.earth(0.08, 0.6), self.grey(0.05, 0.4)], 0.02)

    def leaves(self) -> int:
        """A crown's or hedge's surface."""
        a = self.green()
        return self.surface(
            "foliage" if self.rng.random() < 0.75 else "noise",
            [a, self.green(0.1, 0.35), mix(a, (1, 1, 0.6), 0.2)],
            float(self.rng.uniform(0.05, 0.3)),
            bump=0.5,
        )

    def bark(self) -> int:
        """Trunks and branches."""
        return self.surface(
            "noise",
            [self.earth(0.15, 0.5), self.earth(0.1, 0.3), self.grey(0.2, 0.6)],
            float(self.rng.uniform(0.02, 0.15)),
            bump=0.5,
        )

    def stone(self) -> int:
        """Rock."""
        color = self.grey(0.25, 0.75) if self.rng.random() < 0.6 else self.earth()
        return self.surface(
            "noise" if self.rng.random() < 0.7 else "marble",
            [color, mix(color, (0, 0, 0), 0.5), mix(color, (1, 1, 1), 0.2)],
            float(self.rng.uniform(0.05, 0.8)),
            bump=0.6,
        )
