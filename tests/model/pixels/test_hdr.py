"""HDR to SDR, by the numbers of the ITU: reference white is white, greys stay grey, primaries are converted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from model.pixels.hdr import sdr_from_hdr
from model.pixels.planes import host_tensor, rgb_from_planes
from stream.frame import Transfer
from tests.support.tiny import random_frame


def grey(code: float, transfer: Transfer) -> list[float]:
    return sdr_from_hdr(torch.full((3, 1, 1), code, dtype=torch.float64), transfer).flatten().tolist()


# BT.2408 table 1: 58 % of PQ and 75 % of HLG are reference white. BT.2100: PQ codes of 100, 10 and 1 cd/m².
@pytest.mark.parametrize(
    ("transfer", "code", "light"),
    [
        ("pq", 0.58069, 203.0),
        ("pq", 0.50808, 100.0),
        ("pq", 0.30103, 10.0),
        ("pq", 0.14995, 1.0),
        ("pq", 0.0, 0.0),
        ("hlg", 0.75, 203.0),
        ("hlg", 0.5, 50.7),
        ("hlg", 0.0, 0.0),
    ],
)
def test_light_comes_out_as_on_an_sdr_display(transfer: Transfer, code: float, light: float) -> None:
    expected = min(light / 203, 1) ** (1 / 2.4)
    assert grey(code, transfer) == pytest.approx([expected] * 3, abs=4e-3)


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
def test_what_is_brighter_than_white_is_white(transfer: Transfer) -> None:
    assert grey(1.0, transfer) == pytest.approx([1.0] * 3)


def test_red_of_bt709_inside_bt2020_comes_back_as_red() -> None:
    # BT.2087: linear BT.709 red (1, 0, 0) is (0.6274, 0.0691, 0.0164) in BT.2020; here at 100 cd/m², as PQ codes.
    light = torch.tensor([0.6274, 0.0691, 0.0164], dtype=torch.float64) * 100 / 10_000
    power = light**0.1593017578125
    codes = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    red, green, blue = sdr_from_hdr(codes.view(3, 1, 1), "pq").flatten().tolist()
    assert red == pytest.approx((100 / 203) ** (1 / 2.4), abs=2e-3)
    assert max(green, blue) < 0.05


def test_an_hdr_frame_is_brought_to_sdr_and_an_sdr_one_left_alone() -> None:
    hdr, sdr = (replace(random_frame(0, name="yuv420p10le"), transfer=t, color_space="bt2020") for t in ("pq", "sdr"))
    planes = [host_tensor(plane) for plane in hdr.planes]
    plain = rgb_from_planes(planes, sdr, width=96, height=54)
    torch.testing.assert_close(rgb_from_planes(planes, hdr, width=96, height=54), sdr_from_hdr(plain, "pq"))
