"""Sources and sinks of other packages: the documented example, installed and run, and plug-ins that are broken."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sinks import open_sink
from stream.errors import ConfigError, SourceError
from stream.sources import SourceConfig, open_source
from tests.support.process import ROOT


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the example of docs/plugins.md is installed in."""
    folder = tmp_path_factory.mktemp("plugin")
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    files = re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in files] == ["pyproject.toml", "nearest_depth.py"]
    for name, text in files:
        (folder / name).write_text(text, encoding="utf-8")
    target = folder / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--disable-pip-version-check", "--target", target, folder], check=True)
    return target


def run(arguments: list[str], installed: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "run_stream.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_documented_example_runs_without_an_edit_here(example: Path, tmp_path: Path) -> None:
    arguments = ["grey:3", "--sink", "nearest:log.txt", "--model", "nano"]
    done = run(arguments, example, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert [int(index) for index, _ in lines] == [0, 1, 2]
    assert all(0.0001 < float(depth) < 10_000 for _, depth in lines)
    assert "3 frames → nearest:log.txt" in done.stdout

    again = run(arguments, example, tmp_path)
    assert again.returncode == 2
    assert "nearest: the plug-in nearest_depth:NearestSink of nearest-depth failed: File exists" in again.stderr
    assert "Traceback" not in again.stderr


def test_the_usual_output_does_not_repeat_an_address(example: Path, tmp_path: Path) -> None:
    """``grey:3`` becomes ``grey_depth.mp4``: the rest of a plug-in's address may be a password."""
    done = run(["grey:3", "--model", "nano"], example, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["grey_depth.mp4"]


def entry_point(folder: Path, distribution: str, group: str, scheme: str, value: str) -> None:
    """Metadata of an installed package with one entry point."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[depth_pro_stream.{group}]\n{scheme} = {value}\n")


@pytest.mark.parametrize(("group", "opens"), [("sinks", open_sink), ("sources", open_source)])
def test_broken_plug_ins_are_named(group: str, opens: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(opens)
    monkeypatch.syspath_prepend(str(tmp_path))
    entry_point(tmp_path, "absent", group, "ab", "no_such_module_anywhere:Thing")
    with pytest.raises(ConfigError, match=r"no_such_module_anywhere:Thing of absent, which cannot be imported: Module"):
        opens("ab:secret@x")
    for number in (1, 2):
        entry_point(tmp_path, f"twin{number}", group, "cd", f"twin{number}:Thing")
    with pytest.raises(ConfigError, match=r"cd: comes from .*twin\d:Thing of twin\d and .*; uninstall all but one"):
        opens("cd:x")
    with pytest.raises((ConfigError, SourceError), match=r"ab:, cd:|ab:.*cd:"):
        opens("unknown://x")


@pytest.mark.parametrize(("group", "opens"), [("sinks", open_sink), ("sources", open_source)])
def test_a_plug_in_that_ends_the_program_is_named(
    group: str, opens: Callable[[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"ends_{group}.py").write_text("import sys\n\nsys.exit('no licence')\n")
    entry_point(tmp_path, "ends", group, "ef", f"ends_{group}:Thing")
    with pytest.raises(ConfigError, match=r"ef: .*Thing of ends, which cannot be imported: SystemExit: no licence"):
        opens("ef:x")
    (tmp_path / f"quits_{group}.py").write_text("def opener(*arguments):\n    raise SystemExit(arguments)\n")
    entry_point(tmp_path, "quits", group, "gh", f"quits_{group}:opener")
    with pytest.raises(ConfigError, match=r"gh: the plug-in quits_\w+:opener of quits failed: SystemExit$"):
        opens("gh:user:secret@x")


@pytest.mark.parametrize(("group", "opens"), [("sinks", open_sink), ("sources", open_source)])
def test_schemes_are_told_as_they_can_be_used(
    group: str, opens: Callable[[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case does not matter; what no address can name is not advised, and what is ours too is told once."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"works_{group}.py").write_text("def opener(*arguments):\n    return arguments\n")
    for scheme in ("Laser", "q", "file"):
        entry_point(tmp_path, f"brings_{scheme}", group, scheme, f"works_{group}:opener")
    for uri in ("laser:1", "LASER:1"):
        assert isinstance(opens(uri), tuple)
    for uri in ("lazer:user:secret@x", "lazer://user:secret@x"):
        with pytest.raises((ConfigError, SourceError), match=r"\blaser:") as error:
            opens(uri)
        message = str(error.value)
        assert " q:" not in message
        assert message.count(" file:") <= 1
        assert "secret" not in message


def test_what_is_ours_stays_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither our own schemes, nor Windows drives, nor files with a colon in their names go to a plug-in."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for number, scheme in enumerate(("rtsp", "c", "film", "webcam")):
        entry_point(tmp_path, f"thief{number}", "sources", scheme, "no_such_module_anywhere:Thing")
    (tmp_path / "film:1.mp4").write_bytes(b"no film")
    (tmp_path / "film:2").mkdir()
    (tmp_path / "film:2" / "a.png").write_bytes(b"no picture")
    for uri in ("film:1.mp4", "c:/x.mp4", "webcam:99", "rtsp://127.0.0.1:1/x"):
        with pytest.raises(SourceError):
            next(iter(open_source(uri, config=SourceConfig(retries=0))))
    for uri in ("film:2", "film:2/*.png", "film:**/a.png"):
        assert open_source(uri).info.frame_count == 1
    entry_point(tmp_path, "sinkthief", "sinks", "null", "no_such_module_anywhere:Thing")
    assert open_sink("null:").name == "null:"
