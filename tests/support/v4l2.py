"""The webcams of ``v4l2_camera.c`` for processes of their own: real FFmpeg and device files, with a library between."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("v4l2_camera.c")
NUMBERS = (93, 94, 95, 96)


@contextmanager
def webcams(folder: Path) -> Iterator[dict[str, str]]:
    """What to add to the environment of a process that shall see them; skips where they cannot be made."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not sys.platform.startswith("linux") or compiler is None or not Path("/usr/include/linux/videodev2.h").exists():
        pytest.skip("webcams for tests need Linux, a C compiler and the kernel's headers")
    library = folder / "v4l2_camera.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, SOURCE, "-ldl"], check=True)
    devices = [Path(f"/dev/video{number}") for number in NUMBERS]
    made: list[Path] = []
    try:
        for number, device in zip(NUMBERS, devices, strict=True):
            device.unlink(missing_ok=True)  # of tests that were killed
            os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(81, number))
            made.append(device)
        yield {"LD_PRELOAD": str(library), "DOUBLE_CAMERA_ERROR": "13"}
    except PermissionError:
        pytest.skip("device files can be made by root only")
    finally:
        for device in made:
            device.unlink()
