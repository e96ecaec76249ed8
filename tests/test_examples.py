"""The examples of a service: what systemd, a YAML reader and our own command line say of them."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import run_stream
from sinks import open_sink
from tests.support.process import ROOT

UNIT = ROOT / "examples" / "systemd" / "depth-stream.service"
COMPOSE = ROOT / "examples" / "compose"


def command_of_unit() -> list[str]:
    text = UNIT.read_text().replace("\\\n", " ")
    match = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert match is not None
    return shlex.split(match[1])


def check_arguments(arguments: list[str]) -> None:
    """The command line takes them: all but what is not here, the file with the password."""
    _, bound, _ = run_stream.command_line.app.parse_args(arguments, exit_on_error=False, print_error=False)
    assert bound.arguments["reading"].auth_file is not None
    assert bound.arguments["metrics"].endswith(":9464")
    for uri in bound.arguments["sink"]:
        open_sink(re.sub(r":5555", ":*", uri), overwrite=False).close()


def test_the_command_lines_are_ours() -> None:
    program, *arguments = command_of_unit()
    assert Path(program).name == "depth-pro-stream"
    check_arguments(arguments)
    service = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]["depth"]
    check_arguments(service["command"])
    assert "depth-pro-stream" in (COMPOSE / "Dockerfile").read_text().splitlines()[-1]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(command_of_unit()[0], sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    if "Failed to initialize manager" in done.stderr or "Failed to setup" in done.stderr:
        pytest.skip(f"systemd-analyze does not run here: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_container_is_built_of_what_is_there() -> None:
    lines = (COMPOSE / "Dockerfile").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY"):
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists(), line
    packaged = {"stream", "model", "sinks", "run_stream.py", "pyproject.toml", "README.md", "LICENSE"}
    copied = {name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]}
    assert copied == packaged


def test_the_containers_health_and_ports_are_those_of_its_command() -> None:
    compose = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    service = compose["services"]["depth"]
    kind, program, option, code = service["healthcheck"]["test"]
    assert (kind, program, option) == ("CMD", "python", "-c")
    ast.parse(code)
    assert "http://127.0.0.1:9464/health" in code
    assert service["ports"] == ["127.0.0.1:5555:5555", "127.0.0.1:9464:9464"]
    assert set(service["secrets"]) == set(compose["secrets"])
    assert {volume.partition(":")[0] for volume in service["volumes"]} == set(compose["volumes"])
    assert (COMPOSE / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).exists()
