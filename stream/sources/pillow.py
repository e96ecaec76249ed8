"""Pictures that FFmpeg reads in part, or not at all: every page and every tile of them, by Pillow.

FFmpeg reads the first page of a TIFF file, one tile of an iPhone's HEIC, no animated WebP, and JPEG within TIFF as
black.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from stream.errors import SourceError
from stream.frame import Geometry
from stream.sources.unpack import Picture

_HEIF_SUFFIXES = (".heic", ".heif", ".hif")
_ALWAYS = (".webp", ".avif", *_HEIF_SUFFIXES)
_COMPRESSION, _JPEG = 259, (6, 7)  # TIFF's tag, and its values for JPEG
_BAD_FILE = (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, Image.DecompressionBombError)


def is_for_pillow(path: Path) -> bool:
    """Whether ``path`` is a picture that FFmpeg would read in part, or not at all."""
    suffix = path.suffix.lower()
    if suffix in _ALWAYS:
        return True
    if suffix not in (".tif", ".tiff", ".png", ".gif"):
        return False
    with suppress(*_BAD_FILE), Image.open(path) as image:
        if getattr(image, "n_frames", 1) > 1:
            return True
        return suffix in (".tif", ".tiff") and image.tag_v2.get(_COMPRESSION) in _JPEG  # type: ignore[attr-defined]
    return False


def pages(path: Path) -> Iterator[Picture]:
    """Every picture in the file, as ``rgb24``, not turned.

    Raises:
        SourceError: it is missing, damaged, or needs a package that is not here.
    """
    if path.suffix.lower() in _HEIF_SUFFIXES:
        try:
            from pillow_heif import register_heif_opener
        except ModuleNotFoundError as exc:
            raise SourceError(f"{path}: HEIC needs the Python package pillow-heif: pip install -e '.[heif]'") from exc
        register_heif_opener()
    try:
        with Image.open(path) as image:
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                yield _picture(image)
    except FileNotFoundError as exc:
        raise SourceError(f"{path}: no such file; check the path") from exc
    except _BAD_FILE as exc:
        raise SourceError(f"{path}: holds no picture that can be read ({exc}); save it again as PNG or JPEG") from exc


def _picture(image: Image.Image) -> Picture:
    pixels = np.asarray(_eight_bits(image).convert("RGB"))
    geometry = Geometry("rgb24", image.width, image.height)
    return Picture(geometry, (pixels,), "bt601", "full", "sdr", 0)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Pillow cuts 16 bits off instead of scaling them."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image
