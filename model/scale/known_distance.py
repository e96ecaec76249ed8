"""What the user says of a distance: at which pixel, how far, and in which file the factor is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from stream.errors import ConfigError

_FORM = re.compile(r"\s*([+-]?\d{1,9})\s*,\s*([+-]?\d{1,9})\s*=\s*(\S{1,40})\s*")
_FARTHEST_M = 10_000.0  # beyond, depth is beyond range


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleConfig:
    """One known distance scales the depth of a camera that stands still.

    Raises:
        ConfigError: the distance is not of its form, or impossible.
    """

    scale_from: str | None = None
    """One known distance, X,Y=METRES: a pixel of the upright source picture, and metres along the optical axis."""

    scale_file: Path | None = None
    """Where the factor is kept: written with --scale-from, read where it exists."""

    def __post_init__(self) -> None:
        if self.scale_from is not None:
            KnownDistance.parse(self.scale_from)


@dataclass(frozen=True, slots=True)
class KnownDistance:
    """How far away, in ``metres`` along the optical axis, what pixel ``x``, ``y`` of the upright source picture is."""

    x: int
    y: int
    metres: float

    @classmethod
    def parse(cls, text: str) -> KnownDistance:
        """From ``X,Y=METRES``.

        Raises:
            ConfigError: it is not of that form, or there is no such pixel or distance.
        """
        found = _FORM.fullmatch(text)
        try:
            if found is None:
                raise ValueError
            x, y, metres = int(found[1]), int(found[2]), float(found[3])
        except ValueError:
            raise ConfigError(
                f"`scale_from` takes a pixel and its distance as X,Y=METRES, such as 640,360=1.83, not {text!r}"
            ) from None
        if x < 0 or y < 0:
            raise ConfigError(f"`scale_from` {text!r} is outside the picture; pixels count from 0,0, upper left")
        if not 0 < metres <= _FARTHEST_M:
            raise ConfigError(
                f"`scale_from` {text!r}: the distance must be metres, above 0 and at most {_FARTHEST_M:g}"
            )
        return cls(x, y, metres)

    def __str__(self) -> str:
        return f"{self.x},{self.y}={self.metres:g}"
