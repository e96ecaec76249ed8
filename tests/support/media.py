"""Test media with known pixels, made with PyAV: a numbered frame tells its number by its brightness, an oriented one
which way is up by the colours of its quarters. And the way back: what a source makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from stream.errors import SourceError
from stream.frame import Frame
from stream.sources import SourceConfig, open_source

Pixels = npt.NDArray[np.uint8]

WIDTH, HEIGHT = 64, 48
STEP = 7  # brightness between two frames: far more than a codec's error


def level(index: int) -> int:
    """Brightness of frame ``index``."""
    return 20 + STEP * index


def numbered(index: int, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """Gray ``uint8 [height, width, 3]`` of a brightness that tells ``index``; good for about 30 frames."""
    return np.full((height, width, 3), level(index), np.uint8)


def oriented(width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """Red, green, blue and white quarters, from upper left to lower right."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = 255, 0, 0
    image[: height // 2, width // 2 :] = 0, 255, 0
    image[height // 2 :, : width // 2] = 0, 0, 255
    image[height // 2 :, width // 2 :] = 255, 255, 255
    return image


def video_frame(pixels: Pixels, pixel_format: str) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels))
    return frame.reformat(format=pixel_format, dst_colorspace="ITU601", dst_color_range="MPEG")


def write_video(
    path: Path,
    images: Sequence[Pixels | av.VideoFrame],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rate: int = 10,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rotation: int = 0,
    matrix: Sequence[int] | None = None,
    color_range: int | None = None,
    colorspace: int | None = None,
) -> Path:
    """Encode ``images`` to ``path``. ``pts`` in ``time_base`` units makes the frame rate variable; ``rotation`` degrees
    or a ``matrix`` go to the container's display matrix."""
    frames = [i if isinstance(i, av.VideoFrame) else video_frame(i, pixel_format) for i in images]
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pixel_format
        if time_base is not None:
            stream.codec_context.time_base = time_base
        if color_range is not None:
            stream.codec_context.color_range = color_range
        if colorspace is not None:
            stream.codec_context.colorspace = colorspace
        if rotation:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for n, frame in enumerate(frames):
            frame.pts = pts[n] if pts is not None else n
            frame.time_base = time_base or Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbered_video(path: Path, count: int = 20, **options: Any) -> Path:
    """A video of ``count`` numbered frames; ``options`` as for :func:`write_video`."""
    return write_video(path, [numbered(i) for i in range(count)], **options)


def noisy_video(path: Path, count: int = 30, **options: Any) -> Path:
    """Numbered frames under noise, so that every packet has some hundred bytes to damage."""
    rng = np.random.default_rng(0)
    images = [
        np.clip(numbered(i % 30).astype(np.int16) + rng.integers(-12, 13, (HEIGHT, WIDTH, 1)), 0, 255).astype(np.uint8)
        for i in range(count)
    ]
    return write_video(path, images, **options)


def save_as_camera(path: Path, upright: Pixels, *, orientation: int = 1, focal_35mm: Any = None) -> None:
    """Store ``upright`` as a camera held so that it writes ``orientation`` would."""
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    image = Image.fromarray(upright)
    if orientation in turns:
        image = image.transpose(turns[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    if focal_35mm is not None:
        exif.get_ifd(0x8769)[0xA405] = focal_35mm
    image.save(path, exif=exif, quality=95)


def write_audio(path: Path, seconds: float = 0.2) -> Path:
    """A tone without video."""
    rate = 8000
    samples = (np.sin(np.arange(int(seconds * rate)) * 0.3) * 8000).astype(np.int16)[None]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def damage_packet(path: Path, number: int) -> None:
    """Overwrite the middle of packet ``number`` in a file, keeping its length."""
    with av.open(str(path)) as container:
        packet = bytes([p for p in container.demux(video=0) if p.size][number])
    data = path.read_bytes()
    start = data.index(packet)
    path.write_bytes(data[: start + 4] + b"\xff" * (len(packet) - 8) + data[start + len(packet) - 4 :])


def truncate(path: Path, fraction: float) -> None:
    """Keep the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])


def read(uri: Path | str, **options: Any) -> list[Frame]:
    """All frames with copied planes, since a frame's own are valid until the next one only."""
    source = open_source(str(uri), config=SourceConfig(**options))
    try:
        return [kept(f) for f in source]
    finally:
        source.close()


def kept(frame: Frame) -> Frame:
    """``frame`` with planes of its own."""
    values = {name: getattr(frame, name) for name in Frame.__slots__}
    return Frame(**{**values, "planes": tuple(p.copy() for p in frame.planes)})


def read_until_error(uri: Path | str) -> tuple[list[Frame], SourceError]:
    """The frames, as :func:`read` gives them, before the error that reading must end with."""
    frames = []
    source = open_source(str(uri))
    with pytest.raises(SourceError) as caught:
        frames.extend(kept(f) for f in source)
    source.close()
    return frames, caught.value


def number(frame: Frame) -> int:
    """The number that a frame of :func:`numbered` shows."""
    value = float(frame.planes[0].mean()) / 2 ** (frame.geometry.format.bits - 8)
    if frame.color_range == "limited":
        value = (value - 16) * 255 / 219
    return round((value - level(0)) / STEP)
