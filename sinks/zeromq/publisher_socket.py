"""The socket of a publisher. Cameras of one run that publish on one endpoint share it, each under its own topics."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import zmq

from sinks.zeromq.curve import DOMAIN, QUIET_S, AllowList, Gate, load_public, load_secret
from sinks.zeromq.doorman import Doorman
from sinks.zeromq.endpoint import AsSinkError, check
from sinks.zeromq.message import Buffer, pack
from stream.errors import ConfigError, SinkError

_LINGER_MS = 1000
# Bytes of one message a subscriber may send. A topic has 72 at most; with CURVE, INITIATE has 276, and a topic 107.
_LARGEST_REQUEST, _LARGEST_ENCRYPTED = 128, 384
_HANDSHAKE_MS = 3_000
_BACKLOG = 8  # connections that the kernel has made and that wait to be taken, which no door keeps out
_DEAD_AFTER_MS = 10_000
_REBIND_S = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketOptions:
    """What of :class:`sinks.zeromq.sink.ZmqOptions` belongs to the socket, and so to all who share it."""

    pattern: Literal["pub", "push"]
    hwm: int
    peers: int
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
        self._turned_away = 0  # by the doormen of sockets that are closed
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
        by_list = self._gate.clients.refused if self._gate is not None else 0
        return self._turned_away + self._doorman.refused + by_list

    def settle(self) -> None:
        """Take in what peers have subscribed to and forget who has gone, which can take long when many come and go.

        It lasts for as long as they send. So it must not keep Python's other threads waiting, as reading ``zmq.EVENTS``
        does: the doorman could not hang up on those who send too much, and they would fill the memory.
        """
        self._socket.poll(0, zmq.POLLOUT)

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
        """What is to be done every second: read the allow-list again."""
        if self._gate is not None and self._gate.clients.refresh():
            self._reopen()

    def release(self) -> None:
        """Send what is waiting, for a second at most, and give the endpoint back."""
        if hasattr(self, "_socket"):
            self._close_socket(linger_ms=_LINGER_MS)
        if self._gate is not None:
            self._gate.close()
        self._context.term()

    def _open(self) -> None:
        options = self.options
        self._socket = self._context.socket(zmq.PUB if options.pattern == "pub" else zmq.PUSH)
        language = "speak CURVE with this publisher's key" if self._keys else "do not encrypt"
        kind = "SUB" if options.pattern == "pub" else "PULL"
        self._doorman = Doorman(
            self._socket,
            name=f"zmq+{self.endpoint}",
            peers=None if options.connect else options.peers,
            advice=f"this is for ZeroMQ sockets of type {kind} that {language}",
            quiet_s=QUIET_S,
        )
        settings: dict[int, int | bytes] = {
            zmq.LINGER: _LINGER_MS,
            zmq.SNDHWM: options.hwm,
            zmq.CONFLATE: int(options.conflate),
            zmq.MAXMSGSIZE: _LARGEST_ENCRYPTED if self._keys else _LARGEST_REQUEST,
            # With heartbeats of this side, or a bound on what it has not read yet, libzmq 4.3.5 can abort the process
            # when a peer that sends much is gone: the timer, or the peer's own heartbeat, writes to a dead connection.
            # So the doorman bounds what comes in, and the kernel finds who has died.
            zmq.RCVHWM: 0,
            zmq.RCVBUF: 2048,  # what the kernel has taken is read, even from one who is hung up on
            zmq.BACKLOG: _BACKLOG,
            zmq.HANDSHAKE_IVL: _HANDSHAKE_MS,
            zmq.TCP_MAXRT: _DEAD_AFTER_MS,
            zmq.TCP_KEEPALIVE: 1,
            zmq.TCP_KEEPALIVE_IDLE: 5,
            zmq.TCP_KEEPALIVE_INTVL: 2,
            zmq.TCP_KEEPALIVE_CNT: 3,
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
            self._doorman.bound(self.endpoint)

    def _close_socket(self, *, linger_ms: int) -> None:
        self._doorman.leave()
        self._turned_away += self._doorman.refused
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


_shared: dict[str, PublisherSocket] = {}
_sharing = threading.Lock()


def share(endpoint: str, options: SocketOptions, camera: str, *, insecure: bool) -> PublisherSocket:
    """The socket at ``endpoint``: that of another camera of this process, or a new one. Give it back by :func:`leave`.

    Args:
        endpoint: where.
        options: how; those of all who share it.
        camera: which one comes.
        insecure: other machines may be sent to without encryption.

    Raises:
        ConfigError: the other one has other options, or unusable keys; or an endpoint that may not be published on.
        SinkError: the endpoint cannot be bound, or that camera publishes there already.
    """
    with _sharing:
        found = _shared.get(endpoint)
        if found is None:
            check(endpoint, connects=options.connect, encrypted=bool(options.curve), insecure=insecure)
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
                f"{endpoint} is shared by cameras with other options; give both the same pattern, hwm, peers, "
                "conflate, curve and clients, or an endpoint each"
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
