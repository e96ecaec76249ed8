"""Still pictures as a source: one file, a folder or a glob, in the order people expect."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
from natsort import natsorted, ns

from stream.errors import SourceError
from stream.frame import Capture, Frame
from stream.ports import SourceInfo
from stream.sources.address import file_address, redact_unknown
from stream.sources.config import SourceConfig
from stream.sources.exif import read_exif
from stream.sources.ffmpeg_errors import source_error
from stream.sources.unpack import Picture, Unpacker, mirrored

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")


def is_image(path: Path) -> bool:
    """Whether the name is that of a picture we read; hidden files, such as ``._a.jpg`` of macOS, are not meant."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def list_folder(folder: Path) -> list[Path]:
    """Pictures in ``folder``, naturally sorted.

    Raises:
        SourceError: it holds none, or cannot be listed.
    """
    try:
        paths = [p for p in folder.iterdir() if is_image(p)]
    except OSError as exc:
        raise SourceError(f"{folder}: cannot be listed ({exc.strerror}); check its access rights") from exc
    return _sorted(paths, f"{folder}: the folder holds no pictures")


def list_glob(pattern: str) -> list[Path]:
    """Pictures that match ``pattern`` (``**`` for any depth), naturally sorted.

    Raises:
        SourceError: none match.
    """
    paths = [Path(p) for p in glob.glob(pattern, recursive=True)]  # noqa: PTH207
    return _sorted(paths, f"{redact_unknown(pattern)}: matches no pictures")


def _sorted(paths: list[Path], complaint: str) -> list[Path]:
    paths = [p for p in paths if is_image(p)]
    if not paths:
        raise SourceError(f"{complaint}; they must end in {', '.join(IMAGE_SUFFIXES)}")
    return natsorted(paths, key=str, alg=ns.PATH)


class ImageSource:
    """Pictures of any sizes, one frame each, ``1 / image_rate`` seconds apart.

    ``pts`` is the place of the picture in the list, also where a broken one before it was left out.
    """

    def __init__(self, paths: Sequence[Path], *, name: str, config: SourceConfig) -> None:
        self._paths = tuple(paths)
        self._rate = config.image_rate_exact
        self._unpacker = Unpacker()
        self.info = SourceInfo(name=name, live=False, frame_rate=self._rate, frame_count=len(self._paths))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures in order. A broken one is left out with a warning.

        Raises:
            SourceError: not one of them could be read.
        """
        index = 0
        first: SourceError | None = None
        for position, path in enumerate(self._paths):
            try:
                frame = self._read(path, index, position)
            except SourceError as exc:
                first = first or exc
                if len(self._paths) > 1:
                    log.warning("left out: %s", exc)
                continue
            yield frame
            index += 1
        if index == 0 and first is not None:
            if len(self._paths) == 1:
                raise first
            count = len(self._paths)
            raise SourceError(f"{self.info.name}: none of {count} pictures could be read; {first}") from first

    def close(self) -> None:
        """Nothing stays open between pictures."""

    def _read(self, path: Path, index: int, position: int) -> Frame:
        picture = decode_image(path, self._unpacker)
        exif = read_exif(path)
        upright = mirrored(picture, exif.rotation) if exif.mirror else picture
        capture = Capture(
            index=index,
            pts=position,
            time_base=1 / self._rate,
            time_ns=round(position / self._rate * 10**9),
            clock="media",
            # Pillow's reading, not FFmpeg's: its angle cannot say "mirrored", and older FFmpegs look into JPEG only.
            rotation=exif.rotation,
        )
        return Frame(
            capture=capture,
            geometry=picture.geometry,
            planes=upright.planes,
            color_space=picture.color_space,
            color_range=picture.color_range,
            transfer=picture.transfer,
            focal_px=exif.focal_px(picture.geometry.width, picture.geometry.height),
        )


def _is_pipe(path: Path) -> bool:
    try:
        return path.is_fifo()
    except OSError:  # opening it will say why
        return False


def decode_image(path: Path, unpacker: Unpacker) -> Picture:
    """The first picture in an image file.

    Raises:
        SourceError: the file is missing, unreadable or not a picture.
    """
    address = file_address(path)
    if _is_pipe(path):  # opening it would wait for its writer, forever
        raise SourceError(f"{path}: a pipe, not a file; give a picture")
    try:
        with av.open(address.target, options=address.options, metadata_errors="replace") as container:
            for frame in container.decode(video=0):
                return unpacker.unpack(frame)
    except av.FFmpegError as exc:
        raise source_error(exc, address) from exc
    except IndexError:
        pass  # PyAV's word for "no video stream"
    raise SourceError(f"{path}: holds no picture FFmpeg can read; save it again as PNG or JPEG")
