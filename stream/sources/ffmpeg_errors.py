"""Where FFmpeg's errors become ours: one line saying what was given, what is wrong and what to do."""

from __future__ import annotations

import errno
import socket
from urllib.parse import urlsplit

import av

from stream.errors import SourceError
from stream.sources.address import Address
from stream.sources.local_cameras import no_such_camera

LATE = "no data in time; check the network or raise the timeout"

# First match wins: subclasses stand before their bases.
_CAUSES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (
        av.error.HTTPUnauthorizedError,
        "the server wants a user name and password (401); check those in the address or in `auth_file`",
    ),
    (av.error.HTTPForbiddenError, "the server forbids access (403); check the account's rights"),
    (av.error.HTTPNotFoundError, "the server has no such stream or file (404); check the path in the address"),
    (av.error.HTTPError, "the server failed (5xx); try again later"),
    (av.error.HTTPClientError, "the server refuses the request (4xx); check the address"),
    (av.error.ConnectionRefusedError, "connection refused; check host, port and that the server or camera is running"),
    (
        (av.error.ConnectionResetError, av.error.ConnectionAbortedError, av.error.BrokenPipeError),
        "the connection was lost; check the network and the camera",
    ),
    ((av.error.TimeoutError, av.error.ExitError), LATE),
    (av.error.PermissionError, "permission denied; check its access rights"),
    (av.error.ProtocolNotFoundError, "this FFmpeg build does not speak the protocol; use rtsp:// or http:// instead"),
    (av.error.DemuxerNotFoundError, "this FFmpeg build cannot read the device; install PyAV from its wheels"),
    (av.error.PatchWelcomeError, "FFmpeg does not support this variant of the format; convert the file first"),
)

_CAMERA_CAUSES = {  # of a camera of this machine; empty: it is not there
    errno.ENOENT: "",
    errno.ENODEV: "",
    errno.ENXIO: "",
    errno.EBUSY: "another program uses the camera; close it first",
    errno.EACCES: "permission denied; on Linux add your user to the group video and log in again",
}


class Interruption(Exception):  # noqa: N818 (the cause of an error, never raised by itself)
    """A camera that was silent for too long, or whose stream ended: it may come back."""


class Misdirection(Exception):  # noqa: N818 (the cause of an error, never raised by itself)
    """A server that sends us to where we do not go: no waiting cures that."""


def cause_of(exc: av.FFmpegError, address: Address, *, late: bool) -> BaseException:
    """What to raise :func:`source_error` from, where something is being opened; :mod:`stream.sources.retry` asks it."""
    if late:
        return Interruption()
    return Misdirection() if _is_misdirected(exc, address) else exc


def source_error(exc: av.FFmpegError, address: Address, *, late: bool = False) -> SourceError:
    """The error to raise for ``exc``; use as ``raise source_error(exc, address) from exc``.

    ``late``: it came when a server's time was up, which FFmpeg's RTSP client calls invalid data.

    Also takes the address out of ``exc``, whose text would show its credentials in a traceback.
    """
    strerror = exc.args[1] if len(exc.args) > 1 else type(exc).__name__
    exc.args = (*exc.args[:1], strerror, address.name)
    return SourceError(f"{address.name}: {_cause(exc, address, late) or strerror}")


def _cause(exc: av.FFmpegError, address: Address, late: bool) -> str | None:
    if address.format is not None and exc.errno in _CAMERA_CAUSES:
        return _CAMERA_CAUSES[exc.errno] or no_such_camera()
    if address.format in ("avfoundation", "dshow") and exc.errno == errno.EIO:  # all that these say
        return f"it has no such size, rate or format, or there is {no_such_camera()}"
    if isinstance(exc, (av.error.FileNotFoundError, av.error.PermissionError)) and _is_script(address):
        return "a concat script, and the files that it names are missing or not for it to name; give those themselves"
    if _is_misdirected(exc, address):
        return "the server redirects to an address that is not allowed; only http:// and https:// are followed"
    if isinstance(exc, av.error.FileNotFoundError):
        return "no such file; check the path"
    if isinstance(exc, av.error.InvalidDataError):
        return LATE if late else _why_invalid(address)
    for kinds, text in _CAUSES:
        if isinstance(exc, kinds):
            return text
    if isinstance(exc, OSError):
        if late:
            return LATE
        if address.network and exc.errno == errno.EIO and not _has_host(address.target):
            return "the host name cannot be found; check its spelling and the network"
        return f"{exc.strerror}; check " + ("host name and network" if address.network else "the device or disk")
    return None


def _has_host(uri: str) -> bool:
    """Whether the name of the host resolves; FFmpeg tells that by an I/O error."""
    try:
        host = urlsplit(uri).hostname
        if host is not None:
            socket.getaddrinfo(host, None)
    except (OSError, ValueError):  # ValueError: a name or an address that cannot be one
        return False
    return True


def _is_misdirected(exc: av.FFmpegError, address: Address) -> bool:
    """FFmpeg calls what is not followed an invalid argument, and an address that is none or needs a zone as well."""
    if exc.errno != errno.EINVAL or not address.target.startswith(("http://", "https://")):
        return False
    try:
        return not (urlsplit(address.target).hostname or "").startswith("fe80:")
    except ValueError:
        return False


def _is_script(address: Address) -> bool:
    """Whether it is a file that FFmpeg takes for a list of other files, whatever its name."""
    try:
        return _head(address).startswith(b"ffconcat")
    except OSError:  # it is the file itself that is missing or may not be read
        return False


def _head(address: Address) -> bytes:
    """The first bytes of a local file; none of what is something else."""
    if not address.target.startswith("file:"):
        return b""
    with open(address.target.removeprefix("file:"), "rb") as file:  # noqa: PTH123 - FFmpeg's spelling, not a path of ours
        return file.read(12)


def _why_invalid(address: Address) -> str:
    advice = "give a video, a picture, a folder of pictures or a camera"
    if not address.target.startswith("file:"):
        return f"not a video FFmpeg can read; {advice}"
    head = _head(address)
    if not head:
        return f"the file is empty; {advice}"
    if head[4:8] == b"ftyp":
        return "an MP4 without its index: the recording or copy was cut short; make or copy the file again"
    return f"not a video or picture FFmpeg can read; {advice}"
