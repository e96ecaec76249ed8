"""Where depth goes, as one word on the command line: ``[scheme:]target[?option=value&…]``."""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, quote, unquote

from stream.errors import ConfigError

T = TypeVar("T")

# Two characters at least: one letter and a colon is a Windows drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
# Of a file's address only the machine can have a user; of others whatever ends with an @ could be a password.
_FILE_USER = re.compile(r"^(file://)[^/@]*@", re.IGNORECASE)
_USER = re.compile(r"^((?!file:|zmq\+ipc:)[A-Za-z][A-Za-z0-9+.-]+:(?://)?).*@", re.IGNORECASE | re.DOTALL)
_TOKEN = re.compile(r"([?&]token=)[^&]*", re.IGNORECASE)
_CONTROL = re.compile(r"%(?:[01][0-9a-f]|7f)", re.IGNORECASE)
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkUri:
    """A sink URI taken apart.

    Attributes:
        text: what was given, without credentials; for messages.
        scheme: in lower case; empty for a plain path.
        target: what stands between scheme and ``?``, percent-decoded; may hold credentials.
        options: the query, percent-decoded, not yet converted.
    """

    text: str
    scheme: str
    target: str
    options: Mapping[str, str]

    def with_local_path(self) -> SinkUri:
        """This ``file:`` URI with the path it means as target.

        Raises:
            ConfigError: it names another machine.
        """
        if not self.target.startswith("//"):
            return self
        host, slash, path = self.target[2:].partition("/")
        if host not in ("", "localhost"):
            host = host.rpartition("@")[2]
            raise ConfigError(f"{self.text}: a file on another machine ({host}); write file:///path or just the path")
        is_windows = re.match(r"[A-Za-z]:", path)  # file:///C:/x
        return dataclasses.replace(self, target=path if is_windows else slash + path)

    def without_target(self) -> SinkUri:
        """This URI, of a sink that takes no target.

        Raises:
            ConfigError: something stands between the scheme and the options.
        """
        if self.target.strip("/"):
            raise ConfigError(f"{self.text}: {self.scheme}: goes nowhere; leave out what follows it")
        return self


def parse_uri(uri: str) -> SinkUri:
    """Split ``uri`` into scheme, target and options.

    Everything is percent-decoded, so a file name with ``?`` or ``%`` in it writes them ``%3F`` and ``%25``.

    Raises:
        ConfigError: an option without a value, or the same option twice.
    """
    text = without_user(uri)
    rest, _, query = uri.partition("?")
    match = _SCHEME.fullmatch(rest)
    scheme, target = (match[1].lower(), match[2]) if match else ("", rest)
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        if "=" not in pair:
            pair = pair.rpartition("@")[2]  # a password may hold a question mark
            raise ConfigError(f"{text}: option {pair!r} has no value; write {pair}=value")
        ((name, value),) = parse_qsl(pair, keep_blank_values=True)
        name = name.strip().lower()
        if name in options:
            raise ConfigError(f"{text}: option {name!r} is given twice; keep one")
        options[name] = value
    return SinkUri(text=text, scheme=scheme, target=unquote(target, errors="surrogateescape"), options=options)


def quoted(path: str) -> str:
    """``path`` as :func:`parse_uri` takes it. Names on disk are bytes, and need not be text."""
    return quote(path, errors="surrogateescape")


def refuse_control_characters(uri: str) -> None:
    """That a name would get one is a mistake of whoever meant a percent sign, as in ``png:%04d``.

    Raises:
        ConfigError: percent-decoded, ``uri`` would hold one.
    """
    if (code := _CONTROL.search(uri.partition("?")[0])) is not None:
        raise ConfigError(
            f"{without_user(uri)}: {code[0]} stands for a control character here; write %25 for a percent sign"
        )


def names_rrd(uri: SinkUri) -> bool:
    """Whether a ``rerun:`` URI names a file; else a viewer."""
    return uri.target.lower().endswith(".rrd") and not uri.target.startswith("//")


def without_user(address: str) -> str:
    """``address`` as it may be shown: without what could be a user and a password, or a token."""
    address = _TOKEN.sub(r"\1***", address)
    return _USER.sub(r"\1***@", _FILE_USER.sub(r"\1***@", address))


def suggest(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` where one of ``known`` is close to ``word``, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def parse_options(uri: SinkUri, kind: type[T]) -> T:
    """Build the options dataclass ``kind`` from the query of ``uri``; what is not given keeps its default.

    Fields may be ``str``, ``int``, ``float``, ``bool``, a ``Literal`` of strings, or one of these ``| None``.

    Raises:
        ConfigError: an option or value that ``kind`` does not know.
    """
    hints = get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, text in uri.options.items():
        if name not in names:
            allowed = f"allowed: {', '.join(names)}" if names else "this sink has no options"
            raise ConfigError(f"{uri.text}: unknown option {name!r}{suggest(name, names)}; {allowed}")
        try:
            values[name] = _convert(hints[name], text)
        except ValueError as exc:
            raise ConfigError(f"{uri.text}: option {name!r} {exc}") from exc
    try:
        return kind(**values)
    except ConfigError as exc:
        raise ConfigError(f"{uri.text}: {exc}") from exc


def _convert(kind: Any, text: str) -> object:
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(k for k in get_args(kind) if k is not type(None))
    if get_origin(kind) is Literal:
        return _choice(text, get_args(kind))
    if kind is bool:
        return _BOOLEANS[_choice(text.lower(), tuple(_BOOLEANS))]
    convert: Callable[[str], object] = kind
    try:
        return convert(text)
    except ValueError as exc:
        raise ValueError(f"must be {'a whole number' if kind is int else 'a number'}, not {text!r}") from exc


def _choice(text: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        raise ValueError(f"must be one of {', '.join(allowed)}, not {text!r}{suggest(text, allowed)}")
    return text
