"""A file that has another name until it is whole, and that a later run goes on with."""

from __future__ import annotations

import errno
import glob
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sinks import open_sink
from sinks.files.aside import Aside
from sinks.files.claim import Claim
from sinks.files.journal import Journal, Record
from sinks.files.target import check_target
from sinks.parts.names import beside, check_length, exists_already, journal_of, part_of, rename
from sinks.places import is_folder, path_of, with_path
from sinks.uri import parse_uri, quoted
from stream.errors import ConfigError, SinkError
from stream.frame import Capture, DepthFrame
from stream.ports import SourceInfo

_FULL = (errno.ENOSPC, errno.EDQUOT)
_MANY = 1000
"""Frames of which some must be whole in a file: more than wait in any encoder, cluster or chunk."""


class PartSink:
    """A sink of a file or folder that has another name until it is whole: ``walk.part.mp4`` for ``walk.mp4``.

    Beside it, ``walk.part.mp4.journal`` notes what has been written, and ``walk.part.mp4.lock`` keeps other runs away.
    The journal outlives the part, until all outputs of the run are whole (:class:`sinks.parts.Parts`).

    Args:
        uri: of the file.
        overwrite: whether a file of that name, or what there is of it, may be replaced.

    Attributes:
        part: the other name.
        is_done: an earlier run has made it whole, and not all of its other outputs. There is nothing to write.
        noted: how many frames the journal of an earlier run has, once :meth:`earlier` has read it.

    Raises:
        ConfigError, SinkError: as :func:`sinks.open_sink`.
    """

    def __init__(self, uri: str, *, overwrite: bool) -> None:
        self._path, self._overwrite = path_of(uri), overwrite
        if not self._path.name:
            raise ConfigError(f"{uri} has no name of its own; name a file or folder in it")
        self._prefix = f"{self._path.stem}.part"  # of the names of all that belongs to it
        self.part = part_of(self._path)
        self._journal = Journal(journal_of(self.part), of=self._path)
        parsed = parse_uri(uri)
        self._options = {"its kind": parsed.scheme or "file"}
        self._options |= {f"its option {name}": value for name, value in parsed.options.items()}
        self._is_folder = is_folder(uri)
        self.noted = 0
        self._claim: Claim | None = None
        self._begins_anew = False
        check_length(self._path)
        self.look()
        try:
            self._sink: Any = open_sink(with_path(uri, self.part), overwrite=True)
        except (ConfigError, SinkError) as exc:
            raise type(exc)(self._in_its_own_name(str(exc))) from exc

    @property
    def name(self) -> str:
        """That of the whole file."""
        return str(self._path)

    @property
    def is_there_as(self) -> str:
        """Where what was written is: the whole file, or the part."""
        return str(self.part if self.part.exists() else self._path)

    @property
    def needs_image(self) -> bool:
        """See :class:`stream.ports.Sink`."""
        return bool(self._sink.needs_image)

    @property
    def places(self) -> set[Path]:
        """All names that are this sink's own: of the file, its part, and what lies beside them."""
        own = [self._path, self.part, journal_of(self.part), beside(self.part, "lock")]
        belonging = self._belonging(self.part)
        return {*own, *belonging, *map(self._whole, belonging)}

    @property
    def can_go_on(self) -> bool:
        """Whether what was written can be gone on with."""
        return hasattr(self._sink, "resume")

    @property
    def exists(self) -> bool:
        """Whether something has the file's name that must stay."""
        return not self._overwrite and self._path.exists()

    @property
    def has_journal(self) -> bool:
        """Whether a run has begun the file that is not over yet."""
        return self._journal.exists()

    def look(self) -> None:
        """Find out whether an earlier run has made it.

        Raises:
            SinkError: it cannot be written there.
        """
        self.is_done = self.exists and not self.part.exists() and self.has_journal
        if self._is_folder and self._path.exists():
            if not self._path.is_dir():
                raise SinkError(f"cannot write {self._path}: it is a file; name a folder")
        elif not self.exists:
            check_target(self._path.absolute(), overwrite=self._overwrite)
        if journal_of(self._path).exists():
            raise SinkError(f"{self._path} is what a run has made so far of another output; give this one another name")
        if self.part.exists() and not self.has_journal and (self.part.is_dir() or not self._overwrite):
            raise SinkError(
                f"{self.part} is in the way of {self._path}, and nothing says which run it is of; move it, or give "
                "the output another name"
            )

    def claim(self) -> None:
        """Keep other runs away until :meth:`release`.

        Raises:
            SinkError: another run is writing it, or no file can be made there.
        """
        self._claim = Claim(beside(self.part, "lock"), of=self._path)

    def earlier(self, identity: Mapping[str, object]) -> Sequence[Record]:
        """The frames of an earlier run that can be kept, in order. The last one is not: without it, none would come.

        Args:
            identity: what makes the result what it is, by name.

        Raises:
            SinkError: an earlier run was another one, or what it noted is damaged.
        """
        try:
            records = self._journal.read({**identity, **self._options}, anew=self._overwrite)
        except SinkError as exc:
            if self.is_done:  # by a run that has nothing to do with this one
                raise SinkError(exists_already(self._path)) from exc
            raise
        self.noted = len(records)
        if self.is_done or not records:
            return records
        if not self.can_go_on:
            return ()
        whole: int = self._sink.whole_frames([record.index for record in records])
        if not self.part.exists():
            raise SinkError(
                f"{self.part} is gone, of which {len(records)} frames are noted; `overwrite=True` begins anew"
            )
        if not whole and len(records) >= _MANY:
            raise SinkError(
                f"{self.part} is damaged: none of the {len(records)} frames that were made is whole; "
                "`overwrite=True` begins anew"
            )
        return records[: max(min(len(records), whole) - 1, 0)]

    def begin(self, records: Sequence[Record], captures: Sequence[Capture]) -> None:
        """Before the first frame: keep these frames of the earlier run, or begin anew.

        Args:
            records: of the frames to keep.
            captures: when they were taken.

        Raises:
            SinkError: the system refuses.
        """
        self._begins_anew = not records
        try:
            self._journal.begin(records)
            if not records:
                self._clear()
        except OSError as exc:
            goes_on = "goes on" if records else "begins anew"
            advice = f"; free some space, and the same command {goes_on}" if exc.errno in _FULL else ""
            raise SinkError(f"cannot write beside {self.part}: {exc.strerror}{advice}") from exc
        if records:
            self._sink.resume(captures)

    def prepare(self, info: SourceInfo) -> None:
        """See :class:`stream.ports.Sink`."""
        if (prepare := getattr(self._sink, "prepare", None)) is not None:
            prepare(info)

    def write(self, frame: DepthFrame) -> None:
        """See :meth:`stream.ports.Sink.write`."""
        self._sink.write(frame)
        try:
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
        # The part comes first. Once it has its name, it is known to be whole, and what belongs to it follows.
        parts = [part for part in self._parts() if part.exists()] if self.is_done else self._sink.paths
        for part in parts:
            path = self._whole(part)
            if not self._overwrite and not self.is_done and path.exists():
                raise SinkError(f"{path} has come to exist meanwhile; what was written is in {part}")
        replaced = self._replaced()
        for part in parts:
            rename(part, self._whole(part))
        try:
            for frame in replaced:
                frame.unlink(missing_ok=True)
        except OSError as exc:
            raise SinkError(f"cannot remove {frame}, which {self._path} had before: {exc.strerror}") from exc
        self.is_done = True

    def release(self, *, forget: bool) -> None:
        """The run is over. ``forget``: nobody will go on with it, or ask which run made it."""
        if forget or (self._begins_anew and not self.is_done and not self.part.exists()):
            self._journal.remove()
        if self._claim is not None:
            self._claim.release()

    def _replaced(self) -> list[Path]:
        """Frames of a folder that is replaced by one that has none of these names."""
        if not (hasattr(self._sink, "leftovers") and self._path.is_dir() and self.part.is_dir()):
            return []
        new = {path.name for path in self.part.iterdir()}
        return [path for path in self._sink.leftovers(self._path) if path.name not in new]

    def _parts(self) -> list[Path]:
        """The part, numbered ones where it went on in another file, each with what belongs to it."""
        numbered = f"{glob.escape(self._prefix)}-[0-9][0-9][0-9][0-9]{glob.escape(self.part.suffix)}"
        parts = [self.part, *sorted(self.part.parent.glob(numbered))]
        return [name for part in parts for name in (part, *self._belonging(part))]

    def _belonging(self, part: Path) -> Sequence[Path]:
        belonging = getattr(self._sink, "belonging", None)
        return () if belonging is None else belonging(part)

    def _clear(self) -> None:
        """Remove what an earlier run has left."""
        for stale in [*self._parts(), Aside(self.part).path]:
            if stale.is_dir():
                shutil.rmtree(stale)
            else:
                stale.unlink(missing_ok=True)

    def _whole(self, part: Path) -> Path:
        return self._path.with_name(self._path.stem + part.name.removeprefix(self._prefix))

    def _in_its_own_name(self, text: str) -> str:
        """A message about the part, as it is of the file that was asked for."""
        for written in (str, quoted):
            text = text.replace(written(self.part.name), written(self._path.name))
        return text
