"""The two things a photograph's EXIF tells us: which way is up, and how long the lens was."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

_ORIENTATION, _EXIF_IFD, _FOCAL_35MM = 0x0112, 0x8769, 0xA405
_FILM_DIAGONAL_MM = math.hypot(36, 24)
_LONGEST_LENS_MM = 6000  # some cameras write garbage of 10 m and more into this tag

# EXIF orientation → (mirror left-right first, then turn counter-clockwise by).
_UPRIGHT: dict[int, tuple[bool, Literal[0, 90, 180, 270]]] = {
    1: (False, 0), 2: (True, 0), 3: (False, 180), 4: (True, 180),
    5: (True, 90), 6: (False, 270), 7: (True, 270), 8: (False, 90),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exif:
    """What EXIF says of a stored picture.

    Attributes:
        mirror: mirror it left to right first, to put it upright.
        rotation: then turn it counter-clockwise by so many degrees.
        focal_35mm: focal length in millimetres on 35 mm film, ``None`` where unknown.
    """

    mirror: bool = False
    rotation: Literal[0, 90, 180, 270] = 0
    focal_35mm: float | None = None

    def focal_px(self, width: int, height: int) -> float | None:
        """Focal length in pixels of a picture of this size.

        Cameras compute the 35 mm equivalent from the diagonal angle of view (CIPA DCG-001), so the picture's diagonal
        stands for that of a 36 × 24 mm frame. Depth Pro's own loader does the same. It holds for any aspect ratio, on
        its side or not.
        """
        return None if self.focal_35mm is None else self.focal_35mm * math.hypot(width, height) / _FILM_DIAGONAL_MM


def read_exif(path: Path) -> Exif:
    """EXIF of an image file; defaults where there is none or it cannot be read. Never raises for a bad file."""
    try:
        with Image.open(path) as image:  # reads the header only
            tags = image.getexif()
            orientation, focal = tags.get(_ORIENTATION, 1), tags.get_ifd(_EXIF_IFD).get(_FOCAL_35MM)
    # Pillow parses what FFmpeg will decode: a header it stumbles over costs the metadata, not the picture.
    except (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, Image.DecompressionBombError):
        return Exif()
    mirror, rotation = _UPRIGHT.get(orientation, (False, 0))
    return Exif(mirror, rotation, _millimetres(focal))


def _millimetres(value: Any) -> float | None:
    try:
        focal = float(value)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return focal if 0 < focal < _LONGEST_LENS_MM else None
