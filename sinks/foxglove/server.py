"""Foxglove's server, which the cameras of a run share where they name the same address."""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import replace

import foxglove
from foxglove import Channel, Context, Schema, StatusLevel

from sinks.addresses import Address
from stream.errors import ConfigError, SinkError

_REASON = re.compile(r"(?:.*: )?(.+?)(?: \(os error \d+\))?")
_log = logging.getLogger(__name__)


class Server:
    """Listens from its construction on.

    Args:
        address: where; port 0 for a free one.
        hwm: messages that may wait for one viewer.

    Attributes:
        address: where it really listens.
        hwm: as given.
        cameras: names of those that are on it.

    Raises:
        SinkError: the address cannot be had.
    """

    def __init__(self, address: Address, *, hwm: int) -> None:
        self.hwm, self.cameras = hwm, set[str]()
        self._context = Context()  # its own: what another part of the process logs is not for these viewers
        try:
            self._server = foxglove.start_server(
                name="depth-pro-stream",
                host=address.host,
                port=address.port,
                context=self._context,
                message_backlog_size=hwm,
            )
        except RuntimeError as exc:
            match = _REASON.fullmatch(str(exc))
            raise SinkError(
                f"depth cannot be offered on {address} ({match[1] if match else exc}); give another port, as in "
                "foxglove://127.0.0.1:8766"
            ) from exc
        self.address = replace(address, port=self._server.port)
        _log.info("to see it live, open a Foxglove WebSocket connection to ws://%s", self.address)

    def channel(self, topic: str, encoding: str, schema: Schema) -> Channel:
        """A new topic, which viewers are told of."""
        return Channel(topic, message_encoding=encoding, schema=schema, context=self._context)

    def tell(self, text: str, level: StatusLevel, about: str) -> None:
        """A line for all viewers of now; takes the place of the one before about the same."""
        self._server.publish_status(text, level, about)

    def stop(self) -> None:
        """Give the port back."""
        self._server.stop()


_servers: dict[Address, Server] = {}
_sharing = threading.Lock()


def share(address: Address, camera: str, *, hwm: int) -> Server:
    """The server at ``address``, new or of another camera of this run.

    Raises:
        ConfigError: another camera has this name there, or asks for another ``hwm``.
        SinkError: the address cannot be had.
    """
    with _sharing:
        server = _servers.get(address) or Server(address, hwm=hwm)
        if server.hwm != hwm:
            raise ConfigError("cameras that are offered at one address need the same hwm there")
        if camera in server.cameras:
            raise ConfigError(f"two cameras called {camera} cannot be offered at one address")
        server.cameras.add(camera)
        _servers[address] = server
        return server


def leave(server: Server, camera: str) -> None:
    """``camera`` has ended; the server ends with its last one."""
    with _sharing:
        server.cameras.discard(camera)
        if server.cameras:
            return
        for address in [address for address, one in _servers.items() if one is server]:
            del _servers[address]
    server.stop()
