"""What is left of a source that an earlier run has come through in part."""

from __future__ import annotations

import pytest

from stream.frame import Frame
from stream.jobs.resume import go_past
from stream.ports import SourceInfo
from tests.support.doubles import make_frame


class Film:
    """A source of so many frames, which says that there are ``told``."""

    def __init__(self, count: int, told: int | None) -> None:
        self.info = SourceInfo(name="film", live=False, frame_count=told)
        self._frames = [make_frame(index) for index in range(count)]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._frames)

    def close(self) -> None:
        pass


class Replayer:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def replay(self, frame: Frame, _done: Frame) -> None:
        self.seen.append(frame.capture.index)


class Past:
    def __init__(self, index: int) -> None:
        self.index = index


@pytest.mark.parametrize(("told", "left"), [(10, 7), (2, 1), (None, None)])
def test_progress_is_of_what_is_left(told: int | None, left: int | None) -> None:
    estimator = Replayer()
    rest, captures = go_past(Film(10, told), estimator, [Past(index) for index in range(3)])
    assert estimator.seen == [capture.index for capture in captures] == [0, 1, 2]
    assert [frame.capture.index for frame in rest] == list(range(3, 10))
    assert rest.info.frame_count == left
