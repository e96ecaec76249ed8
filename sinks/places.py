"""Where the outputs of a video go, and the name a file has until it is whole."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from sinks import open_sink
from sinks.files.journal import Journal, Record
from sinks.files.target import check_target
from sinks.uri import names_rrd, parse_uri
from stream.errors import ConfigError, SinkError
from stream.frame import Capture, DepthFrame
from stream.ports import SourceInfo

_FILES = ("", "file", "mcap", "focal")
_FOLDERS = ("png", "exr", "npz", "lerobot")
"""Schemes of sinks that write one file, or a folder of files."""


class PartSink:
    """A sink of a file or folder that has another name until it is whole: ``walk.part.mp4`` for ``walk.mp4``.

    A run that was killed can be gone on with: see :meth:`earlier` and :meth:`resume`.

    Args:
        uri: of the file.
        overwrite: whether a file of that name, or what there is of it, may be replaced.

    Raises:
        ConfigError, SinkError: as :func:`sinks.open_sink`.
    """

    def __init__(self, uri: str, *, overwrite: bool) -> None:
        self._path, self._overwrite = _path_of(uri), overwrite
        if parse_uri(uri).scheme not in _FOLDERS:
            check_target(self._path.absolute(), overwrite=overwrite)
        elif self._path.exists() and not overwrite:
            raise SinkError(f"{self._path} exists; choose another name or use `overwrite=True`")
        self._prefix = f"{self._path.stem}.part"  # of the names of all that belongs to it
        self.part = self._path.with_name(self._prefix + self._path.suffix)
        self._sink: Any = open_sink(_with_path(uri, self.part), overwrite=True)
        self._journal = Journal(self.part.with_name(f"{self.part.name}.journal"), of=self._path)
        self._options = parse_uri(uri).options
        self._begun = False
        self._kept: Sequence[Record] = ()

    @property
    def name(self) -> str:
        """That of the whole file."""
        return str(self._path)

    @property
    def needs_image(self) -> bool:
        """See :class:`stream.ports.Sink`."""
        return bool(self._sink.needs_image)

    def earlier(self, identity: Mapping[str, object]) -> Sequence[Record]:
        """The frames of an earlier run that can be kept, in order. The last one is not: without it, none would come.

        Args:
            identity: what makes the result what it is, by name.

        Raises:
            SinkError: an earlier run was another one.
        """
        if self._overwrite:
            self._journal.remove()
        again = self._of_earlier(identity)
        if not again:  # what is there is begun anew, also where it went on in a second file
            numbered = f"{glob.escape(self._prefix)}-[0-9][0-9][0-9][0-9]{self.part.suffix}*"
            for stale in filter(Path.is_file, self.part.parent.glob(numbered)):
                stale.unlink()
        return again

    def _of_earlier(self, identity: Mapping[str, object]) -> Sequence[Record]:
        records = self._journal.read({**identity, "output": dict(sorted(self._options.items()))})
        if not records or not hasattr(self._sink, "resume"):
            return ()
        return records[: max(min(len(records), self._sink.whole_frames()) - 1, 0)]

    def resume(self, records: Sequence[Record], captures: Sequence[Capture]) -> None:
        """Before the first frame: keep these frames of the earlier run.

        Raises:
            SinkError: the system refuses.
        """
        self._sink.resume(captures)
        self._kept = records

    def prepare(self, info: SourceInfo) -> None:
        """See :class:`stream.ports.Sink`."""
        if (prepare := getattr(self._sink, "prepare", None)) is not None:
            prepare(info)

    def write(self, frame: DepthFrame) -> None:
        """See :meth:`stream.ports.Sink.write`."""
        self._sink.write(frame)
        try:
            if not self._begun:
                self._begun = True
                self._journal.begin(self._kept)
            self._journal.add(frame)
        except OSError as exc:
            raise SinkError(f"cannot write beside {self.part}: {exc.strerror}") from exc

    def close(self) -> None:
        """Finish the part, which keeps its name; see :meth:`stream.ports.Sink.close`."""
        self._journal.close()
        self._sink.close()

    def publish(self) -> None:
        """After ``close``: the part is whole and gets the file's name. Without a frame there is none.

        Raises:
            SinkError: something else has got that name meanwhile, or the system refuses.
        """
        for part in self._sink.paths:  # the part, what belongs to it, and numbered ones where it went on in another
            path = self._path.with_name(self._path.stem + part.name.removeprefix(self._prefix))
            if not self._overwrite and path.exists():
                raise SinkError(f"{path} has come to exist meanwhile; what was written is in {part}")
            try:
                if part.is_dir() and path.exists():
                    for file in filter(Path.is_file, part.rglob("*")):
                        place = path / file.relative_to(part)
                        place.parent.mkdir(parents=True, exist_ok=True)
                        file.replace(place)
                    shutil.rmtree(part)
                else:
                    part.replace(path)
            except OSError as exc:
                raise SinkError(f"cannot rename {part} to {path}: {exc.strerror}") from exc
        self._journal.remove()


def is_file(uri: str) -> bool:
    """Whether the sink ``uri`` writes a file, or a folder of files.

    Raises:
        ConfigError: as :func:`sinks.uri.parse_uri`.
    """
    parsed = parse_uri(uri)
    if parsed.scheme == "rerun":
        return names_rrd(parsed)
    return parsed.scheme in (*_FILES, *_FOLDERS) and bool(parsed.target)


def is_there(uri: str) -> bool:
    """Whether the file that the sink ``uri`` writes is there, whole; never of a sink that writes none."""
    return is_file(uri) and _path_of(uri).exists()


def make_folder(uri: str) -> None:
    """Make the folder of the file that the sink ``uri`` writes, if it writes one.

    Raises:
        SinkError: it cannot be made.
    """
    if not is_file(uri):
        return
    folder = _path_of(uri).parent
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
        return uri.replace("{stem}", quote(stem))
    if "{stem}" not in parsed.target:
        raise ConfigError(f"{parsed.text} would be written by every video; put {{stem}} into its name")
    path = PurePath(str(_path_of(uri)).replace("{stem}", stem))
    if path.is_absolute() or ".." in path.parts:
        raise ConfigError(f"{parsed.text} is not in the folder of `out`; give a name without a folder")
    return _with_path(uri, out / folder / path)


def _path_of(uri: str) -> Path:
    parsed = parse_uri(uri)
    return Path((parsed.with_local_path() if parsed.scheme == "file" else parsed).target)


def _with_path(uri: str, path: Path) -> str:
    """``uri`` of a file or folder, with another path and all its options."""
    _, question, query = uri.partition("?")
    if (scheme := parse_uri(uri).scheme) not in ("", "file"):
        return f"{scheme}:{quote(str(path))}{question}{query}"
    here = "" if path.is_absolute() else "./"  # or a colon in its name would end a scheme
    return f"{here}{quote(str(path))}{question}{query}"
