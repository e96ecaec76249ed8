"""Depth over ZeroMQ: one publisher, any number of subscribers, none of whom can hold up the others.

docs/protocol.md is the contract with those who receive; :mod:`sinks.zeromq.message` makes the messages, this
module sends them.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Literal

from sinks.frame_json import to_json
from sinks.zeromq.endpoint import AsSinkError
from sinks.zeromq.message import MessageOptions, MessageWriter
from sinks.zeromq.publisher_socket import SocketOptions, leave, share
from sinks.zeromq.status import PublisherStatus
from stream.errors import ConfigError, SinkError
from stream.frame import DepthFrame, SourceState
from stream.ports import SourceInfo

_MAX_HWM = 1_000_000  # a bound that never bites; libzmq takes 32 bits
_MAX_PEERS = 10_000
_TICK_S = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZmqOptions(MessageOptions):
    """How depth is published.

    Attributes:
        pattern: ``pub``, every subscriber gets every frame; or ``push``, each frame goes to one of several workers.
        hwm: messages waiting for one subscriber; a slower one loses frames instead of filling memory.
        peers: subscribers that may be connected at once.
        connect: connect to a subscriber or proxy that is bound, instead of being bound.
        conflate: all parts in one, and only the newest message waits for each subscriber.
        curve: secret certificate of this publisher (``NAME.key_secret``); encrypts, and needs ``clients``.
        clients: folder with the public certificates (``*.key``) of those who may subscribe; read again when it changes.
        server: with ``connect`` and ``curve``, the public certificate of the other side.
        insecure: allow sending to other machines without encryption.
    """

    pattern: Literal["pub", "push"] = "pub"
    hwm: int = 4
    peers: int = 64
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
        if not 1 <= self.peers <= _MAX_PEERS:
            raise ConfigError(f"peers must be from 1 to {_MAX_PEERS} subscribers, not {self.peers}")
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
        self._options = options = options or ZmqOptions()
        session = uuid.uuid4().hex
        self._messages = MessageWriter(options, session)
        self._status = PublisherStatus(options.camera, session, conflate=options.conflate)
        self._sequence = 0
        self._max_age_s = math.inf
        self._closing = threading.Event()
        self._socket = share(
            endpoint,
            SocketOptions(
                pattern=options.pattern,
                hwm=options.hwm,
                peers=options.peers,
                connect=options.connect,
                conflate=options.conflate,
                curve=options.curve,
                clients=options.clients,
                server=options.server,
            ),
            options.camera,
            insecure=options.insecure,
        )
        self.endpoint = self._socket.endpoint
        self._ticker = threading.Thread(target=self._tick, name=f"status of {self.name}", daemon=True)
        self._ticker.start()

    @property
    def name(self) -> str:
        return f"zmq+{self.endpoint}"

    @property
    def needs_image(self) -> bool:
        return self._options.image != "none"

    def prepare(self, info: SourceInfo) -> None:
        """Learn how old a frame may be when it is published."""
        self._max_age_s = math.inf if info.max_age_s is None else info.max_age_s

    def write(self, frame: DepthFrame) -> None:
        """Publish one frame. Never waits: a subscriber whose queue is full loses it. (A work queue waits for a worker.)

        A frame of a camera that has become too old while ZeroMQ was busy with its peers is not sent, and counted.

        Raises:
            SinkError: ZeroMQ refuses it.
        """
        parts = self._messages.parts(
            frame, sequence=self._sequence, retried_frames=self._status.retried + frame.retried
        )
        with AsSinkError(self.endpoint):
            if self._options.pattern == "push":
                self._wait_for_worker()
            with self._socket.lock:
                self._socket.settle()
                if frame.is_late(self._max_age_s):
                    self._status.late += 1
                    return
                self._socket.send(parts)
                self._status.count(frame)
                self._sequence += 1

    def observe(self, state: SourceState) -> None:
        """Tell subscribers at once what happens to the camera.

        Raises:
            SinkError: ZeroMQ refuses it.
        """
        with self._socket.lock, AsSinkError(self.endpoint):
            self._status.source = state
            self._send_status(ended=False)

    def close(self) -> None:
        """Send what is waiting, for a second at most, and release the endpoint."""
        self._closing.set()
        self._ticker.join()
        try:
            with self._socket.lock, AsSinkError(self.endpoint):
                self._send_status(ended=True)
        finally:
            leave(self._socket, self._options.camera)

    def _wait_for_worker(self) -> None:
        complain_at = time.monotonic() + 5.0
        while True:
            with self._socket.lock:
                if self._socket.has_room(100):
                    return
            if time.monotonic() > complain_at:
                complain_at = float("inf")
                _log.warning("%s: no worker takes frames; waiting for one", self.name)

    def _tick(self) -> None:
        while not self._closing.wait(_TICK_S):
            try:
                with self._socket.lock, AsSinkError(self.endpoint):
                    self._socket.look_after()
                    self._send_status(ended=False)
            except SinkError as exc:
                _log.warning("%s", exc)

    def _send_status(self, *, ended: bool) -> None:
        """Send a status message; whoever calls this holds the lock."""
        if self._options.pattern == "push":
            return  # workers take frames; who watches them has other means
        if self._options.conflate and self._status.silent_s < _TICK_S and not ended:
            return  # it would take the place of a frame that waits; frames show that the publisher lives
        status = self._status.published(sequence=self._sequence, refused=self._socket.refused, ended=ended)
        self._socket.send_status(f"status/{self._options.camera}/".encode(), to_json(status))
