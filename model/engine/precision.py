"""Which number type the network runs in."""

from __future__ import annotations

import logging
from typing import Literal

import torch

from stream.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16", "fp8"]

# The last layers of both heads stay in float32 (model/network/inference/heads.py).
# fp8: the products in the transformers' blocks, everything else in bf16.
DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp8": torch.bfloat16,
}

_WIDER: dict[Precision, Precision] = {"fp8": "bf16", "bf16": "fp32", "fp16": "fp32"}

_log = logging.getLogger(__name__)


def choose(wanted: Precision | Literal["auto"], device: torch.device) -> Precision:
    """The type that ``auto`` means on ``device``: bf16 where it is computed in hardware, else fp32.

    bf16 rather than fp16, because it has fp32's range: fp16 activations have overflowed on some GPUs.

    Raises:
        ConfigError: ``wanted`` cannot run on ``device``.
    """
    if wanted != "auto":
        if wanted == "fp16" and device.type == "cpu":
            raise ConfigError("fp16 is slower than fp32 on a CPU; choose `precision=bf16`, fp32 or auto")
        if wanted == "fp8" and not _has_fp8(device):
            raise ConfigError(
                f"{device} does not multiply in fp8, as NVIDIA GPUs do from Ada on; choose `precision=auto`"
            )
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    return "bf16" if _cpu_has_bf16() else "fp32"


def _has_fp8(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


def _cpu_has_bf16() -> bool:
    """Whether matrix products in bf16 are instructions here, not emulated (which is far slower than fp32)."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def wider(precision: Precision) -> Precision | None:
    """What to fall back to when ``precision`` gives infinities or NaN; ``None``: there is nothing wider."""
    return _WIDER.get(precision)
