"""NVIDIA's decoder: the same pictures as the CPU's where there is one, else the CPU and one warning."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from stream.sources import SourceConfig, hardware
from stream.sources.address import file_address
from stream.sources.connection import Connection
from tests.support import media


def decoded(path: Path, decode: hardware.Decode) -> list[np.ndarray]:
    return [np.asarray(frame.planes[0][..., 0]).astype(int) for frame in media.read(path, decode=decode)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a decoder")
def test_without_a_decoder_the_cpu_decodes_and_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hardware._is_there.cache_clear()
    path = media.numbered_video(tmp_path / "a.mp4", 5)
    with caplog.at_level(logging.WARNING):
        wanted, plain = decoded(path, "cuda"), decoded(path, "cpu")
        decoded(path, "cuda")
    assert all((a == b).all() for a, b in zip(wanted, plain, strict=True))
    assert caplog.text.count("decoding on the CPU") == 1


@pytest.mark.needs_cuda
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx265"), ("a.avi", "mpeg4")])
def test_nvidias_decoder_gives_the_same_pictures(tmp_path: Path, name: str, codec: str) -> None:
    path = media.write_video(tmp_path / name, [media.numbered(i, 640, 480) for i in range(12)], codec=codec)
    connection = Connection(file_address(path), SourceConfig(decode="cuda"))
    next(connection.packets())
    assert codec == "mpeg4" or connection.stream.codec_context.is_hwaccel
    connection.close()
    for a, b in zip(decoded(path, "cuda"), decoded(path, "cpu"), strict=True):
        assert np.abs(a - b).max() <= 1
