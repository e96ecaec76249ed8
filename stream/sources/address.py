"""What a source's URI means, and how it may be shown: no credentials in any name."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from stream.errors import SourceError
from stream.sources.config import SourceConfig

NETWORK_SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "rtp", "tcp")
_SECRET = re.compile(
    r"([\w.\-%]*(?:token|key|pass|pwd|secret|auth|sig|credential|session|user|login|jwt)[\w.\-%]*=)[^&#;\s]*",
    re.IGNORECASE,
)


def redact(uri: str) -> str:
    """``uri`` without user, password and the values of query parameters that sound secret; local paths unchanged."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    head, at, _ = authority.rpartition("@")
    # A "/" typed into a password ends the authority early: what follows up to the last "@" is still secret.
    if not at and not re.fullmatch(r"(\[.*\]|[^:]*)(:\d*)?", authority):
        head, at, _ = rest.rpartition("@")
    if at:
        rest = "***@" + rest[len(head) + 1 :]
    return f"{scheme}://" + _SECRET.sub(r"\1***", rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Something FFmpeg can open.

    Attributes:
        target: file name, device or URL as FFmpeg wants it, credentials included. Never show it.
        name: the same for people and logs.
        live: ``None`` where only opening tells, as with HTTP.
        network: reached through a server rather than a disk or a driver.
        format: demuxer to force, ``None`` to probe.
        options: options for the demuxer.
    """

    target: str = field(repr=False)
    name: str
    live: bool | None = False
    network: bool = False
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)


def local_path(uri: str) -> Path:
    """The path a ``file://`` URI or a plain path names."""
    return Path(url2pathname(urlsplit(uri).path)) if uri.startswith("file://") else Path(uri).expanduser()


def file_address(path: Path) -> Address:
    """A local file. ``file:`` keeps a colon in its name from being read as a protocol, ``pattern_type`` a percent sign
    from being read as a numbering."""
    return Address(target=f"file:{path}", name=str(path), options={"pattern_type": "none"})


def network_address(uri: str, config: SourceConfig) -> Address:
    """A camera or file behind a server.

    Raises:
        SourceError: a protocol we do not read.
    """
    scheme = uri.partition("://")[0].lower()
    if scheme not in NETWORK_SCHEMES:
        raise SourceError(
            f"{redact(uri)}: cannot read {scheme}:// addresses; give a file, a folder, webcam:0 or one of "
            + ", ".join(f"{s}://" for s in NETWORK_SCHEMES)
        )
    if scheme in ("http", "https"):
        # No "nobuffer" here: it throws away what was read while probing, which in a file are its first frames.
        return Address(target=uri, name=redact(uri), live=None, network=True)
    options = {"fflags": "nobuffer", "flags": "low_delay"}
    if scheme in ("rtsp", "rtsps"):
        options["rtsp_transport"] = config.rtsp_transport
    return Address(target=uri, name=redact(uri), live=True, network=True, options=options)


def camera_address(uri: str, config: SourceConfig, platform: str = sys.platform) -> Address:
    """A camera of this machine: ``webcam:0``, ``webcam:<name>`` (macOS, Windows) or ``/dev/video0``."""
    camera = uri.removeprefix("webcam").removeprefix(":") or "0"
    options = {"fflags": "nobuffer", "flags": "low_delay"}
    if config.camera_size is not None:
        options["video_size"] = "{}x{}".format(*config.camera_size)
    if config.camera_rate is not None:
        options["framerate"] = f"{config.camera_rate:g}"
    if platform == "darwin":
        # AVFoundation refuses its own default of 29.97 on most built-in cameras.
        return Address(
            target=f"{camera}:none", name=uri, live=True, format="avfoundation", options={"framerate": "30", **options}
        )
    if platform == "win32":
        return Address(target=f"video={_dshow_name(camera)}", name=uri, live=True, format="dshow", options=options)
    device = f"/dev/video{camera}" if camera.isdecimal() else camera
    return Address(target=device, name=uri, live=True, format="v4l2", options=options)


def _dshow_name(camera: str) -> str:
    """DirectShow opens cameras by name only; a number picks from its list, in its order."""
    if not camera.isdecimal():
        return camera
    from av.device import enumerate_input_devices  # PyAV 17 and later

    cameras = [d.name for d in enumerate_input_devices("dshow") if "video" in d.media_types]
    if int(camera) >= len(cameras):
        raise SourceError(f"webcam:{camera}: no such camera; this machine has {len(cameras)}: {', '.join(cameras)}")
    return cameras[int(camera)]
