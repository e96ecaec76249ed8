"""How weights are changed: Muon for the transformers' matrices, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from model.lab.training.config import StageConfig


def optimizers_for(modules: list[nn.Module], stage: StageConfig) -> list[torch.optim.Optimizer]:
    """Optimizers for all parameters of ``modules``. Biases, scales and positions are not decayed.

    Muon (https://kellerjordan.github.io/posts/muon/) makes every direction of a matrix learn equally fast. Pixels of a
    patch are so alike that otherwise a transformer learns little but their mean for a long time: here it needs a
    quarter of the pictures. Its steps are scaled to be as long as AdamW's, so that both share a learning rate.
    """
    named = [(name, parameter) for module in modules for name, parameter in module.named_parameters()]
    matrices = [p for name, p in named if p.ndim > 1 and ("blocks." in name or "patch_embed." in name)]
    chosen = {id(p) for p in matrices}
    others = [p for _, p in named if id(p) not in chosen]
    rate, decay = stage.learning_rate, stage.weight_decay
    groups = [
        {"params": [p for p in others if p.ndim > 1 and p.shape[0] > 1], "weight_decay": decay},
        {"params": [p for p in others if not (p.ndim > 1 and p.shape[0] > 1)], "weight_decay": 0.0},
    ]
    return [torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98)), MatrixMuon(matrices, rate=rate, decay=decay)]


class MatrixMuon(torch.optim.Muon):
    """Muon that takes convolutions too, as long as their patches do not overlap: as matrices ``[out, in · k · k]``."""

    def __init__(self, parameters: Iterable[nn.Parameter], *, rate: float, decay: float) -> None:
        # The matrices share the parameters' memory.
        self._shaped = [(p, nn.Parameter(p.detach().flatten(1))) for p in parameters]
        matrices = [matrix for _, matrix in self._shaped]
        super().__init__(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step along the parameters' gradients."""
        for parameter, matrix in self._shaped:
            matrix.grad = None if parameter.grad is None else parameter.grad.flatten(1)
        return super().step(closure)  # type: ignore[no-untyped-call]
