"""What can be chosen about a source; the one place its defaults live."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from stream.errors import ConfigError

_SLOWEST_RATE, _FASTEST_RATE = 1e-5, 1000.0  # pictures per second


def _typed_size(_type: Any, tokens: Sequence[Token]) -> tuple[int, int]:
    """What ``--camera-size 1280x720`` means."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", tokens[0].value)
    if match is None:
        raise ValueError(f"give a width and a height such as 1280x720, not {tokens[0].value!r}")  # cyclopts says where
    return int(match[1]), int(match[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """Options of :func:`stream.sources.open_source`.

    Raises:
        ConfigError: a value is out of range.
    """

    open_timeout_s: float = 10.0
    """Seconds a camera or server may take to answer and describe its video."""

    read_timeout_s: float = 10.0
    """Seconds without a picture after which a camera or server counts as gone."""

    retries: int | None = None
    """Attempts in a row to reach a camera again before the run ends. Default: for ever."""

    retry_max_s: float = 5.0
    """The longest wait between two attempts, in seconds; the first is a quarter of a second, and each one doubles."""

    max_age_s: float = 1.0
    """Frames of a camera that are older than so many seconds get no depth."""

    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    """tcp loses nothing; udp trades torn pictures for a little latency."""

    capture_clock: Literal["auto", "host"] = "auto"
    """auto: a network camera's own from its first RTCP report on, else ours at reception. host: always ours."""
    # Only the camera knows when a picture was taken, so that is the default; each frame names its clock. Host is for
    # where one clock for the whole run matters more, or the camera's is badly set.

    live: Annotated[bool | None, Parameter(negative="--offline", show_default=False)] = None
    """An http:// address is a camera (--live) or a file (--offline). Default: a file if it has a known length."""

    strict: bool = False
    """A file that is damaged anywhere is an error, once all that it holds is written."""

    decode: Literal["auto", "cpu", "cuda"] = "auto"
    """Who decodes video. cuda: NVIDIA's decoder, else the CPU with a warning; auto: the CPU."""

    stay_on: Annotated[int | None, Parameter(parse=False)] = None
    """Number of the CUDA device that pictures of NVIDIA's decoder stay on, for an estimator that takes them from there.
    Default: they come down to the host's memory."""

    image_rate: float = 25.0
    """Pictures per second that a folder of images stands for."""

    camera_size: Annotated[tuple[int, int] | None, Parameter(n_tokens=1, converter=_typed_size, metavar="WxH")] = None
    """Width and height in pixels asked of a webcam, such as 1280x720. Default: its driver chooses."""

    camera_rate: float | None = None
    """Pictures per second asked of a webcam. Default: its driver chooses."""

    camera_format: str | None = None
    """Pixel format asked of a webcam, such as mjpeg. Default: FFmpeg chooses."""

    auth_file: Path | None = None
    """User and password of a network camera, on two lines or as user:password, that no other user may read."""
    # DEPTH_PRO_USER and DEPTH_PRO_PASSWORD do instead. Unlike an address, neither is seen in the list of processes.

    def __post_init__(self) -> None:
        for name in ("open_timeout_s", "read_timeout_s", "retry_max_s", "max_age_s", "image_rate", "camera_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"`{name}` must be a positive number, not {value}")
        if not _SLOWEST_RATE <= self.image_rate <= _FASTEST_RATE:
            raise ConfigError(
                f"`image_rate` must be from {_SLOWEST_RATE:g} (about one picture a day) to {_FASTEST_RATE:g}, "
                f"not {self.image_rate}"
            )
        if self.retries is not None and self.retries < 0:
            raise ConfigError(f"`retries` must be 0 or more, not {self.retries}")
        if self.rtsp_transport not in ("tcp", "udp"):
            raise ConfigError(f"`rtsp_transport` must be tcp or udp, not {self.rtsp_transport!r}")
        if self.capture_clock not in ("auto", "host"):
            raise ConfigError(f"`capture_clock` must be auto or host, not {self.capture_clock!r}")
        if self.camera_size is not None and min(self.camera_size) < 1:
            raise ConfigError(f"`camera_size` must be a positive width and height, not {self.camera_size}")

    @property
    def image_rate_exact(self) -> Fraction:
        """``image_rate`` as a fraction a container can hold: 29.97 becomes 2997/100, one an hour 1/3600."""
        if self.image_rate < 1:
            return 1 / Fraction(1 / self.image_rate).limit_denominator(1001)
        return Fraction(self.image_rate).limit_denominator(1001)
