"""How far a stage of training is, how fast it learns there, and how its losses go."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from model.lab.training.config import StageConfig
from stream.errors import ModelError


class Recent:
    """Running means of the losses, kept on the device: a GPU that was asked after each step would wait for the host."""

    def __init__(self) -> None:
        self._means: dict[str, Tensor] = {}
        self._sum_of_norms: Tensor | None = None

    def note(self, losses: dict[str, Tensor], norm: Tensor) -> None:
        """Take in a step."""
        for key, value in losses.items():
            now = value.float()
            self._means[key] = torch.lerp(self._means[key], now, 0.02) if key in self._means else now
        # A sum is finite as long as all of it is.
        self._sum_of_norms = norm if self._sum_of_norms is None else self._sum_of_norms + norm

    def read(self) -> dict[str, float]:
        """The means, once the device has come so far.

        Raises:
            ModelError: the gradient became infinite or not a number since the last time.
        """
        if self._sum_of_norms is not None and not math.isfinite(float(self._sum_of_norms)):
            raise ModelError("the gradient is no number; go on from the checkpoint with a lower learning rate")
        self._sum_of_norms = None
        return {key: float(value) for key, value in self._means.items()}


class StageClock:
    """How far a stage is: in steps, or in whole seconds of the clock. A resumed stage has the rest of its time."""

    def __init__(self, stage: StageConfig, step: int, spent: float) -> None:
        self._timed = stage.seconds > 0
        self.total = max(round(stage.seconds), 1) if self._timed else stage.steps
        self._began = time.monotonic() - spent
        self._least = step + 1

    def seconds(self) -> float:
        """How long the stage has taken so far, earlier runs included."""
        return time.monotonic() - self._began

    def done(self, step: int) -> int:
        """What is done of ``total``. A stage takes at least one step, however late its time begins."""
        if not self._timed:
            return step
        least = self.total if step >= self._least else self.total - 1
        return min(int(self.seconds()), least)


def learning_rate(highest: float, done: int, total: int) -> float:
    """A linear rise over the first twenty-fifth, then a cosine down to zero."""
    rise = max(total // 25, 1)
    if done < rise:
        return highest * (done + 1) / rise
    return highest * 0.5 * (1 + math.cos(math.pi * (done - rise) / max(total - rise, 1)))
