"""The ring: no slot is written while someone reads it, no frame lost uncounted, memory allocated once."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.channel import Closed
from stream.frame import PIXEL_FORMATS, Capture, Frame, Geometry
from stream.ring import Ring, RingLease
from tests.support.doubles import make_frame, recaptured


class Upload:
    """An event that a test makes happen."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self.waiting = threading.Event()
        self.waited = False

    def query(self) -> bool:
        return self._done.is_set()

    def synchronize(self) -> None:
        self.waited = True
        self.waiting.set()
        assert self._done.wait(10)

    def finish(self) -> None:
        self._done.set()


class OnDevice:
    """A grey picture that a device is said to have."""

    def __init__(self, index: int) -> None:
        self._host = make_frame(index)
        self.planes = self._host.planes
        self.downloads = 0

    @property
    def luma(self) -> npt.NDArray[np.generic]:
        raise AssertionError("the ring does not look at pictures")

    def download(self) -> tuple[npt.NDArray[np.generic], ...]:
        self.downloads += 1
        return self._host.planes


def device_frame(index: int) -> Frame:
    return replace(make_frame(index), planes=(), on_device=OnDevice(index))


class Slots:
    """Gives memory of a device, which cannot be filled from the frame ``fails_at`` on."""

    def __init__(self, *, fails_at: int = 1000) -> None:
        self._fails_at = fails_at
        self.given = self.tried = 0

    def __call__(self) -> Slots:
        self.given += 1
        return self

    def fill(self, frame: Frame) -> Frame:
        self.tried += 1
        if frame.capture.index >= self._fails_at:
            raise RuntimeError("no such kernel\nand much more")
        return replace(frame, on_device=OnDevice(frame.capture.index + 100))


def take(ring: Ring) -> RingLease:
    lease = ring.take()
    assert lease is not None
    return lease


