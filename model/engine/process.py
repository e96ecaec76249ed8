"""Settings of the whole process. A program makes them, never a library by being imported or by constructing something.

What the process's allocator keeps, and where compilers put their work, concerns everything that runs in the process.
"""

from __future__ import annotations

import os

import torch

from model.engine.host_memory import keep_freed_memory
from model.weights.hub import cache_dir


def prepare_process(device: torch.device) -> None:
    """Set up this process for a network on ``device``. A program calls it once, before it makes an engine.

    On a CPU, freed memory is kept for the next frame (see :func:`keep_freed_memory`): about a fifth of nano's time. On
    a GPU, what torch compiles is kept in this program's cache folder, unless ``TORCHINDUCTOR_CACHE_DIR`` names another.
    Without the call everything works, slower.
    """
    if device.type == "cpu":
        keep_freed_memory()
    else:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_dir() / "compiled"))
