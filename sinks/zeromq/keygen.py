"""``python -m sinks.zeromq.keygen FOLDER NAME…``: keys for encrypted ZeroMQ."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from sinks.zeromq.curve import make_keys
from stream.errors import ConfigError, DepthStreamError, one_line

app = App(
    name="python -m sinks.zeromq.keygen",
    help="Make keys for encrypted ZeroMQ.",
    help_epilogue="Exit status: 0 made; 1 cannot be written; 2 wrong command line.",
    default_parameter=Parameter(negative=""),
)


@app.default
def keygen(folder: Path, names: Annotated[list[str], Parameter(consume_multiple=True)], /) -> None:
    """Make keys for encrypted ZeroMQ.

    FOLDER/NAME.key is to be given away, FOLDER/NAME.key_secret to be kept.

    Parameters
    ----------
    folder
        Where they are written.
    names
        One pair of keys for each: the publisher's, and one for every subscriber.
    """
    for name in names:
        public, secret = make_keys(folder, name)
        print(f"{public}: give it to the other side\n{secret}: keep it to yourself")


def main(arguments: Sequence[str]) -> int:
    """Run a command line; turns every error into one line. Returns the exit status."""
    try:
        app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, DepthStreamError) as exc:
        print(f"keygen: {one_line(exc)}", file=sys.stderr)
        return 2 if isinstance(exc, CycloptsError | ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
