"""Live streams that come in segments of seconds (HLS, DASH): each picture is handed on when its turn comes."""

from __future__ import annotations

from typing import Any

import av

SEGMENTED_FORMATS = ("hls", "dash")
_LONGEST_DELAY_S = 10.0
_ANOTHER_CLOCK_S = 60.0  # no packet of a segment is so far from its turn: timestamps began anew


class Pacer:
    """Spreads the packets of a segment over the time in which they were filmed.

    The first packet is due at once and every later one by its timestamp. One that comes later than it was due puts off
    all that follow, so that the next late segment does not stop the picture again. Nothing is read ahead: while a
    packet waits here, the rest of its segment waits in the demuxer.
    """

    def __init__(self) -> None:
        self._zero_s: float | None = None  # when a packet with timestamp 0 would be due
        self._delay_s = 0.0  # by which it has been put off

    @property
    def is_behind(self) -> bool:
        """Whether packets have been put off for so long that the stream had better be joined again at its end."""
        return self._delay_s > _LONGEST_DELAY_S

    def wait_s(self, packet: av.Packet[Any], now_s: float) -> float:
        """Seconds from ``now_s`` (``time.monotonic()``) until ``packet`` is due, in decoding order."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None or packet.time_base is None:
            return 0.0
        stamp_s = float(stamp * packet.time_base)
        early_s = 0.0 if self._zero_s is None else self._zero_s + stamp_s - now_s
        if self._zero_s is None or abs(early_s) > _ANOTHER_CLOCK_S:
            self._zero_s, self._delay_s = now_s - stamp_s, 0.0
            return 0.0
        if early_s < 0:
            self._zero_s -= early_s
            self._delay_s -= early_s
        return max(early_s, 0.0)
