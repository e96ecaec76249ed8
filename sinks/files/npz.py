"""Depth as NumPy archives: metres as they are, with the camera and the time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sinks.files.sequence import SequenceSink
from sinks.frame_json import describe, to_json
from stream.frame import DepthFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class NpzOptions:
    """How depth becomes NumPy archives.

    Attributes:
        compress: by zlib.
    """

    compress: bool = True


class NpzSink(SequenceSink):
    """Writes ``depth_000000.npz`` and so on.

    In each are ``depth`` (``float32 [H, W]``, metres), ``K`` (``float64 [3, 3]``), ``frame`` (its number), ``time_s``
    (``float64``, seconds of its clock), and ``about``, the JSON of :func:`sinks.frame_json.describe`, as a string.
    """

    def __init__(
        self, folder: str | os.PathLike[str], options: NpzOptions | None = None, *, overwrite: bool = False
    ) -> None:
        self._save_arrays = np.savez_compressed if options is None or options.compress else np.savez
        super().__init__(Path(folder), suffix=".npz", overwrite=overwrite)

    def _save(self, frame: DepthFrame, path: Path) -> None:
        with path.open("wb") as file:  # a name alone would be given another ending
            self._save_arrays(
                file,
                depth=frame.depth,
                K=frame.camera.matrix,
                frame=np.int64(frame.capture.index),
                time_s=np.float64(frame.capture.time_s),
                about=np.array(to_json(describe(frame)).decode()),
            )
