"""What a source's URI means, and how it may be shown: no credentials in any name."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from stream import plugins
from stream.errors import ConfigError, SourceError
from stream.sources import credentials, local_cameras
from stream.sources.config import SourceConfig

LIVE_OPTIONS = {"fflags": "nobuffer", "flags": "low_delay"}
"""For FFmpeg, of every camera: what was read while probing is old, and is thrown away."""

# What FFmpeg in PyAV's wheels speaks; PyAV cannot list the protocols of another build.
NETWORK_SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "udp", "rtp", "tcp")
_LISTENING = ("udp", "rtp", "tcp")
_SECRET = re.compile(
    r"([\w.\-%]*(?:token|key|pass|pwd|secret|auth|sig|credential|session|user|login|jwt)[\w.\-%]*=)[^&#;\s]*",
    re.IGNORECASE,
)
# Whoever knows what follows the application's name may publish there.
_STREAM_KEY = re.compile(r"(\brtmp\w*:/+[^/]+/+[^/]+/+).+", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*", re.IGNORECASE)
_IP_ADDRESS = re.compile(r"(\[[^\]@]*\]|\d{1,3}(\.\d{1,3}){3})(:\d+)?(?=[/?#])")  # a host that cannot be a user's name


def redact(uri: str) -> str:
    """``uri`` without user, password, stream key and values of parameters that sound secret; local paths unchanged.

    In doubt it hides too much: a "/", "?" or "#" typed into a password makes ``user:1`` look like a host and its port.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri
    if not _SCHEME.fullmatch(scheme):
        return redact_unknown(uri)
    authority = _authority(rest)
    if "@" in authority or _may_hide_credentials(rest):
        rest = f"***@{rest.rpartition('@')[2]}"
    elif not _has_valid_port(authority):  # or a password whose host was forgotten
        rest = f"{authority.partition(':')[0]}:***{rest[len(authority) :]}"
    return _without_keys(f"{scheme}://{rest}")


def _may_hide_credentials(rest: str) -> bool:
    """Whether a "/", "?" or "#" may stand in a password, which then ends at a later "@" than the one FFmpeg finds."""
    head, at, _ = rest.rpartition("@")
    host = _IP_ADDRESS.match(head)
    if not at or len(head) < len(_authority(rest)):
        return False
    return "@" in _authority(rest) or ":" in head[host.end() if host else 0 :]


def redact_unknown(uri: str) -> str:
    """``uri`` without credentials where it is neither an address nor a path that exists.

    It may be a mistyped address, so any ``name:secret@`` is hidden, with all that stands before it.
    """
    head, at, tail = uri.rpartition("@")
    if at and (":" in head or "//" in head):
        scheme = "rtmp://" if "rtmp" in head.lower() else ""  # without which nobody knows that a stream key follows
        uri = f"{scheme}***@{tail}"
    return _without_keys(uri)


def _without_keys(uri: str) -> str:
    return _STREAM_KEY.sub(r"\1***", _SECRET.sub(r"\1***", uri))


def _authority(rest: str) -> str:
    """User, host and port of an address without its scheme, as FFmpeg splits it."""
    return re.split(r"[/?#]", rest, maxsplit=1)[0]


def _has_valid_port(authority: str) -> bool:
    """Whether the port is missing, empty or a number from 1 to 65535."""
    match = re.fullmatch(r"(?:\[.*\]|[^:]*)(?::(\d*))?", authority.rpartition("@")[2], re.ASCII)
    return match is not None and (not match[1] or (len(match[1]) <= 5 and 0 < int(match[1]) < 2**16))


def _has_host(scheme: str, rest: str) -> bool:
    """Whether a host is told, or a port alone where that is enough to listen on."""
    host = _authority(rest).rpartition("@")[2]
    return bool(host) and (scheme in _LISTENING or not host.startswith(":"))


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


def is_file_uri(uri: str) -> bool:
    """Whether ``uri`` is a ``file://`` one."""
    return uri[:7].lower() == "file://"


def local_path(uri: str) -> Path:
    """The path a ``file://`` URI or a plain path names."""
    if is_file_uri(uri):
        return Path(url2pathname(urlsplit(uri).path))
    literal = Path(uri)
    if not uri.startswith("~") or literal.exists():
        return literal
    try:
        return literal.expanduser()
    except RuntimeError:  # no such user: a name that starts with a tilde
        return literal


def file_address(path: Path) -> Address:
    """A local file. ``file:`` keeps a colon in its name from being read as a protocol, ``pattern_type`` a percent sign
    from being read as a numbering."""
    return Address(target=f"file:{path}", name=str(path), options={"pattern_type": "none"})


