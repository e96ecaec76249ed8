"""From a source's clock to a container's: frame times as strictly increasing whole ticks."""

from __future__ import annotations

from fractions import Fraction

from stream.frame import Capture, Clock

# A file that starts this late (a recording of a broadcast starts hours in) is moved to zero: many players show the
# gap before the first picture as black.
_LATEST_START_S = 60
# A step back by more than this is always a clock that was reset, however far apart the frames are.
_RESET_S = Fraction(1)


def choose_tick(capture: Capture) -> Fraction:
    """The unit of time, in seconds, for containers that leave it to us: the source's own where that is a sane one."""
    base = capture.time_base
    if capture.clock == "media" and capture.pts is not None and 1_000 <= base.denominator <= 1_000_000:
        return Fraction(1, base.denominator)
    return Fraction(1, 90_000)


class Timeline:
    """Gives each frame its time in ``tick`` seconds. Variable frame rates stay variable.

    Files keep their ``pts`` (or the capture time where there is none); live sources count from their first frame. Of
    frames with the same time, or less than a step out of order, each later one is moved by one tick. Where the source's
    clock jumps back by a step or more (files put end to end), or is another one from there on (a network camera's, once
    it has told its time), time goes on from where it was, and the frames that follow keep their distances. ``step`` is
    the latest regular time in ticks between two frames, a 30th of a second before there is one.
    """

    def __init__(self, tick: Fraction) -> None:
        self.tick = tick
        self._origin: Fraction | None = None
        self._newest = Fraction(0)  # of the source's clock, since it was last reset
        self._last = -1
        self._clock: Clock | None = None
        self.step = max(1, round(Fraction(1, 30) / tick))

    @property
    def shift(self) -> Fraction:
        """Seconds by which the container's time is behind the source's."""
        return self._origin or Fraction(0)

    @property
    def newest(self) -> int:
        """Time in ticks of the last frame."""
        return self._last

    def place(self, capture: Capture) -> int:
        """Time of a frame in ticks, greater than that of every frame before."""
        time = _seconds(capture)
        if self._origin is None:
            keep = capture.clock == "media" and 0 <= time <= _LATEST_START_S
            self._origin = Fraction(0) if keep else time
            self._newest = time
        ticks = round((time - self._origin) / self.tick)
        other_clock = self._clock not in (None, capture.clock)
        self._clock = capture.clock
        if other_clock or self._newest - time > min(
            (self.step - 1) * self.tick, _RESET_S
        ):  # less one: a step is rounded
            ticks = self._last + self.step
            self._origin = time - ticks * self.tick
            self._newest = time
        elif time > self._newest:
            self.step = max(1, round((time - self._newest) / self.tick))
            self._newest = time
        ticks = max(ticks, self._last + 1)
        self._last = ticks
        return ticks


def _seconds(capture: Capture) -> Fraction:
    if capture.clock == "media" and capture.pts is not None:
        return capture.pts * capture.time_base
    return Fraction(capture.time_ns, 1_000_000_000)
