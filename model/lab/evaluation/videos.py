"""A video whose depth is a second video of 16-bit gray, frame by frame, such as our own lossless output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from model.lab.evaluation.cameras import Cameras
from model.lab.evaluation.sample import Sample
from model.lab.evaluation.truth_files import check_size, from_integers
from stream.errors import SourceError
from stream.ports import Source
from stream.sources import open_source


def read(path: Path, depth_path: Path, cameras: Cameras, *, depth_scale: float) -> tuple[int | None, Iterator[Sample]]:
    """How many frames the video ``path`` has, as far as it tells, and the frames with the depth in ``depth_path``.

    Both videos have the same number of frames of the same size.

    Raises:
        SourceError: one cannot be read, they do not match, or depth is not 16-bit gray; also while iterating.
        ConfigError: the focal length is unknown; while iterating.
    """
    pictures = open_source(str(path))
    return pictures.info.frame_count, _samples(pictures, path, depth_path, cameras, depth_scale)


def _samples(pictures: Source, path: Path, depth_path: Path, cameras: Cameras, depth_scale: float) -> Iterator[Sample]:
    with ExitStack() as opened:
        opened.enter_context(closing(pictures))
        depths = opened.enter_context(_open(depth_path))
        for index, (frame, depth) in enumerate(zip_longest(pictures, _depths(depths, depth_path, depth_scale))):
            if frame is None or depth is None:
                shorter, longer = (path, depth_path) if frame is None else (depth_path, path)
                raise SourceError(f"{shorter} ends after {index} frames, {longer} goes on: they do not belong together")
            check_size(depth_path, depth, frame)
            yield Sample(
                name=f"{path.stem} {index}",
                frame=frame,
                depth=depth,
                f_px=cameras.f_px(path.stem, frame.width, frame.height),
                sequence=path.stem,
            )


# Not with a source of ours: those give pictures to look at, and what they make of 16-bit gray has 8 bits.


def _open(path: Path) -> Any:
    try:
        return av.open(str(path))
    except av.error.FFmpegError as exc:
        raise SourceError(f"cannot read the video {path}: {exc}") from exc


def _depths(container: Any, path: Path, scale: float) -> Iterator[npt.NDArray[np.float32]]:
    """Metres, ``float32 [H, W]``, upright."""
    if not container.streams.video:
        raise SourceError(f"{path} holds no video")
    container.streams.video[0].thread_type = "AUTO"
    try:
        for frame in container.decode(video=0):
            if frame.format.name not in ("gray16le", "gray16be"):
                raise SourceError(f"{path} holds {frame.format.name} pictures, not 16-bit gray depth")
            quarter_turns = round(frame.rotation / 90)  # counter-clockwise, as the container says
            yield from_integers(np.ascontiguousarray(np.rot90(frame.to_ndarray(), quarter_turns)), scale)
    except av.error.FFmpegError as exc:
        raise SourceError(f"the video {path} broke off: {exc}") from exc
