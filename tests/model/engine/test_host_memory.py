"""The allocator's setting, seen from outside: how many fresh pages a process takes for the same memory again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource, sys, threading
from model.engine.host_memory import keep_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def frame():
    blocks = [libc.malloc(12 << 20) for _ in range(4)]
    for block in blocks:
        ctypes.memset(block, 1, 12 << 20)
    for block in blocks:
        libc.free(block)

def run():
    for _ in range(3):
        frame()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        frame()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

if sys.argv[1] == "keep":
    keep_freed_memory()
thread = threading.Thread(target=run)  # as the pipeline's inference thread
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library has the setting")
def test_a_frame_uses_the_memory_of_the_frame_before() -> None:
    faults = {}
    for mode in ("keep", "default"):
        run = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
        faults[mode] = int(run.stdout)
    pages = 5 * 4 * (12 << 20) // 4096
    assert faults["default"] > pages / 4
    assert faults["keep"] < pages / 100
