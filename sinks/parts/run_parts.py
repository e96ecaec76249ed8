"""The files of one run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sinks.files.journal import Record
from sinks.parts.names import exists_already
from sinks.parts.part_sink import PartSink
from stream.errors import SinkError
from stream.frame import Capture
from stream.ports import Sink

_log = logging.getLogger(__name__)


class Parts:
    """The files of one run: they are gone on with together, and get their names one by one.

    Args:
        sinks: of a source; those that write no such files are left alone.
    """

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._all = [sink for sink in sinks if isinstance(sink, PartSink)]

    def __bool__(self) -> bool:
        return bool(self._all)

    def look(self) -> None:
        """Find out which files an earlier run has made.

        Raises:
            SinkError: see :meth:`PartSink.look`; or one exists that is not known to be of an unfinished run.
        """
        for part in self._all:
            part.look()
        finished = [part for part in self._all if part.is_done]
        foreign = [part for part in self._all if part.exists and not part.is_done]
        if finished and len(finished) + len(foreign) == len(self._all) and not any(p.part.exists() for p in foreign):
            for part in foreign:  # all are whole: the run was killed while it removed its journals
                part.is_done = True
        elif foreign:
            goes_on = any(part.has_journal for part in self._all)
            told = ", or leave it out to go on with the others" if goes_on else ""
            raise SinkError(f"{exists_already(Path(foreign[0].name))}{told}")

    def claim(self) -> None:
        """See :meth:`PartSink.claim`.

        Raises:
            SinkError: as there, and as :meth:`look`.
        """
        for part in self._all:
            part.claim()
        self.look()  # once more: another run may have ended meanwhile

    def release(self, *, forget: bool) -> None:
        """See :meth:`PartSink.release`."""
        for part in self._all:
            part.release(forget=forget)

    def earlier(self, identity: Mapping[str, object], *, batch: int) -> Sequence[Record]:
        """The frames of an earlier run that all files keep that are not whole yet, in full batches.

        Args:
            identity: what makes the result what it is, by name.
            batch: frames that are computed together. Results are equal to the bit only where batches are the same.

        Raises:
            SinkError: an earlier run was another one, what it noted is damaged, or one of the files was none of its.
        """
        kept = {part: part.earlier(identity) for part in self._all}
        longest = max(self._all, key=lambda part: part.noted)
        for part in self._all:
            if longest.noted and not part.has_journal and not part.is_done:
                raise SinkError(
                    f"{part.name} was not written by the run that has made {longest.noted} frames of {longest.name}; "
                    "leave it out to go on with that, or begin all anew with `overwrite=True`"
                )
        left = {part: records for part, records in kept.items() if not part.is_done}
        if not left or not longest.noted:
            return ()
        shortest = min(left, key=lambda part: len(left[part]))
        records = left[shortest]
        records = records[: len(records) - len(records) % batch]
        if not records:
            _log.info("%s keeps nothing of the %d frames that were made; it begins anew", shortest.name, longest.noted)
        elif len(records) < longest.noted - batch:
            told = "%s keeps %d of the %d frames that were made; those behind them are made again"
            _log.info(told, shortest.name, len(records), longest.noted)
        return records

    def unfinished(self, sinks: Iterable[Sink]) -> list[Sink]:
        """Those of ``sinks`` that have something to write, once :meth:`earlier` has found out."""
        return [sink for sink in sinks if not (isinstance(sink, PartSink) and sink.is_done)]

    def begin(self, records: Sequence[Record], captures: Sequence[Capture]) -> None:
        """See :meth:`PartSink.begin`, of all that are not whole."""
        for part in self._all:
            if not part.is_done:
                part.begin(records, captures)

    def publish(self, unfinished: Mapping[Sink, bool]) -> None:
        """The run is over: the files that are whole get their names.

        Args:
            unfinished: the sinks whose files are not whole, and whether the same command can go on with them.

        Raises:
            SinkError: see :meth:`PartSink.publish`; the first of those that fail, after all others have their names.
        """
        errors = []
        for part in self._all:
            if part not in unfinished:
                try:
                    part.publish()
                except SinkError as exc:
                    errors.append(exc)
            elif part.part.exists():
                told = ""
                if unfinished[part]:
                    told = f", and the same command {'goes on' if part.can_go_on else 'begins anew'}"
                _log.info("%s is not whole; what was done is in %s%s", part.name, part.part, told)
        self.release(forget=not errors and not any(part in unfinished for part in self._all))
        if errors:
            raise errors[0]
