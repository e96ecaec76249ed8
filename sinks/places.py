"""Where the outputs of a video go."""

from __future__ import annotations

import glob
import os
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from sinks.uri import names_rrd, parse_uri, quoted
from stream.errors import ConfigError, SinkError
from stream.plugins import SOURCES, schemes
from stream.ports import SourceInfo

_FILES = ("", "file", "mcap", "focal")
_FOLDERS = ("png", "exr", "npz", "lerobot")
"""Schemes of sinks that write one file, or a folder of files."""


def is_file(uri: str) -> bool:
    """Whether the sink ``uri`` writes a file, or a folder of files.

    Raises:
        ConfigError: as :func:`sinks.uri.parse_uri`.
    """
    parsed = parse_uri(uri)
    if parsed.scheme == "rerun":
        return names_rrd(parsed)
    return parsed.scheme in (*_FILES, *_FOLDERS) and bool(parsed.target)


def is_folder(uri: str) -> bool:
    """Whether the sink ``uri`` writes a folder of files.

    Raises:
        ConfigError: as :func:`sinks.uri.parse_uri`.
    """
    return parse_uri(uri).scheme in _FOLDERS


def make_folder(uri: str) -> None:
    """Make the folder of the file that the sink ``uri`` writes, if it writes one.

    Raises:
        SinkError: it cannot be made.
    """
    if not is_file(uri):
        return
    folder = path_of(uri).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise SinkError(f"cannot make the folder {folder}: {exc.strerror}") from exc


def for_video(uri: str, *, out: Path, folder: PurePath, stem: str) -> str:
    """``uri`` for one video of a batch: ``{stem}`` becomes its name, and files go to its folder below ``out``.

    Raises:
        ConfigError: all videos would be written into one file, or the file is to be somewhere else than in ``out``.
    """
    parsed = parse_uri(uri)
    if not is_file(uri):
        return uri.replace("{stem}", quoted(stem))
    if "{stem}" not in parsed.target:
        raise ConfigError(f"{parsed.text} would be written by every video; put {{stem}} into its name")
    path = PurePath(str(path_of(uri)).replace("{stem}", stem))
    if path.is_absolute() or ".." in path.parts:
        raise ConfigError(f"{parsed.text} is not in the folder of `out`; give a name without a folder")
    return with_path(uri, out / folder / path)


def path_of(uri: str) -> Path:
    """That of the file or folder that the sink ``uri`` writes.

    Raises:
        ConfigError: it is on another machine.
    """
    parsed = parse_uri(uri)
    path = Path((parsed.with_local_path() if parsed.scheme == "file" else parsed).target)
    return path if path.name not in ("", "..") else Path(os.path.abspath(path))  # noqa: PTH100 (no link is resolved)


def with_path(uri: str, path: Path) -> str:
    """``uri`` of a file or folder, with another path and all its options."""
    _, question, query = uri.partition("?")
    if (scheme := parse_uri(uri).scheme) not in ("", "file"):
        return f"{scheme}:{quoted(str(path))}{question}{query}"
    here = "" if path.is_absolute() else "./"  # or a colon in its name would end a scheme
    return f"{here}{quoted(str(path))}{question}{query}"


def default_sink(source: str, info: SourceInfo, *, name: str | None = None) -> str:
    """Where depth goes when nothing is said: to a video named after the file, or onto ZeroMQ from a camera.

    ``name`` is that of one of several sources.
    """
    if info.live:
        return "zmq+tcp://127.0.0.1:5555"
    if name is not None:
        return f"./{quoted(name)}_depth.mp4?view=side-by-side"
    path = Path(source)
    if "://" in source:
        stem = Path(urlsplit(source).path).stem  # nothing else of an address: it may hold secrets
    elif (scheme := source.partition(":")[0]).lower() in schemes(SOURCES) and not path.exists():
        stem = scheme  # of a plug-in, whose address may hold secrets too
    else:
        folder = path.parent if glob.has_magic(path.name) and not path.exists() else path
        stem = folder.resolve().name if folder.is_dir() or folder != path else path.stem
    return f"./{quoted(stem or 'stream')}_depth.mp4?view=side-by-side"
