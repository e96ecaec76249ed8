"""Interlaced pictures as whole ones: one picture a picture, by libavfilter's bwdif."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

import av
from av.filter import Graph

from stream.sources.hardware import downloaded


class _Kind(NamedTuple):
    """What a filter graph is made for."""

    width: int
    height: int
    pixel_format: str


class Deinterlacer:
    """Passes pictures on as they are until an interlaced one comes. From there on each waits for the next one.

    Pictures that are not interlaced come through the filter unchanged. Times stay those of the pictures.

    Args:
        time_base: seconds per unit of a picture's time, where it does not tell itself.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._graph: Graph | None = None
        self._kind: _Kind | None = None
        self._waiting: deque[tuple[int | None, Fraction]] = deque()  # time of each picture in the filter

    def pictures(self, decoded: Iterable[av.VideoFrame]) -> list[av.VideoFrame]:
        """Those that can be told, of ``decoded`` and of what waits.

        Raises:
            av.FFmpegError: the filter failed.
        """
        ready: list[av.VideoFrame] = []
        for picture in decoded:
            if self._graph is not None or picture.interlaced_frame:
                picture = downloaded(picture)  # the filter works on the host
            kind = _Kind(picture.width, picture.height, picture.format.name)
            if self._graph is not None and kind != self._kind:
                ready += self.flush()
            if self._graph is None and picture.interlaced_frame:
                self._graph, self._kind = _graph(picture, self._time_base), kind
            if self._graph is None:
                ready.append(picture)
                continue
            self._waiting.append((picture.pts, picture.time_base or self._time_base))
            self._graph.push(picture)
            ready += self._pull(self._graph)
        return ready

    def flush(self) -> list[av.VideoFrame]:
        """What still waits; the next pictures are new ones."""
        if self._graph is None:
            return []
        graph, self._graph = self._graph, None
        graph.push(None)
        ready = self._pull(graph)
        self._waiting.clear()
        return ready

    def _pull(self, graph: Graph) -> list[av.VideoFrame]:
        ready: list[av.VideoFrame] = []
        while True:
            try:
                picture = graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return ready
            picture.pts, picture.time_base = self._waiting.popleft()  # bwdif halves the unit of time
            ready.append(picture)


def _graph(picture: av.VideoFrame, time_base: Fraction) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=picture.time_base or time_base,
    )
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    source.link_to(bwdif)
    bwdif.link_to(graph.add("buffersink"))
    graph.configure()
    return graph
