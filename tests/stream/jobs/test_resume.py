"""What is left of a source that an earlier run has come through in part."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stream.frame import Capture, Frame
from stream.jobs.resume import go_past
from tests.support.doubles import ScriptedSource, make_frame


class Replayer:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def replay(self, frame: Frame, _done: Capture) -> None:
        self.seen.append(frame.capture.index)


@pytest.mark.parametrize(("told", "left"), [(10, 7), (2, 1), (None, None)])
def test_progress_is_of_what_is_left(told: int | None, left: int | None) -> None:
    estimator = Replayer()
    film = ScriptedSource(10)
    film.info = replace(film.info, frame_count=told)
    rest, captures = go_past(film, estimator, [make_frame(index).capture for index in range(3)])
    assert estimator.seen == [capture.index for capture in captures] == [0, 1, 2]
    assert [frame.capture.index for frame in rest] == list(range(3, 10))
    assert rest.info.frame_count == left
