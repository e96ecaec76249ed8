"""Depth over ZeroMQ: one publisher, any number of subscribers, none of whom can hold up the others.

docs/protocol.md is the contract with those who receive; :mod:`sinks.zeromq.message` makes the messages, this
module sends them.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import zmq
from zmq.utils.monitor import recv_monitor_message

from sinks.frame_json import to_json
from sinks.zeromq.curve import DOMAIN, QUIET_S, AllowList, Gate, load_public, load_secret
from sinks.zeromq.endpoint import AsSinkError, check
from sinks.zeromq.message import Buffer, MessageOptions, MessageWriter, pack
from sinks.zeromq.status import PublisherStatus
from stream.errors import ConfigError, SinkError
from stream.frame import DepthFrame

_LINGER_MS = 1000
_MAX_HWM = 1_000_000  # a bound that never bites; libzmq takes 32 bits
_LARGEST_REQUEST = 4096  # bytes a subscriber may send: topics are short, and what is longer is hostile
_HEARTBEAT_MS, _DEAD_AFTER_MS = 2_000, 6_000
_TICK_S = 1.0
_REBIND_S = 5.0
_FAILED_HANDSHAKES = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZmqOptions(MessageOptions):
    """How depth is published.

    Attributes:
        pattern: ``pub``, every subscriber gets every frame; or ``push``, each frame goes to one of several workers.
        hwm: messages waiting for one subscriber; a slower one loses frames instead of filling memory.
        connect: connect to a subscriber or proxy that is bound, instead of being bound.
        conflate: all parts in one, and only the newest message waits for each subscriber.
        curve: secret certificate of this publisher (``NAME.key_secret``); encrypts, and needs ``clients``.
        clients: folder with the public certificates (``*.key``) of those who may subscribe; read again when it changes.
        server: with ``connect`` and ``curve``, the public certificate of the other side.
        insecure: allow sending to other machines without encryption.
    """

    pattern: Literal["pub", "push"] = "pub"
    hwm: int = 4
    connect: bool = False
    conflate: bool = False
    curve: str | None = None
    clients: str | None = None
    server: str | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        MessageOptions.__post_init__(self)
        if not 1 <= self.hwm <= _MAX_HWM:
            raise ConfigError(f"hwm must be from 1 to {_MAX_HWM} messages, not {self.hwm} (0 would mean no bound)")
        if self.conflate and self.pattern == "push":
            raise ConfigError(
                "conflate=1 drops frames, which a work queue (pattern=push) must not; leave out one of them"
            )
        for name in ("curve", "clients", "server"):
            if getattr(self, name) == "":  # an unset variable of a shell must not switch encryption off
                raise ConfigError(f"{name}= is empty; name a file, or leave it out")
        needed, useless = ("server", "clients") if self.connect else ("clients", "server")
        if self.curve and not getattr(self, needed):
            whose = (
                "the other side's public certificate" if self.connect else "a folder with the subscribers' .key files"
            )
            raise ConfigError(f"curve= needs {needed}=, {whose}")
        if getattr(self, useless) or ((self.clients or self.server) and not self.curve):
            raise ConfigError("clients= and server= go with curve=: clients= when bound, server= with connect=1")


class ZmqSink:
    """Publishes each frame on a socket at ``endpoint``, and every second how it fares.

    A frame's depth is handed to ZeroMQ without a copy where it needs no change, and must not change afterwards, as
    :class:`~stream.frame.DepthFrame` promises. Its memory is free again when ZeroMQ has sent it to the last subscriber.

    Args:
        endpoint: ``tcp://host:port`` (``*`` for every interface; port ``*`` for a free one) or ``ipc:///path``.
        options: what is published, and how.

    Attributes:
        endpoint: where the socket is really bound: with the port that was free, for one.

    Raises:
        ConfigError: an endpoint of another form, one that others can reach without encryption, or unusable keys.
        SinkError: the endpoint cannot be bound.
    """

    def __init__(self, endpoint: str, options: ZmqOptions | None = None) -> None:
        self._options = options or ZmqOptions()
        check(
            endpoint,
            connects=self._options.connect,
            encrypted=bool(self._options.curve),
            insecure=self._options.insecure,
        )
        session = uuid.uuid4().hex
        self._messages = MessageWriter(self._options, session)
        self._status = PublisherStatus(self._options.camera, session)
        self._keys = load_secret(Path(self._options.curve)) if self._options.curve else None
        self._server = load_public(Path(self._options.server)) if self._options.server else None
        clients = AllowList(Path(self._options.clients)) if self._options.clients else None
        self._sequence = 0
        self._refused = 0  # handshakes that failed before anybody could be asked for a key
        self._complained_at = -QUIET_S
        # ZeroMQ's sockets may be used by several threads one after the other, with a fence between: this lock.
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._context = zmq.Context()
        self._gate = Gate(self._context, clients) if clients else None
        self.endpoint = endpoint
        try:
            self._open()
        except BaseException:
            self._release()
            raise
        self._ticker = threading.Thread(target=self._tick, name=f"status of {self.name}", daemon=True)
        self._ticker.start()

    @property
    def name(self) -> str:
        return f"zmq+{self.endpoint}"

    @property
    def needs_image(self) -> bool:
        return self._options.image != "none"

    def write(self, frame: DepthFrame) -> None:
        """Publish one frame. Never waits: a subscriber whose queue is full loses it. (A work queue waits for a worker.)

        Raises:
            SinkError: ZeroMQ refuses it.
        """
        parts = self._messages.parts(
            frame, sequence=self._sequence, retried_frames=self._status.retried + frame.retried
        )
        with AsSinkError(self.endpoint):
            if self._options.pattern == "push":
                self._wait_for_worker()
            with self._lock:
                self._send(parts)
                self._status.count(frame)
                self._sequence += 1

    def close(self) -> None:
        """Send what is waiting, for a second at most, and release the endpoint."""
        self._closing.set()
        self._ticker.join()
        try:
            with AsSinkError(self.endpoint):
                self._send_status(ended=True)
        finally:
            self._release()

    def _release(self) -> None:
        if hasattr(self, "_socket"):
            self._close_socket(linger_ms=_LINGER_MS)
        if self._gate is not None:
            self._gate.close()
        self._context.term()

    # The socket -------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        options = self._options
        self._socket = self._context.socket(zmq.PUB if options.pattern == "pub" else zmq.PUSH)
        self._monitor = self._socket.get_monitor_socket(_FAILED_HANDSHAKES)
        settings: dict[int, int | bytes] = {
            zmq.LINGER: _LINGER_MS,
            zmq.SNDHWM: options.hwm,
            zmq.CONFLATE: int(options.conflate),
            zmq.MAXMSGSIZE: _LARGEST_REQUEST,
            zmq.HEARTBEAT_IVL: _HEARTBEAT_MS,
            zmq.HEARTBEAT_TIMEOUT: _DEAD_AFTER_MS,
            zmq.HEARTBEAT_TTL: _DEAD_AFTER_MS,
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

    def _send(self, parts: list[Buffer]) -> None:
        if self._options.conflate:
            self._socket.send(pack(parts), copy=False)
        else:
            self._socket.send(parts[0], zmq.SNDMORE)  # small, as the header is: to copy them is faster than not to
            self._socket.send(parts[1], zmq.SNDMORE)
            if len(parts) > 3:
                self._socket.send(parts[2], zmq.SNDMORE, copy=False)
            self._socket.send(parts[-1], copy=False)

    def _wait_for_worker(self) -> None:
        complain_at = time.monotonic() + 5.0
        while True:
            with self._lock:
                if self._socket.poll(100, zmq.POLLOUT):
                    return
            if time.monotonic() > complain_at:
                complain_at = float("inf")
                _log.warning("%s: no worker takes frames; waiting for one", self.name)

    # Every second -----------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        while not self._closing.wait(_TICK_S):
            try:
                with self._lock, AsSinkError(self.endpoint):
                    self._count_failed_handshakes()
                    if self._gate is not None and self._gate.clients.refresh():
                        self._reopen()
                    self._send_status(ended=False)
            except SinkError as exc:
                _log.warning("%s", exc)

    def _send_status(self, *, ended: bool) -> None:
        if self._options.pattern == "push":
            return  # workers take frames; who watches them has other means
        if self._options.conflate and self._status.silent_s < _TICK_S and not ended:
            return  # it would take the place of a frame that waits; frames show that the publisher lives
        refused = self._refused + (self._gate.clients.refused if self._gate is not None else 0)
        status = self._status.record(sequence=self._sequence, refused=refused, ended=ended)
        topic = f"status/{self._options.camera}/".encode()
        parts: list[Buffer] = [topic, to_json(status)]
        if self._options.conflate:
            self._socket.send(topic + parts[1])
        else:
            self._socket.send_multipart(parts)

    def _count_failed_handshakes(self) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)
            if event["event"] == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                continue  # somebody whom the allow-list has refused and counted
            self._refused += 1
            now = time.monotonic()
            if now - self._complained_at >= QUIET_S:
                self._complained_at = now
                language = "speak CURVE with this publisher's key" if self._keys else "do not encrypt"
                _log.warning(
                    "%s: a connection failed, %d so far; this is for ZeroMQ sockets of type %s that %s",
                    self.name,
                    self._refused,
                    "SUB" if self._options.pattern == "pub" else "PULL",
                    language,
                )
