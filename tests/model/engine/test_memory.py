"""What a network needs of a GPU's memory, and what becomes of a card that has less."""

from __future__ import annotations

import logging

import pytest
import torch

from model.engine import EngineConfig
from model.engine.memory import bytes_needed, needs_low_memory
from model.network.config import PRESETS
from model.weights import LoadedModel
from model.weights.loader import on_meta
from tests.support.tiny import make_engine

GIB = 2**30


def published() -> LoadedModel:
    config = PRESETS["depth-pro"]
    return LoadedModel(network=on_meta(config), name="depth-pro", config=config, trained=False)


def test_the_published_network_needs_what_was_measured() -> None:
    model = published()
    assert bytes_needed(model, "bf16", 1) == pytest.approx(3.5 * GIB, rel=0.01)
    assert bytes_needed(model, "fp32", 1) == pytest.approx(7 * GIB, rel=0.01)
    assert bytes_needed(model, "bf16", 4) - bytes_needed(model, "bf16", 1) == pytest.approx(
        3 * (bytes_needed(model, "bf16", 2) - bytes_needed(model, "bf16", 1))
    )


@pytest.mark.parametrize(("free_gib", "low"), [(7.4, False), (3.6, False), (3.2, True)])
def test_a_card_with_too_little_free_works_in_less(
    free_gib: float, low: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (int(free_gib * GIB), 8 * GIB))
    with caplog.at_level(logging.WARNING):
        assert needs_low_memory(published(), torch.device("cuda"), "bf16", 1) is low
    assert len(caplog.messages) == low
    assert not low or "has 3.2 GiB free, and depth-pro needs about 3.5 GiB" in caplog.text


def test_what_is_asked_for_is_done() -> None:
    assert EngineConfig().low_memory is None
    for wanted in (True, False):
        assert make_engine(low_memory=wanted).config.low_memory is wanted
