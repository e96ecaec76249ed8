"""An MCAP file as ``ros2 bag play`` wants it: the ROS 2 profile, definitions in full, quality of service per topic."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mcap.writer import CompressionType, Writer

from sinks.ros.messages import DISTRO, Message, definition, serialize

Compression = Literal["zstd", "lz4", "none"]

_COMPRESSION = {"none": CompressionType.NONE, "zstd": CompressionType.ZSTD, "lz4": CompressionType.LZ4}
_CHUNK_BYTES = 2**20
_NEVER = 2**62  # the writer's own limit would end chunks between messages that belong together

_FOREVER = {"sec": 9223372036, "nsec": 854775807}  # RMW_DURATION_INFINITE

# Keep the last one, reliable, transient local, automatic: what players publish with it still reaches who comes late.
# In the numbers of rmw/types.h, which rosbag2 reads in every release (as JSON, which is YAML).
_LATCHED = json.dumps(
    [
        {
            "history": 1,
            "depth": 1,
            "reliability": 1,
            "durability": 1,
            "deadline": _FOREVER,
            "lifespan": _FOREVER,
            "liveliness": 1,
            "liveliness_lease_duration": _FOREVER,
            "avoid_ros_namespace_conventions": False,
        }
    ]
)

# rosbag2 counts for itself when it opens a file. What it needs from here is the version, which says how QoS is written:
# version 9 and what has none may be taken for words instead of numbers.
_ROSBAG2 = {
    "ROS_DISTRO": DISTRO,
    "serialized_metadata": json.dumps(
        {
            "version": 5,
            "storage_identifier": "mcap",
            "duration": {"nanoseconds": 0},
            "starting_time": {"nanoseconds_since_epoch": 0},
            "message_count": 0,
            "topics_with_message_count": [],
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [],
            "files": [],
        }
    ),
}


@dataclass(frozen=True, slots=True)
class Raw:
    """A message as it is stored: its topic, the name of its type, its bytes."""

    topic: str
    type: str
    data: bytes


class Bag:
    """An MCAP file being written.

    Args:
        path: the file.
        compress: how each chunk is compressed.
        overwrite: replace a file that is already there.

    Raises:
        OSError: the file cannot be created. Every method raises it, too, when the file cannot be written.
    """

    def __init__(self, path: Path, *, compress: Compression, overwrite: bool) -> None:
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._pending_bytes = 0
        self._broken = False
        self._file = path.open("wb" if overwrite else "xb")  # x: another sink may have taken the name meanwhile
        self._writer = Writer(self._file, chunk_size=_NEVER, compression=_COMPRESSION[compress])
        self._writer.start(profile="ros2")
        self._writer.add_metadata("rosbag2", _ROSBAG2)

    def describe(self, name: str, metadata: dict[str, str]) -> None:
        """Write what holds for the whole file: an MCAP metadata record."""
        self._writer.add_metadata(name, metadata)

    def add(self, messages: Mapping[str, Message], stamp_ns: int, *, latched: bool = False) -> None:
        """Write ``messages``, by topic, into one chunk. A topic that is ``latched`` is kept for late subscribers."""
        raw = [Raw(topic, message.__msgtype__, serialize(message)) for topic, message in messages.items()]
        self.copy(raw, stamp_ns, latched=latched)

    def copy(self, messages: Iterable[Raw], stamp_ns: int, *, latched: bool = False) -> None:
        """As :meth:`add`, of messages that are bytes already."""
        try:
            for message in messages:
                if message.topic not in self._channels:
                    self._channels[message.topic] = self._register(message.topic, message.type, latched)
                channel = self._channels[message.topic]
                self._writer.add_message(channel, log_time=stamp_ns, data=message.data, publish_time=stamp_ns)
                self._pending_bytes += len(message.data)
            if self._pending_bytes >= _CHUNK_BYTES:
                self._writer.flush()
                self._file.flush()  # or the end of the chunk would be lost with the process
                self._pending_bytes = 0
        except BaseException:
            self._broken = True
            raise

    def finish(self) -> None:
        """Write the last chunk and the index, unless writing failed before: how far the file goes is then unknown."""
        try:
            if not self._broken:
                self._writer.finish()
                self._file.flush()
        finally:
            self._file.raw.close()  # past the buffer, which would try again to write what could not be written

    def _register(self, topic: str, message_type: str, latched: bool) -> int:
        if message_type not in self._schemas:
            text = definition(message_type).encode()
            self._schemas[message_type] = self._writer.register_schema(message_type, "ros2msg", text)
        qos = {"offered_qos_profiles": _LATCHED if latched else ""}
        return self._writer.register_channel(topic, "cdr", self._schemas[message_type], qos)
