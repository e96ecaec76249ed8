"""Several files, folders and globs as a list of videos, each with a place in the tree it was found in."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from urllib.parse import unquote, urlsplit

from natsort import natsorted, ns

from stream.errors import ConfigError
from stream.sources.address import NETWORK_SCHEMES, local_path, redact_unknown
from stream.sources.images import is_image

VIDEO_SUFFIXES = frozenset(
    """.3g2 .3gp .264 .265 .asf .avi .divx .dv .f4v .flv .gif .h264 .h265 .hevc .ivf .m1v .m2t .m2ts .m2v .m4v .mjpeg
    .mjpg .mk3d .mkv .mov .mp4 .mpe .mpeg .mpg .mpv .mts .mxf .nut .obu .ogm .ogv .qt .rm .rmvb .ts .vob .webm .wmv
    .y4m""".split()  # noqa: SIM905 (a list would fill the page)
)
"""Endings that make a file in a folder a video. A file that is named itself may have any."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_CAMERAS = frozenset(NETWORK_SCHEMES) - {"http", "https"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """One input of a batch.

    Attributes:
        source: what :func:`stream.sources.open_source` opens.
        folder: where it was found, below the folder that was named; ``.`` for what was named itself.
        stem: what its outputs are named after, unlike that of any other video of the same folder.
        trouble: why it cannot be converted, where that is known already.
    """

    source: str
    folder: PurePath
    stem: str
    trouble: str = ""

    @property
    def name(self) -> str:
        """For people; without credentials."""
        return redact_unknown(self.source)


def is_batch(sources: Sequence[str]) -> bool:
    """Whether ``sources`` are to be converted one after another: several without names, or a folder of videos."""
    if len(sources) > 1:
        return not any(_has_name(source) for source in sources)
    return len(sources) == 1 and len(_expand(sources[0])) > 0


def find_videos(sources: Sequence[str], *, without: Path | None = None) -> list[Video]:
    """The videos that ``sources`` name, in their order; those of a folder naturally sorted.

    Args:
        sources: files, folders, globs, or addresses of files. A folder of pictures is one video, as is a glob of
            pictures; pictures that are named one by one are each a video of one frame.
        without: a folder in which nothing is looked for.

    Raises:
        ConfigError: one of them is a camera, or all that is found lies in ``without``.
    """
    found: list[Video] = []
    for source in sources:
        scheme = _SCHEME.match(source)
        if source == "demo" or source.startswith("webcam") or (scheme and scheme[1].lower() in _CAMERAS):
            raise ConfigError(
                f"{', '.join(map(redact_unknown, sources))}: not all are files; several cameras in one run need names, "
                "such as front=webcam:0 rear=webcam:1, and files are converted in runs of their own"
            )
        found += _expand(source) or [Video(source=source, folder=PurePath(), stem=_stem(source))]
    if (pictures := sum(is_image(Path(v.source)) for v in found)) > 1:
        _log.info("%d pictures, each by itself; to make one video of them, name their folder", pictures)
    ours = None if without is None else without.resolve()
    read = [v for v in found if ours is None or not _is_below(v.source, ours)]
    if not read:
        raise ConfigError(f"all that was found lies in {without}, where outputs go; name another folder for them")
    different: dict[str, Video] = {}
    for video in read:
        different.setdefault(_file_of(video.source), video)
    return _told_apart(list(different.values()))


def _file_of(source: str) -> str:
    """The same however its folder is written."""
    return source if _SCHEME.match(source) else os.path.abspath(source)  # noqa: PTH100 (a link is a name of its own)


def _expand(source: str) -> list[Video]:
    """The videos of a folder or glob; none if ``source`` is something else, or a folder or glob of pictures."""
    try:
        path = local_path(source)
        if path.is_dir():
            return _of_folder(path)
        if glob.has_magic(source) and not path.exists():
            matches = _sorted(Path(p) for p in glob.iglob(source, recursive=True))  # noqa: PTH207
            return [Video(source=str(p), folder=PurePath(), stem=p.stem) for p in matches]
    except (OSError, ValueError):  # opening it will say why
        pass
    return []


def _of_folder(top: Path) -> list[Video]:
    """The videos below ``top``, and behind them what may hold some and cannot be looked into."""
    errors: list[OSError] = []
    files: list[Path] = []
    for folder, folders, names in os.walk(top, onerror=errors.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    videos = [Video(source=str(p), folder=p.parent.relative_to(top), stem=p.stem) for p in _sorted(files)]
    if not videos:  # pictures may be what is meant
        return []
    return videos + [
        Video(
            source=str(path := Path(exc.filename)),
            folder=path.parent.relative_to(top),
            stem=path.name,
            trouble=f"this folder cannot be read ({str(exc.strerror).lower()}); check its access rights",
        )
        for exc in errors
    ]


def _sorted(paths: Iterable[Path]) -> list[Path]:
    return natsorted((p for p in paths if p.suffix.lower() in VIDEO_SUFFIXES and _is_file(p)), key=str, alg=ns.PATH)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its folder may be listed and not entered: opening it will say why
        return True


def _has_name(source: str) -> bool:
    return re.match(r"[A-Za-z0-9_.-]{1,64}=", source) is not None and not Path(source).exists()


def _stem(source: str) -> str:
    if _SCHEME.match(source) and not source.lower().startswith("file:"):
        return Path(unquote(urlsplit(source).path)).stem or "stream"
    path = local_path(source)
    if glob.has_magic(path.name) and not path.exists():
        return path.parent.resolve().name or "pictures"
    return (path.resolve().name if path.is_dir() else path.stem) or "video"


def _is_below(source: str, folder: Path) -> bool:
    return Path(source).resolve().is_relative_to(folder) if _SCHEME.match(source) is None else False


def _told_apart(videos: list[Video]) -> list[Video]:
    """``a.mp4`` and ``a.mov`` of one folder keep their endings; what has still one name gets a number.

    What cannot be converted has no outputs, and changes no other's names.
    """

    def places(of: Iterable[Video]) -> Counter[PurePath]:
        return Counter(v.folder / v.stem for v in of)

    seen = places(v for v in videos if not v.trouble)
    videos = [replace(v, stem=PurePath(v.source).name) if seen[v.folder / v.stem] > 1 else v for v in videos]
    seen, times = places(v for v in videos if not v.trouble), Counter[PurePath]()
    told = []
    for video in videos:
        place = video.folder / video.stem
        times[place] += 1
        told.append(replace(video, stem=f"{video.stem}-{times[place]}") if seen[place] > 1 else video)
    return told
