"""Connections on their way in. One that does not soon become a viewer's WebSocket is cut: idle ones cost nobody.

aiohttp waits as long as it takes for a request. So connections are accepted here and handed to it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

_REQUEST_S = 5.0  # for a request to be there, whole
_ANSWER_S = 30.0  # for its answer to be taken; the largest file has some hundred kilobytes
_MOST_WAITING = 64
_ACCEPT_AGAIN_S = 0.5  # after an error: most likely the process has no file descriptor left
_log = logging.getLogger(__name__)


class Door:
    """Accepts connections on ``listening`` and hands each to a protocol of ``factory``.

    Of those that have not become viewers, so many may be there; the oldest gives way to the newest. Used by the loop's
    thread alone.

    Args:
        listening: a bound socket that listens, non-blocking; closed by whoever made it.
        factory: makes the protocol that speaks with a connection.
    """

    def __init__(self, listening: socket.socket, factory: Callable[[], asyncio.Protocol]) -> None:
        self._listening, self._factory = listening, factory
        self._waiting: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}
        self.refused = 0

    async def run(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except OSError as exc:
                _log.debug("no connection could be accepted: %s", exc)
                await asyncio.sleep(_ACCEPT_AGAIN_S)
                continue
            try:
                transport, _ = await loop.connect_accepted_socket(self._factory, connection)
            except OSError:
                connection.close()
                continue
            self._make_room()
            self._waiting[transport] = loop.call_later(_REQUEST_S, self._cut, transport)

    def heard(self, transport: asyncio.BaseTransport | None) -> None:
        """A whole request has come by ``transport``."""
        timer = self._waiting.get(transport) if transport is not None else None
        if transport is not None and timer is not None:
            timer.cancel()
            self._waiting[transport] = asyncio.get_running_loop().call_later(_ANSWER_S, self._cut, transport)

    def admit(self, transport: asyncio.BaseTransport | None) -> None:
        """``transport`` is a viewer's now, whom others look after."""
        timer = self._waiting.pop(transport, None) if transport is not None else None
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Cut everybody who has not become a viewer."""
        for transport in list(self._waiting):
            self._cut(transport)

    def _make_room(self) -> None:
        if len(self._waiting) < _MOST_WAITING:
            return
        for gone in [transport for transport in self._waiting if transport.is_closing()]:
            self._waiting.pop(gone).cancel()
        while len(self._waiting) >= _MOST_WAITING:
            self._cut(next(iter(self._waiting)))

    def _cut(self, transport: asyncio.BaseTransport) -> None:
        timer = self._waiting.pop(transport, None)
        if timer is not None:
            timer.cancel()
        if isinstance(transport, asyncio.Transport) and not transport.is_closing():
            self.refused += 1
            transport.abort()
