"""Starting :mod:`tests.support.rtsp_server`, which runs in the system's Python."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.support.process import ROOT

SYSTEM_PYTHON = "/usr/bin/python3"
Camera = tuple["subprocess.Popen[str]", str]


@pytest.fixture
def start_camera() -> Iterator[Callable[..., Camera]]:
    """Starts RTSP servers; returns the process and the address without credentials."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        missing = subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, check=False).returncode
    except FileNotFoundError:
        missing = 1
    if missing and os.environ.get("CI") != "true":
        pytest.skip("no RTSP server: install python3-gi, gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good")
    servers: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> Camera:
        script = ROOT / "tests" / "support" / "rtsp_server.py"
        server = subprocess.Popen([SYSTEM_PYTHON, str(script), *arguments], stdout=subprocess.PIPE, text=True)
        servers.append(server)
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        assert port, "the RTSP server did not start"
        return server, f"rtsp://127.0.0.1:{port}/camera"

    yield start
    for server in servers:
        server.kill()
        with server:
            pass
