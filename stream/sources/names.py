"""Names of several sources in one run: ``front=rtsp://… rear=webcam:0``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from stream.errors import ConfigError
from stream.sources.address import redact_unknown

NOT_GIVEN = "no source given; give a file, a folder, webcam:0, an rtsp:// address or demo"
ALONE = "camera"  # the name of a source that has none
_NAMED = re.compile(r"([A-Za-z0-9_.-]{1,64})=(.+)", re.DOTALL)


def refuse_blank(sources: Sequence[str]) -> None:
    """What is empty, such as a shell's variable that was never set, is not the folder where one happens to be.

    Raises:
        ConfigError: one of the sources is.
    """
    if not all(source.strip() for source in sources):
        raise ConfigError(NOT_GIVEN)


def name_sources(sources: Sequence[str]) -> dict[str, str]:
    """What was typed as sources, by name and in order.

    Raises:
        ConfigError: none, or several of which not each one has a name of its own.
    """
    if not sources:
        raise ConfigError(NOT_GIVEN)
    if len(sources) == 1:
        name, uri = _split(sources[0])
        return {name or ALONE: uri}
    named: dict[str, str] = {}
    for source in sources:
        name, uri = _split(source)
        if name is None:
            raise ConfigError(
                f"{', '.join(map(redact_unknown, sources))}: several sources in one run need names, such as "
                "front=webcam:0 rear=webcam:1; give each video a run of its own"
            )
        if name in named:
            raise ConfigError(f"two sources are called {name}; give each a name of its own")
        named[name] = uri
    return named


def _split(source: str) -> tuple[str | None, str]:
    """Name, if there is one, and the rest. A file that exists is not a name with something behind it."""
    match = _NAMED.fullmatch(source)
    try:
        is_file = Path(source).exists()
    except (OSError, ValueError):  # no possible name of a file
        is_file = False
    return (None, source) if match is None or is_file else (match[1], match[2])
