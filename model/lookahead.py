"""Ahead of a film: the focal length of each frame, by that part of the network alone which estimates it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch

from model.engine.device import torch_errors
from model.engine.engine import Engine
from model.engine.passage import Lane
from model.focal import FocalConfig
from model.focal.hindsight import Glimpse, focal_track
from model.focal.scene_cut import SceneCutDetector
from model.focal.tracker import focal_or_none
from stream.errors import SourceError
from stream.frame import FocalEstimate, Frame
from stream.ports import Event, Source


def foresee(
    source: Source, engine: Engine, config: FocalConfig, *, progress: Callable[[int], object] | None = None
) -> list[FocalEstimate]:
    """The focal length of each frame of ``source``, of which all is seen first; see :func:`look_ahead`."""
    return focal_track(look_ahead(source, engine, progress=progress), config)


def look_ahead(source: Source, engine: Engine, *, progress: Callable[[int], object] | None = None) -> list[Glimpse]:
    """What each frame of ``source`` tells of its focal length, to the end of what can be decoded. Closes the source.

    Args:
        source: a file, opened for this alone.
        engine: whose network looks.
        progress: called with the number of frames so far.

    Raises:
        SourceError: not one frame could be decoded.
        ModelError: the device failed or is out of memory.
    """
    look = _Look(engine)
    try:
        for count, frame in enumerate(source, 1):
            look.at(frame)
            if progress is not None:
                progress(count)
        look.finish()
    except SourceError:
        look.finish()
        if not look.glimpses:  # else whoever reads it again will come as far, and say so
            raise
    finally:
        source.close()
    return look.glimpses


class _Look:
    """Sends frames through that part of the network; as many are on their way as the engine takes."""

    def __init__(self, engine: Engine) -> None:
        self.glimpses: list[Glimpse] = []
        self._stage, self._streams = engine.stage(), engine.streams
        self._cuts = SceneCutDetector()
        self._free = [Lane(engine.device) for _ in range(self._stage.capacity(1))]
        self._waiting: deque[tuple[Frame, bool, Lane | None, Event | None]] = deque()

    def at(self, frame: Frame) -> None:
        scene_cut, lane, done = self._cuts.update(frame), None, None
        if frame.focal_px is None and not self._cuts.is_blank:
            while not self._free:
                self._take()
            lane = self._free.pop()
            with torch_errors(), torch.inference_mode():
                with self._streams.on("compute"):
                    lane.upload(frame, None, width=frame.width, height=frame.height)
                done = self._stage.field_of_view(lane)
        self._waiting.append((frame, scene_cut, lane, done))
        while self._waiting and (not self._free or self._waiting[0][2] is None):
            self._take()

    def finish(self) -> None:
        while self._waiting:
            self._take()

    def _take(self) -> None:
        """Note what the oldest frame told."""
        frame, scene_cut, lane, done = self._waiting.popleft()
        raw_px = None
        if lane is not None and done is not None:
            with torch_errors():
                done.synchronize()
            raw_px = focal_or_none(lane.fov_deg, frame.width)
            self._free.append(lane)
        self.glimpses.append(
            Glimpse(
                time_s=frame.capture.time_s,
                width=frame.width,
                raw_px=raw_px,
                metadata_px=frame.focal_px,
                scene_cut=scene_cut,
            )
        )
