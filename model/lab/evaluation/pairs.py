"""A folder of pictures with depth. The layout is recognised by its names:

* ``NAME.jpg`` beside ``NAME.depth.npy`` or ``NAME.depth.png``;
* ``color/NAME.jpg`` and ``depth/NAME.png`` (or ``rgb/``, ``images/``);
* ``color.jpg`` and ``depth.png``, or with the two words anywhere in the name: ``0001_rgb.jpg``, ``0001_depth.png``.

A matte, for boundary recall, is called ``matte`` where depth is called ``depth``; with one, depth may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from natsort import natsorted

from model.lab.evaluation.cameras import Cameras
from model.lab.evaluation.sample import Sample
from model.lab.evaluation.truth_files import check_size, read_depth, read_matte
from stream.errors import ConfigError, SourceError
from stream.frame import Frame
from stream.sources import open_source
from stream.sources.images import IMAGE_SUFFIXES, is_image

_DEPTHS = (".npy", ".png")
_FOLDERS = ("color", "colour", "rgb", "image", "images")
_WORD = re.compile(r"(?<![a-z])(?:color|colour|rgb)(?![a-z])", re.IGNORECASE)
_TRUTHS = ("depth", "matte")


@dataclass(frozen=True, slots=True)
class Pair:
    """Files of one picture; at least one of ``depth`` and ``matte``."""

    name: str
    image: Path
    depth: Path | None
    matte: Path | None


def find(folder: Path) -> list[Pair]:
    """Pairs in ``folder``, in natural order.

    Raises:
        ConfigError: no layout fits.
        SourceError: a picture without its depth, or with two.
    """
    below = next((folder / name for name in _FOLDERS if (folder / name).is_dir()), None)
    if below is not None and any((folder / truth).is_dir() for truth in _TRUTHS):
        return [_pair(image, lambda i, truth: folder / truth / i.stem) for image in _pictures(below)]
    pictures = _pictures(folder)
    if any(_is_truth(p) for p in pictures) or any(folder.glob("*.depth.npy")):
        images = [p for p in pictures if not _is_truth(p)]
        return _some(folder, [_pair(image, lambda i, truth: i.with_name(f"{i.stem}.{truth}")) for image in images])
    images = [p for p in pictures if _WORD.search(p.stem)]
    return _some(folder, [_pair(image, lambda i, truth: i.with_name(_WORD.sub(truth, i.stem))) for image in images])


def read(pairs: list[Pair], cameras: Cameras, *, depth_scale: float) -> Iterator[Sample]:
    """Read pair after pair.

    Raises:
        SourceError: a file cannot be read, or depth is of another size than its picture.
        ConfigError: the focal length of a picture with depth is unknown.
    """
    for pair in pairs:
        frame = _picture(pair.image)
        depth = matte = f_px = None
        if pair.depth is not None:
            depth = read_depth(pair.depth, scale=depth_scale)
            check_size(pair.depth, depth, frame)
            f_px = cameras.f_px(pair.name, frame.width, frame.height)
        if pair.matte is not None:
            matte = read_matte(pair.matte)
            check_size(pair.matte, matte, frame)
        yield Sample(name=pair.name, frame=frame, depth=depth, matte=matte, f_px=f_px)


def _picture(path: Path) -> Frame:
    """The picture as the product reads it."""
    with closing(open_source(str(path))) as source:
        return next(iter(source))


def _pictures(folder: Path) -> list[Path]:
    return natsorted(p for p in folder.iterdir() if is_image(p))


def _is_truth(path: Path) -> bool:
    return Path(path.stem).suffix.lower() in (".depth", ".matte")


def _pair(image: Path, place: Callable[[Path, str], Path]) -> Pair:
    """``place`` gives the path of depth or matte, without its ending."""
    depth = _only(image, [_ending(place(image, "depth"), ending) for ending in _DEPTHS])
    matte = _only(image, [_ending(place(image, "matte"), ending) for ending in IMAGE_SUFFIXES])
    if depth is None and matte is None:
        expected = " or ".join(str(_ending(place(image, "depth"), ending)) for ending in _DEPTHS)
        raise SourceError(f"{image} has no depth: expected {expected}")
    return Pair(image.stem, image, depth, matte)


def _only(image: Path, places: list[Path]) -> Path | None:
    found = [place for place in places if place.is_file()]
    if len(found) > 1:
        raise SourceError(f"{image} has both {found[0].name} and {found[1].name}; keep the one that is the truth")
    return found[0] if found else None


def _ending(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _some(folder: Path, pairs: list[Pair]) -> list[Pair]:
    if not pairs:
        raise ConfigError(
            f"no pairs in {folder}: expected NAME.jpg with NAME.depth.png or .npy, folders color and depth, or names "
            f"with the words color and depth, such as 0001_color.png and 0001_depth.png"
        )
    return pairs
