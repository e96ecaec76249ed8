"""Checkpoints that are refused, and the published ones when they are not at hand."""

from __future__ import annotations

import dataclasses
import io
import logging
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import safetensors.torch
import torch
from torch import Tensor

from model import weights
from model.network import DepthProNetwork
from model.network.config import PRESETS, NetworkConfig
from model.weights import hub
from stream.errors import WeightsError
from tests.support.tiny import TINY, tiny_model
from tests.support.transformers_oracle import random_oracle


@pytest.fixture(scope="module")
def network() -> DepthProNetwork:
    return tiny_model().network


@pytest.fixture(scope="module")
def tensors(network: DepthProNetwork) -> dict[str, Tensor]:
    return dict(network.state_dict())


def refusal(spec: str | Path, config: NetworkConfig | None = TINY) -> str:
    """The message of the error that loading must end with: always one line."""
    with pytest.raises(WeightsError) as caught:
        weights.load(str(spec), config=config)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


# What is refused


def test_missing_file() -> None:
    message = refusal("no/such/depth_pro.pt")
    assert "no/such/depth_pro.pt" in message
    assert "nano" in message


@pytest.mark.parametrize("spec", ["", " "])
def test_no_model(spec: str) -> None:
    assert refusal(spec).startswith("no model was given")


