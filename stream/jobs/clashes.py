"""Outputs that would destroy each other, or what is read."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from pathlib import Path

from stream.errors import ConfigError
from stream.ports import Sink
from stream.sources.address import local_path
from stream.sources.images import is_image


def refuse_clashes(sources: Iterable[str], outputs: Iterable[Sink], others: Mapping[str, set[Path]]) -> None:
    """Two outputs in one place, or an output on top of an input, would destroy each other.

    Args:
        sources: whose files are read.
        outputs: sinks; those that say no ``places`` share theirs, or have none.
        others: what else is written, by name.

    Raises:
        ConfigError: two that do not go together; the message names them.
    """
    owned = [(sink.name, sink.places) for sink in outputs if hasattr(sink, "places")]
    inputs = {path.resolve() for source in sources for path in _files_of(source)}
    nodes = {node for path in inputs if (node := _node(path)) is not None}
    pictured = {path.parent for path in inputs if is_image(path)}
    owners: dict[Path, str] = {}
    for name, places in [*owned, *others.items()]:
        resolved = {place.resolve() for place in places}
        for place in resolved:
            if place in owners and Path(name).resolve() == Path(owners[place]).resolve():
                raise ConfigError(f"{name} is named twice as an output; give each output a name of its own")
            if place in owners:
                raise ConfigError(f"{name} and {owners[place]} both write {place.name}; give one of them another name")
            if place in pictured:
                raise ConfigError(f"{name} has pictures that are the input; write to another folder")
            if place in inputs or _node(place) in nodes:
                raise ConfigError(f"{name} is the input; give the output another name")
        owners |= dict.fromkeys(resolved, name)


def _files_of(source: str) -> list[Path]:
    """The files that a source may read, as far as its name tells."""
    path = local_path(source)
    try:
        if glob.has_magic(source) and not path.exists():
            return [Path(match) for match in glob.iglob(source, recursive=True)]  # noqa: PTH207 (as the source itself)
        return [path, *path.iterdir()] if path.is_dir() else [path]
    except (OSError, ValueError):  # opening it says why
        return []


def _node(path: Path) -> tuple[int, int] | None:
    """What all names of one file have in common, as hard links are; ``None`` if it is not there."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino
