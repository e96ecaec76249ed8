"""The cameras of this machine: which there are, what each can do, and whether it can do what is asked of it.

Linux is asked directly (:mod:`stream.sources.v4l2`) and tells everything. Elsewhere FFmpeg lists names alone.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stream.errors import ConfigError
from stream.sources.v4l2 import Ioctl, Mode, Span, ask_camera

_CLOSE = Fraction(1, 100)  # 29.97 is what a person means by 30
_ALIASES = {"yuyv": "yuyv422", "uyvy": "uyvy422", "mjpg": "mjpeg", "h265": "hevc"}
_COMPRESSED = ("mjpeg", "h264", "hevc", "mpeg4")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCamera:
    """A camera of this machine.

    Attributes:
        source: what to give as a source, such as ``webcam:0``.
        name: what its maker calls it.
        device: where the system keeps it.
        modes: what it can do, as far as it tells.
        problem: why it could not be asked; empty if it could.
    """

    source: str
    name: str
    device: str
    modes: tuple[Mode, ...] = ()
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.source} ({self.name or self.problem})"


def list_cameras(platform: str = sys.platform) -> list[LocalCamera]:
    """All cameras that FFmpeg could open, in the order of their numbers."""
    framework = {"darwin": "avfoundation", "win32": "dshow"}.get(platform)
    if framework is None:
        devices = [(int(m[1]), p) for p in Path("/dev").glob("video*") if (m := re.fullmatch(r"video(\d+)", p.name))]
        return [camera for _, device in sorted(devices) if (camera := ask_device(device)) is not None]
    from av.device import enumerate_input_devices

    found = [d for d in enumerate_input_devices(framework) if "video" in d.media_types]
    return [
        LocalCamera(source=f"webcam:{number}", name=d.description or d.name, device=d.name)
        for number, d in enumerate(found)
    ]


def ask_device(device: Path, ioctl: Ioctl | None = None) -> LocalCamera | None:
    """The camera behind ``/dev/video…`` of Linux, ``None`` if there is none.

    Args:
        device: its path.
        ioctl: how to ask it. Default: the system's.
    """
    if ioctl is None:
        import fcntl  # of POSIX alone

        ioctl = fcntl.ioctl
    source = re.sub(r"^/dev/video(\d+)$", r"webcam:\1", str(device))
    try:
        file = os.open(device, os.O_RDWR | os.O_NONBLOCK)
        try:
            asked = ask_camera(file, ioctl)
        finally:
            os.close(file)
    except PermissionError:
        problem = "no permission; add your user to the group video"
        return LocalCamera(source=source, name="", device=str(device), problem=problem)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
            return None
        problem = f"does not answer: {exc.strerror}"
        return LocalCamera(source=source, name="", device=str(device), problem=problem)
    if asked is None:
        return None
    name, modes = asked
    return LocalCamera(source=source, name=name or "nameless", device=str(device), modes=modes)


def described(cameras: list[LocalCamera]) -> str:
    """One line per camera, and below it one for all sizes of a format that have the same rates."""
    if not cameras:
        return "no camera found"
    lines = []
    for camera in cameras:
        lines.append(f"{camera.source}  {camera.name or camera.problem}  {camera.device}")
        lines += [f"  {line}" for line in _mode_lines(camera.modes)]
    return "\n".join(lines)


def no_such_camera(platform: str = sys.platform) -> str:
    """What to say to someone whose camera is not there: those that are."""
    there = ", ".join(map(str, list_cameras(platform)))
    return f"no such camera; this machine has {there or 'none, check the cable'}"


def format_name(name: str) -> str:
    """FFmpeg's name of a pixel format or codec that was typed."""
    return _ALIASES.get(name.lower(), name.lower())


def format_option(name: str, platform: str = sys.platform) -> tuple[str, str]:
    """FFmpeg's option that picks a camera's format, and its value.

    Raises:
        ConfigError: a compressed format, which can be picked on Linux alone.
    """
    name = format_name(name)
    if platform not in ("darwin", "win32"):
        return "input_format", name
    if name in _COMPRESSED:
        raise ConfigError(
            f"`camera_format={name}` can be picked on Linux only; here give a pixel format such as nv12, or none"
        )
    return "pixel_format", name


def check_modes(camera: LocalCamera, *, size: tuple[int, int] | None, rate: float | None, format: str | None) -> None:
    """Refuse what a camera cannot do; a driver would quietly do something else. What it does not tell passes.

    Raises:
        ConfigError: it cannot; the message lists what it can.
    """
    modes = list(camera.modes)
    within = ""
    if format is not None and modes:
        formats = list(dict.fromkeys(mode.format for mode in modes))
        modes = [mode for mode in modes if mode.format == format_name(format)]
        if not modes:
            raise ConfigError(f"`camera_format={format}`: {camera} has no such format; it has {', '.join(formats)}")
        within = f" in {format_name(format)}"
    if size is not None and modes:
        typed = "{}x{}".format(*size)
        sizes = list(dict.fromkeys(_size(mode) for mode in modes))
        modes = [mode for mode in modes if _has_size(mode, size)]
        if not modes:
            raise ConfigError(f"`camera_size={typed}`: {camera} has no such size{within}; it has {', '.join(sizes)}")
        within += f" at {typed}"
    if rate is not None and all(mode.rates for mode in modes):
        rates = {span: None for mode in modes for span in mode.rates}
        wanted = Fraction(rate)
        if modes and not any(s.low * (1 - _CLOSE) <= wanted <= s.high * (1 + _CLOSE) for s in rates):
            told = ", ".join(map(_rate, sorted(rates, key=lambda s: s.high, reverse=True)))
            raise ConfigError(f"`camera_rate={rate:g}`: {camera} has no such rate{within}; it has {told}")


def _has_size(mode: Mode, size: tuple[int, int]) -> bool:
    if mode.width is None or mode.height is None:
        return True
    return mode.width.has(Fraction(size[0])) and mode.height.has(Fraction(size[1]))


def _mode_lines(modes: Iterable[Mode]) -> list[str]:
    groups: dict[tuple[str, tuple[Span, ...]], list[str]] = {}
    for mode in modes:
        groups.setdefault((mode.format, mode.rates), []).append(_size(mode))
    width = max((len(name) for name, _ in groups), default=0)
    return [
        f"{name:{width}}  {' '.join(sizes)}" + (f"  at {', '.join(map(_rate, rates))} frames/s" if rates else "")
        for (name, rates), sizes in groups.items()
    ]


def _size(mode: Mode) -> str:
    if mode.width is None or mode.height is None:
        return "any size"
    low, high = f"{mode.width.low}x{mode.height.low}", f"{mode.width.high}x{mode.height.high}"
    if low == high:
        return low
    steps = f" in steps of {mode.width.step}x{mode.height.step}" if max(mode.width.step, mode.height.step) > 1 else ""
    return f"{low} to {high}{steps}"


def _rate(span: Span) -> str:
    low, high = (f"{float(value):.4g}" for value in (span.low, span.high))
    return high if low == high else f"{low} to {high}"
