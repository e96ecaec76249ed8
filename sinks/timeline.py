"""From a source's clock to a container's: frame times as strictly increasing whole ticks."""

from __future__ import annotations

from fractions import Fraction

from stream.frame import DepthFrame

# A file that starts this late (a recording of a broadcast starts hours in) is moved to zero: many players show the
# gap before the first picture as black.
_LATEST_START_S = 60
# A step back by more than this is a clock that was reset, not two frames in the wrong order.
_RESET_S = 1


def choose_tick(frame: DepthFrame) -> Fraction:
    """The unit of time, in seconds, for containers that leave it to us: the source's own where that is a sane one."""
    base = frame.time_base
    if frame.clock == "media" and frame.pts is not None and 1_000 <= base.denominator <= 1_000_000:
        return Fraction(1, base.denominator)
    return Fraction(1, 90_000)


class Timeline:
    """Gives each frame its time in ``tick`` seconds. Variable frame rates stay variable.

    Files keep their ``pts`` (or the capture time where there is none); live sources count from their first frame. Of
    frames with the same time each later one is moved by one tick; when the source's clock jumps back, time goes on
    from where it was. ``step`` is the time in ticks from the frame before to the one placed last, a 30th of a second
    before there are two.
    """

    def __init__(self, tick: Fraction) -> None:
        self.tick = tick
        self._origin: Fraction | None = None
        self._last = -1
        self.step = max(1, round(Fraction(1, 30) / tick))

    def place(self, frame: DepthFrame) -> int:
        """Time of ``frame`` in ticks, greater than that of every frame before."""
        time = _seconds(frame)
        if self._origin is None:
            keep = frame.clock == "media" and 0 <= time <= _LATEST_START_S
            self._origin = Fraction(0) if keep else time
        ticks = round((time - self._origin) / self.tick)
        if ticks <= self._last:
            is_reset = (self._last - ticks) * self.tick > _RESET_S
            ticks = self._last + (self.step if is_reset else 1)
            if is_reset:
                self._origin = time - ticks * self.tick
        if self._last >= 0:
            self.step = ticks - self._last
        self._last = ticks
        return ticks


def _seconds(frame: DepthFrame) -> Fraction:
    if frame.clock == "media" and frame.pts is not None:
        return frame.pts * frame.time_base
    return Fraction(frame.capture_time_ns, 1_000_000_000)
