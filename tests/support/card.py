"""A card that decodes, without one: FFmpeg's frames on the CPU, behind what PyAV shows of NVIDIA's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import av
import pytest

from stream.sources.deinterlace import Deinterlacer


class CardPlane:
    """A plane that is handed over by DLPack alone: it is no buffer, and waits for no stream."""

    def __init__(self, plane: Any) -> None:
        self._plane = plane

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)  # DLPack's kDLCUDA; what is handed over says where it is by itself

    def __dlpack__(self, *, stream: int | None = None) -> object:
        if stream is not None:
            raise NotImplementedError("CUDA stream synchronization is not supported")
        return self._plane.__dlpack__()


class CardVideoFrame:
    """``picture`` as if it were on a card: its format is ``cuda``, and ``reformat`` brings it down."""

    def __init__(self, picture: av.VideoFrame, card: Card) -> None:
        self._picture, self._card = picture, card
        self.format = av.VideoFormat("cuda", picture.width, picture.height)
        self.sw_format = picture.format

    @property
    def planes(self) -> tuple[CardPlane, ...]:
        return tuple(CardPlane(plane) for plane in self._picture.planes)

    def reformat(self, *, format: str) -> av.VideoFrame:
        assert format == self.sw_format.name
        self._card.downloads += 1
        return self._picture

    def __getattr__(self, name: str) -> Any:
        return getattr(self._picture, name)


class Card:
    """From here on, what is decoded is in ``layout`` and, with ``holds``, on the card.

    Attributes:
        downloads: pictures that were brought down.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, layout: str = "nv12", holds: bool = True) -> None:
        self.downloads = 0
        filtered = Deinterlacer.pictures

        def pictures(deinterlacer: Deinterlacer, decoded: Iterable[av.VideoFrame]) -> list[av.VideoFrame]:
            laid_out = [picture.reformat(format=layout) for picture in decoded]
            made: list[Any] = [CardVideoFrame(picture, self) for picture in laid_out] if holds else laid_out
            return filtered(deinterlacer, made)

        monkeypatch.setattr(Deinterlacer, "pictures", pictures)