def test_folder_without_a_checkpoint(tmp_path: Path) -> None:
    assert str(tmp_path / "model.safetensors") in refusal(tmp_path)
    (tmp_path / "checkpoint.pt").touch()
    assert f"the training run in {tmp_path} is not over" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"\n <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1904446787\n", "git-lfs pointer"),
        (b"\x00" * 100, "neither a PyTorch nor a safetensors file"),
        (b"GIF89a", "neither a PyTorch nor a safetensors file"),
        (b"\x80\x02garbage", "not loaded|damaged"),
        (b"PK\x03\x04", "damaged"),
    ],
)
@pytest.mark.parametrize("name", ["depth_pro.pt", "model.safetensors"])
def test_files_that_are_no_checkpoint(tmp_path: Path, content: bytes, message: str, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused = refusal(tmp_path / name)
    assert any(part in refused for part in message.split("|"))
    assert name in refused


def test_zip_that_is_no_checkpoint(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "depth_pro.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "no checkpoint" in refusal(tmp_path / "depth_pro.pt")


def test_safetensors_header_that_starts_like_html(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    # The format begins with the length of its header, least significant byte first: any bytes, " <" among them.
    data = safetensors.torch.save(tensors)
    header_end = 8 + int.from_bytes(data[:8], "little")
    length = int.from_bytes(b" <\x02", "little")
    header = data[8:header_end].ljust(length)  # the format allows spaces there
    (tmp_path / "a.safetensors").write_bytes(length.to_bytes(8, "little") + header + data[header_end:])
    weights.load(str(tmp_path / "a.safetensors"), config=TINY)


@pytest.mark.parametrize("kept", [0.001, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_truncated_files(tmp_path: Path, tensors: dict[str, Tensor], kind: str, kept: float) -> None:
    if kind == "safetensors":
        data = safetensors.torch.save(tensors)
    else:
        buffer = io.BytesIO()
        torch.save(tensors, buffer, _use_new_zipfile_serialization=kind == "zip")
        data = buffer.getvalue()
    (tmp_path / "cut").write_bytes(data[: int(len(data) * kept)])
    assert "damaged" in refusal(tmp_path / "cut")


class _Unsafe:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_pickle_is_never_run(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    proof = tmp_path / "ran"
    for zipped in (True, False):
        torch.save(tensors | {"extra": _Unsafe(proof)}, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
        message = refusal(tmp_path / "x.pt")
        assert "can run code" in message
        assert "weights_only" not in message  # torch's own advice is to turn the protection off
        assert not proof.exists()


@pytest.mark.parametrize("content", [[1, 2], {"model": {"a": torch.ones(1)}}, torch.ones(3)])
def test_pickle_of_something_else(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "x.pt")
    assert "holds something else than a dictionary of tensors" in refusal(tmp_path / "x.pt")


def test_torch_does_not_warn_of_another_pickle_protocol(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(pickle.dumps({"a": 1}, protocol=4))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert "can run code" in refusal(tmp_path / "x.pt")
    assert caught == []


def test_another_models_checkpoint(tmp_path: Path) -> None:
    resnet = {"conv1.weight": torch.ones(64, 3, 7, 7), "bn1.weight": torch.ones(64), "fc.bias": torch.ones(1000)}
    torch.save(resnet, tmp_path / "resnet18.pt")
    message = refusal(tmp_path / "resnet18.pt", config=None)
    assert "is no Depth Pro checkpoint (" in message
    assert "nano" not in message
    assert "missing (first: encoder.patch_encoder.cls_token)" in message
    assert "3 are not known (first: conv1.weight)" in message


def test_one_tensor_too_few_or_too_many(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    torch.save({n: t for n, t in tensors.items() if n != "head.1.bias"}, tmp_path / "x.pt")
    assert f"1 of {len(tensors)} tensors is missing (first: head.1.bias)" in refusal(tmp_path / "x.pt")
    torch.save(tensors | {"head.9.bias": torch.ones(1)}, tmp_path / "x.pt")
    assert "1 is not known (first: head.9.bias)" in refusal(tmp_path / "x.pt")


def test_strict_in_the_transformers_layout_too(tmp_path: Path) -> None:
    stored = {n: t.contiguous() for n, t in random_oracle(TINY, seed=0).state_dict().items()}
    key = "depth_pro.encoder.image_encoder.model.encoder.layer.1.attention.k_proj.bias"
    safetensors.torch.save_file({n: t for n, t in stored.items() if n != key}, tmp_path / "x.safetensors")
    assert "missing (first: encoder.image_encoder.blocks.1.attn.qkv.bias)" in refusal(tmp_path / "x.safetensors")
    twice = stored | {key.replace("k_proj", "attention.key"): stored[key].clone()}
    safetensors.torch.save_file(twice, tmp_path / "x.safetensors")
    assert "1 is not known (first: depth_pro.encoder.image_encoder.model.encoder" in refusal(tmp_path / "x.safetensors")
    safetensors.torch.save_file(stored | {key: torch.ones(7)}, tmp_path / "x.safetensors")
    assert "3 are not known (first: depth_pro.encoder.image_encoder.model.encoder" in refusal(
        tmp_path / "x.safetensors"
    )
    safetensors.torch.save_file(stored | {"depth_pro.extra": torch.ones(1)}, tmp_path / "x.safetensors")
    assert "1 is not known (first: depth_pro.extra)" in refusal(tmp_path / "x.safetensors")


def test_shapes_of_another_size(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    torch.save(tensors, tmp_path / "x.pt")
    message = refusal(tmp_path / "x.pt", config=dataclasses.replace(TINY, decoder_dim=24))
    assert "differ in shape: encoder.upsample_latent0.0.weight is [8, 16, 1, 1], not [24, 16, 1, 1]; " in message
    # Without a size to go by, the closest preset is named.
    nano = PRESETS["nano"]
    shallow = DepthProNetwork(dataclasses.replace(nano, width=96)).state_dict()
    torch.save(shallow, tmp_path / "x.pt")
    message = refusal(tmp_path / "x.pt", config=None)
    assert "does not match the network nano" in message
    assert "encoder.patch_encoder.cls_token is [1, 1, 96], not [1, 1, 192]" in message


def test_quantised_tensors(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    torch.save(tensors | {"head.1.bias": tensors["head.1.bias"].to(torch.int8)}, tmp_path / "x.pt")
    assert "head.1.bias as torch.int8" in refusal(tmp_path / "x.pt")


def test_metadata_of_another_version_or_size(
    tmp_path: Path, network: DepthProNetwork, tensors: dict[str, Tensor]
) -> None:
    path = tmp_path / "x.safetensors"
    weights.save(network, path, trained=True)
    assert "another size" in refusal(path, config=PRESETS["nano"])
    safetensors.torch.save_file(tensors, path, {"depth-pro-stream": "2"})
    assert "version 2" in refusal(path)
    safetensors.torch.save_file(tensors, path, {"depth-pro-stream": "1", "config": "{"})
    assert "damaged metadata" in refusal(path)


# Where the published weights come from


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ``DEPTH_PRO_CACHE``, an empty Hugging Face cache, and no network."""
    monkeypatch.setenv("DEPTH_PRO_CACHE", str(tmp_path / "cache"))

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("[Errno -3] Temporary failure\nin name resolution")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", offline)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def test_without_weights_and_network_the_message_helps(cache: Path) -> None:
    message = refusal("depth-pro", config=None)
    for part in ("depth_pro.pt", "model.safetensors", str(cache), "`model=nano`", "Temporary failure in name"):
        assert part in message


def test_cached_files_are_found_and_checked(cache: Path) -> None:
    weights.save(weights.load("nano").network, cache / "model.safetensors", trained=True)
    assert hub.find() == cache / "model.safetensors"
    assert "another size" in refusal("depth-pro", config=None)
    (cache / "depth_pro.pt").write_bytes(b"")
    assert "depth_pro.pt is empty" in refusal("depth-pro", config=None)


def test_the_hugging_face_cache_is_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = {("apple/DepthPro", "depth_pro.pt"): str(cache / "blob")}
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *asked: held.get(asked))
    assert hub.find() == cache / "blob"


def test_download_is_announced_before_it_starts(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    announced: list[str] = []

    def fetch(repository: str, name: str, *, local_dir: Path | None) -> str:
        assert (repository, name, local_dir) == ("apple/DepthPro-hf", "model.safetensors", cache)
        announced.extend(caplog.messages)
        return str(cache / name)

    metadata = huggingface_hub.HfFileMetadata(
        commit_hash=None, etag=None, location="", size=1_904_000_000, xet_file_data=None
    )
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda _: metadata)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    with caplog.at_level(logging.INFO):
        assert hub.download() == cache / "model.safetensors"
    assert len(announced) == 1
    for part in ("1.9 GB", "licence", "apple/DepthPro-hf", str(cache)):
        assert part in announced[0]


def test_cache_folder_of_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEPTH_PRO_CACHE", raising=False)
    monkeypatch.setattr(hub.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert hub.cache_dir() == Path("/caches/depth-pro-stream")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert hub.cache_dir() == Path.home() / ".cache" / "depth-pro-stream"
