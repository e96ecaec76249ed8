"""What to evaluate on, as it is named on the command line: rendered scenes, a folder of pairs, a video with depth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from model.lab.evaluation import pairs, videos
from model.lab.evaluation.cameras import Cameras
from model.lab.evaluation.sample import Sample
from stream.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Where truth comes from."""

    depth: Path | None = None
    """For a video: the video of its depth, 16-bit gray."""

    depth_scale: float = 1000.0
    """Values per metre in 16-bit depth: 1000 for millimetres, 5000 in TUM RGB-D. 0 is no truth, 65535 beyond range."""

    fx: float | None = None
    """True focal length in pixels of the pictures. Default: the file with intrinsics in the folder."""

    camera_info: Path | None = None
    """True camera as a ROS calibration file (YAML), scaled to the size of the pictures."""

    limit: int | None = None
    """Stop after this many pictures."""

    long_side: int = 512
    """For seeds: and flights:, the longer side of rendered pictures, in pixels."""

    samples: int = 2
    """For seeds: and flights:, samples per pixel and axis in rendered pictures."""

    frames: int = 48
    """For flights:, frames of each."""

    frame_rate: float = 15.0
    """For flights:, frames per second."""

    cache: Path | None = None
    """For seeds:, a folder in which rendered pictures are kept for the next time."""

    def __post_init__(self) -> None:
        for name, value in (("depth_scale", self.depth_scale), ("fx", self.fx), ("frame_rate", self.frame_rate)):
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"`{name}` must be a positive number, not {value}")
        for name, count, least in (
            ("limit", self.limit, 1),
            ("long_side", self.long_side, 32),
            ("samples", self.samples, 1),
            ("frames", self.frames, 2),
        ):
            if count is not None and count < least:
                raise ConfigError(f"`{name}` must be at least {least}, not {count}")
        if self.fx is not None and self.camera_info is not None:
            raise ConfigError("`fx` and `camera_info` both say what the focal length is; give only one of them")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Pictures with truth. ``count`` is how many, ``None`` where unknown beforehand; ``samples`` can be taken once."""

    name: str
    count: int | None
    samples: Iterator[Sample]


def open_dataset(spec: str, config: DataConfig, *, device: str = "cpu") -> Dataset:
    """Find out what ``spec`` means, and check what can be checked without reading pictures.

    Args:
        spec: ``seeds:200`` or ``seeds:0-199`` (rendered scenes that no training has seen), ``flights:3`` (rendered
            videos with poses), a folder of pairs (see :mod:`model.lab.evaluation.pairs`), or a video file.
        config: how it is read.
        device: where scenes are rendered.

    Raises:
        ConfigError: nothing can be made of ``spec`` with these options.
        SourceError: a file cannot be read. Also raised by ``samples``, at the picture concerned.
    """
    scheme, _, numbers = spec.partition(":")
    path = Path(spec).expanduser()
    if scheme in ("seeds", "flights") and not path.exists():
        return _limited(_rendered(spec, scheme, numbers, config, device), config.limit)
    if path.is_dir():
        if config.depth is not None:
            raise ConfigError(f"`depth` is for videos; {path} is a folder, whose depth lies in it")
        cameras = Cameras(path, fx=config.fx, camera_info=config.camera_info)
        found = pairs.find(path)
        samples = pairs.read(found, cameras, depth_scale=config.depth_scale)
        return _limited(Dataset(path.name, len(found), samples), config.limit)
    if path.is_file():
        if config.depth is None:
            raise ConfigError(f"{path} is a file: give the video of its depth as `depth`, or a folder of pairs instead")
        cameras = Cameras(path.parent, fx=config.fx, camera_info=config.camera_info)
        count, samples = videos.read(path, config.depth, cameras, depth_scale=config.depth_scale)
        return _limited(Dataset(path.name, count, samples), config.limit)
    raise ConfigError(f"{spec} is neither a folder, a video, seeds:200 nor flights:3")


def _rendered(spec: str, scheme: str, numbers: str, config: DataConfig, device: str) -> Dataset:
    from model.lab.evaluation import rendered_scenes  # the renderer is of no use to other data

    seeds = rendered_scenes.held_out(spec, numbers)
    if scheme == "seeds":
        samples = rendered_scenes.stills(
            seeds, long_side=config.long_side, samples=config.samples, cache=config.cache, device=device
        )
        return Dataset(spec, len(seeds), samples)
    samples = rendered_scenes.flights(
        seeds,
        frames=config.frames,
        long_side=config.long_side,
        frame_rate=config.frame_rate,
        samples=config.samples,
        device=device,
    )
    return Dataset(spec, len(seeds) * config.frames, samples)


def _limited(data: Dataset, limit: int | None) -> Dataset:
    if limit is None:
        return data
    count = limit if data.count is None else min(limit, data.count)
    return Dataset(data.name, count, islice(data.samples, limit))
