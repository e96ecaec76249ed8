"""Viewers of Rerun: one that runs somewhere, or one that is started here."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import BinaryIO

from sinks.addresses import Address
from stream.errors import ConfigError, SinkError

# Its own default is every interface, and whoever connects may also listen.
COMMAND = [sys.executable, "-m", "rerun_cli", "--bind", "127.0.0.1", "--hide-welcome-screen", "--expect-data-soon"]

_SERVER_MEMORY = "128MiB"  # what it keeps, besides, for viewers that connect to it
_START_S = 20.0
_CONNECT_S = 5.0


def check_answers(address: Address) -> None:
    """Check that somebody listens at ``address``: Rerun itself would keep on trying, and the frames in memory.

    Raises:
        SinkError: nobody does.
    """
    try:
        socket.create_connection((address.host, address.port), _CONNECT_S).close()
    except OSError as exc:
        raise SinkError(
            f"no viewer of Rerun answers at {address} ({exc.strerror or exc}); start it there with `rerun`, or let it "
            "be started with --sink rerun:"
        ) from exc


class Viewer:
    """A viewer started here, which others than this machine cannot reach. It stays when the run ends.

    Args:
        memory: what it may use, in its own words: ``2GB``.

    Attributes:
        address: where it listens.

    Raises:
        ConfigError: there is no screen.
        SinkError: it does not start.
    """

    def __init__(self, memory: str) -> None:
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise ConfigError(
                "a viewer needs a screen (neither DISPLAY nor WAYLAND_DISPLAY is set); show it elsewhere with "
                "rerun://host:port, or write walk.rrd"
            )
        self.address = Address("127.0.0.1", _free_port())
        memories = ["--memory-limit", memory, "--server-memory-limit", _SERVER_MEMORY]
        with tempfile.TemporaryFile() as log:
            self._process = subprocess.Popen(
                [*COMMAND, "--port", str(self.address.port), *memories],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # Ctrl-C is not meant for it
                env={**os.environ, "RERUN_APP_ONLY": "true", "RUST_LOG": "error"},  # no greetings
            )
            self._wait(log)

    @property
    def pid(self) -> int:
        """Of its process, which leads a group of its own."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether nobody has closed it."""
        return self._process.poll() is None

    def _wait(self, log: BinaryIO) -> None:
        end = time.monotonic() + _START_S
        while self.runs and time.monotonic() < end:
            try:
                check_answers(self.address)
                return
            except SinkError:
                time.sleep(0.05)
        self._process.kill()
        self._process.wait()
        log.seek(0)
        said = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        reason = next((line for line in said if "error" in line.lower()), said[-1] if said else "it says nothing")
        raise SinkError(f"the viewer of Rerun did not start: {reason}")


_started: list[Viewer] = []
_starting = threading.Lock()


def share_viewer(memory: str) -> Viewer:
    """The viewer of this run: cameras are seen side by side in one.

    Raises:
        ConfigError, SinkError: as :class:`Viewer`.
    """
    with _starting:
        if not _started or not _started[-1].runs:
            _started.append(Viewer(memory))  # those that were closed stay: a process that is forgotten is warned of
        return _started[-1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
