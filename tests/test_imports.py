"""What importing something imports: the laboratory is not on a frame's way, and torch is imported when it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.process import ROOT


def imported(statement: str) -> set[str]:
    """Names of all modules that are there after ``statement`` in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import stream.pipeline, stream.sources, stream.display",
        "import sinks, sinks.video.sink, sinks.ros.sink, sinks.zeromq.sink",
        "import model.estimator",
        "import run_stream",
    ],
)
def test_the_laboratory_is_not_on_a_frames_way(statement: str) -> None:
    modules = imported(statement)
    assert "stream.errors" in modules
    assert not [name for name in modules if name.startswith("model.lab")]


@pytest.mark.parametrize("statement", ["import run_stream", "import stream.pipeline, stream.sources", "import sinks"])
def test_the_command_line_and_the_streaming_core_do_without_torch(statement: str) -> None:
    assert not imported(statement) & {"torch", "timm"}


def test_help_does_without_torch() -> None:
    code = "import sys, run_stream\nassert run_stream.main(['--help']) == 0\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--launch" in done.stdout
