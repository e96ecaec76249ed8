"""A slot on the device: what is copied into it, in which order, and that the decoder has its memory back at once."""

from __future__ import annotations

import gc
import weakref
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from model.engine.device_slot import DeviceSlot, HeldPicture
from model.engine.device_streams import HostStreams, Queue
from stream.frame import Frame
from stream.ports import Event
from stream.ring import Ring
from tests.support.tiny import random_frame

CPU = torch.device("cpu")


class Decoded:
    """Planes that are handed over by DLPack alone, as PyAV shapes them."""

    def __init__(self, frame: Frame) -> None:
        self.arrays = [plane.copy() for plane in frame.planes]

    @property
    def planes(self) -> tuple[Any, ...]:
        return tuple(a[..., 0] if a.shape[2] == 1 else a for a in self.arrays)

    @property
    def luma(self) -> npt.NDArray[np.generic]:
        raise AssertionError("it was looked at on the host")

    def download(self) -> tuple[npt.NDArray[np.generic], ...]:
        raise AssertionError("it was brought down")


def on_device(frame: Frame) -> Frame:
    return replace(frame, planes=(), on_device=Decoded(frame))


def held(frame: Frame) -> HeldPicture:
    assert isinstance(frame.on_device, HeldPicture)
    return frame.on_device


class Recorded(HostStreams):
    """Notes what is asked of the device's queues, and whether the host waited for it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on(self, queue: Queue) -> AbstractContextManager[object]:
        @contextmanager
        def noted() -> Any:
            self.calls.append(f"on {queue}")
            yield
            self.calls.append("off")

        return noted()

    def mark(self, queue: Queue) -> Event:
        self.calls.append(f"mark {queue}")
        return self

    def synchronize(self) -> None:
        self.calls.append("waited")


@pytest.mark.parametrize("name", ["nv12", "p010le"])
@pytest.mark.parametrize(("width", "height"), [(96, 54), (8, 1100)])
def test_a_slot_holds_the_planes_and_the_rows_that_are_looked_at(name: str, width: int, height: int) -> None:
    slot = DeviceSlot(CPU, HostStreams())
    for index in range(2):
        frame = random_frame(index, name=name, width=width, height=height)
        filled = slot.fill(on_device(frame))
        assert (filled.capture, filled.geometry, filled.planes) == (frame.capture, frame.geometry, ())
        np.testing.assert_array_equal(filled.luma, frame.luma)
        assert filled.luma.dtype == frame.luma.dtype
        for mine, plane in zip(filled.on_host().planes, frame.planes, strict=True):
            np.testing.assert_array_equal(mine, plane)


def test_memory_is_allocated_once_per_geometry() -> None:
    slot = DeviceSlot(CPU, HostStreams())
    frames = [random_frame(k, name="nv12", width=96 if k < 3 else 64) for k in range(6)]
    places = [held(slot.fill(on_device(frame))).planes[0].data_ptr() for frame in frames]
    assert len(set(places[:3])) == len(set(places[3:])) == 1


def test_the_decoder_has_its_memory_back_when_the_slot_is_filled() -> None:
    """Surfaces are few: neither the slot nor a capsule that nobody took may hold one."""
    slot = DeviceSlot(CPU, HostStreams())
    frame = on_device(random_frame(0, name="nv12"))
    assert isinstance(frame.on_device, Decoded)
    surfaces = [weakref.ref(array) for array in frame.on_device.arrays]
    filled = slot.fill(frame)
    del frame
    gc.collect()
    assert [surface() for surface in surfaces] == [None, None]
    np.testing.assert_array_equal(filled.luma, random_frame(0, name="nv12").luma)


def test_copies_are_ordered_behind_the_decoder_and_waited_for() -> None:
    streams = Recorded()
    DeviceSlot(CPU, streams).fill(on_device(random_frame(0, name="nv12")))
    assert streams.calls == ["on decoder", "mark decoder", "off", "waited"]


def test_what_is_not_as_the_geometry_says_is_refused() -> None:
    frame = on_device(random_frame(0, name="nv12", width=96, height=54))
    narrower = replace(frame, geometry=random_frame(0, name="nv12", width=94, height=54).geometry)
    with pytest.raises(ValueError, match="does not have planes of shape"):
        DeviceSlot(CPU, HostStreams()).fill(narrower)


def test_planes_of_another_device_are_refused() -> None:
    with pytest.raises(ValueError, match="they are on cpu, and the network is on meta"):
        DeviceSlot(torch.device("meta"), HostStreams()).fill(on_device(random_frame(0, name="nv12")))


def test_a_leased_frame_is_not_overwritten() -> None:
    ring = Ring(slots=3, policy="newest", device_slot=lambda: DeviceSlot(CPU, HostStreams()))
    frames = [random_frame(index, name="nv12") for index in range(8)]
    ring.put(on_device(frames[0]))
    lease = ring.take()
    assert lease is not None
    for frame in frames[1:]:
        ring.put(on_device(frame))
    np.testing.assert_array_equal(lease.frame.luma, frames[0].luma)
    for mine, plane in zip(lease.frame.on_host().planes, frames[0].planes, strict=True):
        np.testing.assert_array_equal(mine, plane)
    last = ring.take()
    assert last is not None
    np.testing.assert_array_equal(last.frame.luma, frames[7].luma)
