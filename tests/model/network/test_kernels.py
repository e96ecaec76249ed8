"""Our Triton kernels, in Triton's interpreter, against the plain operations: odd shapes, borders, both number types.

The interpreter is chosen when Triton is imported, so the checks run in a process of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.process import ROOT

_PRELUDE = """
import itertools, torch
from torch.nn.functional import layer_norm
from model.network.inference import fused, kernels
torch.manual_seed(0)
TYPES = (torch.float32, torch.bfloat16)
def check(found, exact):
    # float32: the order of a sum. bfloat16: what is exact, cut once to 8 significant bits (a GPU rounds, which is half
    # of that; the interpreter cuts).
    tolerance = 1e-5 if found.dtype == torch.float32 else 2**-7
    torch.testing.assert_close(found.float(), exact, rtol=tolerance, atol=tolerance if tolerance < 1e-4 else 1e-3)
def plain(op, *tensors, **options):
    # What the operator does on a CPU, in float32.
    tensors = [t.float() if isinstance(t, torch.Tensor) else t for t in tensors]
    return op._init_fn(*tensors), tensors[0]
"""

_ADD_NORM = """
for dtype, rows, channels in itertools.product(TYPES, (1, 7, 130), (1, 3, 192, 200)):
    x, delta = torch.randn(2, rows, channels).to(dtype), torch.randn(2, rows, channels).to(dtype) * 3 + 1
    weight, bias = torch.randn(channels).to(dtype), torch.randn(channels).to(dtype)
    total, normed = kernels.add_norm(x, delta, weight, bias, 1e-6)
    check(total, plain(fused.add_norm, x, delta, weight, bias, 1e-6)[0][0])
    check(normed, layer_norm(total.float(), (channels,), weight.float(), bias.float(), 1e-6))
"""

_FINISH = """
for dtype, channels, side in itertools.product(TYPES, (1, 5, 32), (1, 3, 21)):
    def maps(count):
        shape = (2, channels, side, side + 1)
        return [torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last) for _ in range(count)]
    bias = torch.randn(channels).to(dtype)
    x, first, second = maps(3)
    for addends, relu, both in (([], True, False), ([first], False, False), ([first, second], False, True)):
        found = x.clone()
        active = kernels.finish(found, bias, addends, relu=relu, both=both)
        op = (fused.bias_relu_, fused.bias_add_, fused.bias_add_relu_)[len(addends)]
        check(found, plain(op, x.clone(), bias, *addends)[1])
        if both:
            torch.testing.assert_close(active, found.relu(), rtol=0, atol=0)
"""

_HEAD_END = """
for dtype, channels, side in itertools.product(TYPES, (32, 8, 5), (1, 7, 40)):
    x = torch.randn(2, channels, side, side + 3).to(dtype).contiguous(memory_format=torch.channels_last)
    bias, weight, last = torch.randn(channels).to(dtype), torch.randn(channels), torch.randn(1)
    found = kernels.head_end(x, bias, weight, last)
    assert found.dtype == torch.float32 and found.shape == (2, side, side + 3)
    check(found, plain(fused.head_end, x, bias, weight, last)[0])
"""


@pytest.mark.parametrize("check", [_ADD_NORM, _FINISH, _HEAD_END], ids=["add_norm", "finish", "head_end"])
def test_kernels_compute_what_the_plain_operations_do(check: str) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-c", _PRELUDE + check]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
