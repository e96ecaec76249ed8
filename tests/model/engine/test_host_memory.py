"""The allocator's setting, seen from outside: how many fresh pages a process takes for the same memory again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, os, resource, sys, tempfile, threading
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

def heaps():
    # How many the allocator has made for threads that were there at once.
    barrier = threading.Barrier(9)
    threads = [threading.Thread(target=lambda: (libc.free(libc.malloc(1 << 16)), barrier.wait())) for _ in range(8)]
    for thread in threads:
        thread.start()
    barrier.wait()
    with tempfile.TemporaryFile() as told:
        file = libc.fdopen(os.dup(told.fileno()), b"w")
        libc.malloc_info(0, ctypes.c_void_p(file))
        libc.fclose(ctypes.c_void_p(file))
        told.seek(0)
        return told.read().count(b"<heap nr=")

libc.fdopen.restype = ctypes.c_void_p
if sys.argv[1] == "keep":
    keep_freed_memory()
print(heaps())
thread = threading.Thread(target=run)  # as the pipeline's inference thread
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library has the setting")
def test_a_frame_uses_the_memory_of_the_frame_before_whatever_thread_it_is_in() -> None:
    faults, heaps = {}, {}
    for mode in ("keep", "default"):
        run = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
        heaps[mode], faults[mode] = map(int, run.stdout.split())
    pages = 5 * 4 * (12 << 20) // 4096
    assert faults["default"] > pages / 4
    assert faults["keep"] < pages / 100
    assert heaps["default"] > 2
    assert heaps["keep"] == 2
