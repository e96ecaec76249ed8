"""A fixed set of slots in the host's memory, through which decoded frames reach the device.

The producer copies a frame's planes into a slot. The estimator takes the slot, starts its upload and gives it back with
the event that marks the upload's end. The estimator also provides the memory, because it knows what its device reads
best: page-locked memory lets a GPU's copy engine read the slot by itself, so the upload neither stalls the host nor
passes through a second copy. Slots are allocated once and reused, so memory is flat.

Planes that a decoder made on the estimator's device stay there: a slot then has memory of that device as well, from the
estimator, too. Where they cannot be handed over, they come down into the host's memory like all others.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from stream.channel import Closed, Policy
from stream.frame import Frame, Geometry
from stream.ports import DeviceSlot, Event

_log = logging.getLogger(__name__)
_ALIGNMENT = 256  # planes start on a boundary that suits the copy engine

Allocate = Callable[[int], npt.NDArray[np.uint8]]
"""Gives so many bytes of the host's memory, ``uint8 [N]``; see :meth:`stream.ports.Estimator.allocate`."""


def pageable(size: int) -> npt.NDArray[np.uint8]:
    """Ordinary memory."""
    return np.empty(size, np.uint8)


class _Slot:
    """Memory for one frame. Grows when a larger geometry arrives, which is once per geometry."""

    def __init__(self, allocate: Allocate) -> None:
        self._allocate = allocate
        self._geometry: Geometry | None = None
        self._buffer: npt.NDArray[np.uint8] = np.empty(0, np.uint8)
        self._planes: tuple[npt.NDArray[np.generic], ...] = ()
        self._device_slot: DeviceSlot | None = None
        self.busy_until: Event | None = None

    def fill(self, frame: Frame) -> Frame:
        """Copy the planes of ``frame`` and return the frame with this slot's planes in their place, on the host."""
        frame = frame.on_host()
        if frame.geometry != self._geometry:
            self._lay_out(frame.geometry)
        for mine, theirs in zip(self._planes, frame.planes, strict=True):
            np.copyto(mine, theirs)
        return replace(frame, planes=self._planes)

    def fill_on_device(self, frame: Frame, device_slot: Callable[[], DeviceSlot]) -> Frame:
        """As :meth:`fill`, from a device's memory to this slot's there, which ``device_slot`` gives the first time."""
        if self._device_slot is None:
            self._device_slot = device_slot()
        return self._device_slot.fill(frame)

    def _lay_out(self, geometry: Geometry) -> None:
        shapes, dtype = geometry.plane_shapes, geometry.format.dtype
        sizes = [math.prod(shape) * dtype.itemsize for shape in shapes]
        padded = [-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes]
        if sum(padded) > self._buffer.size:
            self._buffer = self._allocate(sum(padded))
        planes, start, memory = [], 0, self._buffer
        for shape, size, step in zip(shapes, sizes, padded, strict=True):
            planes.append(memory[start : start + size].view(dtype).reshape(shape))
            start += step
        self._planes, self._geometry = tuple(planes), geometry

    def wait_until_free(self) -> None:
        """The only wait for the device on the producer's side: the end of the upload that last read this slot."""
        if self.busy_until is not None:
            self.busy_until.synchronize()
            self.busy_until = None


class RingLease:
    """A filled slot in the hands of a reader."""

    def __init__(self, ring: Ring, slot: _Slot, frame: Frame, dropped: int) -> None:
        self._ring, self._slot = ring, slot
        self._frame, self._dropped = frame, dropped
        self._released = False

    @property
    def frame(self) -> Frame:
        return self._frame

    @property
    def dropped(self) -> int:
        """Frames dropped before this one, in total."""
        return self._dropped

    def release(self, *, after: Event | None = None) -> None:
        """Give the slot back; nobody writes to it before ``after`` has happened. Only the first call does anything."""
        if not self._released:
            self._released = True
            self._ring._give_back(self._slot, after)


