"""The client of the protocol, ``depth_subscriber.py``: a copy beside this file, or wherever PYTHONPATH has it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

PLACES = ("ros2_depth_bridge.depth_subscriber", "sinks.zeromq.depth_subscriber", "depth_subscriber")


def _find() -> ModuleType:
    for place in PLACES:
        try:
            return import_module(place)
        except ModuleNotFoundError as exc:
            if not f"{place}.".startswith(f"{exc.name}."):
                raise  # it is there, and lacks something itself
    raise ModuleNotFoundError("No module named 'depth_subscriber'", name="depth_subscriber")


_client = _find()

DepthMessage = _client.DepthMessage
DepthSubscriber = _client.DepthSubscriber
DepthTimeout = _client.DepthTimeout
Keys = _client.Keys
keep_receive_memory = _client.keep_receive_memory
