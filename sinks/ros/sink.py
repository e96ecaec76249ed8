"""Depth as a recording of ROS 2 messages, MCAP: for ``ros2 bag play``, Foxglove and Rerun.

=========================================  ======================================================================
``/<camera>/depth/image_rect``             ``sensor_msgs/msg/Image``: 32FC1 metres, or 16UC1 millimetres
``/<camera>/depth/camera_info``            ``sensor_msgs/msg/CameraInfo``
``/<camera>/color/image_rect/compressed``  ``sensor_msgs/msg/CompressedImage``, JPEG (``image=jpeg``)
``/<camera>/color/image_rect``             ``sensor_msgs/msg/Image``, rgb8 (``image=raw``)
``/<camera>/color/camera_info``            ``sensor_msgs/msg/CameraInfo``, unless ``image=none``
``/<camera>/depth/scale_correction``       ``diagnostic_msgs/msg/DiagnosticArray``, where the scale is steadied
``/<camera>/odometry``                     ``nav_msgs/msg/Odometry``, where the camera's way is known
``/tf_static``                             ``tf2_msgs/msg/TFMessage``: ``<camera>_link`` to the optical frame, once
=========================================  ======================================================================

The messages of a frame have one stamp, which is also the time they are logged and published at. Depth and picture have
the pixels of the source: where the lens distorts, ``camera_info`` says how (D), nothing has been undone, and the topics
say ``image_raw`` instead of ``image_rect``.

Stamps follow :class:`sinks.ros.messages.RosTime`. Those of a file start near 0, so viewers that show dates show the
first seconds of 1970. ``ros2 bag play --clock`` makes them the time of nodes with ``use_sim_time``, as with a
simulator. (tf2 takes a stamp of exactly 0, the first frame's, for "the latest transform": the same, as the only one is
static.)

Messages are stored in chunks that end between frames. A file that was not finished (disk full, killed) lacks its index:
all frames in its finished chunks can be read, and ``mcap recover broken.mcap -o whole.mcap`` writes a whole file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2

from sinks.files.aside import Aside
from sinks.files.file_sink import FileSink
from sinks.frame_json import describe, to_json, untrained_notice
from sinks.ros.bag import Bag, Compression
from sinks.ros.earlier import about, moments
from sinks.ros.messages import RosTime
from sinks.ros.topics import TF, TopicOptions, offers, transform
from stream.frame import Capture, DepthFrame

_ABOUT = "depth-pro-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class McapOptions(TopicOptions):
    """What is recorded, and how.

    Attributes:
        compress: how chunks of messages are compressed, without loss.
    """

    compress: Compression = "zstd"


class McapSink(FileSink):
    """Records depth, camera and picture of each frame. The file is created with the first frame.

    Frames may change their size. Memory holds one frame and one chunk (1 MiB and what completes its last frame); of
    each chunk written, an entry of the index stays until the end, about a kilobyte.

    Args:
        path: the file; tools know the format by the ending .mcap.
        options: what is recorded, and how.
        overwrite: replace a file that is already there.

    Raises:
        SinkError: the file exists, or cannot be created there.
    """

    def __init__(
        self, path: str | os.PathLike[str], options: McapOptions | None = None, *, overwrite: bool = False
    ) -> None:
        self._options = options or McapOptions()
        whole = Path(path).absolute()
        self._aside, self._kept = Aside(whole), 0
        super().__init__(
            whole,
            overwrite=overwrite,
            errors=(cv2.error,),
            kept="what reached the disk is kept, `mcap recover` makes it playable",
        )

    @property
    def needs_image(self) -> bool:
        return self._options.image != "none"

    def whole_frames(self, _indices: Sequence[int]) -> int:
        """How many frames of an earlier run are whole in the file."""
        self._aside.put_back()
        return sum(1 for _ in moments(self._path)) if self._path.exists() else 0

    def resume(self, captures: Sequence[Capture]) -> None:
        """Before the first frame: keep what an earlier run has written of so many frames, and go on behind them.

        Raises:
            SinkError: the file cannot be moved aside.
        """
        with self._as_sink_error():
            self._aside.move()
        self._kept = len(captures)

    def _create(self, _first: DepthFrame) -> _Recording:
        recording = _Recording(self._path, self._options, overwrite=self._overwrite)
        if self._kept:
            recording.take_over(self._aside.path, self._kept)
            self._aside.remove()
        return recording


class _Recording:
    """A bag that is being written. A first frame that cannot be recorded leaves no file behind."""

    def __init__(self, path: Path, options: McapOptions, *, overwrite: bool) -> None:
        self._path = path
        self._options = options
        self._overwrite = overwrite
        self._time = RosTime()
        self._bag: Bag | None = None

    def write(self, frame: DepthFrame) -> None:
        options, stamp_ns = self._options, self._time.stamp_ns(frame)
        messages = {topic: offer.make() for topic, offer in offers(frame, stamp_ns, options).items()}
        if self._bag is None:
            self._bag = self._begin(_about(frame, options))
            self._bag.add({TF: transform(stamp_ns, options).make()}, stamp_ns, latched=True)
        self._bag.add(messages, stamp_ns)

    def take_over(self, earlier: Path, count: int) -> None:
        """Begin with so many frames of another file, as they are."""
        self._bag = self._begin(about(earlier, _ABOUT))
        for moment in islice(moments(earlier), count):
            for latched in (True, False):  # what is latched comes first
                messages = [message for message in moment.messages if (message.topic == TF) == latched]
                if messages:
                    self._bag.copy(messages, moment.stamp_ns, latched=latched)

    def _begin(self, about: dict[str, str]) -> Bag:
        bag = Bag(self._path, compress=self._options.compress, overwrite=self._overwrite)
        bag.describe(_ABOUT, about)
        return bag

    def finish(self) -> None:
        if self._bag is not None:
            self._bag.finish()


def _about(first: DepthFrame, options: McapOptions) -> dict[str, str]:
    notice = untrained_notice(first)
    is_float = options.encoding == "32FC1"
    return {
        "model": first.model,
        "precision": first.precision,
        "clock": first.capture.clock,
        "depth_unit": "metre" if is_float else "millimetre",
        "depth_axis": "optical axis (z), not ray length",
        "depth_no_estimate": "NaN" if is_float else "0",
        "depth_beyond_range": "+Inf" if is_float else "0",
        "first_frame": to_json(describe(first)).decode(),
        **({"notice": notice} if notice else {}),
    }
