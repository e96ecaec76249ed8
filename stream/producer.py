"""The first thread: from the source into the ring."""

from __future__ import annotations

from stream.ports import Source
from stream.ring import Ring


def produce(source: Source, ring: Ring) -> None:
    """Move every frame of ``source`` into ``ring`` until either ends.

    What the ring already holds stays good when the source breaks off.

    Raises:
        SourceError: the source broke off.
    """
    try:
        for frame in source:
            if not ring.put(frame):
                return
    finally:
        ring.close()
        source.close()
