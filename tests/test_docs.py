"""What the pages name is there: files they link to, modules they run, options they mention."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import run_stream
from model.lab.evaluation.__main__ import command_line as evaluation
from model.lab.training.__main__ import command_line as training
from sinks.zeromq.keygen import command_line as keygen
from stream.command_line import CommandLine
from tests.support.process import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+://", target):
            continue
        name, _, heading = target.partition("#")
        file = page if not name else page.parent / name
        assert file.exists(), f"{page.name} links to {target}"
        if heading:
            headings = [
                re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
                for line in text_of(file).splitlines()
                if line.startswith("#")
            ]
            assert heading in headings, f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_modules_that_are_named_exist(page: Path) -> None:
    text = text_of(page)
    for module in re.findall(r"python3? -m ([a-z_]+(?:\.[a-z_]+)+)", text):
        assert importlib.util.find_spec(module) is not None, module
    for path in re.findall(r"`((?:stream|model|sinks|tests|benchmarks|examples)/[\w/]+\.\w+)`", text):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


def options_of(program: CommandLine, capsys: pytest.CaptureFixture[str], *commands: str) -> set[str]:
    found: set[str] = set()
    for arguments in ([], *([command] for command in commands)):
        assert program.main([*arguments, "--help"]) == 0
        found |= set(re.findall(r"--[a-z][a-z.-]*[a-z]", capsys.readouterr().out))
    return found


def test_options_that_are_named_exist(capsys: pytest.CaptureFixture[str]) -> None:
    ours = options_of(run_stream.command_line, capsys) | options_of(evaluation, capsys) | options_of(keygen, capsys)
    ours |= options_of(training, capsys, "render", "fit", "timed")
    for benchmark in (ROOT / "benchmarks").glob("*.py"):
        ours |= {
            f"--{name.replace('_', '-')}" for name in re.findall(r"^    (\w+): ", text_of(benchmark), re.MULTILINE)
        }
        ours |= set(re.findall(r"--[a-z][a-z-]+", text_of(benchmark)))
    of_others = {"--clock", "--ros-args", "--no-deps", "--no-build-isolation"}
    for page in PAGES:
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z.-]*[a-z]", text_of(page)))
        assert named <= ours | of_others, f"{page.name} names {sorted(named - ours - of_others)}"
