"""What of a file was damaged and used all the same: noted as it is found, told at the end."""

from __future__ import annotations

import logging

_log = logging.getLogger(__name__)

_MOST_NAMED = 8
_SOI, _EOI, _SOS = 0xD8, b"\xff\xd9", 0xDA


class Damage:
    """Frames that are not as they were filmed. The first is told at once, all of them by :meth:`tell`.

    Args:
        name: of the file.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._named: list[int] = []
        self._count = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def __str__(self) -> str:
        more = f" and {self._count - len(self._named)} more" if self._count > len(self._named) else ""
        frames = "frame" if self._count == 1 else "frames"
        return f"{frames} {', '.join(map(str, self._named))}{more} {'is' if self._count == 1 else 'are'} damaged"

    def note(self, index: int) -> None:
        """Frame ``index`` is damaged."""
        if not self._count:
            _log.warning("%s: frame %d is damaged, and is used as it is", self._name, index)
        if self._named[-1:] == [index]:
            return
        self._count += 1
        if len(self._named) < _MOST_NAMED:
            self._named.append(index)

    def tell(self) -> None:
        """Name the frames, if there was more than the first."""
        if self._count > 1:
            _log.warning("%s: %s", self._name, self)


def is_whole_jpeg(data: bytes) -> bool:
    """Whether a JPEG has its end (ITU-T T.81, annex B), whatever may follow. True of what is none."""
    if len(data) < 4 or data[0] != 0xFF or data[1] != _SOI:
        return True
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a filling byte
            at += 1
        elif marker == _SOS:  # in what follows, a marker's first byte is no pixel's
            return data.find(_EOI, at) >= 0
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False
