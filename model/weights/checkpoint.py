"""Checkpoint files: read either kind without running what is in them, and write ours."""

from __future__ import annotations

import contextlib
import os
import pickle
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from model.network import DepthProNetwork
from model.network.config import NetworkConfig
from stream.errors import ConfigError, WeightsError, one_line

FORMAT_KEY, FORMAT_VERSION = "depth-pro-stream", "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a file holds. ``config`` and ``trained`` are known from our own files only.

    The tensors are views of the mapped file: nothing is read before it is used.
    """

    tensors: dict[str, Tensor]
    config: NetworkConfig | None = None
    trained: bool = True


def read(path: Path) -> Checkpoint:
    """Read a checkpoint, judged by its content and not by its name.

    Raises:
        WeightsError: the file cannot be read, is damaged, or is no checkpoint.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as exc:
        raise WeightsError(f"{path} cannot be read: {exc.strerror}") from exc
    if not head:
        raise WeightsError(f"{path} is empty; download it again")
    # First, for its first bytes can be anything: the length of its header (8 bytes, little endian), then JSON.
    if head[7:9] == b"\0{":
        return _read_safetensors(path)
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a git-lfs pointer, not the file it stands for; run git lfs pull, or download it")
    if head.lstrip().startswith(b"<"):
        raise WeightsError(f"{path} is a web page, not a checkpoint; use the page's download link")
    if head.startswith((b"PK\x03\x04", b"\x80")):  # torch.save since 1.6: a zip; before: a pickle
        return Checkpoint(tensors=_read_torch(path, mmap=head.startswith(b"PK")))
    raise WeightsError(
        f"{path} is neither a PyTorch nor a safetensors file, or its start is damaged; download it again"
    )


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is not a dict
    except (safetensors.SafetensorError, OSError, ValueError) as exc:
        raise WeightsError(f"{path} is damaged or incomplete ({one_line(exc)[:200]}); download it again") from exc
    version = metadata.get(FORMAT_KEY)
    if version is None:
        return Checkpoint(tensors=tensors)
    if version != FORMAT_VERSION:
        raise WeightsError(f"{path} has format version {version}; this program reads {FORMAT_VERSION}, so update it")
    try:
        config = NetworkConfig.from_json(metadata.get("config", ""))
    except ConfigError as exc:
        raise WeightsError(f"{path} has damaged metadata: {one_line(exc)[:200]}") from exc
    return Checkpoint(tensors=tensors, config=config, trained=metadata.get("trained") == "true")


def _read_torch(path: Path, *, mmap: bool) -> dict[str, Tensor]:
    try:
        # weights_only: a pickle can run any code; this reader knows tensors and plain containers alone.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch's doubts about odd pickles; ours is one line of error
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as exc:
        # Not torch's message: it goes on to advise turning the protection off.
        raise WeightsError(
            f"{path} holds other things than tensors, or is damaged; it was not loaded, since such files can run code"
        ) from exc
    except Exception as exc:  # whatever a damaged zip or pickle makes of torch's reader
        raise WeightsError(f"{path} is damaged, incomplete or no checkpoint; download it again") from exc
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise WeightsError(
            f"{path} holds something else than a dictionary of tensors; of a training run, take trained.safetensors"
        )
    return {str(name): tensor for name, tensor in loaded.items()}


def write(network: DepthProNetwork, path: Path, *, trained: bool, notes: Mapping[str, str]) -> None:
    """Write a network as safetensors that :func:`read` describes in full. All of the file appears, or nothing.

    Raises:
        WeightsError: the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    metadata = {
        "format": "pt",  # what other readers of safetensors look for
        FORMAT_KEY: FORMAT_VERSION,
        "config": network.config.to_json(),
        "trained": "true" if trained else "false",
        **notes,
    }
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        safetensors.torch.save_file(tensors, temporary, metadata)
        _give_usual_mode(Path(temporary))
        Path(temporary).replace(path)
    except (OSError, safetensors.SafetensorError) as exc:
        raise WeightsError(f"{path} cannot be written: {one_line(exc)[:200]}") from exc
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                Path(temporary).unlink()


def _give_usual_mode(path: Path) -> None:
    """Temporary files are private; a checkpoint is to be readable like any file the user makes."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)
