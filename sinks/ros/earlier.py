"""Frames that an earlier run has left in a recording, to be taken over as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mcap.exceptions import McapError
from mcap.records import Channel, Message, Metadata, Schema
from mcap.stream_reader import StreamReader

from sinks.ros.bag import Raw


@dataclass(frozen=True, slots=True)
class Moment:
    """All messages of one stamp, in their order: those of a frame."""

    stamp_ns: int
    messages: list[Raw] = field(default_factory=list)


def about(path: Path, name: str) -> dict[str, str]:
    """What a metadata record says that comes before the first frame; empty where there is none."""
    with suppress(McapError), path.open("rb") as file:
        for record in StreamReader(file).records:
            if isinstance(record, Message):
                break
            if isinstance(record, Metadata) and record.name == name:
                return dict(record.metadata)
    return {}


def moments(path: Path) -> Iterator[Moment]:
    """The frames of a recording that may have no end. Chunks end between frames, so each is whole.

    Raises:
        OSError: it cannot be read.
    """
    schemas: dict[int, str] = {}
    channels: dict[int, Channel] = {}
    open_moment: Moment | None = None
    with suppress(McapError), path.open("rb") as file:  # the end of what a killed process has written
        for record in StreamReader(file).records:
            if isinstance(record, Schema):
                schemas[record.id] = record.name
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Message):
                if open_moment is not None and record.log_time != open_moment.stamp_ns:
                    yield open_moment
                    open_moment = None
                open_moment = open_moment or Moment(record.log_time)
                channel = channels[record.channel_id]
                open_moment.messages.append(Raw(channel.topic, schemas[channel.schema_id], record.data))
    if open_moment is not None:
        yield open_moment
