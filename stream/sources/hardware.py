"""NVIDIA's decoder, where it is asked for and there. Pictures come down to the host's memory like those of the CPU."""

from __future__ import annotations

import functools
import logging
from typing import Literal

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

_log = logging.getLogger(__name__)

Decode = Literal["auto", "cpu", "cuda"]


def accelerator(wanted: Decode) -> HWAccel | None:
    """What to open a container with; ``None`` for the CPU.

    ``auto`` means the CPU: no measurement says yet where the other is better. A decoder that is not there is said once;
    what it cannot decode, the CPU does.
    """
    return HWAccel("cuda") if wanted == "cuda" and _is_there() else None


@functools.cache
def _is_there() -> bool:
    if "cuda" not in hwdevices_available():
        _log.warning("this FFmpeg build has no NVIDIA decoder; decoding on the CPU")
        return False
    try:
        HWAccel("cuda").create(av.Codec("h264", "r"))
    except (av.FFmpegError, NotImplementedError) as exc:
        _log.warning("no NVIDIA decoder can be used here (%s); decoding on the CPU", exc)
        return False
    return True
