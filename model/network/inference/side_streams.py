"""Work beside the main work: streams that start where the current one is, and that it waits for later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class SideStreams:
    """A number of CUDA streams beside the current one; without any, everything runs in order.

    They can be captured in a CUDA graph: what is forked is joined before the capture ends.
    """

    def __init__(self, device: torch.device, count: int) -> None:
        self._streams = [torch.cuda.Stream(device) for _ in range(count)]  # type: ignore[no-untyped-call]

    @contextmanager
    def fork(self, number: int) -> Iterator[None]:
        """Work issued inside runs beside what is issued afterwards, until :meth:`join`."""
        if not self._streams:
            yield
            return
        stream = self._streams[number]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            yield

    def join(self) -> None:
        """The current stream waits for all that was forked."""
        for stream in self._streams:
            torch.cuda.current_stream().wait_stream(stream)
