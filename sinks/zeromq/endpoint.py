"""ZeroMQ's addresses: which may be published on, and what its errors mean."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import stat
from pathlib import Path

import zmq

from sinks.addresses import is_loopback
from sinks.uri import without_user
from stream.errors import ConfigError, SinkError

_TCP = re.compile(r"tcp://(?P<host>\[[^\]@]+\]|[^:/\[\]@]+):(?P<port>\d+|\*)")
_log = logging.getLogger(__name__)


def check(endpoint: str, *, connects: bool, encrypted: bool, insecure: bool) -> None:
    """Check that depth may be published on ``endpoint``.

    Raises:
        ConfigError: an endpoint of another form, or one that others can reach without encryption.
        SinkError: an ``ipc`` endpoint that would destroy a file, or is in use.
    """
    if endpoint.startswith("ipc://") and len(endpoint) > len("ipc://"):
        if not connects:
            _check_ipc(endpoint.removeprefix("ipc://"))
        return
    match = _TCP.fullmatch(endpoint)
    if match is None or (match["port"] != "*" and int(match["port"]) > 65535):
        shown = without_user(endpoint)
        raise ConfigError(f"cannot publish on {shown!r}; write zmq+tcp://127.0.0.1:5555 or zmq+ipc:///tmp/depth.sock")
    if connects and "*" in (match["host"], match["port"]):
        raise ConfigError(f"cannot connect to {endpoint}: connect=1 needs the host and the port of the other side")
    if is_loopback(match["host"].strip("[]")) or encrypted:
        return
    if not insecure:
        raise ConfigError(
            f"{endpoint} can be reached from the network; encrypt with curve= and clients=, "
            "or say insecure=1 if everybody there may see the depth"
        )
    _log.warning("%s can be reached from the network, and depth is sent without encryption", endpoint)


def _check_ipc(name: str) -> None:
    """Check that no file and no socket in use has this name: libzmq would delete it."""
    if "\0" in name:
        raise ConfigError(f"cannot publish on {'ipc://' + name!r}: no file name can have a null byte (%00) in it")
    path = Path(name)
    if name.startswith("@"):  # Linux's abstract names are no files
        return
    if not path.parent.is_dir():
        raise SinkError(f"cannot publish on ipc://{name}: there is no folder {path.parent}; create it first")
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise SinkError(f"cannot publish on ipc://{name}: that file exists and is no socket; choose another name")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(name)
        except OSError:
            return  # nobody listens: left behind by a process that died
    raise SinkError(f"cannot publish on ipc://{name}: another process does already; choose another name or stop it")


_ADVICE = {
    zmq.EADDRINUSE: "the address is in use; choose another port or stop the other process",
    zmq.EADDRNOTAVAIL: "this machine has no such address; use 127.0.0.1, or * for all of its addresses",
    errno.ENODEV: "this machine has no such address or interface; use 127.0.0.1, or * for all of its addresses",
}


class AsSinkError:
    """A context in which ZeroMQ's errors become ``SinkError``; nowhere else do they."""

    # A class and no @contextmanager: a generator takes three times as long, at every frame.

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, zmq.ZMQError):
            reason = _ADVICE.get(error.errno or 0) or os.strerror(error.errno or 0)
            raise SinkError(f"cannot publish on {self._endpoint}: {reason}") from error
