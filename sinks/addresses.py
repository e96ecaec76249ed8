"""Addresses of this machine and of others, as sinks are told them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from stream.errors import ConfigError

_ADDRESS = re.compile(r"//(?P<host>\[[^\[\]/@]+\]|[^:/\[\]@]*)(?::(?P<port>\d{1,5}))?/?")


@dataclass(frozen=True, slots=True)
class Address:
    """A host, without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(
    target: str, *, default: Address, example: str, complaint: str = "that is no address"
) -> tuple[Address, bool]:
    """``//host:port``; what is left out is that of ``default``, and ``*`` is every interface.

    Returns:
        The address, and whether its port was told.

    Raises:
        ConfigError: it is something else.
    """
    match = _ADDRESS.fullmatch(target)
    if match is None or int(match["port"] or 0) > 65535:
        raise ConfigError(f"{complaint}; write {example}")
    host = "0.0.0.0" if match["host"] == "*" else match["host"].strip("[]") or default.host
    return Address(host, default.port if match["port"] is None else int(match["port"])), match["port"] is not None


def is_loopback(host: str) -> bool:
    """Whether this machine alone can be reached by it, or reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
