"""What Rerun is told of a camera, and how often."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from sinks.option_checks import JPEG_QUALITY, check_camera, check_quality
from sinks.video.colormap import MAX_M, MIN_M
from stream.errors import ConfigError

VIEWER_RATE = 10.0
VIEWER_MEMORY = "2GB"

_MEMORY = re.compile(r"[1-9]\d*(%|[kMGT]i?B)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RrdOptions:
    """What is written into a file.

    Attributes:
        camera: its name, the first part of every entity path.
        image: the picture that depth belongs to: ``jpeg`` or ``none``.
        quality: of JPEG, 1 … 100 the best and largest.
        rate: frames a second of capture time, at most; ``None``: all.
        min, max: metres that colours reach from and to in the viewer; depth itself is not changed.
    """

    camera: str = "camera"
    image: Literal["jpeg", "none"] = "jpeg"
    quality: int = JPEG_QUALITY
    rate: float | None = None
    min: float = MIN_M
    max: float = MAX_M

    def __post_init__(self) -> None:
        check_camera(self.camera)
        check_quality(self.quality, self.image)
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ConfigError(f"rate must be more than 0 frames a second, not {self.rate:g}")
        if not 0 <= self.min < self.max < math.inf:
            raise ConfigError(f"min and max must be metres, min the smaller, not {self.min:g} and {self.max:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerOptions(RrdOptions):
    """What is shown in a viewer. Its memory fills with what it is sent, so the rate is bounded.

    Attributes:
        memory: of a viewer that is started here: ``2GB``, ``500MiB`` or ``25%`` of this machine's. Beyond it, the
            viewer forgets the oldest frames.
        insecure: allow sending to another machine, where anybody on the way can look in.
    """

    rate: float | None = VIEWER_RATE
    memory: str | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        RrdOptions.__post_init__(self)
        if self.memory is not None and not _MEMORY.fullmatch(self.memory):
            raise ConfigError(f"memory must be like 2GB, 500MiB or 25%, not {self.memory!r}")


class Pace:
    """Which frames are passed on so that there are ``rate`` a second of capture time, at most; ``None``: all."""

    def __init__(self, rate: float | None) -> None:
        self._period_ns = 0 if rate is None else round(1e9 / rate)
        self._due_ns: int | None = None

    def takes(self, time_ns: int) -> bool:
        """Whether a frame of that time is passed on."""
        if self._due_ns is None or not self._due_ns - 2 * self._period_ns <= time_ns < self._due_ns + self._period_ns:
            self._due_ns = time_ns  # the first, or time has jumped
        if time_ns < self._due_ns:
            return False
        self._due_ns += self._period_ns  # not from this frame: 10 of 30 a second are every third, also with jitter
        return True
