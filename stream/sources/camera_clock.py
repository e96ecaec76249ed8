"""A network camera's own wall clock, from the RTCP sender reports that FFmpeg reads.

A sender report pairs one RTP timestamp with the camera's wall clock (RFC 3550, section 6.4.1). FFmpeg works out what
that clock said at each packet's timestamp and attaches it as "producer reference time" (``AVProducerReferenceTime`` in
libavcodec/defs.h, filled in by ``rtp_set_prft`` in libavformat/rtpdec.c).
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av

log = logging.getLogger(__name__)

RTP_FORMATS = ("rtsp", "rtp", "sdp")  # demuxers whose reference times come from sender reports

_PRFT = struct.Struct("=q")  # its first member: microseconds since 1970; flags follow
# A picture is some tenths of a second on its way, and clocks that are kept by NTP differ by less than that.
_RIGHT_NS = 5 * 10**9
_JUMP_NS = 10**9  # more than any correction of a clock that runs
_SETTLED_NS = 2 * 10**9  # a clock that was set counts again when it has run evenly for so long
_YEAR_1980_NS = 315_532_800 * 10**9  # a camera whose clock was never set counts from 1970, or from when it started
# Cameras' oscillators err by up to 100 ppm, and reports are up to 7.5 s apart (RFC 3550, section 6.3.1: 5 s times 0.5
# to 1.5): so much has RTP time drifted from wall time before the next report puts it right.
_DRIFT_NS = 750_000
# FFmpeg rounds the report's time and the distance to it to a microsecond each.
_ROUNDING_NS = 2_000


class CameraClock:
    """Gives the frames of one connection their capture times on the camera's clock, where that can be believed.

    No time is known before the first report (GStreamer's comes within about 2 s, RFC 3550 allows 5 s
    and more). A clock that differs from ours by more than 5 s is wrong, or ours is: it is told once, and frames keep
    the time of their reception. A clock that is set while it runs is left alone until it has run evenly for 2 s. So
    times of one connection never run backwards.

    Args:
        name: of the camera, for the log.
        quiet: a wrong clock has been told already.
        to_unix_ns: what to add to ``time.monotonic_ns()`` for this machine's Unix time.

    Attributes:
        is_wrong: whether the clock has been found to be wrong.
    """

    def __init__(
        self,
        name: str,
        *,
        quiet: bool = False,
        to_unix_ns: Callable[[], int] = lambda: time.time_ns() - time.monotonic_ns(),
    ) -> None:
        self._name, self._quiet, self._to_unix_ns = name, quiet, to_unix_ns
        self.is_wrong = False
        self._zero_ns: int | None = None  # the camera's clock at pts 0, by the newest packet
        self._reported = False  # whether the packet before had a reference time
        self._last_ns: int | None = None  # the newest capture time that was given
        self._offset_ns: int | None = None
        self._settles_ns: int | None = None  # when a clock that was set counts again

    @property
    def offset_s(self) -> float | None:
        """The camera's clock minus ours, less the time that pictures take to us; ``None`` before the first report."""
        return None if self._offset_ns is None else self._offset_ns * 1e-9

    def observe(self, packet: av.Packet[Any]) -> None:
        """Learn what the camera's clock said at the timestamp of ``packet``. Call it with every packet, in order."""
        if not packet.has_sidedata("prft"):
            self._reported = False
            return
        # FFmpeg ends an H.264 picture when the next one begins, and gives it the first reference time it has met by
        # then (parse_packet in libavformat/demux.c). Just before the first report that is the next picture's time.
        if self._reported and packet.pts is not None and packet.time_base is not None:
            wallclock_us: int = _PRFT.unpack_from(packet.get_sidedata("prft"))[0]
            self._zero_ns = wallclock_us * 1000 - _nanoseconds(packet.pts, packet.time_base)
        self._reported = True

    def capture_time_ns(self, pts: int | None, time_base: Fraction, punctual_ns: int) -> int | None:
        """Nanoseconds since 1970 on the camera's clock at which a frame was taken, ``None`` where that is unknown.

        Reference times are kept relative to timestamps, because the decoder gives frames later than it takes packets,
        and in another order. Call it with every frame, in order.

        Args:
            pts: presentation time of the frame in ``time_base`` seconds.
            punctual_ns: ``time.monotonic_ns()`` when it arrived, less what it was late by.
        """
        if self._zero_ns is None or pts is None:
            return None
        capture_ns = self._zero_ns + _nanoseconds(pts, time_base)
        if capture_ns < _YEAR_1980_NS:
            return None
        before_ns, self._offset_ns = self._offset_ns, capture_ns - punctual_ns - self._to_unix_ns()
        if abs(self._offset_ns) > _RIGHT_NS:
            self._tell_wrong(self._offset_ns)
            return None
        if before_ns is not None and abs(self._offset_ns - before_ns) > _JUMP_NS:
            log.warning("%s: the camera's clock was set; until it has settled, capture times are ours", self._name)
            self._settles_ns = punctual_ns + _SETTLED_NS
        if self._settles_ns is not None and punctual_ns < self._settles_ns:
            return None
        self._settles_ns = None
        if self._last_ns is not None and capture_ns <= self._last_ns:
            return None  # it was put back a little: it counts again when it has caught up
        self._last_ns = capture_ns
        return capture_ns

    def _tell_wrong(self, offset_ns: int) -> None:
        if not self.is_wrong and not self._quiet:
            log.warning(
                "%s: the camera's clock is %.1f s %s this machine's, so capture times are those of reception; set it, "
                "best by NTP",
                self._name,
                abs(offset_ns) * 1e-9,
                "behind" if offset_ns < 0 else "ahead of",
            )
        self.is_wrong = True


def uncertainty_ns(time_base: Fraction) -> int:
    """How far off a camera's capture time may be on its own clock, in nanoseconds.

    One tick of the RTP timestamp (11 µs at 90 kHz), FFmpeg's rounding and the drift between two reports. Not in here is
    what the camera stamps, the exposure or the encoder's input: only its maker knows.
    """
    return _nanoseconds(1, time_base) + _ROUNDING_NS + _DRIFT_NS


def _nanoseconds(pts: int, time_base: Fraction) -> int:
    return round(pts * time_base * 10**9)
