"""Where frames come from: :func:`open_source` turns what a person types into a :class:`stream.ports.Source`.

PyAV is imported here and nowhere else in ``stream``. FFmpeg's own messages stay off, which is PyAV's default: its log
callback takes the GIL from decoder threads and has deadlocked and crashed (PyAV issues 751, 2276). What matters of them
is in our errors and in the loggers of these modules.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Callable
from typing import Any

from stream import plugins
from stream.errors import SourceError
from stream.ports import Source
from stream.sources.address import (
    NETWORK_SCHEMES,
    Address,
    camera_address,
    file_address,
    is_file_uri,
    local_path,
    network_address,
    redact_unknown,
)
from stream.sources.camera import Camera
from stream.sources.config import SourceConfig
from stream.sources.connection import Connection
from stream.sources.images import ImageSource, is_image, list_folder, list_glob
from stream.sources.names import NOT_GIVEN
from stream.sources.network import open_http
from stream.sources.video import VideoFile

__all__ = ["SourceConfig", "open_source"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two characters at least: one and a colon is a Windows drive
_CAMERA_DEVICE = re.compile(r"/dev/video\d+")


def open_source(uri: str, *, config: SourceConfig | None = None) -> Source:
    """Open anything that yields pictures.

    Args:
        uri: a video file, a picture, a folder or glob of pictures (``shots/*.png``), ``webcam:0``, ``/dev/video0``,
            ``rtsp://…``, ``http(s)://…`` (a camera if its duration is unknown, else a file), or what a plug-in opens.
        config: timeouts, retries and rates.

    Returns:
        A source to iterate once and close. Credentials in ``uri`` are in neither its name nor its errors. A camera is
        opened by the iteration; over HTTP it has to be looked at first, and is waited for.

    Raises:
        SourceError: it cannot be opened; the message says why and what to do.
        ConfigError: an address names no host, or a plug-in is broken.
    """
    config = config or SourceConfig()
    if not uri.strip():
        raise SourceError(NOT_GIVEN)
    if re.match(r"webcam(:|$)", uri) or _CAMERA_DEVICE.fullmatch(uri):
        return _local_camera(camera_address(uri, config), config)
    if opener := _plugin(uri):
        source: Source = opener(uri, config)
        return source
    if "://" in uri and not is_file_uri(uri):
        address = network_address(uri, config)
        return Camera(address, config) if address.live else open_http(address, config)
    return _open_local(uri, config)


def _plugin(uri: str) -> Callable[..., Any] | None:
    """What opens ``uri`` if its scheme is a plug-in's. Our own schemes come first, and so do files that exist."""
    match = _SCHEME.match(uri)
    if match is None or match[1].lower() in NETWORK_SCHEMES or is_file_uri(uri) or _names_files(uri):
        return None
    return plugins.find(plugins.SOURCES, match[1].lower())


def _names_files(uri: str) -> bool:
    """Whether ``uri`` is the path of something that exists, or a glob that matches something."""
    return os.path.lexists(uri) or (glob.has_magic(uri) and any(glob.iglob(uri, recursive=True)))  # noqa: PTH207


def _open_local(uri: str, config: SourceConfig) -> Source:
    try:
        path = local_path(uri)
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: not even a possible name
        mode = None
    except OSError as exc:  # whose text shows the path, and with it what a mistyped address holds
        raise SourceError(f"{redact_unknown(uri)}: cannot be opened ({exc.strerror}); check the path") from None
    if mode is None:
        if glob.has_magic(uri) and not is_file_uri(uri):
            return ImageSource(list_glob(str(path)), name=str(path), config=config)
        others = "".join(f", {scheme}:" for scheme in plugins.schemes(plugins.SOURCES))
        raise SourceError(
            f"{redact_unknown(uri)}: no such file or folder; check the path, or give webcam:0, "
            f"an rtsp:// address{others} or demo"
        )
    if stat.S_ISDIR(mode):
        return ImageSource(list_folder(path), name=str(path), config=config)
    device = str(path.resolve())  # /dev/v4l/by-id/… are links that keep their name when cameras are plugged anew
    if stat.S_ISCHR(mode) and _CAMERA_DEVICE.fullmatch(device):
        return _local_camera(camera_address(device, config), config)
    if not stat.S_ISREG(mode):  # opening a pipe would wait for its writer, forever
        raise SourceError(
            f"{path}: a pipe, socket or device, not a file; give a video, a picture, a folder or webcam:0"
        )
    if is_image(path):
        return ImageSource([path], name=str(path), config=config)
    address = file_address(path)
    return VideoFile(address, Connection(address, config), strict=config.strict, path=path)


def _local_camera(address: Address, config: SourceConfig) -> Source:
    """A camera of this machine. It is looked at, so that whoever mistyped it need not wait for a network to load."""
    connection = Connection(address, config)
    rate = connection.frame_rate
    connection.close()
    return Camera(address, config, frame_rate=rate)
