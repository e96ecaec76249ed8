"""What a surface is made of: a pattern in metres, up to three colours, gloss, relief and glow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stream.errors import ConfigError

RGB = Sequence[float]

PATTERNS = (
    "plain",
    "noise",
    "marble",
    "wood",
    "planks",
    "tiles",
    "bricks",
    "checks",
    "stripes",
    "speckle",
    "gradient",
    "marks",
    "panes",
    "dots",
    "grass",
    "foliage",
    "asphalt",
)
"""Names of the patterns; a material stores the index."""

GREY: tuple[RGB, RGB, RGB] = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2), (0.8, 0.8, 0.8))

ROW = 18
"""Numbers in a material's row: pattern, 3 colours, scale, aspect, gap, jitter, gloss, bump, emission, salt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One material, checked. Colours are linear RGB; the fields are explained at ``SceneBuilder.material``."""

    pattern: str
    colors: Sequence[RGB]
    scale: float
    aspect: float
    gap: float
    jitter: float
    gloss: float
    bump: float
    emission: float

    def __post_init__(self) -> None:
        if self.pattern not in PATTERNS:
            raise ConfigError(f"pattern {self.pattern!r} is not one of {', '.join(PATTERNS)}")
        if not 1 <= len(self.colors) <= 3:
            raise ConfigError(f"a material has one to three colours, not {len(self.colors)}")
        for color in self.colors:
            check_color("a material's colour", color)
        for name in ("scale", "aspect"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigError(f"a material's {name} is a positive number, not {value!r}")
        for name in ("gap", "jitter", "gloss", "bump", "emission"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigError(f"a material's {name} is zero or more, not {value!r}")

    def row(self, salt: int) -> list[float]:
        """The ``ROW`` numbers the renderer reads; ``salt`` makes equal materials differ in their random cells."""
        first, *others = self.colors
        second = others[0] if others else [c * 0.5 for c in first]
        third = others[1] if len(others) > 1 else [min(1.0, c * 1.5 + 0.05) for c in first]
        head = [float(PATTERNS.index(self.pattern)), *first, *second, *third]
        tail = [self.scale, self.aspect, self.gap, self.jitter, self.gloss, self.bump, self.emission, float(salt)]
        return head + tail


def check_color(what: str, color: RGB) -> tuple[float, float, float]:
    """Three finite numbers, none negative, as floats; raises ``ConfigError`` otherwise."""
    if len(color) != 3 or not all(0 <= c < math.inf for c in color):
        raise ConfigError(f"{what} is three numbers, none negative, not {color!r}")
    return float(color[0]), float(color[1]), float(color[2])
