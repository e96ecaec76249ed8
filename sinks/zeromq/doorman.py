"""Who may stay connected to a publisher: ZeroMQ itself bounds neither connections nor what they send.

ZeroMQ's I/O thread accepts whoever comes, and keeps whatever they subscribe to. The doorman sees each connection by the
socket's monitor, asks the kernel how much it has sent, and hangs up by the connection's own descriptor, which ZeroMQ
takes for a peer that has gone. So nothing of this waits for the thread that publishes, nor that thread for it.

When more come than can be looked at, the door is shut for a moment: the kernel drops their requests at the listening
socket, by a filter of one instruction. What a peer has subscribed to is forgotten, when it goes, by a walk through all
that all have subscribed to, which the thread that publishes has to take. Without the door, a flood of peers who each
bring a few topics keeps it walking for as long as it lasts.
"""

from __future__ import annotations

import ctypes
import logging
import os
import socket
import struct
import sys
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass

import zmq
from zmq.utils.monitor import recv_monitor_message

_GREETED = 91  # bytes of the shortest handshake, a greeting and a READY: who has sent fewer is no peer yet
_BURST, _RATE = 2048, 64  # bytes a peer may send, at once and each second: handshake, topics, heartbeats
_ARRIVALS, _FINE = 16, 3  # new connections, at once and each second; and how many fewer for each flood
_MOST = 32 << 10  # bytes in all, after which a peer has to come anew: with a ping each second in about an hour
_SWEEP_MS, _YOUNG_SWEEP_MS = 20, 2  # in 2 ms a flood can bring in some hundred kilobytes
_YOUNG_S = 1.0
_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_EVENTS = _FAILED | zmq.EVENT_LISTENING | zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED
_ESTABLISHED = 1
_BYTES_RECEIVED = struct.Struct("=Q")
_BYTES_RECEIVED_AT = 128  # in Linux's struct tcp_info, since 4.1
_RESET = struct.pack("ii", 1, 0)
# Linux's socket filters: BPF_RET | BPF_K with 0, "keep no byte of it". Python's socket module names neither option.
_ATTACH_FILTER, _DETACH_FILTER = 26, 27
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
_SHUT_S = 0.5  # until so many have been forgotten that some may come
_log = logging.getLogger(__name__)


