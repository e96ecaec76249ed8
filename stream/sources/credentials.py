"""User and password of a network camera, from a file or the environment: places that no process list shows.

FFmpeg knows one way to be told them, inside the address. They are put there with percent signs, so that a password may
hold any character; what the address is called stays as it was typed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from stream.errors import ConfigError

USER, PASSWORD = "DEPTH_PRO_USER", "DEPTH_PRO_PASSWORD"
"""The variables of the environment."""

HOW_TO_WRITE = "in a password write @ : / ? # % as %40 %3A %2F %3F %23 %25, or give user and password by `auth_file`"
"""Advice for addresses with a password that cannot be told from the rest."""

# FFmpeg copies "user:password" of an address into an array of so many bytes, the final zero included, and cuts off what
# does not fit: `auth` in ff_rtsp_connect (libavformat/rtsp.c) and http_open_cnx_internal (libavformat/http.c).
_ROOM = {"rtsp": 128, "rtsps": 128, "http": 1024, "https": 1024}
_LONGEST_FILE = 4096  # bytes; more is some other file


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who we are to a camera.

    Attributes:
        user: without a colon, which separates it from the password wherever the two are sent.
        password: anything but control characters; may be empty.
        origin: where they come from, for errors.

    Raises:
        ConfigError: they cannot be sent.
    """

    user: str = field(repr=False)
    password: str = field(repr=False)
    origin: str

    def __post_init__(self) -> None:
        if not self.user:
            raise ConfigError(f"{self.origin}: the user's name is empty; give user and password")
        if ":" in self.user:
            raise ConfigError(f"{self.origin}: a user's name cannot hold a colon; write user and password on two lines")
        if re.search(r"[\x00-\x1f\x7f]", self.user + self.password):
            raise ConfigError(f"{self.origin}: user and password cannot hold control characters; write them again")

    def encoded(self) -> str:
        """``user:password`` as it may stand in an address."""
        return ":".join(quote(part, safe="!$&'()*+,;=") for part in (self.user, self.password))


def find(scheme: str, auth_file: Path | None, environ: Mapping[str, str] = os.environ) -> Credentials | None:
    """What the file or the environment says; ``None`` where nothing is said.

    Args:
        scheme: of the address, in lower case. The environment is for any source, so where a protocol knows no
            passwords it does not count; a file is meant for this source, and is refused.
        auth_file: see :class:`stream.sources.SourceConfig`.
        environ: of this process.

    Raises:
        ConfigError: the file cannot be used, or there are two answers.
    """
    if scheme not in _ROOM:
        if auth_file is not None:
            raise ConfigError(f"`auth_file` is for rtsp:// and http:// addresses, not for {scheme}://; leave it out")
        return None
    told = _from_environment(environ)
    if auth_file is None:
        return told
    if told is not None:
        raise ConfigError(f"user and password are given twice, by `auth_file` and by {USER}; leave one of them out")
    return _from_file(auth_file, environ)


def check_length(scheme: str, encoded: str, origin: str) -> None:
    """Refuse ``user:password`` that FFmpeg would cut off.

    Raises:
        ConfigError: it is too long.
    """
    room = _ROOM.get(scheme)
    if room is not None and len(encoded.encode()) >= room:
        raise ConfigError(
            f"{origin}: user and password are too long, FFmpeg takes {room - 1} bytes over {scheme}:// with special "
            "characters counting three; give the camera's account a shorter password"
        )


def _from_environment(environ: Mapping[str, str]) -> Credentials | None:
    user, password = environ.get(USER, ""), environ.get(PASSWORD)
    if not user and not password:
        return None
    if not user or password is None:
        here, missing = (PASSWORD, USER) if not user else (USER, PASSWORD)
        raise ConfigError(f"{here} is set and {missing} is not; set both or neither")
    return Credentials(user=user, password=password, origin=f"{USER} and {PASSWORD}")


def _from_file(path: Path, environ: Mapping[str, str]) -> Credentials:
    origin = f"`auth_file={path}`"
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and mode & 0o077 and not _guarded_by_systemd(path, environ):
                raise ConfigError(f"{origin}: other users may read it; run: chmod 600 {path}")
            content = file.read(_LONGEST_FILE + 1)
    except OSError as exc:
        raise ConfigError(f"{origin} cannot be read ({exc.strerror}); check the path and its access rights") from exc
    form = "write the user on the first line and the password on the second, or user:password on one"
    if len(content) > _LONGEST_FILE:
        raise ConfigError(f"{origin} is no file with a password: it has more than {_LONGEST_FILE} bytes; {form}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{origin} is not UTF-8; save it as UTF-8") from None  # whose text shows a part of it
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    if len(lines) == 1 and ":" in lines[0]:
        user, _, password = lines[0].partition(":")
    elif len(lines) == 2:
        user, password = lines
    else:
        raise ConfigError(f"{origin} holds {'too many lines' if len(lines) > 2 else 'no password'}; {form}")
    return Credentials(user=user, password=password, origin=origin)


def _guarded_by_systemd(path: Path, environ: Mapping[str, str]) -> bool:
    """Whether it is a credential that systemd has loaded.

    Nobody else may enter their folder, and the group's bits of such a file are the mask of its access list.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and path.absolute().parent == Path(str(folder)).absolute()