@pytest.mark.parametrize("name", PIXEL_FORMATS)
@pytest.mark.parametrize(("width", "height"), [(16, 8), (7, 5)])
def test_planes_arrive_as_they_were_decoded(name: str, width: int, height: int) -> None:
    geometry = Geometry(name, width, height)
    rng = np.random.default_rng(0)
    # strided, as from a decoder
    padded = [rng.integers(0, 255, (r, c + 9, k)).astype(geometry.format.dtype) for r, c, k in geometry.plane_shapes]
    planes = tuple(p[:, : s[1]] for p, s in zip(padded, geometry.plane_shapes, strict=True))
    capture = Capture(index=3, pts=9, time_base=Fraction(1, 3), time_ns=5, clock="media")
    frame = Frame(capture=capture, geometry=geometry, planes=planes)
    ring = Ring(slots=2, policy="block")
    ring.put(frame)
    copy = take(ring).frame
    for mine, theirs in zip(copy.planes, planes, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert mine.flags.c_contiguous
        assert not np.shares_memory(mine, theirs)
        assert not mine.flags.writeable
    assert (copy.capture, copy.geometry, copy.color_space) == (frame.capture, frame.geometry, frame.color_space)


def test_a_lease_that_is_released_twice_is_released_once() -> None:
    ring = Ring(slots=2, policy="block")
    for index in range(2):
        ring.put(make_frame(index))
    first, second = take(ring), take(ring)
    first.release()
    first.release()
    ring.put(make_frame(2))
    assert ring.take(wait=False) is not None
    full = threading.Thread(target=ring.put, args=(make_frame(3),), daemon=True)
    full.start()
    full.join(0.05)
    assert full.is_alive(), "there is no second free slot: its reader still has it"
    assert second.frame.planes[0].max() == 1
    second.release()
    full.join(5)
    assert not full.is_alive()


def test_memory_is_allocated_once_per_geometry() -> None:
    ring = Ring(slots=2, policy="block")
    addresses = []
    for index in range(8):
        ring.put(make_frame(index, width=8 if index < 4 else 6))
        lease = take(ring)
        addresses.append(lease.frame.planes[0].__array_interface__["data"][0])
        lease.release()
    assert len(set(addresses)) == 2


def test_a_larger_geometry_in_midstream_gets_room() -> None:
    ring = Ring(slots=2, policy="block")
    for index, width in enumerate([4, 64, 4, 128]):
        ring.put(make_frame(index, width=width))
        lease = take(ring)
        assert lease.frame.planes[0].shape == (6, width, 1)
        assert np.all(lease.frame.planes[0] == index)
        lease.release()


def test_newest_supersedes_what_nobody_took_and_counts_it() -> None:
    ring = Ring(slots=3, policy="newest")
    for index in range(5):
        assert ring.put(make_frame(index))
    lease = take(ring)
    assert lease.frame.capture.index == 4
    assert lease.dropped == 4
    assert ring.take(wait=False) is None


def test_newest_never_waits_and_never_touches_a_leased_slot() -> None:
    ring = Ring(slots=2, policy="newest")
    ring.put(make_frame(0))
    first = take(ring)
    ring.put(make_frame(1))
    second = take(ring)
    assert ring.put(make_frame(2))  # nothing free, nothing ready: this one is lost
    assert np.all(first.frame.planes[0] == 0)
    assert np.all(second.frame.planes[0] == 1)
    assert (ring.produced, ring.taken, ring.dropped) == (3, 2, 1)


def test_a_slot_is_not_written_before_its_upload_has_ended() -> None:
    ring = Ring(slots=2, policy="block")
    ring.put(make_frame(1))
    ring.put(make_frame(2))
    lease, upload = take(ring), Upload()
    planes = lease.frame.planes
    lease.release(after=upload)
    producer = threading.Thread(target=ring.put, args=(make_frame(3),))
    producer.start()
    producer.join(0.1)
    assert producer.is_alive()
    assert np.all(planes[0] == 1)
    upload.finish()
    producer.join(5)
    assert upload.waited
    assert np.all(planes[0] == 3)


def test_block_waits_for_a_slot_and_cancel_frees_the_producer() -> None:
    ring = Ring(slots=2, policy="block")
    accepted: list[bool] = []
    producer = threading.Thread(target=lambda: accepted.extend(ring.put(make_frame(i)) for i in range(3)))
    producer.start()
    producer.join(0.1)
    assert producer.is_alive()
    ring.cancel()
    producer.join(5)
    assert accepted == [True, True, False]
    assert ring.dropped == ring.produced == 3
    with pytest.raises(Closed):
        ring.take()


def test_a_frame_that_cannot_be_copied_costs_no_slot() -> None:
    ring = Ring(slots=2, policy="block")
    broken = make_frame(0)
    object.__setattr__(broken, "planes", (np.zeros((1, 1, 7), np.uint8),))
    for _ in range(3):
        with pytest.raises(ValueError, match="broadcast"):
            ring.put(broken)
    ring.put(make_frame(1))
    ring.put(make_frame(2))
    assert take(ring).frame.capture.index == 1
    assert ring.produced == ring.taken + ring.dropped + 1


@given(
    policy=st.sampled_from(["block", "newest"]),
    slots=st.integers(2, 5),
    steps=st.lists(st.sampled_from(["put", "put", "take", "release", "close", "cancel"]), max_size=60),
)
def test_any_schedule_keeps_frames_whole_in_order_and_counted(policy: str, slots: int, steps: list[str]) -> None:
    ring = Ring(slots=slots, policy=policy)  # type: ignore[arg-type]
    held: list[RingLease] = []
    taken: list[int] = []
    ended = False
    for step in steps:
        ready = ring.produced - ring.taken - ring.dropped
        if step == "put" and (ended or policy == "newest" or len(held) + ready < slots):
            assert ring.put(make_frame(ring.produced)) is not ended
        elif step == "take" and ready:
            held.append(take(ring))
            taken.append(held[-1].frame.capture.index)
        elif step == "release" and held:
            held.pop(0).release()
        elif step in ("close", "cancel"):
            getattr(ring, step)()
            ended = True
        for lease in held:
            assert np.all(lease.frame.planes[0] == lease.frame.capture.index % 256)
        ready = ring.produced - ring.taken - ring.dropped
        assert 0 <= ready <= (1 if policy == "newest" else slots)
    assert taken == sorted(set(taken))
    if policy == "block" and not ended:
        assert ring.dropped == 0


def test_what_is_too_old_is_dropped_when_its_turn_comes() -> None:
    ring = Ring(slots=4, policy="newest", max_age_s=1.0)
    now = time.monotonic_ns()
    ring.put(recaptured(make_frame(0), received_ns=now - 2 * 10**9))
    assert ring.take(wait=False) is None
    ring.put(recaptured(make_frame(1), received_ns=now, late_ns=2 * 10**9))  # it came just now, and was held up
    assert ring.take(wait=False) is None
    ring.put(recaptured(make_frame(2), received_ns=now))
    lease = ring.take(wait=False)
    assert lease is not None
    assert (lease.frame.capture.index, lease.dropped) == (2, 2)
    ring.put(recaptured(make_frame(3), received_ns=now - 2 * 10**9))
    ring.close()
    with pytest.raises(Closed):
        ring.take()
    assert (ring.produced, ring.taken, ring.dropped) == (4, 1, 3)


def test_planes_of_a_device_stay_there_in_memory_that_each_slot_has_once() -> None:
    slots = Slots()
    ring = Ring(slots=2, policy="block", device_slot=slots)
    for index in range(6):
        ring.put(device_frame(index))
        lease = take(ring)
        assert lease.frame.on_device is not None
        assert np.all(lease.frame.on_device.planes[0] == index + 100)  # type: ignore[comparison-overlap]
        lease.release()
    assert (slots.given, slots.tried) == (2, 6)


def test_nothing_is_written_to_a_device_slot_before_its_upload_has_ended() -> None:
    slots = Slots()
    ring = Ring(slots=2, policy="block", device_slot=slots)
    ring.put(device_frame(0))
    ring.put(device_frame(1))
    lease, upload = take(ring), Upload()
    lease.release(after=upload)
    producer = threading.Thread(target=ring.put, args=(device_frame(2),))
    producer.start()
    assert upload.waiting.wait(10)
    assert slots.tried == 2
    upload.finish()
    producer.join(10)
    assert (slots.tried, upload.waited) == (3, True)


def test_planes_of_a_device_come_down_where_the_estimator_has_no_memory_for_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ring = Ring(slots=2, policy="block")
    for index in range(3):
        ring.put(device_frame(index))
        lease = take(ring)
        assert lease.frame.on_device is None
        assert np.all(lease.frame.planes[0] == index)
        lease.release()
    assert not caplog.records


def test_planes_that_cannot_be_handed_over_come_down_from_then_on_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slots = Slots(fails_at=2)
    ring = Ring(slots=2, policy="block", device_slot=slots)
    with caplog.at_level(logging.WARNING):
        for index in range(5):
            frame = device_frame(index)
            assert ring.put(frame)
            lease = take(ring)
            assert (lease.frame.on_device is None) == (index >= 2)
            if index >= 2:
                assert np.all(lease.frame.planes[0] == index)
                assert isinstance(frame.on_device, OnDevice)
                assert frame.on_device.downloads == 1
            lease.release()
    assert slots.tried == 3
    (record,) = caplog.records
    assert record.getMessage() == (
        "decoded pictures cannot stay on the device (no such kernel); they come down to the host"
    )


def test_a_frame_has_its_planes_in_one_place() -> None:
    with pytest.raises(ValueError, match="not both"):
        replace(make_frame(0), on_device=OnDevice(0))
