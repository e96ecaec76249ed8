"""Where frames come from: :func:`open_source` turns what a person types into a :class:`stream.ports.Source`.

PyAV is imported here and nowhere else in ``stream``. FFmpeg's own messages stay off, which is PyAV's default: its log
callback takes the GIL from decoder threads and has deadlocked and crashed (PyAV issues 751, 2276). What matters of them
is in our errors and in the loggers of these modules.
"""

from __future__ import annotations

import glob
import re

from stream.errors import SourceError
from stream.ports import Source
from stream.sources.address import camera_address, file_address, local_path, network_address
from stream.sources.config import SourceConfig
from stream.sources.images import ImageSource, is_image, list_folder, list_glob
from stream.sources.video import VideoSource

__all__ = ["SourceConfig", "open_source"]


def open_source(uri: str, *, config: SourceConfig | None = None) -> Source:
    """Open anything that yields pictures.

    Args:
        uri: a video file, a picture, a folder or glob of pictures (``shots/*.png``), ``webcam:0``, ``/dev/video0``,
            ``rtsp://…``, ``http(s)://…`` (a camera if its duration is unknown, else a file), or ``demo``.
        config: timeouts and rates.

    Returns:
        A source to iterate once and close. Credentials in ``uri`` are in neither its name nor its errors.

    Raises:
        SourceError: it cannot be opened; the message says why and what to do.
    """
    config = config or SourceConfig()
    if uri == "demo":
        from stream.demo import DemoSource  # rendered, not decoded: nobody else pays for its import

        return DemoSource()
    if re.match(r"webcam(:|$)|/dev/video\d+$", uri):
        return VideoSource(camera_address(uri, config), config)
    if "://" in uri and not uri.startswith("file://"):
        return VideoSource(network_address(uri, config), config)
    return _open_local(uri, config)


def _open_local(uri: str, config: SourceConfig) -> Source:
    path = local_path(uri)
    if path.is_dir():
        return ImageSource(list_folder(path), name=str(path), config=config)
    if path.exists():
        if is_image(path):
            return ImageSource([path], name=str(path), config=config)
        return VideoSource(file_address(path), config)
    if glob.has_magic(str(path)):
        return ImageSource(list_glob(str(path)), name=str(path), config=config)
    raise SourceError(f"{uri}: no such file or folder; check the path, or give webcam:0, an rtsp:// address or demo")
