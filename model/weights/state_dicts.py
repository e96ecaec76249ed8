"""The two published ways to name and split the network's tensors.

``depth_pro.pt`` names them as our modules do. ``apple/DepthPro-hf`` renames them, splits each attention's query, key
and value, and counts the decoder's levels from the coarsest; transformers 5 reads other attention names than it writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

import torch
from torch import Tensor

from model.network import DepthProNetwork
from model.network.config import PRESETS, NetworkConfig
from stream.errors import WeightsError

Shapes = dict[str, tuple[int, ...]]

_VIT_PREFIXES = {
    "depth_pro.encoder.patch_encoder.model.": "encoder.patch_encoder.",
    "depth_pro.encoder.image_encoder.model.": "encoder.image_encoder.",
    "fov_model.fov_encoder.model.": "fov.encoder.0.",
}
_VIT_NAMES = {
    r"embeddings\.cls_token": r"cls_token",
    r"embeddings\.position_embeddings": r"pos_embed",
    r"embeddings\.patch_embeddings\.projection\.(\w+)": r"patch_embed.proj.\1",
    r"encoder\.layer\.(\d+)\.(norm[12]|mlp\.fc[12])\.(\w+)": r"blocks.\1.\2.\3",
    r"encoder\.layer\.(\d+)\.attention\.(?:output\.dense|o_proj)\.(\w+)": r"blocks.\1.attn.proj.\2",
    r"encoder\.layer\.(\d+)\.layer_scale([12])\.lambda1": r"blocks.\1.ls\2.gamma",
    r"layernorm\.(\w+)": r"norm.\1",
}
_VIT_QKV = re.compile(r"encoder\.layer\.(\d+)\.attention\.(?:attention\.)?(query|key|value|[qkv]_proj)\.(\w+)")

_UPSAMPLE = r"depth_pro\.neck\.feature_upsample\."
_FUSION = r"fusion_stage\.(?:intermediate\.([0-3])|final)\."
_OTHER_NAMES: dict[str, Callable[[re.Match[str]], str]] = {
    _UPSAMPLE + r"image_block\.layers\.0\.(\w+)": lambda m: f"encoder.upsample_lowres.{m[1]}",
    _UPSAMPLE + r"scaled_images\.([0-2])\.layers\.(\d)\.(\w+)": lambda m: (
        f"encoder.upsample{2 - int(m[1])}.{m[2]}.{m[3]}"
    ),
    _UPSAMPLE + r"intermediate\.([01])\.layers\.(\d)\.(\w+)": lambda m: (
        f"encoder.upsample_latent{1 - int(m[1])}.{m[2]}.{m[3]}"
    ),
    r"depth_pro\.neck\.fuse_image_with_low_res\.(\w+)": lambda m: f"encoder.fuse_lowres.{m[1]}",
    r"depth_pro\.neck\.feature_projection\.projections\.([0-3])\.(\w+)": lambda m: (
        f"decoder.convs.{4 - int(m[1])}.{m[2]}"
    ),
    _FUSION + r"residual_layer([12])\.convolution([12])\.(\w+)": lambda m: (
        f"decoder.fusions.{_level(m[1])}.resnet{m[2]}.residual.{2 * int(m[3]) - 1}.{m[4]}"
    ),
    _FUSION + r"deconv\.(\w+)": lambda m: f"decoder.fusions.{_level(m[1])}.deconv.{m[2]}",
    _FUSION + r"projection\.(\w+)": lambda m: f"decoder.fusions.{_level(m[1])}.out_conv.{m[2]}",
    r"head\.layers\.(\d)\.(\w+)": lambda m: f"head.{m[1]}.{m[2]}",
    r"fov_model\.fov_encoder\.neck\.(\w+)": lambda m: f"fov.encoder.1.{m[1]}",
    r"fov_model\.conv\.(\w+)": lambda m: f"fov.downsample.0.{m[1]}",
    r"fov_model\.head\.layers\.(\d)\.(\w+)": lambda m: f"fov.head.{m[1]}.{m[2]}",
}


def _level(index: str | None) -> int:
    """Our number of a fusion level: they count from the coarsest, and call the finest ``final``."""
    return 0 if index is None else 4 - int(index)


def reference_name(name: str) -> tuple[str, int | None] | None:
    """What ``depth_pro.pt`` calls a tensor of the transformers layout, or ``None`` where it has no such tensor.

    The number is 0, 1 or 2 where the tensor is the query, key or value third of the named one.
    """
    for prefix, ours in _VIT_PREFIXES.items():
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            if match := _VIT_QKV.fullmatch(rest):
                return f"{ours}blocks.{match[1]}.attn.qkv.{match[3]}", "qkv".index(match[2][0])
            for pattern, template in _VIT_NAMES.items():
                if match := re.fullmatch(pattern, rest):
                    return ours + match.expand(template), None
            return None
    for pattern, rename in _OTHER_NAMES.items():
        if match := re.fullmatch(pattern, name):
            return rename(match), None
    return None


def is_transformers(names: Iterable[str]) -> bool:
    """Whether a checkpoint with these names is in the transformers layout."""
    return any(name.startswith("depth_pro.") for name in names)


def from_transformers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename and join to the reference layout. Empties ``tensors`` on the way, so that no copy outlives its use.

    What it does not know, or has twice, keeps its name for the strict check to find. ``mask_token`` (used in training
    alone) is left out.
    """
    renamed: dict[str, Tensor] = {}
    thirds: dict[str, dict[int, str]] = {}
    for name in list(tensors):
        ours, third = reference_name(name) or (name, None)
        if name.endswith(".embeddings.mask_token"):
            del tensors[name]
        elif third is None and ours not in renamed:
            renamed[ours] = tensors.pop(name)
        elif third is not None and third not in thirds.setdefault(ours, {}):
            thirds[ours][third] = name
            names = [thirds[ours][i] for i in sorted(thirds[ours])]
            # Of one shape, or they are not thirds of anything.
            if len(names) == 3 and len({tensors[n].shape for n in names}) == 1 and tensors[name].ndim:
                renamed[ours] = torch.cat([tensors.pop(n) for n in names])
    return renamed | tensors


