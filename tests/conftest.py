"""Shared by all tests: where real media lies, and what a missing GPU means."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rtsp import start_camera

__all__ = ["start_camera"]  # a fixture for all tests

ENDINGS = (signal.SIGINT, signal.SIGTERM)
MEDIA = Path(__file__).parents[2] / "shared" / "media"


def pytest_configure() -> None:
    """A shell starts what runs in the background without Ctrl-C, and whoever tests start inherits what is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def signals_go_back() -> Iterator[None]:
    """A command line that ran within a test leaves signals ignored, which processes of later tests would inherit."""
    before = {number: signal.getsignal(number) for number in ENDINGS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    import torch

    if torch.cuda.is_available() or os.environ.get("REQUIRE_CUDA") == "1":
        return
    for item in items:
        if item.get_closest_marker("needs_cuda"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device; REQUIRE_CUDA=1 makes this a failure"))


@pytest.fixture
def street_walk() -> Path:
    """A real clip: H.264, 1280 × 720, 15 frames per second, 195 frames."""
    path = MEDIA / "street_walk_720p15.mp4"
    if not path.exists():
        pytest.skip(f"real test clip is not here: {path.name} in a folder shared/media beside the checkout")
    return path


@pytest.fixture
def logs_go_back() -> Iterator[None]:
    """For tests of a command line, which sends all logs to its own standard error: that is gone after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
