"""The three protocols a pipeline is made of, and the two small ones a frame is handed over with.

Implement one of them and pass the object: there is no registration and no base class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stream.frame import DepthFrame, Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """What is known of a source before its first frame.

    Attributes:
        name: for people and logs; any credentials already removed.
        live: ``True`` for cameras (the newest frame matters), ``False`` for files (every frame matters).
        frame_rate: frames per second as the container tells it, ``None`` where unknown.
        frame_count: number of frames, possibly estimated from duration and rate; ``None`` where unknown or endless.
        max_age_s: seconds after which a frame of a camera is worth nothing any longer; ``None`` where it always is.
        path: the local file that frames are decoded from, which may hold sound, subtitles and chapters besides; ``pts``
            of its frames are those of the container. ``None`` for everything else.
    """

    name: str
    live: bool
    frame_rate: Fraction | None = None
    frame_count: int | None = None
    max_age_s: float | None = None
    path: Path | None = None


class Source(Protocol):
    """Where frames come from. Iterated once, by one thread.

    Two methods may be left out. ``stop(self) -> None``, safe from any thread, lets the iteration end soon, whatever it
    waits for. ``listen(self, listener: Callable[[SourceState], None]) -> None`` has a listener called with what happens
    to a camera's connection; it is called before the iteration, and the listener by the thread that iterates.
    """

    @property
    def info(self) -> SourceInfo: ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames in presentation order. A frame's planes are valid until the next one is asked for.

        Raises:
            SourceError: the source broke off; frames already yielded stay good.
        """
        ...

    def close(self) -> None:
        """Release the device or file. Called once, after iteration has ended or was given up."""
        ...


class Event(Protocol):
    """A point in a device's work that can be waited for; ``torch.cuda.Event`` is one."""

    def synchronize(self) -> None:
        """Wait until it has happened."""
        ...


class Lease(Protocol):
    """A frame in a ring slot, held by the one who took it until ``release``."""

    @property
    def frame(self) -> Frame: ...

    @property
    def dropped(self) -> int:
        """Frames dropped by the ring before this one, in total."""
        ...

    def release(self, *, after: Event | None = None) -> None:
        """Give the slot back; nobody writes to it before ``after`` has happened. A second call does nothing."""
        ...


class DeviceSlot(Protocol):
    """Memory of a device for one frame, beside a slot's of the host, for frames that a decoder made on that device."""

    def fill(self, frame: Frame) -> Frame:
        """Copy the planes of ``frame``, and return the frame with this memory's in their place.

        They have been copied when this returns: the decoder needs its memory back. Any exception means that planes
        cannot be handed over like this.
        """
        ...


class Estimator(Protocol):
    """Frames in, depth out, in order. Used by one thread, but for ``allocate``.

    One method may be left out: ``device_slot(self) -> DeviceSlot``, called by any thread, gives memory for a frame on
    the device that frames are computed on. Without it, frames whose planes are on a device are brought down.

    For each frame: ``submit``, then ``wait``, then ``collect``. Up to ``capacity`` frames, and ``hindsight`` more, may
    be submitted and not yet collected; ``wait`` and ``collect`` are about the oldest of them.
    """

    @property
    def capacity(self) -> int: ...

    @property
    def hindsight(self) -> int:
        """Frames that are to be submitted behind a frame before it is collected, unless none come any more."""
        ...

    @property
    def batch(self) -> int:
        """Frames that are computed together. Fewer are computed, too, when the oldest of them is waited for."""
        ...

    def allocate(self, size: int) -> npt.NDArray[np.uint8]:
        """Memory of the host, ``uint8 [size]``, that frames are best uploaded from. Called by any thread."""
        ...

    def submit(self, lease: Lease, *, with_image: bool) -> None:
        """Start work on a frame. Takes over the lease and releases it once the planes have been read.

        Args:
            lease: the frame.
            with_image: whether ``DepthFrame.image`` is wanted.

        Raises:
            ModelError: the network cannot run.
        """
        ...

    def wait(self) -> None:
        """Wait until the network has finished with the oldest frame; what is left to do for it takes little time.

        Raises:
            ModelError: the network cannot run.
        """
        ...

    def collect(self) -> DepthFrame:
        """Finish the oldest frame and return its depth.

        Raises:
            ConfigError: what the user wants of the depth cannot be had from it.
            ModelError: the network cannot run.
        """
        ...

    def close(self) -> None:
        """Release what it holds. Frames still in flight are abandoned.

        Raises:
            ConfigError: the run was too short for what the user wanted.
        """
        ...


class Sink(Protocol):
    """Where depth goes. Used by one thread: ``write`` any number of times, then ``close`` once, also after an error.

    Two methods may be left out. ``prepare(self, info: SourceInfo) -> None`` is told where the frames will come from; it
    is called once, before the first ``write`` and by the same thread. ``observe(self, state: SourceState) -> None`` is
    told what happens to the camera. It is called by another thread than ``write``, also before the first frame, and
    must not take long.
    """

    @property
    def name(self) -> str:
        """For people and logs; any credentials already removed."""
        ...

    @property
    def needs_image(self) -> bool:
        """Whether ``write`` wants ``DepthFrame.image``."""
        ...

    def write(self, frame: DepthFrame) -> None:
        """Take one frame. May keep references to its arrays; must not write to them.

        Raises:
            SinkError: the output cannot be written.
        """
        ...

    def close(self) -> None:
        """Finish the output so that what was written is readable."""
        ...