class Bucket:
    """So much at once, and so much more each second."""

    def __init__(self, most: float, per_s: float) -> None:
        self._most, self._per_s = most, per_s
        self._left = most
        self._at = time.monotonic()

    def take(self, amount: float) -> bool:
        """Take ``amount``, unless that is more than there is."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        if amount > self._left:
            return False
        self._left -= amount
        return True

    def fine(self, amount: float) -> None:
        """Take ``amount`` whether it is there or not, down to as much below nothing as there may be above."""
        self._left = max(self._left - amount, -self._most)


@dataclass(slots=True)
class _Peer:
    """A connection. ``connection`` is a descriptor of our own, so that its number cannot come to mean another."""

    connection: socket.socket
    allowance: Bucket
    since: float
    sent: int = 0

    @property
    def counted(self) -> bool:
        """Whether the kernel counts what it sends: only Linux does, and only over TCP."""
        return sys.platform.startswith("linux") and self.connection.family != socket.AF_UNIX

    def look(self) -> bool:
        """Ask how much it has sent so far. Returns whether the connection stands."""
        if not self.counted:
            return True
        facts = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        if len(facts) >= _BYTES_RECEIVED_AT + _BYTES_RECEIVED.size:
            self.sent = _BYTES_RECEIVED.unpack_from(facts, _BYTES_RECEIVED_AT)[0]
        return facts[0] == _ESTABLISHED

    def hang_up(self) -> None:
        with suppress(OSError):  # it has gone by itself
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)  # what is unsent is dropped, too
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


class _Door:
    """A listening socket, through which nobody comes while it is shut. On Linux, over TCP; elsewhere always open."""

    def __init__(self, descriptor: int) -> None:
        self._listener = socket.socket(fileno=os.dup(descriptor))
        self._can_shut = sys.platform.startswith("linux") and self._listener.family != socket.AF_UNIX
        self._open_at: float | None = None

    @property
    def is_open(self) -> bool:
        return self._open_at is None

    def shut(self, now: float) -> None:
        """For a moment, from now on."""
        if self._can_shut and self._open_at is None:
            program = ctypes.create_string_buffer(_DROP_ALL, len(_DROP_ALL))
            described = struct.pack("HL", 1, ctypes.addressof(program))
            self._can_shut = self._set(_ATTACH_FILTER, described)
            self._open_at = now + _SHUT_S

    def look(self, now: float) -> None:
        """Open it, if it is time."""
        if self._open_at is not None and now >= self._open_at:
            self._open_at = None
            self._set(_DETACH_FILTER, struct.pack("i", 0))

    def close(self) -> None:
        """Know nothing of it any more."""
        self.look(float("inf"))
        self._listener.close()

    def _set(self, option: int, value: bytes) -> bool:
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, option, value)
        except OSError:  # a kernel without filters, or it listens no longer
            return False
        return True


class Doorman:
    """Watches one socket of ZeroMQ from the moment it is made, in a thread of its own, until :meth:`leave`.

    Args:
        publisher: that has not been bound yet.
        name: of the sink, for the log.
        peers: that may be connected at once; ``None`` where this side connects, and chooses its peer.
        advice: what a connection that fails should have been, for the log.
        quiet_s: seconds between two complaints.
    """

    def __init__(
        self, publisher: zmq.Socket[bytes], *, name: str, peers: int | None, advice: str, quiet_s: float
    ) -> None:
        self._publisher = publisher
        self._name, self._advice, self._quiet_s = name, advice, quiet_s
        self._most = peers
        self._complained: dict[str, float] = {}
        self._endpoint: str | None = None
        self._peers: dict[int, _Peer] = {}
        self._door: _Door | None = None
        self._arrivals = Bucket(_ARRIVALS, _ARRIVALS)
        self._failed = self._hung_up = 0
        address = f"inproc://doorman-{uuid.uuid4().hex}"
        publisher.monitor(address, _EVENTS)
        self._monitor = publisher.context.socket(zmq.PAIR)
        self._monitor.rcvhwm = 0  # with a bound, ZeroMQ's I/O thread, and with it all sending, waits for who reads this
        self._monitor.linger = 0
        self._monitor.connect(address)
        self._thread = threading.Thread(target=self._watch, name=f"connections of {name}", daemon=True)
        self._thread.start()

    @property
    def refused(self) -> int:
        """Connections that failed before they were peers, and peers that were hung up on."""
        return self._failed + self._hung_up

    def bound(self, endpoint: str) -> None:
        """Say where the publisher really is bound."""
        self._endpoint, self._name = endpoint, f"zmq+{endpoint}"

    def leave(self) -> None:
        """Before the socket is closed: watch no longer."""
        self._publisher.monitor(None, 0)
        self._thread.join()

    # In its thread ----------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        sweep_at = 0.0
        try:
            while True:
                quiet = not self._peers and (self._door is None or self._door.is_open)
                wait_ms = None if quiet else max(sweep_at - time.monotonic(), 0.0) * 1e3
                if self._monitor.poll(wait_ms) and not self._take_event():
                    return
                if (now := time.monotonic()) >= sweep_at:
                    self._sweep()
                    young = any(now - peer.since < _YOUNG_S for peer in self._peers.values())
                    sweep_at = now + (_YOUNG_SWEEP_MS if young else _SWEEP_MS) * 1e-3
        finally:
            self._monitor.close(linger=0)
            for peer in self._peers.values():
                peer.connection.close()
            if self._door is not None:
                self._door.close()

    def _take_event(self) -> bool:
        """Returns whether there will be another."""
        event = recv_monitor_message(self._monitor)
        kind, descriptor = event["event"], int(event["value"])
        if kind == zmq.EVENT_MONITOR_STOPPED:
            return False
        if kind == zmq.EVENT_LISTENING:
            with suppress(OSError):
                self._door = _Door(descriptor)
        elif kind == zmq.EVENT_ACCEPTED:
            if self._most is not None:
                self._welcome(descriptor, self._most)
        elif kind == zmq.EVENT_DISCONNECTED:
            if gone := self._peers.pop(descriptor, None):
                gone.connection.close()
        elif kind != zmq.EVENT_HANDSHAKE_FAILED_AUTH:  # that is one whom the allow-list has refused and counted
            self._failed += 1
            self._complain("failed", f"a connection failed, {self._failed} so far; {self._advice}")
        return True

    def _welcome(self, descriptor: int, most: int) -> None:
        try:
            connection = socket.socket(fileno=os.dup(descriptor))
        except OSError:  # it has gone already
            return
        if not self._is_ours(connection):
            connection.close()
            return
        peer = _Peer(connection, Bucket(_BURST, _RATE), time.monotonic())
        if old := self._peers.pop(descriptor, None):  # its end was not told
            old.connection.close()
        if not self._arrivals.take(1):
            peer.hang_up()
            if self._door is not None:
                self._door.shut(time.monotonic())
            self._complain("many", "more connections come than can be served; some are hung up on")
            return
        if len(self._peers) >= most:
            self._complain("full", f"{most} are connected, and no more are let in; peers= allows for more")
            mute = next((d for d, p in self._peers.items() if p.counted and p.sent < _GREETED), None)
            if mute is None:
                peer.hang_up()
                return
            self._peers.pop(mute).hang_up()  # the oldest of those who have not said yet what they are
        self._peers[descriptor] = peer

    def _is_ours(self, connection: socket.socket) -> bool:
        """Whether it came in by the publisher's door: the number of one that has gone may be anything by now."""
        if self._endpoint is None:
            return True  # it has come before anybody could know
        try:
            here = connection.getsockname()
        except OSError:
            return False
        return self._endpoint.endswith(f":{here[1]}" if isinstance(here, tuple) else f"//{here}")

    def _sweep(self) -> None:
        if self._door is not None:
            self._door.look(time.monotonic())
        for descriptor, peer in list(self._peers.items()):
            before = peer.sent
            try:
                stands = peer.look()
            except OSError:
                stands = False
            if not stands:
                del self._peers[descriptor]
                peer.connection.close()
            elif peer.sent > before and not peer.allowance.take(peer.sent - before):
                self._turn_out(descriptor, "a peer sent far more than subscriptions and was hung up on")
            elif peer.sent > _MOST:  # pings or topics, nobody can tell; what it subscribed to is forgotten with it
                self._peers.pop(descriptor).hang_up()

    def _turn_out(self, descriptor: int, why: str) -> None:
        self._peers.pop(descriptor).hang_up()
        self._arrivals.fine(_FINE)
        self._hung_up += 1
        self._complain("turned out", why)

    def _complain(self, kind: str, message: str) -> None:
        now = time.monotonic()
        if now - self._complained.get(kind, -self._quiet_s) >= self._quiet_s:
            self._complained[kind] = now
            _log.warning("%s: %s", self._name, message)
