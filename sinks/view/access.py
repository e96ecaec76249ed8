"""Who may look: the names this machine may be called by, the pages that may connect, and the token.

A page of somebody else that is open in a viewer's browser can send requests here in the viewer's name. It cannot choose
two headers: ``Host``, the name that the browser was told, and ``Origin``, the page that asks. A name of somebody else's
that points to this machine (DNS rebinding) is caught by the first, another page by the second.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp import web

from sinks.view.options import ViewAddress, ViewOptions, words

PROTOCOL = "depth-pro-stream.view.1"
"""The WebSocket's subprotocol."""

_TOKEN_PREFIX = "token."


class Access:
    """Decides on requests. Knows nothing of what they ask for.

    Args:
        address: where the page is served.
        options: ``hosts``, ``origins`` and ``token`` of it.
    """

    def __init__(self, address: ViewAddress, options: ViewOptions) -> None:
        self._loopback_only = address.is_loopback
        self._names = {"localhost"} | words(options.hosts)
        if not self._loopback_only:
            machine = socket.gethostname().lower()
            self._names |= {machine, f"{machine.partition('.')[0]}.local"}
        self._origins = words(options.origins)
        self._token = options.token

    def knows_host(self, request: web.BaseRequest) -> bool:
        """Whether the browser was told a name of ours. An address of a machine cannot be pointed elsewhere."""
        hosts = request.headers.getall("Host", [])
        name = _host_name(hosts[0]) if len(hosts) == 1 else None
        if name is None:
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return address.is_loopback or not self._loopback_only or name in self._names

    def knows_origin(self, request: web.BaseRequest) -> bool:
        """Whether the page that asks is ours, or one that may. Programs that are no browser send no ``Origin``."""
        origins = request.headers.getall("Origin", [])
        if not origins:
            return True
        if len(origins) > 1:
            return False
        origin = origins[0].lower()
        if origin in self._origins:
            return True
        return origin in {f"{scheme}://{request.headers['Host'].lower()}" for scheme in ("http", "https")}

    def knows_token(self, request: web.BaseRequest) -> bool:
        """Whether the viewer knows the token, by a subprotocol ``token.…`` or an ``Authorization: Bearer …``."""
        if self._token is None:
            return True
        offered = [name.removeprefix(_TOKEN_PREFIX) for name in _protocols(request) if name.startswith(_TOKEN_PREFIX)]
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            offered.append(value.strip())
        # A header's bytes that are no UTF-8 come as surrogates.
        sent = [one.encode("utf-8", "surrogateescape") for one in offered]
        return any(hmac.compare_digest(one, self._token.encode()) for one in sent)


def _protocols(request: web.BaseRequest) -> Sequence[str]:
    given = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    return [name.strip() for name in given.split(",")]


def _host_name(host: str) -> str | None:
    """The name in a ``Host`` header, in lower case and without its port; ``None`` where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        if parts.netloc != host or "@" in host or parts.port == 0:
            return None
    except ValueError:
        return None
    return parts.hostname
