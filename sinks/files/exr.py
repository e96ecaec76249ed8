"""Depth as OpenEXR files: float metres for compositing."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import OpenEXR

from sinks.files.sequence import SequenceSink
from sinks.frame_json import describe, to_json
from stream.errors import ConfigError
from stream.frame import DepthFrame

_CHANNEL = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,30}")
_COMPRESSION = {
    "none": OpenEXR.NO_COMPRESSION,
    "rle": OpenEXR.RLE_COMPRESSION,
    "zips": OpenEXR.ZIPS_COMPRESSION,
    "zip": OpenEXR.ZIP_COMPRESSION,
    "piz": OpenEXR.PIZ_COMPRESSION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExrOptions:
    """How depth becomes OpenEXR.

    Attributes:
        type: ``float`` keeps every bit; ``half`` has 11 significant bits (0.05 %) and ends at 65,504 m.
        channel: its name; Z is what Nuke takes for depth, Y what Blender and FFmpeg see.
        compress: all without loss. ``zips`` keeps single lines, which Nuke reads fastest.
    """

    type: Literal["float", "half"] = "float"
    channel: str = "Z"
    compress: Literal["none", "rle", "zips", "zip", "piz"] = "zip"

    def __post_init__(self) -> None:
        if not _CHANNEL.fullmatch(self.channel):
            raise ConfigError(
                f"channel must be up to 31 letters, digits, _ and ., a letter first, not {self.channel!r}"
            )


class ExrSink(SequenceSink):
    """Writes ``depth_000000.exr`` and so on: metres, NaN no estimate, +Inf beyond range.

    The header has ``depthUnit``, ``depthAxis``, ``frame`` (its number), ``timeSeconds``, ``focalLengthPx`` (of the
    picture in the file), ``K`` (3 x 3), ``model``, and ``depthAbout``, the JSON of
    :func:`sinks.frame_json.describe`.
    """

    def __init__(
        self, folder: str | os.PathLike[str], options: ExrOptions | None = None, *, overwrite: bool = False
    ) -> None:
        self._options = options or ExrOptions()
        super().__init__(Path(folder), suffix=".exr", overwrite=overwrite, errors=(RuntimeError,))

    def _save(self, frame: DepthFrame, path: Path) -> None:
        header: dict[str, Any] = {
            "type": OpenEXR.scanlineimage,
            "compression": _COMPRESSION[self._options.compress],
            "depthUnit": "metre",
            "depthAxis": "optical axis (z), not ray length",
            "frame": frame.capture.index,
            "timeSeconds": frame.capture.time_s,
            "focalLengthPx": float(frame.camera.fx),
            "K": frame.camera.matrix,
            "model": frame.model,
            "depthAbout": to_json(describe(frame)).decode(),
        }
        depth: npt.NDArray[np.floating[Any]] = frame.depth
        if self._options.type == "half":
            with np.errstate(over="ignore"):  # beyond range, as +Inf says
                depth = depth.astype(np.float16)
        with OpenEXR.File(header, {self._options.channel: np.ascontiguousarray(depth)}) as file:
            file.write(str(path))
