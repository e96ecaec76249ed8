"""``python -m sinks.zeromq.keygen FOLDER NAME…``: keys for encrypted ZeroMQ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sinks.zeromq.curve import make_keys
from stream.command_line import CommandLine

command_line = CommandLine(
    "python -m sinks.zeromq.keygen",
    summary="Make keys for encrypted ZeroMQ.",
    epilogue="Exit status: 0 made; 1 cannot be written; 2 wrong command line.",
)


@command_line.app.default
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


main = command_line.main

if __name__ == "__main__":
    command_line.run()
