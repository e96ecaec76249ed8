"""A sink that only counts: for measuring everything before it."""

from __future__ import annotations

from stream.frame import DepthFrame


class NullSink:
    """Drops every frame and counts them in ``frames``."""

    def __init__(self) -> None:
        self.frames = 0

    @property
    def name(self) -> str:
        return "null:"

    @property
    def needs_image(self) -> bool:
        return False

    def write(self, frame: DepthFrame) -> None:  # noqa: ARG002 - the protocol's parameter
        self.frames += 1

    def close(self) -> None:
        """Nothing to finish."""