class Ring:
    """Slots, and who holds them: free, being filled, ready, or leased.

    ``block`` keeps every frame in order and makes the producer wait. ``newest`` keeps one ready frame, the latest:
    whatever it replaces is dropped and counted, and the producer never waits for a reader.
    Always ``produced == taken + dropped + ready``.

    Args:
        slots: how many; a reader may hold all but two of them without stalling the producer.
        policy: ``block`` or ``newest``.
        allocate: where the slots' memory comes from.
        device_slot: gives a slot its memory of a device, for frames that are there already; ``None`` brings them down.
        max_age_s: frames that are older when their turn comes are dropped; ``None`` keeps them.
        changed: notified of every change; rings that one reader waits for share theirs.

    Raises:
        ValueError: fewer than two slots.
    """

    def __init__(
        self,
        *,
        slots: int,
        policy: Policy,
        allocate: Allocate = pageable,
        device_slot: Callable[[], DeviceSlot] | None = None,
        max_age_s: float | None = None,
        changed: threading.Condition | None = None,
    ) -> None:
        if slots < 2:
            raise ValueError(f"a ring needs at least two slots, one to fill and one to read, not {slots}")
        self._policy = policy
        self._free = deque(_Slot(allocate) for _ in range(slots))
        self._ready: deque[tuple[_Slot, Frame]] = deque()
        self._device_slot = device_slot
        self._max_age_s = max_age_s
        self._changed = changed or threading.Condition()
        self._closed = False
        self._produced = self._taken = self._dropped = 0

    @property
    def produced(self) -> int:
        """Frames offered by the producer."""
        return self._produced

    @property
    def taken(self) -> int:
        """Frames handed to a reader."""
        return self._taken

    @property
    def dropped(self) -> int:
        """Frames that were offered and will never be taken."""
        return self._dropped

    @property
    def is_over(self) -> bool:
        """Whether there will never be a frame to take again."""
        with self._changed:
            return self._closed and not self._ready

    def put(self, frame: Frame) -> bool:
        """Copy ``frame`` into a slot. Returns ``False``, counting it as dropped, where the ring is closed."""
        with self._changed:
            self._produced += 1
            while self._policy == "block" and not self._free and not self._closed:
                self._changed.wait()
            if self._closed:
                self._dropped += 1
                return False
            if not self._free:  # newest
                self._dropped += 1
                if not self._ready:  # every slot is being read: the incoming frame is the one to lose
                    return True
                self._free.append(self._ready.popleft()[0])
            slot = self._free.popleft()
        try:  # outside the lock: copying takes time, and so may the end of an upload
            slot.wait_until_free()
            filled = self._filled(slot, frame)
        except BaseException:
            with self._changed:
                self._free.append(slot)
                self._dropped += 1
            raise
        with self._changed:
            if self._closed:
                self._free.append(slot)
                self._dropped += 1
                return False
            if self._policy == "newest":
                self._drop_ready()
            self._ready.append((slot, filled))
            self._changed.notify_all()
            return True

    def take(self, *, wait: bool = True) -> RingLease | None:
        """The next frame; ``None`` where there is none yet and ``wait`` is false.

        Raises:
            Closed: there will never be another one.
        """
        with self._changed:
            self._drop_stale()
            while not self._ready:
                if self._closed:
                    raise Closed
                if not wait:
                    return None
                self._changed.wait()
                self._drop_stale()
            slot, frame = self._ready.popleft()
            self._taken += 1
            return RingLease(self, slot, frame, self._dropped)

    def close(self) -> None:
        """No more frames go in; those inside can still be taken. Closing twice is fine."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Close, and drop what is ready."""
        with self._changed:
            self._closed = True
            self._drop_ready()
            self._changed.notify_all()

    def _filled(self, slot: _Slot, frame: Frame) -> Frame:
        """``frame`` with its planes in ``slot``. Only the producer's thread comes here."""
        if frame.on_device is not None and self._device_slot is not None:
            try:
                return slot.fill_on_device(frame, self._device_slot)
            except Exception as exc:  # noqa: BLE001 (a decoder's, a driver's or torch's; the host's memory does as well)
                self._device_slot = None
                reason = str(exc).partition("\n")[0] or type(exc).__name__
                _log.warning("decoded pictures cannot stay on the device (%s); they come down to the host", reason)
        return slot.fill(frame)

    def _drop_stale(self) -> None:
        while self._max_age_s is not None and self._ready and self._ready[0][1].capture.age_s() > self._max_age_s:
            self._free.append(self._ready.popleft()[0])
            self._dropped += 1

    def _drop_ready(self) -> None:
        while self._ready:
            self._free.append(self._ready.popleft()[0])
            self._dropped += 1

    def _give_back(self, slot: _Slot, after: Event | None) -> None:
        with self._changed:
            slot.busy_until = after
            self._free.append(slot)
            self._changed.notify_all()
