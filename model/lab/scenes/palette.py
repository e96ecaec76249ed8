"""All materials of a scene: those of things, and here those of what is built and of the ground."""

from __future__ import annotations

from model.lab.scenes.colors import linear, mix
from model.lab.scenes.finishes import Finishes


class Palette(Finishes):
    """Draws walls, floors, roads, lawns and house fronts besides everything :class:`Finishes` has."""

    def wall(self) -> int:
        """Paint, plaster, wallpaper, tiles, panels, brick."""
        rng, color = self.rng, self.muted(0.6, 0.97) if self.rng.random() < 0.85 else self.any_color(0.3)
        other = mix(color, self.muted(), 0.25)
        kind = self.pick([(5, "paint"), (2, "plaster"), (1.2, "paper"), (1, "tiles"), (0.7, "panels"), (0.7, "brick")])
        if kind == "paint":
            return self.plain(color)
        if kind == "plaster":
            return self.surface(
                "noise", [color, other, mix(color, (1, 1, 1), 0.2)], float(rng.uniform(0.03, 0.4)), bump=0.3
            )
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
        return self.surface(
            "tiles",
            [color, grout, mix(color, self.muted(), 0.2)],
            scale,
            aspect=float(self.rng.choice([1, 1, 2])),
            gap=float(self.rng.uniform(0.01, 0.05)),
            gloss=float(self.rng.uniform(0, 0.6)),
        )

    def bricks(self) -> int:
        """Bricks of the usual 21 to 25 cm."""
        color = linear(
            float(self.rng.uniform(0, 0.09)), float(self.rng.uniform(0.1, 0.6)), float(self.rng.uniform(0.3, 0.8))
        )
        return self.surface(
            "bricks",
            [color, self.grey(0.4, 0.8), mix(color, (0, 0, 0), 0.3)],
            float(self.rng.uniform(0.21, 0.25)),
            aspect=3.2,
            gap=0.05,
            bump=0.3,
        )

    def floor(self) -> int:
        """Boards, parquet, tiles, carpet, concrete."""
        rng = self.rng
        kind = self.pick(
            [(4, "planks"), (2.5, "tiles"), (2.5, "carpet"), (1, "concrete"), (0.6, "checks"), (0.6, "marble")]
        )
        if kind == "planks":
            color = self.earth(0.25, 0.8)
            return self.surface(
                "planks",
                [color, mix(color, (0, 0, 0), 0.4), mix(color, self.earth(), 0.3)],
                float(rng.uniform(0.07, 0.22)),
                aspect=float(rng.uniform(5, 12)),
                gap=0.02,
                gloss=float(rng.uniform(0, 0.4)),
            )
        if kind == "tiles":
            return self.tiles(float(rng.uniform(0.2, 0.8)))
        if kind == "carpet":
            color = self.muted(0.2, 0.8)
            return self.surface(
                "speckle" if rng.random() < 0.5 else "noise",
                [color, mix(color, (0, 0, 0), 0.3), mix(color, (1, 1, 1), 0.2)],
                float(rng.uniform(0.01, 0.05)),
            )
        if kind == "concrete":
            return self.concrete()
        return self.surface(
            kind, [self.muted(0.5, 0.95), self.muted(0.1, 0.6), self.muted()], float(rng.uniform(0.2, 0.6)), gloss=0.3
        )

    def concrete(self) -> int:
        """Concrete, screed, render."""
        color = self.grey(0.4, 0.8)
        return self.surface(
            "noise",
            [color, mix(color, (0, 0, 0), 0.12), mix(color, (1, 1, 1), 0.08)],
            float(self.rng.uniform(0.1, 1.5)),
            bump=0.2,
        )

    def ceiling(self) -> int:
        """Mostly white; office tiles; boards."""
        rng, color = self.rng, self.grey(0.7, 0.97)
        if rng.random() < 0.2:
            return self.surface("tiles", [color, self.grey(0.4, 0.7), color], 0.6, gap=0.03)
        if rng.random() < 0.1:
            return self.wood()
        return self.plain(color)

    def road(self) -> int:
        """Asphalt, now and then concrete or cobbles."""
        if self.rng.random() < 0.12:
            return self.paving(0.12)
        color = self.grey(0.2, 0.6)
        return self.surface(
            "asphalt",
            [color, mix(color, (0, 0, 0), 0.4), mix(color, (1, 1, 1), 0.25)],
            float(self.rng.uniform(0.02, 0.3)),
        )

    def paving(self, scale: float | None = None) -> int:
        """Slabs, cobbles, brick pavement."""
        color = self.grey(0.35, 0.8) if self.rng.random() < 0.6 else self.earth(0.4, 0.8)
        size = scale or float(self.rng.uniform(0.15, 0.9))
        return self.surface(
            "tiles" if self.rng.random() < 0.6 else "bricks",
            [color, mix(color, (0, 0, 0), 0.5), mix(color, (1, 1, 1), 0.15)],
            size,
            aspect=float(self.rng.choice([1, 1.5, 2])),
        )

    def lawn(self) -> int:
        """Grass, short or dry."""
        a = self.green(0.3, 0.65)
        return self.surface(
            "grass", [a, self.green(0.15, 0.4), mix(a, self.earth(), 0.5)], float(self.rng.uniform(0.03, 0.4))
        )

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
        return self.surface(
            "noise",
            [color, mix(color, (0, 0, 0), 0.3), mix(color, (1, 1, 1), 0.2)],
            float(self.rng.uniform(0.05, 1.5)),
            bump=0.3,
        )

    def facade(self, storey: float) -> int:
        """A house front with a grid of windows, one row per ``storey`` metres."""
        rng = self.rng
        wall = self.muted(0.35, 0.95) if rng.random() < 0.7 else self.earth(0.3, 0.8)
        glass = mix(linear(0.58, 0.25, float(rng.uniform(0.1, 0.5))), self.grey(), 0.3)
        bay = storey * float(rng.uniform(0.6, 1.6))
        return self.make(
            "panes",
            [wall, glass, mix(wall, self.grey(), 0.5)],
            storey,
            aspect=bay / storey,
            gap=float(rng.uniform(0.2, 0.45)),
            gloss=0.1,
        )
