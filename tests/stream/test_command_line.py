"""What every command line does alike: errors in one line, options as they are typed, exit statuses."""

from __future__ import annotations

import pytest

from stream.command_line import CommandLine, with_options
from stream.errors import ConfigError, SourceError


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("`ring_slots` must be at least 2", "--ring-slots must be at least 2"),
        ("exists; use `overwrite=True`", "exists; use --overwrite"),
        ("or give `rectify=False`", "or give --no-rectify"),
        ("give `fov=70`, or `camera_info`", "give --fov 70, or --camera-info"),
        ("`output_size=640x480` fits", "--output-size 640x480 fits"),
        ("`depth.steps` must be 0 or more", "--depth.steps must be 0 or more"),
        ("run `pip install x`", "run `pip install x`"),
    ],
)
def test_fields_become_options(text: str, typed: str) -> None:
    assert with_options(text) == typed


def program(error: BaseException | None) -> CommandLine:
    """A command line that ends with ``error``."""
    name, said = "python -m a.package.tool", "stopped; nothing kept"
    made = CommandLine(name, summary="Does nothing.", epilogue="", interrupted=said)

    @made.app.default
    def run(*, verbose: bool = False) -> None:  # noqa: ARG001 (an option to type)
        if error is not None:
            raise error

    return made


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (None, 0, ""),
        (ConfigError("`size` must\n  be even"), 2, "tool: --size must be even"),
        (SourceError("the camera is gone"), 1, "tool: the camera is gone"),
        (KeyboardInterrupt(), 130, "tool: stopped; nothing kept"),
        (ZeroDivisionError("by zero"), 1, "tool: unexpected ZeroDivisionError: by zero; --verbose shows where"),
    ],
)
def test_every_end_has_a_line_and_a_status(
    error: BaseException | None, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program(error).main([]) == status
    captured = capsys.readouterr()
    assert captured.err.strip() == line
    assert captured.out == ""


def test_an_unknown_option_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert program(None).main(["--nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--sink", "-x.mkv"], "What begins with - is told after =, as in --sink=-x.mkv"),
        (["--sink"], "--sink requires an argument."),
        (["--sink", "--verbose"], "--sink requires an argument."),
    ],
)
def test_a_value_that_looks_like_an_option_can_be_told(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = CommandLine("a.py", summary="Does nothing.", epilogue="")

    @made.app.default
    def run(*, sink: str = "", verbose: bool = False) -> None: ...

    assert made.main(arguments) == 2
    assert capsys.readouterr().err.strip().endswith(hint)
    assert made.main(["--sink=-x.mkv"]) == 0
