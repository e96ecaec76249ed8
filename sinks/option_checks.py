"""Checks of options that several sinks have."""

from __future__ import annotations

import re

from stream.errors import ConfigError

JPEG_QUALITY = 90
"""Default of ``quality=``."""

_CAMERA = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FRAME_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


def check_frame_id(frame_id: str) -> None:
    """Refuse a name that no coordinate frame of ROS can have.

    Raises:
        ConfigError: it has other characters than letters, digits, _, -, . and /, or begins with a slash.
    """
    if not _FRAME_ID.fullmatch(frame_id):
        raise ConfigError(
            f"frame_id must be letters, digits, _, -, . and /, without a slash in front, not {frame_id!r}"
        )


def check_quality(quality: int, image: str) -> None:
    """Refuse a JPEG quality that does not fit the picture's format ``image``.

    Raises:
        ConfigError: it is not from 1 to 100, or the picture is no JPEG.
    """
    if not 1 <= quality <= 100:
        raise ConfigError(f"quality must be from 1 to 100 (best), not {quality}")
    if quality != JPEG_QUALITY and image != "jpeg":
        raise ConfigError(f"quality is that of JPEG; leave it out with image={image}")


def check_camera(camera: str) -> None:
    """Refuse a name that a camera cannot have.

    Raises:
        ConfigError: it has other characters than letters, digits, _, . and -, or more than 64.
    """
    if not _CAMERA.fullmatch(camera):
        raise ConfigError(f"camera must be letters, digits, _ . or -, 64 at most, not {camera!r}")
