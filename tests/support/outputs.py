"""Frames into a sink, to its end or to the end of what a file may hold."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

from sinks import open_sink
from stream.frame import DepthFrame
from tests.support.process import ROOT

_LIMITED = """
import resource, signal, sys
from sinks import open_sink
from stream.errors import SinkError
from {module} import {frame}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({most_bytes}, {most_bytes}))
sink = open_sink(sys.argv[1])
try:
    for index in range({frames}):
        sink.write({frame}(index, **{changes}))
except SinkError as error:
    print(index, error)
sink.close()
"""


def record(uri: str, frames: Iterable[DepthFrame], *, overwrite: bool = False) -> None:
    """Write ``frames`` and close, whatever happens."""
    sink = open_sink(uri, overwrite=overwrite)
    try:
        for frame in frames:
            sink.write(frame)
    finally:
        sink.close()


def write_until_it_is_full(
    uri: str, *options: str, module: str, frame: str, frames: int, most_bytes: int, **changes: int
) -> subprocess.CompletedProcess[str]:
    """Write in a process whose files may have ``most_bytes``; it prints at which frame the sink failed, and why.

    Args:
        uri: of the sink.
        options: of the interpreter.
        module, frame: where the function is that makes frame ``index``, called with ``changes``.
        frames: that it would write.
        most_bytes: of a file.
    """
    script = _LIMITED.format(module=module, frame=frame, frames=frames, most_bytes=most_bytes, changes=changes)
    command = [sys.executable, *options, "-c", script, uri]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
