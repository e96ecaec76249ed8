"""What a device can do at most, how long things take on it, and what memory they need. Used by ``engine.py``."""

from __future__ import annotations

import gc
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from textwrap import shorten
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.pipeline import device_name
from model.engine.precision import DTYPES, Precision
from model.network import DepthProNetwork
from model.network.config import NetworkConfig


def milliseconds(run: Callable[[Tensor], object], x: Tensor, count: int) -> list[float]:
    """How long each of ``count`` runs takes, after one that is not counted: the caches were another contender's."""
    run(x)
    if x.device.type == "cpu":
        times = [time.perf_counter()]
        for _ in range(count):
            run(x)
            times.append(time.perf_counter())
        return [(end - start) * 1e3 for start, end in pairwise(times)]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    torch.cuda.synchronize(x.device)
    events[0].record()
    for event in events[1:]:  # from end to end, so that waiting for the host to launch counts
        run(x)
        event.record()
    torch.cuda.synchronize(x.device)
    return [start.elapsed_time(end) for start, end in pairwise(events)]


def useful_flops(config: NetworkConfig) -> int:
    """Floating-point operations of the trained network for one frame: the work, however little of it one gets by with.

    A multiplication and an addition count as two, and only those of products and convolutions count.
    """
    with torch.device("meta"):
        network, x = DepthProNetwork(config), torch.empty(1, 3, config.input_size, config.input_size)
    # Attention as its two products: what counts them does not know all the kernels that do it in one.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        network(x)
    return int(counter.get_total_flops())


def product_rate(precision: Precision, device: torch.device) -> float:
    """Floating-point operations per second of a large matrix product: the median of some."""
    side = 8192 if device.type == "cuda" else 512
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    if precision == "fp8":
        a8, b8 = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn)
        one = torch.ones((), device=device)

        def product(_: Tensor) -> Tensor:
            return torch._scaled_mm(a8, b8.T, one, one, out_dtype=torch.bfloat16)
    else:
        a, b = a.to(DTYPES[precision]), b.to(DTYPES[precision])

        def product(_: Tensor) -> Tensor:
            return a @ b

    return 2 * side**3 / (statistics.median(milliseconds(product, a, 20)) * 1e-3)


def copy_rate(device: torch.device) -> float:
    """Bytes per second that a copy within the device's memory reads and writes."""
    source = torch.ones(1 << (30 if device.type == "cuda" else 25), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    taken = milliseconds(lambda x: target.copy_(x), source, 10)
    return 2 * source.numel() / (statistics.median(taken) * 1e-3)


def allocated(device: torch.device) -> int:
    """Bytes in use on a GPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def free(device: torch.device) -> None:
    """Give memory back that nobody uses any longer."""
    torch._dynamo.reset()
    if device.type == "cuda":
        gc.collect()  # of a compiled network, parts hold on to each other
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()


def reason(error: Exception) -> str:
    """Why something failed, short: compilers tell pages."""
    return shorten(str(error), width=200, placeholder=" …") or type(error).__name__


def machine(device: torch.device) -> dict[str, Any]:
    """What figures depend on besides this project."""
    found: dict[str, Any] = {
        "device": device_name(device),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "cudnn": torch.backends.cudnn.version() if device.type == "cuda" else None,
        "driver": None,
    }
    if device.type == "cpu":
        found["capability"] = torch.backends.cpu.get_cpu_capability()
        return found
    found["capability"] = ".".join(map(str, torch.cuda.get_device_capability(device)))
    found["memory_bytes"] = torch.cuda.get_device_properties(device).total_memory
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        found["driver"] = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split("\n")[0]
    return found
