"""From what the user asks for to an engine that is ready to run."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from model.config import EngineConfig, RayConfig
from model.engine.device import choose_device
from model.engine.engine import Engine
from model.engine.process import prepare_process
from model.engine.ray_engine import RayEngine
from model.weights import load, resolve_auto
from stream.ports import SourceInfo

_log = logging.getLogger(__name__)


def open_engine(
    model: str, config: EngineConfig, ray: RayConfig | None, *, infos: Sequence[SourceInfo], may_download: bool
) -> Engine | RayEngine:
    """The network, ready to run, for all sources.

    Args:
        model: ``auto``, the name of a packaged or published one, or the path of a checkpoint.
        config: how it runs.
        ray: where its workers are, if they are others than this process.
        infos: of the sources. While code is compiled, depth of cameras is computed already.
        may_download: whether ``auto`` may fetch the published weights.

    Raises:
        ConfigError: there is no such device, or the extra ``ray`` is not installed.
        WeightsError: the checkpoint cannot be had.
        ModelError: the device failed or is out of memory.
    """
    running: Engine | RayEngine
    if ray is not None:
        prepare_process(choose_device("cpu"))
        running = RayEngine(model, config, ray, may_download=may_download)
        trained, name = running.trained, running.label
    else:
        device = choose_device(config.device)
        prepare_process(device)
        if model == "auto":
            model, reason = resolve_auto(cuda_available=device.type == "cuda", may_download=may_download)
            _log.info("model %s. %s", model, reason)
        loaded = load(model)
        running = Engine(loaded, config, compile_beside=any(info.live for info in infos))
        trained, name = loaded.trained, loaded.name
    if not trained:
        _log.warning("%s is untrained: its depth means nothing yet, and every output says so", name)
    for info in infos:
        _log.info("%s: %s in %s on %s", info.name, name, running.precision, running.device)
    return running
