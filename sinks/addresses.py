"""Addresses of this machine and of others, as sinks are told them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from sinks.uri import without_user
from stream.errors import ConfigError

_ADDRESS = re.compile(r"//(?P<host>\[[^\[\]/@]+\]|[^:/\[\]@]*)(?::(?P<port>\d{1,9}))?/?")
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """A host, without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(scheme: str, target: str, *, default: Address, example: str) -> tuple[Address, bool]:
    """``//host:port``; what is left out is that of ``default``, and ``*`` is every interface.

    Args:
        scheme: what stands before it and a colon, for messages.
        target: the address.
        default: for what is left out.
        example: how it is written.

    Returns:
        The address, and whether its port was told.

    Raises:
        ConfigError: it is something else.
    """
    given = without_user(f"{scheme}:{target}")
    match = _ADDRESS.fullmatch(target)
    if match is None:
        raise ConfigError(f"{given} is no address; write {example}")
    if int(match["port"] or 0) > _LAST_PORT:
        raise ConfigError(f"{given}: there is no port above {_LAST_PORT}; write {example}")
    host = "0.0.0.0" if match["host"] == "*" else match["host"].strip("[]") or default.host
    return Address(host, default.port if match["port"] is None else int(match["port"])), match["port"] is not None


def is_loopback(host: str) -> bool:
    """Whether this machine alone can be reached by it, or reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
