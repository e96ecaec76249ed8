"""Reads one depth map or one matte from a file. Whatever is wrong with it becomes a :class:`SourceError`.

Not with a source of ours: those give pictures to look at, of 8 or 10 bits, and depth is exact in 16 or 32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from model.lab.evaluation.metrics import Depth
from sinks.millimetres import BEYOND_RANGE
from stream.errors import SourceError, one_line
from stream.frame import Frame


def read_matte(path: Path) -> npt.NDArray[np.float32]:
    """``float32 [H, W]``, 0..1, from a gray picture of any depth."""
    picture = _decode(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if picture.dtype.kind != "u":
        raise SourceError(f"the matte {path} holds {picture.dtype}; an 8- or 16-bit gray picture is needed")
    return np.asarray(picture / np.iinfo(picture.dtype).max, np.float32)


def read_depth(path: Path, *, scale: float) -> Depth:
    """Metres ``float32 [H, W]`` from a numpy file or a 16-bit gray PNG.

    Args:
        path: ``.npy`` with metres as floats, or whole numbers in either format.
        scale: whole numbers per metre. 0 stays 0, no truth; 65535 becomes +Inf, beyond range.
    """
    if path.suffix.lower() == ".npy":
        try:
            values = np.load(path, allow_pickle=False)
        except OSError as exc:
            raise SourceError(f"cannot read the depth {path}: {exc.strerror}") from exc
        except (ValueError, EOFError) as exc:
            raise SourceError(f"cannot read the depth {path}: it is no numpy file of numbers, or damaged") from exc
    else:
        values = _decode(path, cv2.IMREAD_UNCHANGED)
    if values.ndim != 2 or values.dtype.kind not in "fu" or values.dtype == np.uint8:
        raise SourceError(
            f"{path} holds {values.dtype} {list(values.shape)}, but depth is a numpy file of metres as floats, or a "
            f"16-bit gray PNG"
        )
    return values.astype(np.float32) if values.dtype.kind == "f" else from_integers(values, scale)


def from_integers(values: npt.NDArray[Any], scale: float) -> Depth:
    """Metres from unsigned 16-bit values, see :func:`read_depth`."""
    return np.where(values >= BEYOND_RANGE, np.float32(np.inf), values.astype(np.float32) / np.float32(scale))


def check_size(what: Path, array: npt.NDArray[Any], frame: Frame) -> None:
    """Refuse truth of another size than its picture: resizing it would make up boundaries.

    Raises:
        SourceError: the sizes differ.
    """
    height, width = array.shape
    if (height, width) != (frame.height, frame.width):
        raise SourceError(
            f"{what} is {width}x{height}, but its picture {frame.width}x{frame.height}; they must be of one size"
        )


def _decode(path: Path, flags: int) -> npt.NDArray[Any]:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        picture = cv2.imdecode(data, flags) if data.size else None
    except OSError as exc:
        raise SourceError(f"cannot read {path}: {exc.strerror}") from exc
    except cv2.error as exc:
        raise SourceError(f"cannot read {path}: {one_line(exc)}") from exc
    if picture is None:
        raise SourceError(f"cannot read {path}: it is no picture, or damaged")
    return picture
