"""Reads back what Depth Pro Stream has written: one file to copy, which needs numpy and av (PyAV) alone.

    for frame in read_depth("depth.mkv"):
        print(frame.index, frame.time_s, frame.depth.shape, frame.K[0, 0])

It reads lossless videos (``codec=ffv1``, every encoding), ``png:``, ``npz:`` and ``exr:`` files or folders of them
(EXR needs the package OpenEXR), and folders of ``lerobot:``.
"""

from __future__ import annotations

import json
import math
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthPicture:
    """Depth of one frame.

    Attributes:
        depth: ``float32 [H, W]``, metres along the optical axis. NaN: no estimate; +Inf: beyond range.
        K: ``float64 [3, 3]``, intrinsics for ``depth`` as it is sized here, in pixels.
        index: number of the frame in its source.
        pts: its time in the source, in units of ``time_base`` seconds; ``None`` where the source has none.
        time_s: its time in seconds of the source's clock.
        about: everything else that was noted of it.
    """

    depth: npt.NDArray[np.float32]
    K: npt.NDArray[np.float64]
    index: int
    pts: int | None
    time_base: Fraction
    time_s: float
    about: Mapping[str, Any]


def read_depth(path: str | Path) -> Iterator[DepthPicture]:
    """Yield the frames of a file, or of a folder in the order of their numbers.

    Raises:
        ValueError: it is nothing that Depth Pro Stream writes depth to, or it is damaged.
        OSError: it cannot be read.
        ModuleNotFoundError: it is EXR, and the package OpenEXR is not there.
    """
    path = Path(path)
    if (path / "meta" / "info.json").is_file():
        yield from _read_lerobot(path)
    elif path.is_dir():
        found = [p for p in path.glob("depth_*") if p.suffix in _READERS and p.stem[6:].isdigit()]
        if not found:
            raise ValueError(f"{path}: no depth_000000.png, .npz or .exr is in it")
        if len({p.suffix for p in found}) > 1:
            raise ValueError(f"{path}: there are several kinds of depth in it; name a file")
        for file in sorted(found, key=lambda p: int(p.stem[6:])):
            yield _READERS[file.suffix](file)
    elif path.suffix.lower() in _READERS:
        yield _READERS[path.suffix.lower()](path)
    else:
        try:
            yield from _read_video(path)
        except av.InvalidDataError as exc:
            raise ValueError(f"{path}: it is no video, or it is damaged") from exc


