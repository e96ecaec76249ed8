"""A video whose depth is a second video of 16-bit gray, frame by frame, such as our own lossless output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from model.lab.evaluation.files import check_size, from_integers
from model.lab.evaluation.intrinsics import Cameras
from model.lab.evaluation.sample import Sample
from stream.errors import SourceError

_FALLBACK_RATE = 25  # for videos without timestamps


def count(path: Path) -> int | None:
    """Number of frames as the container tells it, ``None`` where it does not.

    Raises:
        SourceError: it cannot be opened.
    """
    try:
        with av.open(str(path)) as video:
            stream = video.streams.video[0]
            if stream.frames:
                return stream.frames
            if video.duration is None or stream.average_rate is None:
                return None
            return round(video.duration / av.time_base * stream.average_rate)
    except (av.error.FFmpegError, IndexError) as exc:
        raise SourceError(f"cannot read the video {path}: {exc}") from exc


def read(path: Path, depth_path: Path, cameras: Cameras, *, depth_scale: float) -> Iterator[Sample]:
    """Frames of the video ``path`` with the depth in ``depth_path``: the same number of frames of the same size.

    Raises:
        SourceError: one cannot be read, they do not match, or depth is not 16-bit gray.
        ConfigError: the focal length is unknown.
    """
    with ExitStack() as opened:
        pictures, depths = (opened.enter_context(_open(p)) for p in (path, depth_path))
        for index, (frame, depth_frame) in enumerate(zip_longest(_frames(pictures, path), _frames(depths, depth_path))):
            if frame is None or depth_frame is None:
                shorter, longer = (path, depth_path) if frame is None else (depth_path, path)
                raise SourceError(f"{shorter} ends after {index} frames, {longer} goes on: they do not belong together")
            if depth_frame.format.name not in ("gray16le", "gray16be"):
                raise SourceError(f"{depth_path} holds {depth_frame.format.name} pictures, not 16-bit gray depth")
            image = _upright(frame.to_ndarray(format="rgb24"), frame)
            depth = from_integers(_upright(depth_frame.to_ndarray(), depth_frame), depth_scale)
            check_size(depth_path, depth, image)
            yield Sample(
                name=f"{path.stem} {index}",
                image=image,
                depth=depth,
                f_px=cameras.f_px(path.stem, image.shape[1], image.shape[0]),
                sequence=path.stem,
                time_s=index / _FALLBACK_RATE if frame.time is None else frame.time,
            )


def _open(path: Path) -> Any:
    try:
        return av.open(str(path))
    except av.error.FFmpegError as exc:
        raise SourceError(f"cannot read the video {path}: {exc}") from exc


def _frames(container: Any, path: Path) -> Iterator[Any]:
    if not container.streams.video:
        raise SourceError(f"{path} holds no video")
    container.streams.video[0].thread_type = "AUTO"
    try:
        yield from container.decode(video=0)
    except av.error.FFmpegError as exc:
        raise SourceError(f"the video {path} broke off: {exc}") from exc


def _upright(array: npt.NDArray[Any], frame: Any) -> npt.NDArray[Any]:
    """Turn what the container says is to be turned, counter-clockwise by a multiple of 90°."""
    return np.ascontiguousarray(np.rot90(array, round(frame.rotation / 90)))
