"""Keys for encrypted ZeroMQ (CURVE, RFC 26): making them, reading them, and letting in only those who are listed.

A certificate is a file of pyzmq's: ``NAME.key`` with the public key, to be given to others, and ``NAME.key_secret``
with both. A publisher has a secret certificate and a folder with the public ones of its subscribers; a subscriber has
a secret one and the publisher's public one.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path

import zmq
from zmq.auth import create_certificates, load_certificate
from zmq.auth.thread import ThreadAuthenticator

from stream.errors import ConfigError, SinkError

DOMAIN = "depth"
"""Name under which ZeroMQ asks about connections (RFC 27)."""

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
QUIET_S = 60.0  # ZeroMQ tries again several times a second; once a minute is enough to read
_log = logging.getLogger(__name__)


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a pair of keys: ``folder/name.key`` and, readable by its owner alone, ``folder/name.key_secret``.

    Raises:
        ConfigError: the name has a form that is not allowed, there are keys of that name already, or this build of
            ZeroMQ cannot encrypt.
        SinkError: the files cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"the name of a key must be letters, digits, _ . or -, 64 at most and no dot first, not {name!r}"
        )
    if not zmq.has("curve"):
        raise ConfigError("this build of ZeroMQ cannot encrypt; install pyzmq from its wheels")
    public, secret = folder / f"{name}.key", folder / f"{name}.key_secret"
    for path in (public, secret):
        if path.exists():
            raise ConfigError(f"{path} exists; choose another name, or delete it: who has its other half is locked out")
    mask = os.umask(0o177)  # from the first byte on, nobody else can read the secret
    try:
        os.umask(0o077)
        folder.mkdir(parents=True, exist_ok=True)
        os.umask(0o177)
        create_certificates(folder, name)
        public.chmod(0o644)
    except OSError as exc:
        for path in (public, secret):
            with suppress(OSError):
                path.unlink()
        raise SinkError(f"cannot write keys into {folder}: {exc.strerror}") from exc
    finally:
        os.umask(mask)
    return public, secret


def load_secret(path: Path) -> tuple[bytes, bytes]:
    """Public and secret key of a secret certificate.

    Raises:
        ConfigError: it cannot be read, or holds no secret key.
    """
    public, secret = _load(path)
    if secret is None:
        raise ConfigError(f"{path} holds no secret key; give the file that ends in .key_secret")
    if os.name == "posix" and path.expanduser().stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        _log.warning("%s can be read by others than its owner; make it private: chmod 600 %s", path, path)
    return public, secret


def load_public(path: Path) -> bytes:
    """The public key of a certificate.

    Raises:
        ConfigError: it cannot be read.
    """
    return _load(path)[0]


def _load(path: Path) -> tuple[bytes, bytes | None]:
    path = path.expanduser()
    try:
        path.open("rb").close()  # pyzmq does not tell what cannot be read
        public, secret = load_certificate(path)
    except OSError as exc:
        raise ConfigError(f"the key {path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise ConfigError(
            f"{path} is no ZeroMQ certificate; make one with: python -m sinks.zeromq.keygen FOLDER NAME"
        ) from exc
    if any(len(key) != 40 for key in (public, secret) if key is not None):
        raise ConfigError(f"{path} is damaged: a key has 40 characters")
    if secret is not None and zmq.curve_public(secret) != public:
        raise ConfigError(f"{path} is damaged: its two keys do not belong together")
    return public, secret


class AllowList:
    """Subscribers that are let in: the public certificates (``*.key``) in a folder, as they are now.

    Asked by pyzmq's authenticator on a thread of its own, for every connection that knows the publisher's key.

    Args:
        folder: of the certificates.

    Raises:
        ConfigError: it is no folder.
    """

    def __init__(self, folder: Path) -> None:
        folder = folder.expanduser()
        if not folder.is_dir():
            raise ConfigError(f"clients={folder} is no folder; put the .key files of those who may subscribe into one")
        self._folder = folder
        self._lock = threading.Lock()
        self._seen = self._signature()
        self._keys = self._read()
        self._refused = 0
        self._complained_at = -QUIET_S
        if not self._keys:
            _log.warning("%s holds no usable .key file yet: nobody is let in", folder)

    @property
    def refused(self) -> int:
        """Connections turned away so far."""
        with self._lock:
            return self._refused

    def callback(self, _domain: str, key: bytes) -> bool:
        """Whether the holder of ``key`` is let in (pyzmq's name for it)."""
        with self._lock:
            if key in self._keys:
                _log.info("%s is connected", self._keys[key])
                return True
            self._refused += 1
            now = time.monotonic()
            if now - self._complained_at >= QUIET_S:
                self._complained_at = now
                _log.warning(
                    "a subscriber whose key (%s…) is not in %s was refused; %d refusals so far",
                    key[:8].decode("ascii", "replace"),
                    self._folder,
                    self._refused,
                )
            return False

    def refresh(self) -> bool:
        """Read the folder again where it has changed. Returns whether somebody was taken off the list."""
        if (signature := self._signature()) == self._seen:
            return False
        keys = self._read()
        if not keys:
            _log.warning("%s is gone or holds no usable .key file: nobody is let in", self._folder)
        with self._lock:
            revoked = [name for key, name in self._keys.items() if key not in keys]
            added = [name for key, name in keys.items() if key not in self._keys]
            self._seen, self._keys = signature, keys
        _log.info("%s: added %s; revoked %s", self._folder, ", ".join(added) or "-", ", ".join(revoked) or "-")
        return bool(revoked)

    def _read(self) -> dict[bytes, str]:
        """Names by public key. What cannot be read, perhaps half copied, is not let in."""
        keys = {}
        for path in self._files():
            try:
                public, secret = _load(path)
            except ConfigError as exc:
                _log.warning("%s; it is left out", exc)
                continue
            if secret is not None:
                _log.warning(
                    "%s holds a secret key, which belongs to its owner alone; list the .key file instead", path
                )
            keys[public] = path.stem
        return keys

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.key"))

    def _signature(self) -> list[tuple[str, int, int]]:
        found = []
        for path in self._files():
            try:
                facts = path.stat()
            except OSError:  # deleted just now
                continue
            found.append((path.name, facts.st_mtime_ns, facts.st_size))
        return found


class Gate:
    """Asks an :class:`AllowList` about every connection to the encrypted sockets of a context."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], clients: AllowList) -> None:
        self.clients = clients
        self._authenticator = ThreadAuthenticator(context, log=logging.getLogger(f"{__name__}.zap"))
        self._authenticator.start()
        self._authenticator.configure_curve_callback(domain=DOMAIN, credentials_provider=clients)

    def close(self) -> None:
        self._authenticator.stop()
