"""The nouns: a decoded picture, when it was taken, the camera it came from, and the depth computed for it.

All are frozen and need numpy alone.

Axes are those of a ROS optical frame: +x right, +y down, +z forward. Pixel centres
lie at integer coordinates, as in OpenCV and ROS; resizing maps the outer edges of the picture onto each other.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Clock = Literal["media", "host-monotonic", "camera-rtcp"]
"""Which clock a capture time was read from: ``media`` counts from the start of a file; ``host-monotonic`` is
``time.monotonic_ns()`` of this machine at the moment the frame was received; ``camera-rtcp`` is the camera's own wall
clock, nanoseconds since 1970, as its RTCP sender reports tell it (RFC 3550, section 6.4.1)."""

ColorSpace = Literal["bt601", "bt709", "bt2020"]
ColorRange = Literal["limited", "full"]
Transfer = Literal["sdr", "pq", "hlg"]
"""How code values mean light: as in SDR video, or as one of the two HDR curves of ITU-R BT.2100."""
FocalSource = Literal["given", "metadata", "estimated", "locked"]
ScaleSource = Literal["measured", "file"]
SourcePhase = Literal["connecting", "streaming", "stalled", "reconnecting", "failed", "ended"]
"""``connecting``: no picture yet; ``streaming``: pictures come; ``stalled``: none for some time, the connection holds;
``reconnecting``: the connection is lost and made again; ``failed``, ``ended``: there will be no other picture."""

_LUMA_ROWS = 540  # at least, where a picture has more: fifteen for each row of a scene cut's thumbnail


@dataclass(frozen=True, slots=True)
class PlaneSpec:
    """How one plane of a pixel format lies in memory.

    ``channels`` values are interleaved per pixel; the plane is ``ceil(height / 2**y_shift)`` rows of
    ``ceil(width / 2**x_shift)`` pixels.
    """

    channels: int
    x_shift: int = 0
    y_shift: int = 0

    def shape(self, width: int, height: int) -> tuple[int, int, int]:
        """Shape ``(rows, columns, channels)`` of this plane in a picture of ``width`` × ``height`` pixels."""
        return (-(-height >> self.y_shift), -(-width >> self.x_shift), self.channels)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """A memory layout of decoded pictures, named as FFmpeg names it.

    ``bits`` significant bits per value, in ``uint8`` or little-endian ``uint16``; where ``msb_aligned`` (p010) they are
    the high bits of the word. ``is_rgb`` tells RGB from Y′CbCr; a single plane of one channel is luma alone.
    """

    name: str
    planes: tuple[PlaneSpec, ...]
    bits: int = 8
    msb_aligned: bool = False
    is_rgb: bool = False

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return np.dtype(np.uint8 if self.bits == 8 else "<u2")


_FULL, _HALF_X, _HALF_XY = PlaneSpec(1), PlaneSpec(1, 1, 0), PlaneSpec(1, 1, 1)

PIXEL_FORMATS: dict[str, PixelFormat] = {
    f.name: f
    for f in (
        PixelFormat("gray", (_FULL,)),
        PixelFormat("yuv420p", (_FULL, _HALF_XY, _HALF_XY)),
        PixelFormat("yuv422p", (_FULL, _HALF_X, _HALF_X)),
        PixelFormat("yuv444p", (_FULL, _FULL, _FULL)),
        PixelFormat("nv12", (_FULL, PlaneSpec(2, 1, 1))),
        PixelFormat("yuv420p10le", (_FULL, _HALF_XY, _HALF_XY), bits=10),
        PixelFormat("yuv422p10le", (_FULL, _HALF_X, _HALF_X), bits=10),
        PixelFormat("yuv444p10le", (_FULL, _FULL, _FULL), bits=10),
        PixelFormat("p010le", (_FULL, PlaneSpec(2, 1, 1)), bits=10, msb_aligned=True),
        PixelFormat("rgb24", (PlaneSpec(3),), is_rgb=True),
    )
}
"""The layouts that travel as they were decoded. A source converts anything else to one of these."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a ring slot has to hold: pixel format name and the decoded (unrotated) size in pixels."""

    pixel_format: str
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.pixel_format not in PIXEL_FORMATS:
            raise ValueError(f"pixel format {self.pixel_format!r} is not one of {', '.join(PIXEL_FORMATS)}")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a picture of {self.width}x{self.height} pixels has no area")

    @property
    def format(self) -> PixelFormat:
        return PIXEL_FORMATS[self.pixel_format]

    @property
    def plane_shapes(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(p.shape(self.width, self.height) for p in self.format.planes)

    @property
    def luma_step(self) -> int:
        """Every so many rows are enough for whoever looks at pictures on the host; see :attr:`Frame.luma`."""
        return max(1, self.height // _LUMA_ROWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraIntrinsics:
    """A pinhole camera for pictures of ``width`` × ``height`` pixels.

    ``fx``, ``fy``, ``cx``, ``cy`` in pixels. ``distortion`` holds the coefficients of ``distortion_model`` as in
    ``sensor_msgs/CameraInfo`` (empty: none known). ``projection`` is its P, 12 numbers row-major: where the rectified
    picture has a point; ``rectification`` its R, 9 numbers: how the camera is turned for it. Empty: K, and not turned.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion_model: str = ""
    distortion: tuple[float, ...] = ()
    projection: tuple[float, ...] = ()
    rectification: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (0 < self.fx < math.inf and 0 < self.fy < math.inf):
            raise ValueError(f"focal lengths must be positive and finite, not fx={self.fx}, fy={self.fy}")
        if len(self.projection) not in (0, 12) or len(self.rectification) not in (0, 9):
            raise ValueError("a projection has 12 numbers, and a rectification 9")

    @classmethod
    def from_focal(
        cls, f_px: float, width: int, height: int, *, pixel_aspect: Fraction = Fraction(1)
    ) -> CameraIntrinsics:
        """A centred principal point, as Depth Pro assumes.

        Args:
            f_px: focal length in widths of a pixel.
            pixel_aspect: width of a pixel over its height.
        """
        fy = f_px * float(pixel_aspect)
        return cls(fx=f_px, fy=fy, cx=(width - 1) / 2, cy=(height - 1) / 2, width=width, height=height)

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """``K``, ``float64 [3, 3]``."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    @property
    def fov_deg(self) -> float:
        """Horizontal field of view in degrees: ``2·atan(W / (2·fx))``."""
        return math.degrees(2 * math.atan(0.5 * self.width / self.fx))

    def resized(self, width: int, height: int) -> CameraIntrinsics:
        """The same camera for its pictures resized to ``width`` × ``height``: pixel edges map onto pixel edges."""
        if (width, height) == (self.width, self.height):
            return self
        sx, sy = width / self.width, height / self.height
        pixels = np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1]])
        projection = (pixels @ np.reshape(self.projection, (3, 4))).ravel().tolist() if self.projection else ()
        return replace(
            self,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
            width=width,
            height=height,
            projection=tuple(projection),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FocalEstimate:
    """The horizontal focal length that scaled one frame's depth, in pixels of that frame's upright picture.

    ``raw_px`` is the network's estimate for this frame alone, ``None`` when the field-of-view branch did not run;
    ``smoothed_px`` is what was used. ``log_std`` is the filter's standard deviation of log focal length, so roughly the
    relative error (0 for a focal length that was given).
    """

    smoothed_px: float
    raw_px: float | None
    log_std: float
    source: FocalSource


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthScale:
    """What depth was multiplied with, because a distance is known.

    Attributes:
        factor: known distance over estimated depth.
        date: when it was measured, ISO 8601 in UTC.
        source: ``measured`` in this run, or from a ``file``.
    """

    factor: float
    date: str
    source: ScaleSource


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleCorrection:
    """How a frame's depth as a whole was changed, so that its scale holds still.

    Attributes:
        log: depth was multiplied with ``exp(log)``; 0: it is the network's own.
        log_std: standard deviation of the scale, so roughly the relative error against the frames before.
        inliers: points that told it. 0: nothing did; the network's own scale was left as it is, but for what later
            frames of a file tell of the first one of a shot, or corrected as is usual of the frames before.
        resets: how often, so far, a shot began or what was known was lost.
        ratio: what geometry alone says: log of what the network's depth must be multiplied with to fit the frame that
            is followed from; ``None`` where nothing told it.
        ratio_std: standard deviation of ``ratio``.
        averaged: share of pixels that are an average with those of earlier frames, and not ``exp(log)`` times the
            network's own.
    """

    log: float
    log_std: float
    inliers: int
    resets: int
    ratio: float | None = None
    ratio_std: float = 0.0
    averaged: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Odometry:
    """Where the camera is, seen from where a stretch of frames began: the pose of its optical axes in those of then.

    Attributes:
        stretch: number of the stretch, from 0. Poses of two stretches have nothing to do with each other. One begins
            with each shot, where the way was lost, and where depth gets another unit because a distance is known.
        position: x, y and z in metres, as far as those of depth are.
        orientation: unit quaternion x, y, z, w.
        covariance: 6 × 6, row-major, of x, y, z in metres and of turns about the axes x, y, z of the stretch in
            radians, as in ``geometry_msgs/PoseWithCovariance``. How wrong the network's scale is as a whole is not in
            it.
        is_reference: later frames are followed from this one; a run that goes on needs to know.
    """

    stretch: int
    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float]
    covariance: tuple[float, ...]
    is_reference: bool = False

    def __post_init__(self) -> None:
        if len(self.covariance) != 36:
            raise ValueError(f"a covariance has 36 numbers, not {len(self.covariance)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Which frame of its source this is, and when it was taken. It travels unchanged from the decoder to every sink.

    Attributes:
        index: 0-based number of the frame in decoding order of its source, counted before anything is dropped.
        pts: presentation time in ``time_base`` units, ``None`` where the container has none.
        time_base: seconds per unit of ``pts``.
        time_ns: when light hit the sensor, as well as it is known, in nanoseconds of ``clock``.
        clock: which clock that is.
        uncertainty_ns: how far off ``time_ns`` may be on that clock, ``None`` where nothing is known.
        received_ns: ``time.monotonic_ns()`` of this machine when the frame had arrived.
        late_ns: by how much it arrived later, after its timestamp, than the quickest frames of its connection.
        rotation: degrees, counter-clockwise, by which the decoded picture must be turned to stand upright. Pictures and
            depth of a :class:`DepthFrame` are upright already.
        pixel_aspect: width of a pixel of the upright source picture over its height (anamorphic video: not 1).

    Raises:
        ValueError: the rotation is no multiple of a right angle.
    """

    index: int
    pts: int | None
    time_base: Fraction
    time_ns: int
    clock: Clock
    uncertainty_ns: int | None = None
    received_ns: int = field(default_factory=time.monotonic_ns)
    late_ns: int = 0
    rotation: Literal[0, 90, 180, 270] = 0
    pixel_aspect: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        if self.rotation not in (0, 90, 180, 270):
            raise ValueError(f"rotation must be 0, 90, 180 or 270 degrees, not {self.rotation}")

    @property
    def time_s(self) -> float:
        """Capture time in seconds of its clock."""
        return self.time_ns * 1e-9

    def age_s(self) -> float:
        """Seconds since a frame of a camera would have arrived if it had come as quickly as the quickest."""
        return (time.monotonic_ns() - self.received_ns + self.late_ns) * 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """How a live source fares.

    Attributes:
        camera: its name in this run.
        state: see :data:`SourcePhase`.
        reason: one line for people, without credentials; empty where there is nothing to say.
        attempt: of making the connection, from 1; 0 while pictures come.
        since_ns: ``time.monotonic_ns()`` when this state began.
        clock_offset_s: the camera's wall clock minus ours, as last measured; ``None`` where unknown.
        reconnects: how often the connection was lost and came back.
    """

    camera: str
    state: SourcePhase
    reason: str = ""
    attempt: int = 0
    since_ns: int
    clock_offset_s: float | None = None
    reconnects: int = 0


class DeviceArray(Protocol):
    """Memory of a device that can be handed over within the process, by DLPack."""

    def __dlpack__(self) -> object:
        """The capsule. Whoever takes it waits for the device's work by himself."""
        ...

    def __dlpack_device__(self) -> tuple[int, int]:
        """Kind and number of the device."""
        ...


class DevicePicture(Protocol):
    """A decoded picture whose planes are in a device's memory. Valid as long as planes of the host would be."""

    @property
    def planes(self) -> tuple[DeviceArray, ...]:
        """Each plane, ``[rows, columns]`` or, where values are interleaved, ``[rows, columns, channels]``."""
        ...

    @property
    def luma(self) -> npt.NDArray[np.generic]:
        """See :attr:`Frame.luma`."""
        ...

    def download(self) -> tuple[npt.NDArray[np.generic], ...]:
        """The planes in the host's memory, as in :attr:`Frame.planes`.

        Raises:
            SourceError: the device failed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One decoded picture, in the planes the decoder made. Two frames are equal only if they are the same object.

    Attributes:
        capture: which frame it is, and when it was taken.
        geometry: pixel format and decoded size.
        planes: one array per plane, ``uint8`` or ``uint16``, shape ``[rows, columns, channels]``. Read-only; may be
            strided views. None where a device has them.
        on_device: the planes, where a device has them; such frames come only from sources that were asked for them.
        color_space: matrix that made Y′CbCr from RGB; meaningless for RGB formats.
        color_range: ``limited`` (16..235) or ``full`` (0..255) values.
        transfer: ``pq`` and ``hlg`` pictures are brought to SDR before anything looks at them.
        focal_px: focal length from the file's metadata, in pixels of the upright picture's width, or ``None``.

    Raises:
        ValueError: the planes are not what ``geometry`` says.
    """

    capture: Capture
    geometry: Geometry
    planes: tuple[npt.NDArray[np.generic], ...]
    on_device: DevicePicture | None = None
    color_space: ColorSpace = "bt601"
    color_range: ColorRange = "limited"
    transfer: Transfer = "sdr"
    focal_px: float | None = None

    def __post_init__(self) -> None:
        if self.on_device is not None:
            if self.planes:
                raise ValueError("planes are the host's or a device's, not both")
            return
        shapes = tuple(p.shape for p in self.planes)
        if shapes != self.geometry.plane_shapes:
            raise ValueError(f"{self.geometry} needs planes of shape {self.geometry.plane_shapes}, not {shapes}")
        if any(p.dtype != self.geometry.format.dtype for p in self.planes):
            raise ValueError(f"{self.geometry} needs {self.geometry.format.dtype} planes")
        object.__setattr__(self, "planes", tuple(_read_only(p) for p in self.planes))

    @property
    def width(self) -> int:
        """Width of the upright picture in pixels."""
        return self.geometry.width if self.capture.rotation in (0, 180) else self.geometry.height

    @property
    def height(self) -> int:
        """Height of the upright picture in pixels."""
        return self.geometry.height if self.capture.rotation in (0, 180) else self.geometry.width

    @property
    def luma(self) -> npt.NDArray[np.generic]:
        """Every :attr:`Geometry.luma_step`-th row of the first plane, ``[rows, columns, channels]``, on the host."""
        return self.planes[0][:: self.geometry.luma_step] if self.on_device is None else self.on_device.luma

    def on_host(self) -> Frame:
        """The same frame with its planes in the host's memory; itself where they are.

        Raises:
            SourceError: the device failed.
        """
        if self.on_device is None:
            return self
        return replace(self, planes=self.on_device.download(), on_device=None)

    def __repr__(self) -> str:
        g = self.geometry
        return (
            f"Frame({_told(self.capture)}, {g.pixel_format} {g.width}x{g.height}, {self.color_space} "
            f"{self.color_range}, rotation={self.capture.rotation})"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthFrame:
    """Metric depth for one frame. Every sink is handed the same arrays, which are read-only.

    Two frames are equal only if they are the same object.

    Attributes:
        capture: that of the :class:`Frame` it was computed from.
        depth: ``float32 [H, W]``, metres along the optical axis (z, not ray length). NaN: no estimate; +Inf: beyond
            range (REP 117).
        camera: intrinsics for ``depth`` as it is sized here.
        focal: the focal length that scaled this depth, in pixels of the *source* picture.
        source_width, source_height: size of the upright source picture in pixels.
        scale: what ``depth`` was multiplied with, ``None`` where it was not.
        steady: how its scale was steadied, which is beside ``scale``; ``None`` where that is not done.
        odometry: where the camera is; ``None`` where that is not known.
        image: ``uint8 [H, W, 3]`` RGB of the same frame at the size of ``depth``; ``None`` unless a sink asked for it.
        scene_cut: this frame starts a new shot; nothing from before it went into its focal length.
        model: name of the network and, where it applies, "(untrained)".
        precision: number type the network ran in for this frame: ``fp32``, ``bf16``, ``fp16`` or ``fp8``.
        retried: the first attempt was not finite and a wider type was used.
        dropped: frames of this source dropped before this one, so far.
        inferred_ns: ``time.monotonic_ns()`` of this machine when the depth was there.

    Raises:
        ValueError: an array is of another shape or type, or ``camera`` is for another size.
    """

    capture: Capture
    depth: npt.NDArray[np.float32]
    camera: CameraIntrinsics
    focal: FocalEstimate
    source_width: int
    source_height: int
    scale: DepthScale | None = None
    steady: ScaleCorrection | None = None
    odometry: Odometry | None = None
    image: npt.NDArray[np.uint8] | None = None
    scene_cut: bool = False
    model: str = ""
    precision: str = "fp32"
    retried: bool = False
    dropped: int = 0
    inferred_ns: int = field(default_factory=time.monotonic_ns)

    def __post_init__(self) -> None:
        if self.depth.ndim != 2 or self.depth.dtype != np.float32:
            raise ValueError(f"depth must be float32 [H, W], not {self.depth.dtype} {list(self.depth.shape)}")
        if (self.camera.height, self.camera.width) != self.depth.shape:
            raise ValueError(f"camera is for {self.camera.width}x{self.camera.height}, depth is {self.depth.shape}")
        object.__setattr__(self, "depth", _read_only(self.depth))
        if self.image is None:
            return
        if self.image.shape != (*self.depth.shape, 3) or self.image.dtype != np.uint8:
            raise ValueError(f"image must be uint8 {[*self.depth.shape, 3]}, not {self.image.dtype} {self.image.shape}")
        object.__setattr__(self, "image", _read_only(self.image))

    @property
    def width(self) -> int:
        return int(self.depth.shape[1])

    @property
    def height(self) -> int:
        return int(self.depth.shape[0])

    def is_late(self, max_age_s: float) -> bool:
        """Whether it is older than that for another reason than a slow network: it has waited for its sink."""
        waited_s = (time.monotonic_ns() - self.inferred_ns) * 1e-9
        return self.capture.age_s() > max_age_s and waited_s > max_age_s / 4

    def __repr__(self) -> str:
        return (
            f"DepthFrame({_told(self.capture)}, depth=float32[{self.height}, {self.width}], "
            f"f={self.focal.smoothed_px:.1f}px, model={self.model!r})"
        )


_Array = TypeVar("_Array", bound=npt.NDArray[Any])


def _read_only(array: _Array) -> _Array:
    """A view of ``array`` that cannot be written to; whoever made the array still can."""
    view = array.view()
    view.flags.writeable = False
    return view


def _told(capture: Capture) -> str:
    """``capture`` in a few words, for ``repr``."""
    return (
        f"index={capture.index}, pts={capture.pts}, time_base={capture.time_base}, t={capture.time_s:.6f}s "
        f"{capture.clock}"
    )
