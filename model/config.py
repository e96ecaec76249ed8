"""What can be chosen about the network's stage; the one place its defaults live. Importing it does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stream.errors import ConfigError

Launch = Literal["eager", "graph", "compile"]
_LARGEST_SIDE = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Where and how the network runs.

    Raises:
        ConfigError: a value is out of range, or two do not go together.
    """

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    precision: Literal["auto", "fp32", "bf16", "fp16", "fp8"] = "auto"
    """Number type of the network. auto: bf16 where the hardware computes it, else fp32. fp8: approximate."""

    launch: Literal["auto", "eager", "graph", "compile"] = "auto"
    """How a GPU is told what to do. eager: step by step; graph: at once; compile: compiled first; auto: graph."""

    kernels: Literal["auto", "plain", "fused"] = "auto"
    """plain: torch's operations; fused: several in one pass, on GPUs; auto: the fastest that was measured."""

    deterministic: bool = False
    """The same picture has the same depth on a GPU too, bit for bit. With fp32 it always has."""

    batch: int = 1
    """Frames that go through the network together, 64 at most. For files: frames wait for each other."""

    low_memory: bool | None = None
    """A few tiles at a time: the same depth, slower, in less memory. Default: where a GPU has too little free."""

    reuse_tiles: float | None = None
    """Do not compute a tile again that differs by at most so many grey levels of 255. 0: identical tiles, exact. Above
    0: approximate, for cameras that stand still; noise needs 2 or 3. Not with batch or launch."""

    input_size: int | None = None
    """Side of the network's input in pixels, a multiple of 512. Approximate: depth-pro was trained at 1536, nano at
    512."""

    def __post_init__(self) -> None:
        _check_count("batch", self.batch, 64)
        if self.reuse_tiles is None:
            return
        if not 0 <= self.reuse_tiles < 255:
            raise ConfigError(f"`reuse_tiles` takes grey levels from 0 to below 255, not {self.reuse_tiles}")
        if self.batch > 1 or self.launch not in ("auto", "eager"):
            raise ConfigError("`reuse_tiles` looks at one frame after the other; leave out `batch` and `launch`")


@dataclass(frozen=True, slots=True, kw_only=True)
class RayConfig:
    """Who runs the network where Ray gives it to workers: :class:`model.engine.ray_engine.RayEngine`.

    Raises:
        ConfigError: a value is out of range.
    """

    workers: int | None = None
    """Of Ray. Default: one a GPU, or else what the cores allow."""

    worker_gpus: float | None = None
    """GPUs of each; 0.5: two share one; 0: the CPU."""
    # Default: 1 where the cluster has any.

    worker_cpus: int | None = None
    """Cores of each. Default: 1 beside a GPU, else all."""
    # All: as many threads as torch uses in one process here. On a CPU their number decides how sums are rounded: with
    # as many, depth is the same bit for bit.

    def __post_init__(self) -> None:
        for field in ("workers", "worker_cpus"):
            if (value := getattr(self, field)) is not None:
                _check_count(field, value, 10_000)
        gpus = self.worker_gpus
        if gpus is not None and not (0 <= gpus <= 1):
            raise ConfigError(f"`worker_gpus` must be from 0 to 1, a worker uses one GPU at most, not {gpus}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorConfig:
    """How frames go through the engine, and what comes out.

    Raises:
        ConfigError: a value is out of range.
    """

    output_size: str = "source"
    """Size of the depth: source, network or WxH."""

    in_flight: int = 2
    """Frames on a GPU at once. 2 hides transfers and the focal filter; 1 is slower, with a little less latency."""

    fov_every: int = 1
    """Once the focal length is steady (1 %), estimate it in every so many frames only."""

    steady: Literal["off", "scale", "full"] = "scale"
    """scale: what the network's scale jitters by is taken out, following how the camera moves; full: and pixels are
    averaged with their past where they agree; off: as it comes."""

    steady_hindsight: int | None = None
    """Frames after each one that tell of its scale as well, 250 at most. Default: 15 for files, 0 for cameras."""

    steady_strength: float = 0.8
    """With full: weight of the past, from 0 to below 1."""

    steady_threshold: float = 0.1
    """With full: relative difference at which the past counts nothing."""

    steady_persistence: int = 0
    """With full: frames, 1000 at most, that a pixel keeps its past where depth is missing or another."""

    def __post_init__(self) -> None:
        if self.steady not in ("off", "scale", "full"):
            raise ConfigError(f"`steady` is off, scale or full, not {self.steady!r}")
        if self.steady_hindsight is not None and not 0 <= self.steady_hindsight <= 250:
            raise ConfigError(f"`steady_hindsight` must be from 0 to 250 frames, not {self.steady_hindsight}")
        if not 0 <= self.steady_strength < 1:
            raise ConfigError(f"`steady_strength` must be from 0 to below 1, not {self.steady_strength}")
        if not 0 < self.steady_threshold <= 1:
            raise ConfigError(f"`steady_threshold` must be above 0 and at most 1, not {self.steady_threshold}")
        if not 0 <= self.steady_persistence <= 1000:
            raise ConfigError(f"`steady_persistence` must be from 0 to 1000, not {self.steady_persistence}")
        self.size(network=1)  # refuses what is none
        _check_count("in_flight", self.in_flight, 64)
        _check_count("fov_every", self.fov_every, 1000)

    def size(self, *, network: int) -> tuple[int, int] | None:
        """Width and height of the depth in pixels, or ``None`` for the size of each source frame.

        Args:
            network: side of what the network makes.

        Raises:
            ConfigError: ``output_size`` is no size.
        """
        if self.output_size == "source":
            return None
        if self.output_size == "network":
            return network, network
        width, _, height = self.output_size.lower().partition("x")
        if width.isdecimal() and height.isdecimal() and all(0 < int(n) <= _LARGEST_SIDE for n in (width, height)):
            return int(width), int(height)
        raise ConfigError(
            f"`output_size` {self.output_size!r} is not source, network or WxH in pixels, such as 640x480, up to "
            f"{_LARGEST_SIDE} a side"
        )


def _check_count(field: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise ConfigError(f"`{field}` must be from 1 to {most}, not {value}")