def network_address(uri: str, config: SourceConfig) -> Address:
    """A camera or file behind a server, with the credentials that ``config`` or the environment tell.

    Raises:
        SourceError: a protocol we do not read, a port that is none, or a password that may be cut in two.
        ConfigError: no host, or credentials that cannot be used or are given twice.
    """
    scheme, _, rest = uri.partition("://")
    scheme = scheme.lower()
    uri = f"{scheme}://{rest}"  # FFmpeg minds the case
    if scheme not in NETWORK_SCHEMES:
        kind = f"{scheme}://" if _SCHEME.fullmatch(scheme) else "such"
        raise SourceError(
            f"{redact(uri)}: cannot read {kind} addresses; give a file, a folder, webcam:0 or one of "
            + ", ".join([*(f"{s}://" for s in NETWORK_SCHEMES), *(f"{s}:" for s in plugins.schemes(plugins.SOURCES))])
        )
    if not _has_valid_port(_authority(rest)):
        hint = f"; {credentials.HOW_TO_WRITE}" if "@" in rest else ""
        raise SourceError(f"{redact(uri)}: the port is wrong; give a number from 1 to 65535 after the host{hint}")
    name = redact(uri)
    uri = f"{scheme}://{_with_credentials(scheme, rest, name, config)}"
    if not _has_host(scheme, rest):
        raise ConfigError(f"{name} names no host; write it as in {scheme}://192.0.2.7/stream")
    if scheme in ("http", "https"):
        # No "nobuffer" here: it throws away what was read while probing, which in a file are its first frames.
        return Address(target=uri, name=name, live=None, network=True)
    options = dict(LIVE_OPTIONS)
    if scheme in ("rtsp", "rtsps"):
        options["rtsp_transport"] = config.rtsp_transport
    return Address(target=uri, name=name, live=True, network=True, options=options)


def _with_credentials(scheme: str, rest: str, name: str, config: SourceConfig) -> str:
    """``rest`` of an address with user and password as FFmpeg wants them. They are looked up before any host is."""
    given = credentials.find(scheme, config.auth_file)
    authority = _authority(rest)
    if given is None:
        if _may_hide_credentials(rest):
            raise SourceError(
                f"{name}: it is not clear where the password ends; {credentials.HOW_TO_WRITE}; "
                "an @ after the host is written %40"
            )
        credentials.check_length(scheme, authority.rpartition("@")[0], name)
        return rest
    if "@" in authority:
        raise ConfigError(f"{name}: user and password are in the address and in {given.origin}; leave one of them out")
    encoded = given.encoded()
    credentials.check_length(scheme, encoded, given.origin)
    return f"{encoded}@{rest}"


def camera_address(uri: str, config: SourceConfig, platform: str = sys.platform) -> Address:
    """A camera of this machine: ``webcam:0``, ``webcam:<name>`` (macOS, Windows) or ``/dev/video0``.

    Raises:
        SourceError: there is no such camera, where that is known before it is opened.
        ConfigError: it has no such size, rate or format.
    """
    camera = uri.removeprefix("webcam").removeprefix(":") or "0"
    options = dict(LIVE_OPTIONS)
    if config.camera_size is not None:
        options["video_size"] = "{}x{}".format(*config.camera_size)
    if config.camera_rate is not None:
        options["framerate"] = f"{config.camera_rate:g}"
    if config.camera_format is not None:
        option, value = local_cameras.format_option(config.camera_format, platform)
        options[option] = value
    if platform == "darwin":
        # AVFoundation refuses its own default of 29.97 on most built-in cameras.
        return Address(
            target=f"{camera}:none", name=uri, live=True, format="avfoundation", options={"framerate": "30", **options}
        )
    if platform == "win32":
        return Address(target=f"video={_dshow_name(camera)}", name=uri, live=True, format="dshow", options=options)
    device = f"/dev/video{camera}" if camera.isdecimal() else camera
    asked = (config.camera_size, config.camera_rate, config.camera_format)
    if any(option is not None for option in asked) and (there := local_cameras.ask_device(Path(device))) is not None:
        local_cameras.check_modes(there, size=asked[0], rate=asked[1], format=asked[2])
    return Address(target=device, name=uri, live=True, format="v4l2", options=options)


def _dshow_name(camera: str) -> str:
    """DirectShow opens cameras by name only; a number picks from its list, in its order."""
    if not camera.isdecimal():
        return camera
    cameras = local_cameras.list_cameras("win32")
    if int(camera) >= len(cameras):
        raise SourceError(f"webcam:{camera}: {local_cameras.no_such_camera('win32')}")
    return cameras[int(camera)].device
