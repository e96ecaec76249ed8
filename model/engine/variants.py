"""The one table of choices that only a card can make: how long a frame of depth-pro takes in which variant.

``python benchmarks/engine.py --levers`` measures a card and prints its row.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import torch

from model.engine.precision import Precision
from model.network.inference.fused import has_triton
from model.network.inference.variant import FUSED, PLAIN, Variant

VARIANTS = MappingProxyType(
    {
        "plain": PLAIN,
        "streams": Variant(side_streams=True),
        "streams, gelu": Variant(side_streams=True, gelu_in_product=True),
        "streams, gelu, norms": Variant(side_streams=True, gelu_in_product=True, fused_norms=True),
        "streams, gelu, convolutions": Variant(side_streams=True, gelu_in_product=True, fused_convolutions=True),
        "streams, gelu, head": Variant(side_streams=True, gelu_in_product=True, fused_head=True),
        "fused": FUSED,
    }
)
"""By name: each lever on top of those that are known to help, and all together."""

MEASURED_MS = MappingProxyType(
    {
        # bf16, batch 1, as one CUDA graph; torch 2.11.0+cu130, 26 November 2026.
        "NVIDIA H100 80GB HBM3": {"plain": 46.2, "streams": 45.3, "streams, gelu": 43.2},
    }
)
"""Milliseconds a frame by card. What is not in here has not been measured, and ``auto`` does not choose it."""

_LIKELY = "NVIDIA H100 80GB HBM3"  # the card to go by where one has not been measured


def choose_variant(wanted: str, device: torch.device, precision: Precision) -> Variant:
    """How the network is put together on ``device``.

    Args:
        wanted: ``kernels`` of :class:`EngineConfig`: ``plain``, ``fused``, or ``auto``, the fastest that was measured.
        device: where it runs.
        precision: the number type. In float32 the GELU is exact.
    """
    if device.type != "cuda" or wanted == "plain":
        return PLAIN
    variant = FUSED
    if wanted == "auto":
        measured = MEASURED_MS.get(torch.cuda.get_device_name(device), MEASURED_MS[_LIKELY])
        variant = VARIANTS[min(measured, key=measured.__getitem__)]
    if precision == "fp32":
        variant = replace(variant, gelu_in_product=False)
    if not has_triton():
        variant = replace(variant, fused_norms=False, fused_convolutions=False, fused_head=False)
    return variant
