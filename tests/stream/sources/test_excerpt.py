"""Parts of a file: which frames come, with which numbers and times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest

from stream.errors import ConfigError, SourceError
from stream.frame import Frame
from stream.ports import SourceInfo
from stream.sources.excerpt import Excerpt, ExcerptConfig, parse_moment
from tests.support.doubles import make_frame


class Film:
    """Ten frames a second, or at the given times."""

    def __init__(self, count: int = 50, *, times: list[float] | None = None, live: bool = False) -> None:
        self._times = times or [i / 10 for i in range(count)]
        self.info = SourceInfo(name="film", live=live, frame_rate=Fraction(10), frame_count=len(self._times))
        self.closed = False

    def __iter__(self) -> Iterator[Frame]:
        for index, time_s in enumerate(self._times):
            frame = make_frame(index)
            yield replace(
                frame, capture=replace(frame.capture, index=index, time_ns=round(time_s * 1e9), clock="media")
            )

    def close(self) -> None:
        self.closed = True


def read(film: Film, **config: str) -> list[int]:
    excerpt = Excerpt(film, ExcerptConfig(**{k: parse_moment(v) for k, v in config.items()}))
    return [frame.capture.index for frame in excerpt]


@pytest.mark.parametrize(
    ("config", "frames"),
    [
        ({"start": "2"}, range(20, 50)),
        ({"start": "20f"}, range(20, 50)),
        ({"end": "2"}, range(20)),
        ({"start": "0:01.05", "end": "20f"}, range(11, 20)),
        ({"every": "7f"}, range(0, 50, 7)),
        ({"start": "3f", "every": "7f"}, range(3, 50, 7)),
        ({"every": "0.5"}, range(0, 50, 5)),
        ({"start": "1", "end": "4", "every": "1"}, [10, 20, 30]),
        ({"every": "0.01"}, range(50)),
        ({"end": "1000f"}, range(50)),
    ],
)
def test_the_frames_asked_for_come_with_their_own_numbers(config: dict[str, str], frames: list[int]) -> None:
    assert read(Film(), **config) == list(frames)
    excerpt = Excerpt(Film(), ExcerptConfig(**{k: parse_moment(v) for k, v in config.items()}))
    assert excerpt.info.frame_count is not None
    assert abs(excerpt.info.frame_count - len(frames)) <= 1


def test_every_so_many_seconds_stays_on_its_grid_where_frames_come_unevenly() -> None:
    assert read(Film(times=[0, 0.4, 1.3, 1.9, 2.1, 2.2, 5.5, 5.9, 6.0]), every="1") == [0, 2, 4, 6, 8]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1:30", 90), ("0:01:30.5", 90.5), (".25", 0.25), ("1:00:00", 3600)]
)
def test_times_are_read(text: str, seconds: float) -> None:
    moment = parse_moment(text)
    assert (float(moment.value), moment.is_frame) == (seconds, False)


@pytest.mark.parametrize("text", ["", "f", "-1", "1:2:3:4", "five", "1e3", "2.5f", "٣"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no place in a video"):
        parse_moment(text)


def test_a_part_without_frames_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"no frame is in the part that was asked for \(start 9\)"):
        read(Film(), start="9")


@pytest.mark.parametrize(
    ("config", "complaint"),
    [({"every": "0f"}, "`every`"), ({"start": "5", "end": "5"}, "before"), ({"start": "9f", "end": "3f"}, "before")],
)
def test_impossible_parts_are_refused(config: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        ExcerptConfig(**{k: parse_moment(v) for k, v in config.items()})


def test_a_camera_has_no_parts() -> None:
    with pytest.raises(ConfigError, match="is a camera"):
        Excerpt(Film(live=True), ExcerptConfig(start=parse_moment("1")))


def test_the_file_is_closed() -> None:
    film = Film()
    Excerpt(film, ExcerptConfig()).close()
    assert film.closed
