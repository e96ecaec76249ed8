"""Checkpoints that load, in every layout, and saving them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from model import weights
from model.network import DepthProNetwork
from model.network.config import PRESETS
from model.weights import hub
from stream.errors import WeightsError
from tests.support.tiny import TINY, tiny_model
from tests.support.transformers_oracle import predict, random_oracle, relative_error


@pytest.fixture(scope="module")
def network() -> DepthProNetwork:
    return tiny_model().network


@pytest.fixture(scope="module")
def tensors(network: DepthProNetwork) -> dict[str, Tensor]:
    return dict(network.state_dict())


def same(a: DepthProNetwork, b: DepthProNetwork) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


# What loads


def test_both_spellings_of_the_transformers_layout(tmp_path: Path) -> None:
    oracle = random_oracle(TINY, seed=3)
    current = {name: tensor.contiguous() for name, tensor in oracle.state_dict().items()}
    spelled = {
        ".attention.q_proj.": ".attention.attention.query.",
        ".attention.k_proj.": ".attention.attention.key.",
        ".attention.v_proj.": ".attention.attention.value.",
        ".attention.o_proj.": ".attention.output.dense.",
    }
    older = {}
    for name, tensor in current.items():
        for now, before in spelled.items():
            name = name.replace(now, before)
        older[name] = tensor

    x = torch.rand(1, 3, TINY.input_size, TINY.input_size) * 2 - 1
    C_expected, fov_expected = predict(oracle, x)
    for stored in (current, older):
        safetensors.torch.save_file(stored, tmp_path / "model.safetensors")
        C, fov = weights.load(str(tmp_path / "model.safetensors"), config=TINY).network(x)
        assert relative_error(C, C_expected) < 1e-5
        assert relative_error(fov, fov_expected) < 1e-5


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy pickle"])
def test_reference_layout(tmp_path: Path, network: DepthProNetwork, tensors: dict[str, Tensor], zipped: bool) -> None:
    torch.save(tensors, tmp_path / "mine.pt", _use_new_zipfile_serialization=zipped)
    loaded = weights.load(str(tmp_path / "mine.pt"), config=TINY)
    assert (loaded.name, loaded.config, loaded.trained) == ("mine", TINY, True)
    assert same(loaded.network, network)
    assert not loaded.network.training
    assert not any(p.requires_grad or p.is_meta for p in loaded.network.parameters())


@pytest.mark.parametrize("trained", [True, False])
def test_saved_file_tells_everything_itself(tmp_path: Path, network: DepthProNetwork, trained: bool) -> None:
    path = tmp_path / "small.safetensors"
    weights.save(network, path, trained=trained)
    loaded = weights.load(str(path))
    assert (loaded.name, loaded.config, loaded.trained) == ("small", TINY, trained)
    assert same(loaded.network, network)


def test_half_precision_stays_half(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    # The published depth_pro.pt is float16 throughout.
    torch.save({name: tensor.half() for name, tensor in tensors.items()}, tmp_path / "depth_pro.pt")
    loaded = weights.load(str(tmp_path / "depth_pro.pt"), config=TINY).network
    assert loaded.head[2].weight.dtype == torch.float16
    assert loaded.head[4].weight.dtype == torch.float32

    weights.save(loaded, tmp_path / "again.safetensors", trained=True)
    assert same(weights.load(str(tmp_path / "again.safetensors")).network, loaded)


def test_presets_are_recognised_by_their_shapes(tmp_path: Path) -> None:
    nano = weights.load("nano").network
    torch.save(nano.state_dict(), tmp_path / "anything.pt")
    loaded = weights.load(str(tmp_path / "anything.pt"))
    assert loaded.config == PRESETS["nano"]
    assert same(loaded.network, nano)


def test_nano_is_packaged_and_trained() -> None:
    packaged = weights.load("nano")
    assert (packaged.name, packaged.trained, packaged.config) == ("nano", True, PRESETS["nano"])


def test_an_installation_without_its_weights_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.loader, "PACKAGED_NANO", tmp_path / "nano.safetensors")
    with pytest.raises(WeightsError, match="install it again"):
        weights.load("nano")


def test_random_weights_are_the_same_every_time() -> None:
    one, other = weights.untrained("nano"), weights.untrained("nano")
    assert (one.name, one.trained, one.config) == ("nano", False, PRESETS["nano"])
    assert same(one.network, other.network)


def test_auto_depends_on_cuda_and_says_why() -> None:
    for available, expected in ((True, "depth-pro"), (False, "nano")):
        name, reason = weights.resolve_auto(cuda_available=available)
        assert name == expected
        assert "CUDA" in reason
        assert reason.endswith(".")


def test_the_demo_downloads_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "find", lambda: None)
    name, reason = weights.resolve_auto(cuda_available=True, may_download=False)
    assert name == "nano"
    assert "not on this machine" in reason
    monkeypatch.setattr(hub, "find", lambda: tmp_path / "depth_pro.pt")
    assert weights.resolve_auto(cuda_available=True, may_download=False)[0] == "depth-pro"


# Saving


def test_saving_is_all_or_nothing(tmp_path: Path, network: DepthProNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    weights.save(network, path, trained=True)
    before = path.read_bytes()

    def full_disk(_: Any, filename: str, __: Any) -> None:
        Path(filename).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full_disk)
    with pytest.raises(WeightsError, match="No space left") as caught:
        weights.save(network, path, trained=False)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saving_where_nothing_can_be_written(tmp_path: Path, network: DepthProNetwork) -> None:
    with pytest.raises(WeightsError, match="cannot be written"):
        weights.save(network, tmp_path / "no" / "such" / "x.safetensors", trained=True)


@pytest.mark.skipif(os.name != "posix", reason="POSIX permission bits")
def test_saved_file_has_the_usual_permissions(tmp_path: Path, network: DepthProNetwork) -> None:
    weights.save(network, tmp_path / "x.safetensors", trained=True)
    (tmp_path / "plain").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1
