"""Depth as a video in the layout of LeRobot's data sets, which robot learning reads.

``videos/observation.images.depth/chunk-000/file-000.mp4`` holds HEVC, lossless unless ``crf`` is given, 12-bit grey
(``gray12le``, Main RExt), and ``meta/info.json`` the feature with its parameters. A code from 0 to 4095 is

    code = round(4095 · (ln(d + shift) - ln(min + shift)) / (ln(max + shift) - ln(min + shift))),

as ``quantize_depth`` of ``lerobot.datasets.depth_utils`` (0.6) has it, and by default min = 0.01 m, max = 10 m and
shift = 3.5 m. Half a step is (d + shift) · ln((max + shift) / (min + shift)) / 8190 metres: 0.6 mm at 0.1 m, 2.2 mm at
10 m. The format knows no code for what is missing: no estimate becomes the nearest code, 0, which LeRobot's own
recordings use for it, and what is beyond the range the farthest.

``meta/depth_pro_stream.jsonl``, which LeRobot does not look at, has a line for each frame: its K, number and time.

Only these are written. The tables of a whole data set (``data/``, ``meta/episodes/``) come from
whoever records actions. Frames are 1 / ``fps`` apart, as LeRobot finds them by number.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import orjson
from av.video.stream import VideoStream

from sinks.files.aside import Aside
from sinks.files.file_sink import FileSink
from sinks.files.target import check_target
from sinks.frame_json import describe, to_json, untrained_notice
from sinks.video.containers import FRAGMENTS
from sinks.video.earlier import packets, whole_frames
from sinks.video.fidelity import Fidelity
from stream.errors import ConfigError, SinkError
from stream.frame import Capture, DepthFrame
from stream.ports import SourceInfo

_log = logging.getLogger(__name__)
_KEY = "observation.images.depth"
_VIDEO = Path("videos") / _KEY / "chunk-000" / "file-000.mp4"
_INFO = Path("meta") / "info.json"
_FRAMES = Path("meta") / "depth_pro_stream.jsonl"
_ABOUT = "depth_pro_stream"
_CODE_MAX = 4095
_FPS = Fraction(30)  # of a source that does not tell
# A key frame every other frame, as LeRobot's default has it: policies read single frames.
# Few frames in the encoder: what is in it is lost with the process.
_X265 = "bframes=0:keyint=2:min-keyint=1:scenecut=0:rc-lookahead=1:frame-threads=1:log-level=error"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeRobotOptions:
    """How depth is quantised.

    Attributes:
        min, max: metres at the codes 0 and 4095.
        shift: metres added before the logarithm.
        fps: frames per second; that of the source unless given, and 30 where it does not tell.
        crf: 0 the best and largest … 51, lossy: a fraction of the size. How far the depth is then from what was encoded
            is measured in every frame, and noted in ``meta/info.json``. Lossless unless given.
    """

    min: float = 0.01
    max: float = 10.0
    shift: float = 3.5
    fps: float | None = None
    crf: int | None = None

    def __post_init__(self) -> None:
        if self.crf is not None and not 0 <= self.crf <= 51:
            raise ConfigError(f"crf must be from 0 (best) to 51, not {self.crf}")
        if not (all(map(math.isfinite, (self.min, self.max, self.shift))) and 0 <= self.min < self.max):
            raise ConfigError(f"the depth range must be finite with 0 <= min < max, in metres, not {self.min:g}..")
        if self.min + self.shift <= 0:
            raise ConfigError(f"min + shift must be above zero, not {self.min + self.shift:g}")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise ConfigError(f"fps must be above 0 and at most 1000, not {self.fps:g}")

    def encode(self, depth: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
        """Depth ``float32 [H, W]`` in metres to codes ``uint16 [H, W]``."""
        low = math.log(self.min + self.shift)
        codes = np.log(np.maximum(depth, np.float32(self.min)) + np.float32(self.shift)) - np.float32(low)
        codes *= np.float32(_CODE_MAX / (math.log(self.max + self.shift) - low))
        np.rint(codes, out=codes)
        np.clip(codes, 0, _CODE_MAX, out=codes)
        cv2.patchNaNs(codes, 0.0)
        return codes.astype(np.uint16)

    def decode(self, codes: npt.NDArray[np.uint16]) -> npt.NDArray[np.float64]:
        """Codes to depth in metres, ``float64``."""
        low, high = math.log(self.min + self.shift), math.log(self.max + self.shift)
        return np.asarray(np.exp(low + codes * ((high - low) / _CODE_MAX)) - self.shift, np.float64)


class LeRobotSink(FileSink):
    """Writes the folder of a depth video. A frame of another size begins a new folder, ``depth-0002``.

    Args:
        folder: made with the first frame.
        options: how depth is quantised.
        overwrite: replace the video in a folder that is already there.

    Raises:
        SinkError: the folder exists, or cannot be made there.
    """

    def __init__(
        self, folder: str | os.PathLike[str], options: LeRobotOptions | None = None, *, overwrite: bool = False
    ) -> None:
        self._options = options or LeRobotOptions()
        self._rate: Fraction | None = None
        self._size = (0, 0)
        self._kept = 0
        self._about: dict[str, object] = {}  # that of the earlier run
        super().__init__(Path(folder).absolute(), overwrite=overwrite, errors=(av.FFmpegError,))

    @property
    def needs_image(self) -> bool:
        return False

    def prepare(self, info: SourceInfo) -> None:
        """The source's rate is the video's."""
        self._rate = info.frame_rate

    def whole_frames(self, _indices: Sequence[int]) -> int:
        """How many frames of an earlier run are whole in the folder; 0 where it went on in another one.

        Of a lossy video none is: how far its frames are from what they were made of is no longer known.
        """
        video = self._path / _VIDEO
        if self._options.crf is not None or self._path.with_name(f"{self._path.name}-0002").exists():
            return 0
        Aside(video).put_back()
        return min(whole_frames(video), len(_lines(self._path / _FRAMES)))

    def resume(self, captures: Sequence[Capture]) -> None:
        """Before the first frame: keep what an earlier run has written of so many frames, and go on behind them.

        Raises:
            SinkError: the video cannot be moved aside.
        """
        video = self._path / _VIDEO
        with self._as_sink_error():
            self._about = orjson.loads((self._path / _INFO).read_bytes())[_ABOUT]
            Aside(video).move()
        self._kept = len(captures)

    def _check(self, path: Path) -> None:
        if not path.is_dir():
            check_target(path, overwrite=self._overwrite)
        elif not self._overwrite:
            raise SinkError(f"{path} exists; choose another name or use `overwrite=True`")

    def _fits(self, frame: DepthFrame) -> bool:
        return (frame.width, frame.height) == self._size

    def _create(self, first: DepthFrame) -> _Video:
        self._size = (first.width, first.height)
        given = self._options.fps
        rate = self._rate or _FPS if given is None else Fraction(given).limit_denominator(1001)
        self._path.mkdir(exist_ok=self._overwrite)
        about: dict[str, object] = {
            "first_frame": describe(first),
            "model": first.model,
            "notice": untrained_notice(first),
        }
        made = _Video(self._path, first, self._options, rate, self._about if self._kept else about, kept=self._kept)
        if self._kept:
            earlier = Aside(self._path / _VIDEO)
            made.take_over(earlier.path, self._kept)
            earlier.remove()
            self._kept = 0
        return made


def _lines(path: Path) -> list[bytes]:
    """The whole lines of a file, which may not be there."""
    try:
        return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    except FileNotFoundError:
        return []


class _Video:
    """A folder that is being written. ``meta/info.json`` is written at once, and again with the number of frames."""

    def __init__(
        self,
        folder: Path,
        first: DepthFrame,
        options: LeRobotOptions,
        rate: Fraction,
        about: dict[str, object],
        *,
        kept: int,
    ) -> None:
        self._folder, self._options, self._rate, self._frames = folder, options, rate, 0
        self._about, self._is_lossy = about, options.crf is not None
        self._error: dict[str, float] | None = None
        self._shape = (first.height, first.width)
        for path in (folder / _VIDEO, folder / _INFO):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._describe()
        self._output = av.open(
            str(folder / _VIDEO),
            "w",
            format="mp4",
            container_options=FRAGMENTS,
        )
        quality = f"crf={options.crf}" if self._is_lossy else "lossless=1"
        self._video = self._output.add_stream("libx265", rate=rate, options={"x265-params": f"{quality}:{_X265}"})
        context = self._video.codec_context
        context.width, context.height, context.pix_fmt = first.width, first.height, "gray12le"
        context.time_base, context.codec_tag = 1 / rate, "hvc1"
        self._output.start_encoding()
        self._fidelity = Fidelity(context, options.decode) if self._is_lossy else None
        self._lines = (folder / _FRAMES).open("ab", buffering=0)
        self._lines.truncate(sum(map(len, _lines(folder / _FRAMES)[:kept])))

    def write(self, frame: DepthFrame) -> None:
        codes = self._options.encode(frame.depth)
        picture = av.VideoFrame.from_ndarray(codes, format="gray12le")
        picture.pts, picture.time_base = self._frames, 1 / self._rate
        if self._fidelity is not None:
            self._fidelity.expect(self._frames, codes)
        self._frames += 1
        self._lines.write(to_json(describe(frame)) + b"\n")
        self._mux(self._video.encode(picture))

    def _mux(self, packets: list[av.Packet[VideoStream]]) -> None:
        if self._fidelity is not None:
            self._fidelity.compare(packets)
        self._output.mux(packets)

    def take_over(self, earlier: Path, count: int) -> None:
        """Begin with so many frames of another video, as they are."""
        for _, packet in packets(earlier, count):
            packet.stream = self._video
            self._output.mux(packet)
        self._frames = count

    def finish(self) -> None:
        try:
            self._mux(self._video.encode(None))
            if self._fidelity is not None:
                self._error = self._fidelity.finish()
        finally:
            self._lines.close()
            self._output.close()
        self._describe()
        if self._error:
            told = [100 * self._error[name] for name in ("median", "p99", "largest")]
            _log.info(
                "%s: lossy; off by %.2g %% in the median, %.2g %% in 99 of 100 pixels, %.2g %% at most",
                self._folder.name,
                *told,
            )

    def _describe(self) -> None:
        height, width = self._shape
        fps = int(self._rate) if self._rate.denominator == 1 else float(self._rate)
        options = self._options
        feature = {
            "dtype": "video",
            "shape": [height, width, 1],
            "names": ["height", "width", "channels"],
            "info": {
                "is_depth_map": True,
                "video.is_depth_map": True,
                "video.height": height,
                "video.width": width,
                "video.channels": 1,
                "video.codec": "hevc",
                "video.pix_fmt": "gray12le",
                "video.fps": fps,
                "video.g": 2,
                "video.crf": options.crf,
                "video.extra_options": {} if self._is_lossy else {"x265-params": "lossless=1"},
                "video.depth_min": options.min,
                "video.depth_max": options.max,
                "video.shift": options.shift,
                "video.use_log": True,
                "depth_unit": "m",
                "has_audio": False,
            },
        }
        info = {
            "codebase_version": "v3.0",
            "fps": fps,
            "total_frames": self._frames,
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
            "features": {_KEY: feature},
            _ABOUT: {**self._about, "relative_error": self._error} if self._is_lossy else self._about,
        }
        path = self._folder / _INFO
        part = path.with_suffix(".json.part")
        part.write_bytes(orjson.dumps(info, option=orjson.OPT_INDENT_2))
        part.replace(path)
