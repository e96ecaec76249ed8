"""A network camera's own wall clock, from the RTCP sender reports that FFmpeg reads.

A sender report pairs one RTP timestamp with the camera's wall clock (RFC 3550, section 6.4.1). FFmpeg works out what
that clock said at each packet's timestamp and attaches it as "producer reference time" (``AVProducerReferenceTime`` in
libavcodec/defs.h, filled in by ``rtp_set_prft`` in libavformat/rtpdec.c).
"""

from __future__ import annotations

import logging
import struct
from fractions import Fraction
from typing import Any

import av

log = logging.getLogger(__name__)

RTP_FORMATS = ("rtsp", "rtp", "sdp")  # demuxers whose reference times come from sender reports

_PRFT = struct.Struct("=q")  # its first member: microseconds since 1970; flags follow
# A buffer that empties after a stall, or lost packets, move camera time this much more than ours between two frames.
_LONGEST_LEAP_NS = 10 * 10**9
# Cameras' oscillators err by up to 100 ppm, and reports are up to 7.5 s apart (RFC 3550, section 6.3.1: 5 s times 0.5
# to 1.5): so much has RTP time drifted from wall time before the next report puts it right.
_DRIFT_NS = 750_000
# FFmpeg rounds the report's time and the distance to it to a microsecond each.
_ROUNDING_NS = 2_000


class CameraClock:
    """Gives the frames of one connection their capture times on the camera's own clock.

    No time is known before the first report (GStreamer's comes within about 2 s, RFC 3550 allows 5 s and more). From
    then on every frame has one, and they never run backwards, until the camera's clock is set by more than a frame
    back or 10 s ahead, or its timestamps start anew: then no frame of this connection has one again. So frames change
    from the host's clock to the camera's at most once, and back at most once. A clock that is wrong but steady is
    passed on as it is: nobody here could know. A camera without a wall clock reports zero or the time since it was
    started, which RFC 3550 keeps below the year 1970: it counts as none.
    """

    def __init__(self, name: str) -> None:
        """``name`` is that of the camera, for the log."""
        self._name = name
        self._zero_ns: int | None = None  # the camera's clock at pts 0, by the newest packet
        self._reported = False  # whether the packet before had a reference time
        self._last: tuple[int, int] | None = None  # capture and reception of the frame before
        self._broken = False

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

    def capture_time_ns(self, pts: int | None, time_base: Fraction, received_ns: int) -> int | None:
        """Nanoseconds since 1970 on the camera's clock at which a frame was taken, ``None`` where that is unknown.

        Reference times are kept relative to timestamps, because the decoder gives frames later than it takes packets,
        and in another order. Call it with every decoded frame, in order.

        Args:
            pts: presentation time of the frame in ``time_base`` seconds.
            received_ns: ``time.monotonic_ns()`` when it was received, to tell a gap from a clock that was set.
        """
        if self._zero_ns is None or self._broken:
            return None
        capture_ns = 0 if pts is None else self._zero_ns + _nanoseconds(pts, time_base)
        if self._last is None:
            if capture_ns <= 0:
                return None
        else:
            advance_ns, elapsed_ns = capture_ns - self._last[0], received_ns - self._last[1]
            if not 0 <= advance_ns <= elapsed_ns + _LONGEST_LEAP_NS:
                self._broken = True
                log.warning("%s: the camera's clock jumped; capture times are those of reception again", self._name)
                return None
        self._last = capture_ns, received_ns
        return capture_ns


def uncertainty_ns(time_base: Fraction) -> int:
    """How far off a camera's capture time may be on its own clock, in nanoseconds.

    One tick of the RTP timestamp (11 µs at 90 kHz), FFmpeg's rounding and the drift between two reports. Not in here is
    what the camera stamps, the exposure or the encoder's input: only its maker knows.
    """
    return _nanoseconds(1, time_base) + _ROUNDING_NS + _DRIFT_NS


def _nanoseconds(pts: int, time_base: Fraction) -> int:
    return round(pts * time_base * 10**9)
