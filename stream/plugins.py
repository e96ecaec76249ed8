"""Sources and sinks of other packages, by scheme: entry points of what is installed. See ``docs/plugins.md``."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from stream.errors import ConfigError, DepthStreamError, one_line

SOURCES, SINKS = "depth_pro_stream.sources", "depth_pro_stream.sinks"
"""The groups. A source's entry point is called with its address and a :class:`SourceConfig`, a sink's with a
:class:`SinkUri` and whether files may be replaced."""


def schemes(group: str) -> list[str]:
    """The schemes that plug-ins bring, in lower case. A single letter is none: it would be a Windows drive."""
    return sorted({point.name.lower() for point in entry_points(group=group) if len(point.name) > 1})


def find(group: str, scheme: str) -> Callable[..., Any] | None:
    """What opens addresses of ``scheme``; ``None`` where no plug-in does.

    Args:
        group: :data:`SOURCES` or :data:`SINKS`.
        scheme: in lower case.

    Raises:
        ConfigError: two plug-ins bring the scheme, or the one that does cannot be imported.
    """
    found = {point.value: point for point in entry_points(group=group) if point.name.lower() == scheme}
    if not found:
        return None
    if len(found) > 1:
        raise ConfigError(f"{scheme}: comes from {_told(*found.values())}; uninstall all but one of them")
    (point,) = found.values()
    try:
        opener: Callable[..., Any] = point.load()
    except (Exception, SystemExit) as exc:  # whatever a foreign module raises while it is imported
        raise ConfigError(f"{scheme}: comes from {_told(point)}, which cannot be imported: {_reason(exc)}") from exc

    def open_it(*arguments: object) -> Any:
        try:
            return opener(*arguments)
        except DepthStreamError:
            raise
        except (Exception, SystemExit) as exc:  # foreign code again
            # Its text may hold the address, and with it a password, so the kind of error must do.
            reason = (exc.strerror if isinstance(exc, OSError) else None) or type(exc).__name__
            raise ConfigError(f"{scheme}: {_told(point)} failed: {reason}") from exc

    return open_it


def _told(*points: EntryPoint) -> str:
    return " and ".join(f"the plug-in {p.value} of {p.dist.name if p.dist else 'an unknown package'}" for p in points)


def _reason(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {one_line(exc)}"