def decode(codes: npt.NDArray[np.uint16], mapping: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Codes ``uint16 [H, W]`` to metres ``float32 [H, W]``; 0 becomes NaN and 65535 +Inf.

    Raises:
        ValueError: an encoding that is not known.
    """
    kind = mapping.get("encoding")
    steps = (codes.astype(np.float64) - 1) / 65533
    if kind == "mm":
        metres = codes.astype(np.float64) / 1000
    elif kind == "log":
        metres = mapping["near_m"] * (mapping["far_m"] / mapping["near_m"]) ** steps
    elif kind == "inverse":
        near, far = 1 / mapping["near_m"], 1 / mapping["far_m"]
        metres = 1 / np.maximum(near - steps * (near - far), far)
    else:
        raise ValueError(f"depth is encoded as {kind!r}, which is not one of mm, log, inverse")
    metres[codes == 0] = math.nan
    metres[codes == 65535] = math.inf
    return metres.astype(np.float32)


def _picture(depth: npt.NDArray[np.float32], about: Mapping[str, Any]) -> DepthPicture:
    return DepthPicture(
        depth=depth,
        K=np.reshape(np.array(about["K"], np.float64), (3, 3)),
        index=about["index"],
        pts=about["pts"],
        time_base=Fraction(*about["time_base"]),
        time_s=about["capture_time_ns"] * 1e-9,
        about=about,
    )


def _read_video(path: Path) -> Iterator[DepthPicture]:
    cues: dict[int | None, Mapping[str, Any]] = {}
    with path.open("rb") as file, av.open(file, "r") as video:
        tags = video.metadata
        if "DEPTH_UNIT" not in tags or not video.streams.subtitles:
            raise ValueError(f"{path}: it has no depth in it; of videos, those with codec=ffv1 have")
        mapping = json.loads(tags.get("DEPTH_ENCODING", '{"encoding": "mm"}'))  # what is older is in millimetres
        waiting: deque[av.VideoFrame] = deque()  # for its cue, which may come before or after it
        for packet in video.demux(video.streams.video[0], video.streams.subtitles[0]):
            if packet.stream.type == "subtitle":
                if packet.size:
                    cues[packet.pts] = json.loads(bytes(packet))
            else:
                waiting += [frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)]
            while waiting and waiting[0].pts in cues:
                frame = waiting.popleft()
                codes = np.asarray(frame.to_ndarray(format="gray16le"), np.uint16)
                yield _picture(decode(codes, mapping), cues.pop(frame.pts))
        if waiting:
            raise ValueError(f"{path}: what belongs to the frame at {waiting[0].time} s is missing")


def _read_lerobot(folder: Path) -> Iterator[DepthPicture]:
    info = json.loads((folder / "meta" / "info.json").read_text(encoding="utf-8"))
    features = {k: f["info"] for k, f in info["features"].items() if f.get("info", {}).get("is_depth_map")}
    if "depth_pro_stream" not in info or len(features) != 1:
        raise ValueError(f"{folder}: it is a data set that was not written by Depth Pro Stream")
    ((key, about),) = features.items()
    shift, low, high = (about[f"video.{name}"] for name in ("shift", "depth_min", "depth_max"))
    try:
        lines = (folder / "meta" / "depth_pro_stream.jsonl").read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    with av.open(str(folder / info["video_path"].format(video_key=key, chunk_index=0, file_index=0))) as video:
        for number, frame in enumerate(video.decode(video=0)):
            codes = frame.to_ndarray(format="gray12le").astype(np.float64)
            metres = (low + shift) * ((high + shift) / (low + shift)) ** (codes / 4095) - shift
            if number >= len(lines):
                raise ValueError(f"{folder}: what belongs to frame {number} is missing in meta/depth_pro_stream.jsonl")
            yield _picture(metres.astype(np.float32), {**about, **json.loads(lines[number])})


def _read_png(path: Path) -> DepthPicture:
    about = _png_text(path.read_bytes()).get("Depth")
    if about is None:
        raise ValueError(f"{path}: it does not say how depth is encoded; depth = codes / 1000 is usual")
    with path.open("rb") as file, av.open(file, "r", format="png_pipe") as picture:
        codes = np.asarray(next(picture.decode(video=0)).to_ndarray(format="gray16le"), np.uint16)
    told = json.loads(about)
    return _picture(decode(codes, told), told)


def _png_text(data: bytes) -> dict[str, str]:
    """The text chunks of a PNG file: length, type, content and checksum follow each other (W3C's PNG, section 5)."""
    texts, at = {}, 8
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        key, _, text = body.partition(b"\0")
        if kind == b"tEXt":
            texts[key.decode("latin-1")] = text.decode("latin-1")
        elif kind == b"zTXt":
            texts[key.decode("latin-1")] = zlib.decompress(text[1:]).decode("latin-1")
        at += 12 + length
    return texts


def _read_npz(path: Path) -> DepthPicture:
    with np.load(path) as arrays:
        return _picture(arrays["depth"], json.loads(str(arrays["about"])))


def _read_exr(path: Path) -> DepthPicture:
    import OpenEXR

    with OpenEXR.File(str(path), separate_channels=True) as file:
        about = json.loads(file.header()["depthAbout"])
        (channel,) = file.channels().values()
        depth = channel.pixels.astype(np.float32)
    return _picture(depth, about)


_READERS = {".png": _read_png, ".npz": _read_npz, ".exr": _read_exr}
