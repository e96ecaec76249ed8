"""How far lossy depth is from what was encoded: each packet is decoded again as it leaves the encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext

Codes = npt.NDArray[np.uint16]
Decode = Callable[[Codes], npt.NDArray[np.float64]]

# Relative errors are counted in bins of 1 % of their size, from a millionth to a hundredfold.
_EDGES = np.geomspace(1e-6, 100, 1853)


class Fidelity:
    """Compares what a decoder makes of the packets with the codes that were encoded, which it keeps until then.

    Args:
        encoder: that makes the packets, opened.
        to_metres: codes to depth in metres.
    """

    def __init__(self, encoder: VideoCodecContext, to_metres: Decode) -> None:
        self._decoder = cast(VideoCodecContext, av.CodecContext.create(encoder.codec.canonical_name, "r"))
        self._decoder.extradata = encoder.extradata
        self._decoder.thread_count = 1
        self._to_metres = to_metres
        self._waiting: dict[int, Codes] = {}
        self._counts = np.zeros(len(_EDGES) + 1, np.int64)
        self._largest = 0.0

    def expect(self, pts: int, codes: Codes) -> None:
        """Frame ``pts`` is about to be encoded from ``codes``, ``uint16 [H, W]``, which is kept."""
        self._waiting[pts] = codes

    def compare(self, packets: Iterable[av.Packet[Any]]) -> None:
        """Decode what has left the encoder.

        Raises:
            av.FFmpegError: it cannot be decoded.
        """
        for packet in packets:
            self._take(self._decoder.decode(packet))

    def finish(self) -> dict[str, float]:
        """After the last packet: relative errors of depth, the median, that of 99 % of all pixels, and the largest."""
        self._take(self._decoder.decode(None))
        below = np.cumsum(self._counts)
        if not below[-1]:
            return {}
        at = {name: int(np.searchsorted(below, share * below[-1])) for name, share in (("median", 0.5), ("p99", 0.99))}
        found = {name: min(float(_EDGES[min(i, len(_EDGES) - 1)]), self._largest) for name, i in at.items()}
        return {**found, "largest": self._largest}

    def _take(self, pictures: Iterable[av.VideoFrame]) -> None:
        for picture in pictures:
            assert picture.pts is not None
            metres = self._to_metres(self._waiting.pop(picture.pts))
            seen = self._to_metres(cast(Codes, picture.to_ndarray()))
            errors = np.abs(seen[metres > 0] / metres[metres > 0] - 1)
            self._counts += np.bincount(np.searchsorted(_EDGES, errors), minlength=len(self._counts))
            self._largest = max(self._largest, float(errors.max(initial=0.0)))
