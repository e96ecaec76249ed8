"""The first thread: from the source into the ring."""

from __future__ import annotations

from stream.ports import Source
from stream.ring import Ring
from stream.worker import ForeignCall


def produce(source: Source, ring: Ring, call: ForeignCall) -> None:
    """Move every frame of ``source`` into ``ring`` until either ends.

    What the ring already holds stays good when the source breaks off.

    Args:
        call: entered whenever the source is asked for something.

    Raises:
        SourceError: the source broke off.
    """
    with call:
        frames = iter(source)
    while True:
        with call:
            frame = next(frames, None)
        if frame is None or not ring.put(frame):
            return
