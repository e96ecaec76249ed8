"""Every number of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from stream.errors import ConfigError

StageName = Literal["backbone", "tiles", "depth", "boundaries", "fov"]
STAGES: tuple[StageName, ...] = ("backbone", "tiles", "depth", "boundaries", "fov")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """One stage: linear warm-up, then a cosine down to zero, with Muon and AdamW.

    Attributes:
        steps: optimiser steps; 0 skips the stage, unless it has seconds.
        seconds: how long the stage takes by the clock, whatever `steps` says; 0 leaves it to the steps.
        batch: pictures per step.
        learning_rate: the highest one.
        weight_decay: on matrices only.
        average: decay of the moving average of the weights, which is what the stage hands on.
    """

    steps: int = 0
    seconds: float = 0.0
    batch: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    average: float = 0.998

    def __post_init__(self) -> None:
        stage = type(self).__name__.lower()
        for name, holds, allowed in (
            ("steps", self.steps >= 0, "0 or more"),
            ("seconds", 0 <= self.seconds < math.inf, "0 or more"),
            ("batch", self.batch >= 1, "1 or more"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "above 0"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more"),
            ("average", 0 <= self.average < 1, "from 0 to below 1"),
        ):
            if not holds:
                raise ConfigError(f"`{stage}.{name}` must be {allowed}, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone(StageConfig):
    """What stands in for the paper's pretrained transformers.

    One transformer learns canonical inverse depth and field of view from whole pictures at tile size, where a step is
    cheap, and starts all three.
    """

    steps: int = 7500
    batch: int = 64
    learning_rate: float = 3e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles(StageConfig):
    """What the tiles add: their transformer learns differences of log canonical inverse depth from single tiles."""

    steps: int = 4000
    batch: int = 4
    learning_rate: float = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth(StageConfig):
    """The paper's first stage: the whole network but the field-of-view branch, depth error alone."""

    steps: int = 2800
    batch: int = 2
    learning_rate: float = 8e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundaries(StageConfig):
    """The paper's second stage: the derivative losses as well."""

    steps: int = 1000
    batch: int = 2
    learning_rate: float = 3e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Fov(StageConfig):
    """The last stage: the field-of-view branch, everything else frozen."""

    steps: int = 900
    batch: int = 64
    learning_rate: float = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A whole run.

    Attributes:
        preset: the network's size, unless the run starts from a checkpoint.
        seed: of weights and of the order of pictures.
        validate_every: seconds between validations and checkpoints.
        backbone, tiles, depth, boundaries, fov: the stages, in this order.
    """

    preset: str = "nano"
    seed: int = 0
    validate_every: float = 240.0
    backbone: Backbone = field(default_factory=Backbone)
    tiles: Tiles = field(default_factory=Tiles)
    depth: Depth = field(default_factory=Depth)
    boundaries: Boundaries = field(default_factory=Boundaries)
    fov: Fov = field(default_factory=Fov)

    def __post_init__(self) -> None:
        if not 0 <= self.validate_every < math.inf:
            raise ConfigError(f"`validate_every` takes seconds from 0 on, not {self.validate_every}")
        if not any(self.stage(name).steps or self.stage(name).seconds for name in STAGES):
            raise ConfigError("there is nothing to train: every stage has 0 steps; give one of them some")

    def stage(self, name: StageName) -> StageConfig:
        """The stage of that name."""
        found: StageConfig = getattr(self, name)
        return found
