"""How a device runs the network best: number type, launch, streams, memory."""

from model.config import EngineConfig
from model.engine.engine import Engine
from model.engine.process import prepare_process

__all__ = ["Engine", "EngineConfig", "prepare_process"]
