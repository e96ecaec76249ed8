"""Files that have another name until they are whole, and that a later run goes on with."""

from sinks.parts.names import is_whole
from sinks.parts.part_sink import PartSink
from sinks.parts.run_parts import Parts

__all__ = ["PartSink", "Parts", "is_whole"]
