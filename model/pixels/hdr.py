"""HDR pictures as SDR ones: the network and people's screens know what SDR white is.

ITU-R BT.2100 tells how code values of the two HDR systems, PQ and HLG, mean light; BT.2408 that reference white lies at
203 cd/m² in both. That becomes SDR white, and what is brighter is cut off there, as an SDR camera would. The primaries
become those of BT.709, by the matrix of BT.2087, and light becomes code values by the display of BT.1886, gamma 2.4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stream.frame import Transfer

_REFERENCE_WHITE = 203.0  # cd/m², BT.2408 table 1
_GAMMA = 2.4

# BT.2100 table 4.
_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_PEAK = 10_000.0  # cd/m²

# BT.2100 table 5, for a display of 1000 cd/m².
_HLG_A = 0.17883277
_HLG_B, _HLG_C = 1 - 4 * _HLG_A, 0.55991073
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
_LUMINANCE_2020 = (0.2627, 0.6780, 0.0593)

_FROM_2020_TO_709 = ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187))


def sdr_from_hdr(rgb_3HW: Tensor, transfer: Transfer) -> Tensor:
    """R′G′B′ of a PQ or HLG picture with the primaries of BT.2020 as R′G′B′ of BT.709, both in [0, 1]."""
    light_3HW = _light_of_pq(rgb_3HW) if transfer == "pq" else _light_of_hlg(rgb_3HW)
    matrix_33 = torch.tensor(_FROM_2020_TO_709, dtype=light_3HW.dtype, device=light_3HW.device)
    light_3HW = torch.tensordot(matrix_33, light_3HW, dims=1) / _REFERENCE_WHITE
    code_3HW: Tensor = light_3HW.clamp_(0, 1).pow_(1 / _GAMMA)
    return code_3HW


def _light_of_pq(code_3HW: Tensor) -> Tensor:
    """In cd/m²."""
    power_3HW = code_3HW.pow(1 / _PQ_M2)
    light_3HW: Tensor = ((power_3HW - _PQ_C1).clamp_(min=0) / (_PQ_C2 - _PQ_C3 * power_3HW)).pow_(1 / _PQ_M1) * _PQ_PEAK
    return light_3HW


def _light_of_hlg(code_3HW: Tensor) -> Tensor:
    """In cd/m², on a display of 1000."""
    scene_3HW = torch.where(
        code_3HW <= 0.5, code_3HW.square() / 3, (((code_3HW - _HLG_C) / _HLG_A).exp() + _HLG_B) / 12
    )
    weights_3 = torch.tensor(_LUMINANCE_2020, dtype=scene_3HW.dtype, device=scene_3HW.device)
    luminance_HW = torch.tensordot(weights_3, scene_3HW, dims=1)
    light_3HW: Tensor = scene_3HW * luminance_HW.clamp(min=1e-9).pow(_HLG_GAMMA - 1) * _HLG_PEAK
    return light_3HW
