"""Depth as 16-bit PNG files. Each has its codes' mapping, its camera and its time in a text chunk, ``Depth``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sinks.depth_codes import FAR_M, NEAR_M, DepthCodes, Encoding
from sinks.files.sequence import SequenceSink
from sinks.frame_json import describe, to_json
from stream.errors import ConfigError
from stream.frame import DepthFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class PngOptions:
    """How depth becomes PNG.

    Attributes:
        encoding: millimetres, as depth cameras and data sets have it, or codes of :mod:`sinks.depth_codes`.
        min, max: metres at the ends of the codes log and inverse; 0.1 and 10000 unless given.
        level: of zlib's compression, 0 none, 1 fast … 9 smallest.
    """

    encoding: Encoding = "mm"
    min: float | None = None
    max: float | None = None
    level: int = 3

    def __post_init__(self) -> None:
        if not 0 <= self.level <= 9:
            raise ConfigError(f"level must be from 0 (no compression) to 9 (smallest), not {self.level}")
        if self.encoding == "mm" and (self.min, self.max) != (None, None):
            raise ConfigError("min and max are those of encoding=log and inverse; leave them out with millimetres")
        self.make_codes()  # refuses a range that cannot be

    def make_codes(self) -> DepthCodes:
        low, high = NEAR_M if self.min is None else self.min, FAR_M if self.max is None else self.max
        return DepthCodes(encoding=self.encoding, near_m=low, far_m=high)


class PngSink(SequenceSink):
    """Writes ``depth_000000.png`` and so on, 16-bit greyscale."""

    def __init__(
        self, folder: str | os.PathLike[str], options: PngOptions | None = None, *, overwrite: bool = False
    ) -> None:
        self._options = options or PngOptions()
        self._codes = self._options.make_codes()
        super().__init__(Path(folder), suffix=".png", overwrite=overwrite)

    def _save(self, frame: DepthFrame, path: Path) -> None:
        text = PngInfo()
        text.add_text("Depth", to_json({**self._codes.record(), **describe(frame)}).decode("ascii"))
        Image.fromarray(self._codes.encode(frame.depth)).save(
            path, format="PNG", pnginfo=text, compress_level=self._options.level
        )
