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
from stream.sources.damage import Damage, is_whole_jpeg
from stream.sources.exif import read_exif
from stream.sources.ffmpeg_errors import source_error
from stream.sources.pillow import is_for_pillow, pages
from stream.sources.unpack import Picture, Unpacker, mirrored

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".dpx", ".exr", ".hdr", ".heic", ".heif", ".hif", ".j2k", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm",
    ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
_ALSO_IN_FOLDERS = (".gif",)  # which by itself is a film
_JPEG_SUFFIXES = (".jpeg", ".jpg")


def is_image(path: Path) -> bool:
    """Whether the name is that of a picture we read; hidden files, such as ``._a.jpg`` of macOS, are not meant."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def list_folder(folder: Path) -> list[Path]:
    """Pictures in ``folder``, naturally sorted.

    Raises:
        SourceError: it holds none, or cannot be listed.
    """
    try:
        paths = list(folder.iterdir())
    except OSError as exc:
        raise SourceError(f"{folder}: cannot be listed ({exc.strerror}); check its access rights") from exc
    return _sorted(paths, f"{folder}: the folder holds neither pictures nor videos")


def list_glob(pattern: str) -> list[Path]:
    """Pictures that match ``pattern`` (``**`` for any depth), naturally sorted.

    Raises:
        SourceError: none match.
    """
    paths = [Path(p) for p in glob.glob(pattern, recursive=True)]  # noqa: PTH207
    if not paths:
        raise SourceError(f"{redact_unknown(pattern)}: no file has such a name; check the path and the pattern")
    return _sorted(paths, f"{redact_unknown(pattern)}: nothing that can be read has such a name")


def _sorted(paths: list[Path], complaint: str) -> list[Path]:
    paths = [p for p in paths if is_image(p) or (p.suffix.lower() in _ALSO_IN_FOLDERS and not p.name.startswith("."))]
    if not paths:
        raise SourceError(f"{complaint}; pictures end in {', '.join(IMAGE_SUFFIXES)}")
    return natsorted(paths, key=str, alg=ns.PATH)


class ImageSource:
    """Pictures of any sizes, one frame each, ``1 / image_rate`` seconds apart; of a file with pages, each of them.

    ``pts`` is the place of the picture in the list, also where a broken one before it was left out.
    """

    def __init__(self, paths: Sequence[Path], *, name: str, config: SourceConfig) -> None:
        self._paths, self._strict = tuple(paths), config.strict
        self._damage = Damage(name)
        self._rate = config.image_rate_exact
        self._unpacker = Unpacker()
        self.info = SourceInfo(name=name, live=False, frame_rate=self._rate, frame_count=len(self._paths))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures in order. A broken one is left out with a warning.

        Raises:
            SourceError: not one of them could be read.
        """
        index = position = 0
        first: SourceError | None = None
        for path in self._paths:
            try:
                for frame in self._read(path, index, position):
                    yield frame
                    index, position = index + 1, position + 1
            except SourceError as exc:
                first = first or exc
                position += 1
                if len(self._paths) > 1:
                    log.warning("left out: %s", exc)
        self._damage.tell()
        if self._strict and index and (first or self._damage):
            raise SourceError(f"{self.info.name}: {first or self._damage}")
        if index == 0 and first is not None:
            if len(self._paths) == 1:
                raise first
            count = len(self._paths)
            raise SourceError(f"{self.info.name}: none of {count} pictures could be read; {first}") from first

    def close(self) -> None:
        """Nothing stays open between pictures."""

    def _read(self, path: Path, first: int, position: int) -> Iterator[Frame]:
        """The pictures of a file; the first one is frame ``first``."""
        _refuse_pipe(path)
        exif = read_exif(path)
        for number, picture in enumerate(self._pictures(path, first)):
            upright = mirrored(picture, exif.rotation) if exif.mirror else picture
            geometry = picture.geometry
            capture = Capture(
                index=first + number,
                pts=position + number,
                time_base=1 / self._rate,
                time_ns=round((position + number) / self._rate * 10**9),
                clock="media",
                # Pillow's, not FFmpeg's: its angle cannot say "mirrored", and older FFmpegs look into JPEG only.
                rotation=exif.rotation,
            )
            yield Frame(
                capture=capture,
                geometry=geometry,
                planes=upright.planes,
                color_space=picture.color_space,
                color_range=picture.color_range,
                transfer=picture.transfer,
                focal_px=exif.focal_px(geometry.width, geometry.height),
            )

    def _pictures(self, path: Path, index: int) -> Iterator[Picture]:
        if is_for_pillow(path):
            yield from pages(path)
            return
        yield decode_image(path, self._unpacker)
        if path.suffix.lower() in _JPEG_SUFFIXES and not is_whole_jpeg(path.read_bytes()):
            self._damage.note(index)


def _refuse_pipe(path: Path) -> None:
    """Opening a pipe would wait for its writer, forever."""
    try:
        is_pipe = path.is_fifo()
    except OSError:  # opening it will say why
        return
    if is_pipe:
        raise SourceError(f"{path}: a pipe, not a file; give a picture")


def decode_image(path: Path, unpacker: Unpacker) -> Picture:
    """The first picture in an image file.

    Raises:
        SourceError: the file is missing, unreadable or not a picture.
    """
    address = file_address(path)
    _refuse_pipe(path)
    try:
        with av.open(address.target, options=address.options, metadata_errors="replace") as container:
            for frame in container.decode(video=0):
                return unpacker.unpack(frame)
    except av.FFmpegError as exc:
        raise source_error(exc, address) from exc
    except IndexError:
        pass  # PyAV's word for "no video stream"
    raise SourceError(f"{path}: holds no picture FFmpeg can read; save it again as PNG or JPEG")
