"""A training run in a folder: stage after stage, with checkpoints it can go on from and curves to look at."""

from __future__ import annotations

import json
import logging
import os
import pickle
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from timm.layers import Attention
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model.engine.precision import choose
from model.lab.training.batch import Batch, Pictures, batches, validation
from model.lab.training.config import STAGES, StageConfig, StageName, TrainConfig
from model.lab.training.curves import draw_curves
from model.lab.training.optimizers import optimizers_for
from model.lab.training.pace import Recent, StageClock, learning_rate
from model.lab.training.pool import Pool
from model.lab.training.start import init_for_training
from model.lab.training.tasks import LEAST_C, Task, log_focal, task
from model.network import DepthProNetwork
from model.network.config import PRESETS, NetworkConfig
from model.weights import load, save
from stream.errors import ConfigError, ModelError

_log = logging.getLogger(__name__)
MAX_GRADIENT = 1.0
CHECKED_AFTER = 100
"""Steps of a stage after which it must not know less than before it."""
MAX_LOSS_OF_DELTA = 0.03
_TOLD_EVERY_S = 0.2


class Trainer:
    """Trains a network on pools, in ``folder``: ``checkpoint.pt``, ``history.jsonl``, ``curves.png``, a file per stage.

    Args:
        folder: of the run. If it has a checkpoint, the run goes on from there, and ``config`` must be the same.
        pools: where pictures come from; each stage takes the smallest ones that are as large as its pictures, or the
            largest.
        config: the run.
        start_from: a checkpoint to fine-tune, of any size, instead of random weights; see :func:`model.weights.load`.
        device: where to train. The network computes in bfloat16 where that is in hardware, with float32 weights.

    Raises:
        ConfigError: the folder has a run of another configuration, or cannot be written.
        WeightsError: ``start_from`` cannot be loaded.
    """

    def __init__(
        self,
        folder: Path,
        pools: list[Pool],
        config: TrainConfig,
        *,
        start_from: str | None = None,
        device: torch.device | None = None,
    ) -> None:
        self._folder = folder
        self._pools = sorted(pools, key=lambda pool: pool.config.size)
        self._config = config
        self._described: dict[str, Any] = {"start_from": start_from, **asdict(config)}  # as the run's files tell it
        self._device = device or torch.device("cpu")
        self._bfloat16 = choose("auto", self._device) == "bf16"
        self._resumed = self._read_checkpoint()
        torch.manual_seed(config.seed)
        self.network = _start(config, start_from).to(self._device)
        self._stopping = False
        if self._resumed is None:
            self._begin()

    def stop(self) -> None:
        """Let ``run`` end after the step it is in, with a checkpoint. Safe from signal handlers."""
        self._stopping = True

    def run(self) -> Path | None:
        """Train to the end. Returns the file with the trained network, in half precision; ``None`` if stopped before.

        Raises:
            ModelError: the gradient became infinite or not a number; the last checkpoint is from before.
        """
        first = self._resumed["stage"] if self._resumed else STAGES[0]
        for name in STAGES[STAGES.index(first) :]:
            stage = self._config.stage(name)
            if stage.steps or stage.seconds:
                self._train(name, stage)
                if self._stopping:
                    return None
                self._save(name)
            self._resumed = None
        return self._save("trained")

    # One stage --------------------------------------------------------------------------------------------------------

    def _train(self, name: StageName, stage: StageConfig) -> None:
        """Train to the end of a stage, or until stopped; the stage's result is in ``network`` at its end only."""
        learner = task(name, self.network).to(self._device)
        self.network.requires_grad_(False)
        modules = learner.trained()
        for module in modules:
            module.requires_grad_(True)
        learner.train()
        for module in learner.modules():
            if isinstance(module, Attention):
                # On a CPU in bfloat16, two products are faster than the fused kernel for so few tokens.
                module.fused_attn = self._device.type != "cpu" or not self._bfloat16
        optimizers = optimizers_for(modules, stage)
        averaged = AveragedModel(learner, multi_avg_fn=get_ema_multi_avg_fn(stage.average))  # type: ignore[no-untyped-call]
        step, spent = 0, 0.0
        if self._resumed:
            step, spent = self._resumed["step"], self._resumed.get("seconds", 0.0)
            learner.load_state_dict(self._resumed["learner"])
            for optimizer, state in zip(optimizers, self._resumed["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            averaged.load_state_dict(self._resumed["averaged"])
        pictures = Pictures(self._pool_for(learner.size), self._device)
        exam = validation(pictures, learner.size)

        begun = None
        if name in ("depth", "boundaries") and step == 0:
            begun = self._examine(learner, exam, stage.batch)
            learner.train()
            _log.info("%s begins with δ1 %.3f, AbsRel %.3f", name, begun["δ1"], begun["AbsRel"])

        recent = Recent()
        examined = told = time.monotonic()
        clock = StageClock(stage, step, spent)
        feed = batches(
            pictures,
            seed=self._config.seed * len(STAGES) + STAGES.index(name),
            start=step,
            count=stage.batch,
            size=learner.size,
        )
        with closing(feed), _progress() as progress:
            bar = progress.add_task(name, total=clock.total, completed=clock.done(step), loss="")
            over = clock.done(step) >= clock.total
            for batch in feed:
                if over:
                    break
                rate = learning_rate(stage.learning_rate, clock.done(step), clock.total)
                recent.note(*self._step(learner, batch, optimizers, rate))
                averaged.update_parameters(learner)
                step += 1
                # Asked once a step: a clock that is asked twice could end the stage without its last validation.
                over = clock.done(step) >= clock.total
                if time.monotonic() - told > _TOLD_EVERY_S:
                    text = "  ".join(f"{k} {v:.4f}" for k, v in recent.read().items())
                    progress.update(bar, completed=clock.done(step), loss=text)
                    told = time.monotonic()
                if begun and (step == CHECKED_AFTER or (over and step < CHECKED_AFTER)):
                    # Of the weights themselves: the average still is what it was at the start.
                    self._compare(name, begun, self._examine(learner, exam, stage.batch), step)
                    learner.train()
                is_due = over or time.monotonic() - examined > self._config.validate_every
                losses = recent.read() if is_due or self._stopping else {}
                if is_due:
                    figures = self._examine(averaged.module, exam, stage.batch)
                    self._record({"stage": name, "step": step, **losses, **figures})
                    progress.console.print(f"{name} {step}: " + "  ".join(f"{k} {v:.3f}" for k, v in figures.items()))
                    examined = time.monotonic()
                if is_due or self._stopping:
                    self._write_checkpoint(name, step, clock.seconds(), learner, optimizers, averaged)
                if self._stopping:
                    return
        learner.load_state_dict(averaged.module.state_dict())  # the average is better than where the last step ended
        learner.finish()

    def _step(
        self, learner: Task, batch: Batch, optimizers: list[torch.optim.Optimizer], rate: float
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The losses and the gradient's norm, on the device: who reads them waits for the step."""
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            losses = learner.loss(batch)
        total: Tensor = torch.stack(list(losses.values())).sum()
        learner.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(learner.parameters(), MAX_GRADIENT)
        for optimizer in optimizers:
            optimizer.step()
        return {key: value.detach() for key, value in losses.items()}, norm

    @torch.no_grad()
    def _examine(self, learner: Any, exam: Batch, count: int) -> dict[str, float]:
        """AbsRel, δ1 and focal error on pictures never trained on. The sky and what is as far does not count."""
        learner.eval()
        absrel, delta, focal = [], [], []
        for start in range(0, len(exam.fov_B), count):
            part = Batch(*(t[start : start + count] for t in (exam.x_B3SS, exam.target_BSS, exam.fov_B)))
            C_BSS, fov_B = learner.predict(part)
            if C_BSS is not None:
                truth = part.target_BSS > LEAST_C
                ratio = part.target_BSS[truth] / C_BSS[truth].float().clamp_min(LEAST_C)
                absrel.append((ratio - 1).abs())
                delta.append((torch.maximum(ratio, 1 / ratio) < 1.25).float())
            if fov_B is not None:
                focal.append((log_focal(fov_B.float()) - log_focal(part.fov_B)).expm1().abs())
        figures: dict[str, float] = {}
        if absrel:
            figures |= {"AbsRel": float(torch.cat(absrel).mean()), "δ1": float(torch.cat(delta).mean())}
        if focal:
            figures["focal error"] = float(torch.cat(focal).median())
        return figures

    def _compare(self, name: StageName, begun: dict[str, float], now: dict[str, float], steps: int) -> None:
        told = (
            f"{name} began with δ1 {begun['δ1']:.3f} and has {now['δ1']:.3f} after {steps} steps, before weights are "
            "averaged"
        )
        if now["δ1"] < begun["δ1"] - MAX_LOSS_OF_DELTA:
            _log.warning("%s: it loses what was learnt before; a lower --%s.learning-rate keeps it", told, name)
        else:
            _log.info("%s", told)

    def _pool_for(self, size: int) -> Pool:
        pool = next((pool for pool in self._pools if pool.config.size >= size), self._pools[-1])
        if (stored := pool.config.size) < size:
            _log.warning(
                "pictures of %d pixels are enlarged to %d, and show no more detail; a pool of --size %d does",
                stored,
                size,
                size,
            )
        return pool

    # Files ------------------------------------------------------------------------------------------------------------

    def _read_checkpoint(self) -> dict[str, Any] | None:
        path = self._folder / "checkpoint.pt"
        if not path.exists():
            return None
        try:
            found: dict[str, Any] = torch.load(path, map_location=self._device, weights_only=True)
        except OSError as exc:
            raise ConfigError(f"{path} cannot be read: {exc.strerror}") from exc
        except (RuntimeError, EOFError, pickle.UnpicklingError) as exc:  # what torch makes of a damaged file
            raise ConfigError(
                f"{path} is damaged; delete it, or go on in another folder with `start_from` and the last stage's file"
            ) from exc
        if differences := _differences(found["config"], self._described):
            raise ConfigError(
                f"{self._folder} holds a run of another configuration; go on as it was begun, "
                f"{', '.join(differences)}, or choose another folder"
            )
        _log.info("going on from %s, stage %s, step %d", path, found["stage"], found["step"])
        return found

    def _begin(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / "config.json").write_text(json.dumps(self._described, indent=2))
        except OSError as exc:
            raise ConfigError(f"{self._folder} cannot hold a training run: {exc.strerror}") from exc
        (self._folder / "history.jsonl").unlink(missing_ok=True)  # of a run that never came to a checkpoint

    def _write_checkpoint(
        self,
        name: StageName,
        step: int,
        seconds: float,
        learner: Task,
        optimizers: list[torch.optim.Optimizer],
        averaged: AveragedModel,
    ) -> None:
        state = {
            "config": self._described,
            "stage": name,
            "step": step,
            "seconds": seconds,
            "learner": learner.state_dict(),  # with all of the network
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "averaged": averaged.state_dict(),
        }
        temporary = self._folder / "checkpoint.tmp"
        try:
            torch.save(state, temporary)
            temporary.replace(self._folder / "checkpoint.pt")
        except (OSError, RuntimeError) as exc:  # a full disk is a RuntimeError of torch's zip writer
            temporary.unlink(missing_ok=True)
            before = " from the checkpoint before it" if (self._folder / "checkpoint.pt").exists() else ""
            raise ModelError(
                f"{temporary} cannot be written, is the disk full? Make room, and the same command goes on{before}"
            ) from exc

    def _save(self, name: str) -> Path:
        """The network as it is now, as a file the product loads."""
        path = self._folder / f"{name}.safetensors"
        stored = DepthProNetwork(self.network.config)
        stored.load_state_dict(self.network.state_dict())
        start = self._described["start_from"]
        told = self._described | {"start_from": start and Path(start).name}  # folders are nobody's business
        notes = {"training": json.dumps(told)}
        save(stored.to(torch.float16), path, trained=True, notes=notes)
        return path

    def _record(self, line: dict[str, Any]) -> None:
        history, curves = self._folder / "history.jsonl", self._folder / "curves.png"
        try:
            with history.open("a") as file:
                file.write(json.dumps(line) + os.linesep)
            draw_curves(history, curves)
        except OSError as exc:
            raise ModelError(
                f"{history} and {curves.name} cannot be written: {exc.strerror}; make room, and the same command goes "
                "on from the last checkpoint"
            ) from exc


def _differences(found: dict[str, Any], given: dict[str, Any], prefix: str = "") -> list[str]:
    """Options that are not as they were, each with the value it had."""
    told = []
    for key in found | given:
        field, then, now = prefix + key, found.get(key), given.get(key)
        if isinstance(then, dict) and isinstance(now, dict):
            told += _differences(then, now, f"{field}.")
        elif then != now:
            told.append(f"without `{field}`" if then is None else f"`{field}={then}`")
    return told


def _start(config: TrainConfig, start_from: str | None) -> DepthProNetwork:
    if start_from is not None:
        loaded = load(start_from)
        network = DepthProNetwork(loaded.config)
        network.load_state_dict(loaded.network.state_dict())
        return network
    network = DepthProNetwork(network_config(config, None))
    init_for_training(network, config.seed)
    return network


def network_config(config: TrainConfig, start_from: str | None) -> NetworkConfig:
    """The size of the network that a run trains.

    Raises:
        ConfigError: there is no such preset.
        WeightsError: ``start_from`` cannot be loaded.
    """
    if start_from is not None:
        return load(start_from).config
    if config.preset not in PRESETS:
        raise ConfigError(f"there is no preset {config.preset!r}; there are {', '.join(PRESETS)}")
    return PRESETS[config.preset]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )
