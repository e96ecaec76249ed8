"""How depth is shown to browsers, and on which address of this machine."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Literal

from sinks.addresses import Address, is_loopback, parse_address
from sinks.depth_codes import DepthCodes
from sinks.option_checks import check_camera, check_quality
from sinks.video.colormap import COLORMAP, MAX_M, MIN_M, SCALE, ColormapName, DepthColormap, Scale
from stream.errors import ConfigError

HOST, PORT = "127.0.0.1", 8080
QUALITY = 85
MOST_VIEWERS = 1000

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewOptions:
    """How depth is shown.

    Attributes:
        camera: name of the camera: letters, digits, ``_``, ``.`` and ``-``.
        token: what a viewer has to know, 16 to 128 letters, digits, ``_`` and ``-``. Made where an address needs one
            and none is given.
        hosts: names, with commas between, that browsers may call this machine by, besides its addresses: that of a
            reverse proxy, for one.
        origins: origins of other pages, with commas between, that may connect, such as ``https://ar.example``.
        viewers: how many may watch at once.
        calibrate: let viewers have the run measure its scale at a known distance.
        encoding: of depth: ``log`` codes from 0.1 m to 10 km, or millimetres to 65.534 m; see
            :mod:`sinks.depth_codes`.
        quality: of the JPEG, 1 … 100.
        min, max, scale, colormap: what colours mean until a viewer chooses, as in :class:`sinks.video.sink.VideoSink`.
    """

    camera: str = "camera"
    token: str | None = None
    hosts: str = ""
    origins: str = ""
    viewers: int = 16
    calibrate: bool = False
    encoding: Literal["log", "mm"] = "log"
    quality: int = QUALITY
    min: float = MIN_M
    max: float = MAX_M
    scale: Scale = SCALE
    colormap: ColormapName = COLORMAP

    def __post_init__(self) -> None:
        check_camera(self.camera)
        check_quality(self.quality, "jpeg")
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise ConfigError(
                "token must be 16 to 128 letters, digits, _ and -; another interface than loopback gets one made "
                "where it is left out"
            )
        if not 1 <= self.viewers <= MOST_VIEWERS:
            raise ConfigError(f"viewers must be from 1 to {MOST_VIEWERS}, not {self.viewers}")
        DepthColormap(min_m=self.min, max_m=self.max, scale=self.scale, name=self.colormap)  # refuses what cannot be

    def make_codes(self) -> DepthCodes:
        return DepthCodes(encoding=self.encoding)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewAddress:
    """Where the page is served.

    Attributes:
        host: name or address of an interface of this machine, without brackets.
        port: 0 for a free one.
        any_port: the port was not said: one of the next ten will do where it is in use.
    """

    host: str = HOST
    port: int = PORT
    any_port: bool = True

    @classmethod
    def parse(cls, target: str) -> ViewAddress:
        """From what stands behind ``view:``: nothing, or ``//host:port``.

        Raises:
            ConfigError: it is something else.
        """
        if not target:
            return cls()
        example = "view: or view://127.0.0.1:8080"
        address, has_port = parse_address("view", target, default=Address(HOST, PORT), example=example)
        return cls(host=address.host, port=address.port, any_port=not has_port)

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone can reach it."""
        return is_loopback(self.host)


def make_token() -> str:
    """A token that nobody guesses: 128 random bits."""
    return secrets.token_urlsafe(16)


def words(text: str) -> frozenset[str]:
    """What stands between the commas of an option, in lower case."""
    return frozenset(word.strip().lower() for word in text.split(",") if word.strip())
