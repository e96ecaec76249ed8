"""Find, read and verify weights: from a name or a path to a network that is ready to run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.network import DepthProNetwork, init_random
from model.network.config import PRESETS, NetworkConfig
from model.weights import checkpoint, hub, state_dicts
from stream.errors import WeightsError

_IN_FOLDERS = ("model.safetensors", "trained.safetensors")
"""What a checkpoint in a folder is called: by transformers, and by a training run of ours."""
PACKAGED_NANO = Path(__file__).parent / "nano.safetensors"
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A network and what is known of it.

    Attributes:
        network: on the CPU, in evaluation mode, without gradients, in the number type of its file. The published
            ``depth_pro.pt`` is float16: cast it before running it. Its memory may be the mapped file.
        name: for people: ``depth-pro``, ``nano`` or the file's name without its ending.
        config: the network's size.
        trained: ``False`` for random weights, whose depth means nothing.
    """

    network: DepthProNetwork
    name: str
    config: NetworkConfig
    trained: bool


def resolve_auto(*, cuda_available: bool, may_download: bool = True) -> tuple[str, str]:
    """The preset that ``auto`` means on this machine, and a sentence why."""
    if not cuda_available:
        return "nano", "There is no CUDA device, and without one depth-pro takes tens of seconds a frame or more."
    if not may_download and hub.find() is None:
        return "nano", "The depth-pro weights are not on this machine, and the demo downloads nothing."
    return "depth-pro", "A CUDA device is present."


def load(spec: str, *, config: NetworkConfig | None = None) -> LoadedModel:
    """Load a network. Every tensor of its file must fit; nothing is skipped silently.

    Args:
        spec: ``depth-pro`` (searched in ``DEPTH_PRO_CACHE`` or the cache folder, then in the Hugging Face cache, then
            downloaded), ``nano`` (packaged), or a path: ``depth_pro.pt``, ``model.safetensors`` in the transformers
            layout or a folder with one, a file written by :func:`save`, or the folder of a training run that is over.
        config: the size of a network that is no preset, for files that do not tell it themselves.

    Raises:
        WeightsError: the file is missing, damaged or another network's.
    """
    if not spec.strip():
        raise WeightsError(f"no model was given; it is one of {', '.join(PRESETS)}, or the path of a checkpoint")
    if spec == "depth-pro":
        return _load_file(hub.find() or hub.download(), name=spec, config=PRESETS[spec])
    if spec == "nano":
        if not PACKAGED_NANO.exists():
            raise WeightsError(f"nano's weights are missing from this installation ({PACKAGED_NANO}); install it again")
        return _load_file(PACKAGED_NANO, name=spec, config=PRESETS[spec])
    path = Path(spec).expanduser()
    name = path.stem
    if path.is_dir():
        name, path = _in_folder(path)
    if not path.exists():
        raise WeightsError(
            f"there is no checkpoint {path}; a model is one of {', '.join(PRESETS)}, or the path of depth_pro.pt, of a "
            f"safetensors file, or of a folder with {' or '.join(_IN_FOLDERS)}"
        )
    return _load_file(path, name=name, config=config)


def _in_folder(folder: Path) -> tuple[str, Path]:
    """The name of the checkpoint in a folder, and its file.

    Raises:
        WeightsError: it is that of a training run that is not over.
    """
    of_transformers, of_ours = (folder / file for file in _IN_FOLDERS)
    if of_ours.exists() and not of_transformers.exists():
        return f"{folder.name}/{of_ours.stem}", of_ours  # runs/nano is not nano
    if (folder / "checkpoint.pt").exists() and not of_transformers.exists():
        raise WeightsError(
            f"the training run in {folder} is not over: go on with it, or take the file of a stage that is"
        )
    return folder.name, of_transformers


def untrained(preset: str) -> LoadedModel:
    """A preset with random weights, the same every time: for measuring and testing, its depth means nothing."""
    network = on_meta(PRESETS[preset]).to_empty(device="cpu")
    init_random(network, _SEED)
    return LoadedModel(network=frozen(network), name=preset, config=network.config, trained=False)


def save(
    network: DepthProNetwork, path: str | os.PathLike[str], *, trained: bool, notes: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file that :func:`load` reads without being told anything. All of it appears, or nothing.

    ``notes`` go into its metadata, for people.

    Raises:
        WeightsError: the file cannot be written.
    """
    checkpoint.write(network, Path(path), trained=trained, notes=notes or {})


def checksum(network: DepthProNetwork) -> str:
    """What tells weights from others: SHA-256 of all tensors in the order of their names, in hexadecimal."""
    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        found.update(tensor.contiguous().view(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def _load_file(path: Path, *, name: str, config: NetworkConfig | None) -> LoadedModel:
    found = checkpoint.read(path)
    tensors = found.tensors
    if state_dicts.is_transformers(tensors):
        tensors = state_dicts.from_transformers(tensors)

    if found.config is not None and config not in (None, found.config):
        raise WeightsError(f"{path} holds a network of another size: {found.config}, not {config}")
    config = found.config or config
    if config is None:
        preset = state_dicts.closest_preset(tensors)
        config = PRESETS[preset]
    state_dicts.check(tensors, config, what=str(path), whose=_name_of(config))

    network = on_meta(config)
    # Assigned, not copied: the parameters are the file's tensors, and there is never a second copy.
    network.load_state_dict(tensors, assign=True)
    network.to(_main_dtype(tensors))
    return LoadedModel(network=frozen(network), name=name, config=config, trained=found.trained)


def _main_dtype(tensors: dict[str, Tensor]) -> torch.dtype:
    """The type most layers are in; a network that was cast and saved has its last layers in float32."""
    return tensors["encoder.patch_encoder.cls_token"].dtype


def _name_of(config: NetworkConfig) -> str:
    return next((name for name, preset in PRESETS.items() if preset == config), "described")


def on_meta(config: NetworkConfig) -> DepthProNetwork:
    """A network of that size without memory, for tensors to be assigned to."""
    with torch.device("meta"):
        return DepthProNetwork(config)


def frozen(network: DepthProNetwork) -> DepthProNetwork:
    """``network`` itself, in evaluation mode and without gradients."""
    return network.eval().requires_grad_(False)
