"""How the C library's allocator treats memory that is freed."""

from __future__ import annotations

import ctypes

# Names and numbers of mallopt(3), the GNU C library.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8


def keep_freed_memory() -> None:
    """Let this process keep up to 1 GiB of what it frees, for the next frame.

    As it comes, the GNU C library hands large freed blocks back to the kernel and then takes them again: up to 40,000
    pages, each filled with zeros, for one frame of ``nano``, which is a fifth of its time. Blocks of 32 MiB and more,
    the largest threshold there is, still go back. Other C libraries are left as they are.

    Threads share two heaps. Otherwise each of up to eight a core would come to keep the most that any thread has ever
    used of it: a publisher whose cameras came and went grew by some megabytes an hour and camera.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl and macOS have none; Windows cannot even be asked
        return
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)
    mallopt(_M_TOP_PAD, 64 << 20)
    mallopt(_M_ARENA_MAX, 2)
