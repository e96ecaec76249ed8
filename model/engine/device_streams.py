"""Queues of device work that run beside each other and meet at events: upload, compute, download.

A fourth, beside, is for what is prepared while frames go through. A fifth, decoder, is the device's default stream, on
which FFmpeg's decoder orders its work.

On a CPU there are no queues: work is done when the call returns, and every event has already happened.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

import torch

from stream.ports import Event

Queue = Literal["upload", "compute", "download", "beside", "decoder"]


class Streams(Protocol):
    """What the estimator needs of a device."""

    def on(self, queue: Queue) -> AbstractContextManager[object]:
        """Device work issued inside goes to ``queue``."""
        ...

    def mark(self, queue: Queue) -> Event:
        """An event that happens when everything issued to ``queue`` so far has been done."""
        ...

    def wait(self, queue: Queue, event: Event) -> None:
        """Make what is issued to ``queue`` from now on wait for ``event``. The host does not wait."""
        ...


class CudaStreams:
    """One CUDA stream per queue."""

    def __init__(self, device: torch.device) -> None:
        queues: tuple[Queue, ...] = ("upload", "compute", "download", "beside")
        self._streams = {q: torch.cuda.Stream(device) for q in queues}  # type: ignore[no-untyped-call]
        self._streams["decoder"] = torch.cuda.default_stream(device)

    def on(self, queue: Queue) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._streams[queue])

    def mark(self, queue: Queue) -> Event:
        # Blocking synchronisation puts a waiting thread to sleep: spinning would take a core from the decoder.
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(self._streams[queue])
        return event

    def wait(self, queue: Queue, event: Event) -> None:
        assert isinstance(event, torch.cuda.Event)
        self._streams[queue].wait_event(event)


class _Done:
    """An event that has happened."""

    def synchronize(self) -> None:
        return


class HostStreams:
    """A device that works while it is called."""

    def on(self, queue: Queue) -> AbstractContextManager[object]:  # noqa: ARG002 (the protocol's)
        return nullcontext()

    def mark(self, queue: Queue) -> Event:  # noqa: ARG002
        return _Done()

    def wait(self, queue: Queue, event: Event) -> None:
        pass


def streams_for(device: torch.device) -> Streams:
    """The queues of ``device``."""
    return CudaStreams(device) if device.type == "cuda" else HostStreams()
