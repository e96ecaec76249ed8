"""Ahead of a film: the focal length of each frame, by that part of the network alone which estimates it."""

from __future__ import annotations

from collections.abc import Callable

import torch

from model.engine.device import torch_errors
from model.engine.engine import Engine
from model.focal.hindsight import Glimpse
from model.focal.scene_cut import SceneCutDetector
from model.focal.tracker import focal_or_none
from model.pixels.planes import host_tensor, network_input
from stream.errors import SourceError
from stream.frame import Frame
from stream.ports import Source


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
    cuts, glimpses = SceneCutDetector(), []
    try:
        for frame in source:
            scene_cut = cuts.update(frame)
            raw_px = None if frame.focal_px is not None else _raw_px(frame, engine)
            glimpses.append(
                Glimpse(
                    time_s=frame.capture.time_s,
                    width=frame.width,
                    raw_px=raw_px,
                    metadata_px=frame.focal_px,
                    scene_cut=scene_cut,
                )
            )
            if progress is not None:
                progress(len(glimpses))
    except SourceError:
        if not glimpses:  # else whoever reads it again will come as far, and say so
            raise
    finally:
        source.close()
    return glimpses


def _raw_px(frame: Frame, engine: Engine) -> float | None:
    with torch_errors(), torch.inference_mode(), engine.streams.on("compute"):
        planes = [host_tensor(plane).to(engine.device) for plane in frame.planes]
        fov_B = engine.field_of_view(network_input(planes, frame, size=engine.input_size))
    return focal_or_none(float(fov_B), frame.width)
