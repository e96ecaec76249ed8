"""Frames and states of one camera as Rerun's entities.

=============================  ====================================================================================
``/``                          ``ViewCoordinates``: the axes of the camera, as it is not known where cameras stand
``/<camera>``                  ``Pinhole``: K of depth and picture, x right, y down, z forward
``/<camera>/depth``            ``DepthImage``, ``float32`` metres, bit for bit: NaN no estimate, +Inf beyond range
``/<camera>/picture``          ``EncodedImage``, JPEG
``/<camera>/focal/raw``        ``Scalars``: the network's estimate, pixels of the source picture, where there is one
``/<camera>/focal/smoothed``   ``Scalars``: what depth was scaled with
``/<camera>/header``           everything else that is known of the frame, as the JSON that ZeroMQ sends; K in full
``/<camera>/status``           ``TextLog``: what happens to the camera, where shots begin
=============================  ====================================================================================

Time lines: ``frame``, the number of the frame in its source; and ``capture_time``, Unix time of a camera, or
``media_time``, time since the start of a file.
"""

from __future__ import annotations

import threading
import uuid

import numpy as np
import rerun as rr

from sinks.frame_json import describe, to_json, untrained_notice
from sinks.jpeg import to_jpeg
from sinks.rerun.options import Pace, RrdOptions
from sinks.unix_time import UnixTime
from stream.errors import ConfigError, SinkError
from stream.frame import DepthFrame, SourceState

_APPLICATION = "depth-pro-stream"
_LEVELS = {"streaming": "INFO", "ended": "INFO", "connecting": "INFO", "failed": "ERROR"}


class Recording:
    """One camera's part of a recording of Rerun. Frames come by one thread, states by any.

    Args:
        options: what is told.
        recording_id: the same for cameras that are to be seen together; ``None``: one of its own.

    Attributes:
        stream: of Rerun; connected to nothing at first.

    Raises:
        ConfigError: Rerun is switched off by its environment variable.
    """

    def __init__(self, options: RrdOptions, *, recording_id: str | None = None) -> None:
        self._options, self._pace, self._time = options, Pace(options.rate), UnixTime()
        self._root = rr.escape_entity_path_part(options.camera)
        self._lock = threading.Lock()
        self._last_index: int | None = None
        self.stream = rr.RecordingStream(_APPLICATION, recording_id=recording_id or uuid.uuid4().hex)
        if not rr.is_enabled(self.stream):
            raise ConfigError("Rerun is switched off by the environment variable RERUN; unset it")
        self.stream.log("/", rr.ViewCoordinates.RDF, static=True)  # or what is ahead would be drawn above

    def add(self, frame: DepthFrame) -> bool:
        """Tell ``frame``, unless the rate is reached. Returns whether it was told.

        Raises:
            SinkError: it came without its picture, which was asked for, or that cannot become a JPEG.
        """
        time_ns = self._time.of_frame(frame)
        with self._lock:
            if self._last_index is None and (notice := untrained_notice(frame)) is not None:
                self._say(notice, "WARN", time_ns, frame.capture.index)
            self._last_index = frame.capture.index
            if frame.scene_cut:
                self._say("a shot begins", "INFO", time_ns, frame.capture.index)
            if not self._pace.takes(time_ns):
                return False
            self._set_time(time_ns, frame.capture.index)
            self._log_frame(frame)
            return True

    def tell(self, state: SourceState) -> None:
        """Tell what happens to the camera."""
        text = f"{state.state}: {state.reason}" if state.reason else state.state
        with self._lock:
            self._say(text, _LEVELS.get(state.state, "WARN"), self._time.of_moment(state.since_ns), self._last_index)

    def _log_frame(self, frame: DepthFrame) -> None:
        options, camera = self._options, frame.camera
        self._log(
            "",
            rr.Pinhole(
                image_from_camera=camera.matrix,
                resolution=[camera.width, camera.height],
                camera_xyz=rr.ViewCoordinates.RDF,
            ),
        )
        self._log("/depth", rr.DepthImage(frame.depth, meter=1.0, depth_range=[options.min, options.max]))
        if options.image == "jpeg":
            if frame.image is None:
                raise SinkError(f"frame {frame.capture.index} came without its picture; leave it out with image=none")
            jpeg = to_jpeg(frame.image, options.quality)
            self._log("/picture", rr.EncodedImage(contents=jpeg.tobytes(), media_type="image/jpeg"))
        if frame.focal.raw_px is not None:
            self._log("/focal/raw", rr.Scalars(frame.focal.raw_px))
        self._log("/focal/smoothed", rr.Scalars(frame.focal.smoothed_px))
        self._log("/header", rr.AnyValues(json=to_json(describe(frame)).decode()))

    def _say(self, text: str, level: str, time_ns: int, index: int | None) -> None:
        self._set_time(time_ns, index)
        self._log("/status", rr.TextLog(text, level=level))

    def _log(self, entity: str, value: rr.AsComponents) -> None:
        self.stream.log(self._root + entity, value, strict=True)

    def _set_time(self, time_ns: int, index: int | None) -> None:
        """When what this thread logs next happened: Rerun keeps times by thread."""
        self.stream.reset_time()
        if index is not None:
            self.stream.set_time("frame", sequence=index)
        if self._time.clock == "media":
            self.stream.set_time("media_time", duration=np.timedelta64(time_ns, "ns"))
        else:
            self.stream.set_time("capture_time", timestamp=np.datetime64(time_ns, "ns"))
