"""The socket of a publisher. Cameras of one run that publish on one endpoint share it, each under its own topics."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import zmq
from zmq.utils.monitor import recv_monitor_message

from sinks.zeromq.curve import DOMAIN, QUIET_S, AllowList, Gate, load_public, load_secret
from sinks.zeromq.endpoint import AsSinkError
from sinks.zeromq.message import Buffer, pack
from stream.errors import ConfigError, SinkError

LINGER_MS = 1000
_LARGEST_REQUEST = 4096  # bytes a subscriber may send: topics are short, and what is longer is hostile
_HANDSHAKE_MS = 5_000  # who connects and does not say what it is, is let go
# A peer whose machine lost its power is found by the kernel: 10 s of silence, then three questions 5 s apart. ZeroMQ's
# own heartbeats are off: with a flood of subscriptions they end this process (an assertion in libzmq).
_KEEPALIVE_IDLE_S, _KEEPALIVE_EVERY_S, _KEEPALIVE_COUNT = 10, 5, 3
_REBIND_S = 5.0
_FAILED_HANDSHAKES = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketOptions:
    """What of :class:`sinks.zeromq.sink.ZmqOptions` belongs to the socket, and so to all who share it."""

    pattern: Literal["pub", "push"]
    hwm: int
    connect: bool
    conflate: bool
    curve: str | None
    clients: str | None
    server: str | None


class PublisherSocket:
    """A bound or connected socket with its guard. ``lock`` is held around every use.

    Args:
        endpoint: where.
        options: how.

    Attributes:
        endpoint: where it is really bound: with the port that was free, for one.
        lock: ZeroMQ's sockets may be used by several threads one after the other, with a fence between: this lock.

    Raises:
        ConfigError: unusable keys.
        SinkError: the endpoint cannot be bound.
    """

    def __init__(self, endpoint: str, options: SocketOptions) -> None:
        self.endpoint, self.options = endpoint, options
        self.lock = threading.Lock()
        self.cameras: set[str] = set()
        self._keys = load_secret(Path(options.curve)) if options.curve else None
        self._server = load_public(Path(options.server)) if options.server else None
        clients = AllowList(Path(options.clients)) if options.clients else None
        self._failed = 0  # handshakes that failed before anybody could be asked for a key
        self._complained_at = -QUIET_S
        self._context = zmq.Context()
        self._gate = Gate(self._context, clients) if clients else None
        try:
            self._open()
        except BaseException:
            self.release()
            raise

    @property
    def refused(self) -> int:
        """Connections turned away so far."""
        return self._failed + (self._gate.clients.refused if self._gate is not None else 0)

    def send(self, parts: list[Buffer]) -> None:
        """Send a message of three or four parts; as one part where the newest alone counts."""
        if self.options.conflate:
            self._socket.send(pack(parts), copy=False)
            return
        self._socket.send(parts[0], zmq.SNDMORE)  # small, as the header is: to copy them is faster than not to
        self._socket.send(parts[1], zmq.SNDMORE)
        if len(parts) > 3:
            self._socket.send(parts[2], zmq.SNDMORE, copy=False)
        self._socket.send(parts[-1], copy=False)

    def send_status(self, topic: bytes, status: bytes) -> None:
        """Send a status message."""
        if self.options.conflate:
            self._socket.send(topic + status)
        else:
            self._socket.send_multipart([topic, status])

    def has_room(self, wait_ms: int) -> bool:
        """Whether a message can be sent, or can be within so many milliseconds."""
        return bool(self._socket.poll(wait_ms, zmq.POLLOUT))

    def look_after(self) -> None:
        """What is to be done every second: count who failed to connect, and read the allow-list again."""
        self._count_failed_handshakes()
        if self._gate is not None and self._gate.clients.refresh():
            self._reopen()

    def release(self) -> None:
        """Send what is waiting, for a second at most, and give the endpoint back."""
        if hasattr(self, "_socket"):
            self._close_socket(linger_ms=LINGER_MS)
        if self._gate is not None:
            self._gate.close()
        self._context.term()

    def _open(self) -> None:
        options = self.options
        self._socket = self._context.socket(zmq.PUB if options.pattern == "pub" else zmq.PUSH)
        self._monitor = self._socket.get_monitor_socket(_FAILED_HANDSHAKES)
        settings: dict[int, int | bytes] = {
            zmq.LINGER: LINGER_MS,
            zmq.SNDHWM: options.hwm,
            zmq.CONFLATE: int(options.conflate),
            zmq.MAXMSGSIZE: _LARGEST_REQUEST,
            zmq.TCP_KEEPALIVE: 1,
            zmq.TCP_KEEPALIVE_IDLE: _KEEPALIVE_IDLE_S,
            zmq.TCP_KEEPALIVE_INTVL: _KEEPALIVE_EVERY_S,
            zmq.TCP_KEEPALIVE_CNT: _KEEPALIVE_COUNT,
            zmq.HANDSHAKE_IVL: _HANDSHAKE_MS,
            zmq.IPV6: int("[" in self.endpoint),
        }
        if self._keys is not None:
            settings[zmq.CURVE_PUBLICKEY], settings[zmq.CURVE_SECRETKEY] = self._keys
            if self._server is None:
                settings[zmq.CURVE_SERVER] = 1
                settings[zmq.ZAP_DOMAIN] = DOMAIN.encode()
            else:
                settings[zmq.CURVE_SERVERKEY] = self._server
        with AsSinkError(self.endpoint):
            for option, value in settings.items():
                self._socket.set(option, value)
            if options.connect:
                self._socket.connect(self.endpoint)
                return
            self._socket.bind(self.endpoint)
            self.endpoint = self._socket.get_string(zmq.LAST_ENDPOINT)

    def _close_socket(self, *, linger_ms: int) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=linger_ms)

    def _reopen(self) -> None:
        """Drop all connections. Those who are still let in come back by themselves; ZeroMQ cannot drop a single one."""
        self._close_socket(linger_ms=0)
        until = time.monotonic() + _REBIND_S
        while True:
            try:
                self._open()
            except SinkError:  # ZeroMQ gives an address back a moment after close
                self._close_socket(linger_ms=0)
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                return

    def _count_failed_handshakes(self) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)
            if event["event"] == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                continue  # somebody whom the allow-list has refused and counted
            self._failed += 1
            now = time.monotonic()
            if now - self._complained_at >= QUIET_S:
                self._complained_at = now
                language = "speak CURVE with this publisher's key" if self._keys else "do not encrypt"
                _log.warning(
                    "%s: a connection failed, %d so far; this is for ZeroMQ sockets of type %s that %s",
                    f"zmq+{self.endpoint}",
                    self._failed,
                    "SUB" if self.options.pattern == "pub" else "PULL",
                    language,
                )


_shared: dict[str, PublisherSocket] = {}
_sharing = threading.Lock()


def is_shared(endpoint: str) -> bool:
    """Whether another camera of this process publishes there, so that one more can."""
    with _sharing:
        return endpoint in _shared


def share(endpoint: str, options: SocketOptions, camera: str) -> PublisherSocket:
    """The socket at ``endpoint``: that of another camera of this process, or a new one. Give it back by :func:`leave`.

    Raises:
        ConfigError: the other one has other options, or unusable keys.
        SinkError: the endpoint cannot be bound, or that camera publishes there already.
    """
    with _sharing:
        found = _shared.get(endpoint)
        if found is None:
            found = PublisherSocket(endpoint, options)
            if not options.connect and options.pattern == "pub":
                _shared[found.endpoint] = found
        elif camera in found.cameras:
            raise SinkError(
                f"cannot publish on {endpoint}: the address is in use; choose another port, or another camera= than "
                f"{camera}"
            )
        elif found.options != options:
            raise ConfigError(
                f"{endpoint} is shared by cameras with other options; give both the same pattern, hwm, conflate, curve "
                "and clients, or an endpoint each"
            )
        found.cameras.add(camera)
        return found


def leave(found: PublisherSocket, camera: str) -> None:
    """One camera less; the last one closes the socket."""
    with _sharing:
        found.cameras.discard(camera)
        if not found.cameras:
            _shared.pop(found.endpoint, None)
            found.release()
