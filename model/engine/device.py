"""Which device the network runs on, and what its errors are called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stream.errors import ConfigError, ModelError


def choose_device(name: str) -> torch.device:
    """The device that ``name`` means.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as exc:
        raise ConfigError(f"device {name!r} is not one of auto, cpu, cuda, cuda:N") from exc
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {name!r} is not one of auto, cpu, cuda, cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ConfigError(f"device {name!r} is not here, this machine has {count} CUDA devices; try `device=cpu`")
    return device


@contextmanager
def torch_errors() -> Iterator[None]:
    """The one place where torch's errors become ours."""
    try:
        yield
    except torch.OutOfMemoryError as exc:
        raise ModelError(
            "the GPU is out of memory: close other programs, or use `low_memory=True` or `model=nano`"
        ) from exc
    except RuntimeError as exc:
        if "can't allocate memory" in str(exc):
            raise ModelError("the machine is out of memory: close other programs, or use `low_memory=True`") from exc
        raise ModelError(f"the network failed: {str(exc).strip().splitlines()[0]}") from exc