@lru_cache(maxsize=8)
def _expected(config: NetworkConfig) -> Shapes:
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in DepthProNetwork(config).state_dict().items()}


def check(tensors: dict[str, Tensor], config: NetworkConfig, *, what: str, whose: str) -> None:
    """See that ``tensors`` in the reference layout are exactly those of a network.

    Args:
        what: names the checkpoint in the message.
        whose: names the network in the message.

    Raises:
        WeightsError: tensors are missing, unexpected, of another shape or not of floating point.
    """
    expected = _expected(config)
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    if missing or unexpected:
        parts = (
            [f"{len(missing)} of {len(expected)} tensors {_are(missing)} missing{_first(missing)}"] if missing else []
        )
        parts += [f"{len(unexpected)} {_are(unexpected)} not known{_first(unexpected)}"] if unexpected else []
        if len(missing) == len(expected):
            raise WeightsError(f"{what} is no Depth Pro checkpoint ({', '.join(parts)})")
        what_it_is = "does not match the network" if len(missing) < len(expected) / 2 else "is no checkpoint of"
        raise WeightsError(f"{what} {what_it_is} {whose}: {', '.join(parts)}")
    wrong = _wrong_shapes(tensors, config)
    if wrong:
        shown = "; ".join(f"{n} is {list(tensors[n].shape)}, not {list(expected[n])}" for n in wrong[:3])
        count = "1 tensor differs" if len(wrong) == 1 else f"{len(wrong)} tensors differ"
        raise WeightsError(f"{what} does not match the network {whose}: {count} in shape: {shown}")
    odd = next((name for name, tensor in tensors.items() if tensor.dtype not in _FLOATS), None)
    if odd is not None:
        raise WeightsError(f"{what} has {odd} as {tensors[odd].dtype}; 16, 32 and 64-bit floating point can be used")


_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def closest_preset(tensors: dict[str, Tensor]) -> str:
    """The preset whose names and shapes differ least from ``tensors`` in the reference layout."""

    def differences(preset: str) -> int:
        config = PRESETS[preset]
        return len(_expected(config).keys() ^ tensors.keys()) + len(_wrong_shapes(tensors, config))

    return min(PRESETS, key=differences)


def _wrong_shapes(tensors: dict[str, Tensor], config: NetworkConfig) -> list[str]:
    return [n for n, shape in _expected(config).items() if n in tensors and tuple(tensors[n].shape) != shape]


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _first(names: list[str]) -> str:
    return f" (first: {names[0]})" if names else ""
