"""Depth over ZeroMQ: one publisher, any number of subscribers, none of whom can hold up the others.

A message has three parts: topic, header (strict JSON, UTF-8) and depth (raw little-endian ``float32``, row-major,
metres; NaN no estimate, +Inf beyond range). The header holds ``schema``, ``sequence`` (messages of this publisher, from
0: a gap means lost ones), ``encoding`` (``32FC1``), ``byte_order``, ``unit`` and what :func:`sinks.record.describe`
lists.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zmq

from sinks.record import describe, to_json
from sinks.uri import without_user
from stream.errors import ConfigError, SinkError
from stream.frame import DepthFrame

SCHEMA = "depth-pro-stream/1"

_LINGER_MS = 1000
_MAX_HWM = 1_000_000  # a bound that never bites; libzmq takes 32 bits
_TCP = re.compile(r"tcp://(?P<host>\[[^\]@]+\]|[^:/\[\]@]+):(?P<port>\d+|\*)")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZmqOptions:
    """How depth is published.

    Attributes:
        topic: first part of each message, what subscribers subscribe to.
        hwm: messages waiting for one subscriber; a slower one loses frames instead of filling memory.
    """

    topic: str = "depth"
    hwm: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.hwm <= _MAX_HWM:
            raise ConfigError(f"hwm must be from 1 to {_MAX_HWM} messages, not {self.hwm} (0 would mean no bound)")


class ZmqSink:
    """Publishes each frame on a PUB socket bound to ``endpoint``.

    A frame's depth is handed to ZeroMQ without a copy where it is contiguous, and must not change afterwards, as
    :class:`~stream.frame.DepthFrame` promises. The socket is made by the constructing thread and may then be used by
    one other: passing the sink to it (starting a thread, a lock, a queue) is the memory fence that ZeroMQ asks for.

    Args:
        endpoint: ``tcp://host:port`` (``*`` for every interface; port ``*`` for a free one) or ``ipc:///path``.
        options: how.

    ``endpoint`` holds where the socket is really bound.

    Raises:
        ConfigError: an endpoint of another form.
        SinkError: the endpoint cannot be bound.
    """

    def __init__(self, endpoint: str, options: ZmqOptions | None = None) -> None:
        self._options = options or ZmqOptions()
        self._topic = self._options.topic.encode()
        self._sequence = 0
        _check(endpoint)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        try:
            with _as_sink_error(endpoint):
                self._socket.set(zmq.LINGER, _LINGER_MS)
                self._socket.set(zmq.SNDHWM, self._options.hwm)
                self._socket.set(zmq.IPV6, 1 if "[" in endpoint else 0)
                self._socket.bind(endpoint)
                self.endpoint = self._socket.get_string(zmq.LAST_ENDPOINT)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        return f"zmq+{self.endpoint}"

    @property
    def needs_image(self) -> bool:
        return False

    def write(self, frame: DepthFrame) -> None:
        """Publish one frame. Never waits: a subscriber whose queue is full loses it.

        Raises:
            SinkError: ZeroMQ refuses it.
        """
        depth = np.ascontiguousarray(frame.depth, dtype="<f4")
        header = {
            "schema": SCHEMA,
            "sequence": self._sequence,
            "encoding": "32FC1",
            "byte_order": "little",
            "unit": "m",
            **describe(frame),
        }
        with _as_sink_error(self.endpoint):
            self._socket.send_multipart([self._topic, to_json(header), depth.data], copy=False)
        self._sequence += 1

    def close(self) -> None:
        """Send what is waiting, for a second at most, and release the endpoint."""
        self._socket.close()
        self._context.term()


def _check(endpoint: str) -> None:
    if endpoint.startswith("ipc://") and len(endpoint) > len("ipc://"):
        _check_ipc(endpoint.removeprefix("ipc://"))
        return
    match = _TCP.fullmatch(endpoint)
    if match is None or (match["port"] != "*" and int(match["port"]) > 65535):
        shown = without_user(endpoint)
        raise ConfigError(f"cannot publish on {shown!r}; write zmq+tcp://127.0.0.1:5555 or zmq+ipc:///tmp/depth.sock")
    if not _is_loopback(match["host"].strip("[]")):
        _log.warning("%s can be reached from the network, and depth is sent without encryption", endpoint)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_ipc(name: str) -> None:
    """libzmq deletes whatever has the name of its socket, be it a file or a socket in use; so it is asked for here."""
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


@contextmanager
def _as_sink_error(endpoint: str) -> Iterator[None]:
    """ZeroMQ's errors become ours here and nowhere else."""
    try:
        yield
    except zmq.ZMQError as exc:
        reason = _ADVICE.get(exc.errno or 0) or os.strerror(exc.errno or 0)
        raise SinkError(f"cannot publish on {endpoint}: {reason}") from exc
