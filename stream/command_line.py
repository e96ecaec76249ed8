"""What every command line of this project does alike: errors in one line, exit statuses, Ctrl-C, the way out.

The library names a field as Python does, in backquotes: ```batch` must be from 1 to 64``. A person at a command line is
told the option: ``--batch must be from 1 to 64``.
"""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import version
from types import FrameType
from typing import NoReturn, cast

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter

from stream.errors import ConfigError, DepthStreamError, one_line
from stream.quiet_start import INTERRUPTED, have_streams

DONE, FAILED, USAGE, SINK_FAILED = 0, 1, 2, 3

_FIELD = re.compile(r"`([a-z_][a-z0-9_.]*)(?:=([^`]*))?`")
_LOGIN = re.compile(r"://.*@")
_log = logging.getLogger(__name__)


class CommandLine:
    """A command line.

    Args:
        name: how it is started, such as ``run_stream.py`` or ``python -m sinks.zeromq.keygen``.
        summary: what it does, in a sentence.
        epilogue: examples and exit statuses, at the end of the help.
        interrupted: what is said after Ctrl-C.

    Attributes:
        app: the application of cyclopts, for commands to be added to.
    """

    def __init__(self, name: str, *, summary: str, epilogue: str, interrupted: str = "stopped") -> None:
        self._speaker = name.rpartition(" ")[2].rpartition(".")[2] if " " in name else name
        self._interrupted = interrupted
        self.app = App(
            name=name,
            help=summary,
            help_epilogue=epilogue,
            version=lambda: version("depth-pro-stream"),
            suppress_keyboard_interrupt=False,
            default_parameter=Parameter(negative=""),
        )

    def main(self, arguments: Sequence[str]) -> int:
        """Run a command line; every error becomes one line on standard error. Returns the exit status."""
        try:
            status = self.app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
            sys.stdout.flush()
        except ConfigError as exc:
            return self.complain(exc, USAGE)
        except CycloptsError as exc:  # which repeats what was typed
            return self.complain(f"{_without_logins(exc)}{_hint(exc, arguments)}", USAGE)
        except _OutputError as exc:
            _print_no_more()
            is_broken_pipe = isinstance(exc.__cause__, BrokenPipeError)  # whoever reads, as in `… | head`, has enough
            return FAILED if is_broken_pipe else self.complain(exc, FAILED)
        except DepthStreamError as exc:
            return self.complain(exc, FAILED)
        except KeyboardInterrupt:
            return self.complain(self._interrupted, INTERRUPTED)
        except Exception as exc:  # noqa: BLE001 (the last line of defence: a person wants a sentence, not a traceback)
            return self.complain(
                f"unexpected {type(exc).__name__}: {_without_logins(exc)}; --verbose shows where", FAILED
            )
        return int(status or DONE)

    def complain(self, error: object, status: int) -> int:
        """Say what is wrong, on one line, with options as they are typed. Returns ``status``."""
        _log.debug("where it failed:", exc_info=True)
        print(f"{self._speaker}: {with_options(one_line(error))}", file=sys.stderr)
        return status

    def run(self) -> NoReturn:
        """Run this process's command line, then end the process."""
        signal.signal(signal.SIGINT, _interrupt)
        have_streams()
        sys.stdout = _Output.of(cast("io.TextIOWrapper", sys.stdout))
        status = self.main(sys.argv[1:])
        if threading.active_count() > 1:
            # Something hangs in a driver or was left behind. Python would tear it down while it runs, which can abort.
            sys.stderr.flush()
            os._exit(status)
        sys.exit(status)


def say(text: str) -> None:
    """Print how a run has ended. That nobody reads it, as in ``… | true``, does not undo the run."""
    try:
        print(text, flush=True)
    except _OutputError:
        _print_no_more()


class _OutputError(DepthStreamError):
    """Standard output does not take what is printed."""


class _Output(io.TextIOWrapper):
    """Standard output whose errors are told from all others."""

    @classmethod
    def of(cls, out: io.TextIOWrapper) -> _Output:
        """In the place of ``out``."""
        how = {name: getattr(out, name) for name in ("encoding", "errors", "line_buffering", "write_through")}
        return cls(out.detach(), **how)

    def write(self, text: str) -> int:
        """See :meth:`io.TextIOBase.write`."""
        try:
            return super().write(text)
        except OSError as exc:
            raise _OutputError(f"cannot write to standard output: {exc.strerror}") from exc

    def flush(self) -> None:
        """See :meth:`io.IOBase.flush`."""
        try:
            super().flush()
        except OSError as exc:
            raise _OutputError(f"cannot write to standard output: {exc.strerror}") from exc


def _print_no_more() -> None:
    """Let what is printed go nowhere, or Python would complain about what is left on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    """Raise ``KeyboardInterrupt``; in the middle of an import, where compiled code aborts on that, end the program."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(INTERRUPTED)
        frame = frame.f_back
    raise KeyboardInterrupt


def _hint(error: CycloptsError, arguments: Sequence[str]) -> str:
    """What to write instead, where an option's value looks like another option."""
    option = error.keyword if isinstance(error, MissingArgumentError) else None
    if option is not None and option in arguments[:-1]:
        following = arguments[list(arguments).index(option) + 1]
        if following.startswith("-") and not following.startswith("--"):
            return f" What begins with - is told after =, as in {option}={_without_logins(following)}"
    return ""


def with_options(text: str) -> str:
    """``text`` with every field in backquotes as it is typed.

    ```ring_slots``` becomes ``--ring-slots``, ```overwrite=True``` becomes ``--overwrite``, ```rectify=False``` becomes
    ``--no-rectify``, and ```fov=70``` becomes ``--fov 70``.
    """
    return _FIELD.sub(_typed, text)


def _without_logins(error: object) -> str:
    """What an error that is not ours says, without what may be a user and a password in an address."""
    return _LOGIN.sub("://***@", one_line(error))


def _typed(field: re.Match[str]) -> str:
    name, value = field[1].replace("_", "-"), field[2]
    if value == "False":
        return f"--no-{name}"
    return f"--{name}" if value in (None, "True") else f"--{name} {value}"
