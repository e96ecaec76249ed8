"""Every exception this project raises on purpose, in one tree.

::

    DepthStreamError
    ├── ConfigError (ValueError)   what the user asked for cannot be done: a wrong option, value or combination
    ├── SourceError                a camera, file or URL cannot be opened or read
    ├── SinkError                  an output cannot be opened or written
    └── ModelError                 the network cannot be built or run
        └── WeightsError           a checkpoint is missing, damaged or belongs to another model

Each message says what was given, what is allowed and what to do, on one line. A field is named as in Python and stands
in backquotes, with a value where one is meant: ```batch```, ```launch=graph```. Command lines show it as their option
(:mod:`stream.command_line`).

Errors of third-party libraries become one of these at the boundary of the module that calls the library, ``from exc``.
"""

from __future__ import annotations


class DepthStreamError(Exception):
    """Base of all errors raised on purpose by this project."""


class ConfigError(DepthStreamError, ValueError):
    """An option, a value or a combination of them that cannot work."""


class SourceError(DepthStreamError):
    """A source that cannot be opened or read."""


class SinkError(DepthStreamError):
    """A sink that cannot be opened or written."""


class ModelError(DepthStreamError):
    """A network that cannot be built or run."""


class WeightsError(ModelError):
    """A checkpoint that is missing, damaged or made for another network."""


def one_line(error: object) -> str:
    """What an error says, on one line however many it takes, and :func:`printable`."""
    return printable(" ".join(str(error).split()))


def printable(text: str) -> str:
    """``text`` without line feeds or codes that a terminal would obey, which names of files may hold: they are spelled
    out, as in Python."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
