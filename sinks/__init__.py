"""Where depth goes. :func:`open_sink` makes a sink from a word on the command line; each is also a class to construct.

=====================  ==========================================================================
``depth.mp4``          a video to look at, :class:`sinks.video.sink.VideoSink`
``depth.mkv?codec=…``  with ``codec=ffv1``, lossless depth in millimetres or other codes
``png:FOLDER``         16-bit PNG files, :class:`sinks.files.png.PngSink`
``exr:FOLDER``         OpenEXR files, :class:`sinks.files.exr.ExrSink`
``npz:FOLDER``         NumPy archives, :class:`sinks.files.npz.NpzSink`
``lerobot:FOLDER``     a depth video as LeRobot lays it out, :class:`sinks.video.lerobot.LeRobotSink`
``walk.mcap``          ROS 2 messages, :class:`sinks.ros.sink.McapSink`; ``mcap:…`` for a name of another ending
``focal:FILE``         focal lengths, .csv or .json, :class:`sinks.files.focal.FocalSink`
``zmq+tcp://…``        published over ZeroMQ, :class:`sinks.zeromq.sink.ZmqSink`; ``zmq+ipc://…`` too
``view:``              live in a browser, :class:`sinks.view.sink.ViewSink`; ``view://host:port`` too
``rerun:``             in a viewer of Rerun, :class:`sinks.rerun.sink.RerunSink`; ``rerun://host:port`` too
``walk.rrd``           a file of Rerun, :class:`sinks.rerun.rrd.RrdSink`; ``rerun:walk.rrd`` too
``foxglove:``          to Foxglove, live, :class:`sinks.foxglove.sink.FoxgloveSink`; ``foxglove://host:port`` too
``null:``              counted and dropped, :class:`sinks.null.NullSink`
``memory:``            kept in a list, :class:`sinks.memory.MemorySink`
``scheme:…``           whatever a plug-in brings, see ``docs/plugins.md``
=====================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sinks.memory import MemorySink
from sinks.null import NullSink
from sinks.uri import SinkUri, names_rrd, parse_options, parse_uri, suggest
from stream import plugins
from stream.errors import ConfigError
from stream.ports import Sink

__all__ = ["MemorySink", "NullSink", "for_camera", "open_sink"]


def for_camera(uri: str, camera: str, *, several: bool) -> str:
    """``uri`` for one camera: ``{camera}`` becomes its name; what shows or publishes several is told it.

    Raises:
        ConfigError: the cameras would write into one file.
    """
    named = uri.replace("{camera}", camera)
    parsed = parse_uri(uri)
    scheme = parsed.scheme
    if not several:
        return named
    if scheme in ("zmq+tcp", "zmq+ipc", "view", "foxglove") or (scheme == "rerun" and not names_rrd(parsed)):
        _, question, query = named.partition("?")
        given = question and any(option.startswith("camera=") for option in query.split("&"))
        return named if given else f"{named}{'&' if question else '?'}camera={camera}"
    if named == uri and scheme not in ("null", "memory"):
        raise ConfigError(f"{uri} would be written by every camera; put {{camera}} into its name")
    return named


def open_sink(uri: str, *, overwrite: bool = False) -> Sink:
    """Make the sink that ``uri`` names: ``[scheme:]target[?option=value&…]``.

    Args:
        uri: a file name, or one of the schemes above. Percent-encoding is decoded; ``?`` in a file name is ``%3F``.
        overwrite: whether a file that is already there may be replaced.

    Raises:
        ConfigError: a scheme, option or value that is not known, or a plug-in that is broken.
        SinkError: the output cannot be created.
    """
    parsed = parse_uri(uri)
    factory = _FACTORIES.get(parsed.scheme) or plugins.find(plugins.SINKS, parsed.scheme)
    if factory is None:
        known = list(dict.fromkeys([*filter(None, _FACTORIES), *plugins.schemes(plugins.SINKS)]))
        raise ConfigError(
            f"{parsed.text}: unknown kind of output {parsed.scheme!r}{suggest(parsed.scheme, known)}; allowed: "
            f"a file name, {', '.join(s + ':' for s in known)} (a file with a colon in its name: ./{parsed.text})"
        )
    sink: Sink = factory(parsed, overwrite)
    return sink


@dataclass(frozen=True, slots=True, kw_only=True)
class _NoOptions:
    """The options of a sink that has none: each is refused."""


# Factories import what they need when they are called: a run without video output does not load FFmpeg for it.


def _video(uri: SinkUri, overwrite: bool) -> Sink:
    from sinks.video.sink import VideoOptions, VideoSink

    if not uri.target:
        raise ConfigError(f"{uri.text!r} names no file; write for example depth.mp4")
    options = parse_options(uri, VideoOptions)
    return VideoSink(uri.target, options, overwrite=overwrite)


def _mcap(uri: SinkUri, overwrite: bool) -> Sink:
    try:
        from sinks.ros.sink import McapOptions, McapSink
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"{uri.text} needs the Python packages mcap and rosbags (no {exc.name} here): pip install -e '.[mcap]'"
        ) from exc
    if not uri.target:
        raise ConfigError(f"{uri.text!r} names no file; write for example walk.mcap")
    return McapSink(uri.target, parse_options(uri, McapOptions), overwrite=overwrite)


def _folder(uri: SinkUri) -> str:
    if not uri.target:
        raise ConfigError(f"{uri.text!r} names no folder; write for example {uri.scheme}:depth")
    return uri.target


def _png(uri: SinkUri, overwrite: bool) -> Sink:
    from sinks.files.png import PngOptions, PngSink

    return PngSink(_folder(uri), parse_options(uri, PngOptions), overwrite=overwrite)


def _npz(uri: SinkUri, overwrite: bool) -> Sink:
    from sinks.files.npz import NpzOptions, NpzSink

    return NpzSink(_folder(uri), parse_options(uri, NpzOptions), overwrite=overwrite)


def _exr(uri: SinkUri, overwrite: bool) -> Sink:
    try:
        from sinks.files.exr import ExrOptions, ExrSink
    except ModuleNotFoundError as exc:
        raise ConfigError(f"{uri.text} needs the Python package OpenEXR: pip install -e '.[exr]'") from exc
    return ExrSink(_folder(uri), parse_options(uri, ExrOptions), overwrite=overwrite)


def _lerobot(uri: SinkUri, overwrite: bool) -> Sink:
    from sinks.video.lerobot import LeRobotOptions, LeRobotSink

    return LeRobotSink(_folder(uri), parse_options(uri, LeRobotOptions), overwrite=overwrite)


def _focal(uri: SinkUri, overwrite: bool) -> Sink:
    from sinks.files.focal import FocalSink

    if not uri.target:
        raise ConfigError(f"{uri.text!r} names no file; write for example focal:focal.csv")
    parse_options(uri, _NoOptions)
    return FocalSink(uri.target, overwrite=overwrite)


def _path(uri: SinkUri, overwrite: bool) -> Sink:
    if uri.target.lower().endswith(".rrd"):
        return _rerun(uri, overwrite)
    return (_mcap if uri.target.lower().endswith(".mcap") else _video)(uri, overwrite)


def _file(uri: SinkUri, overwrite: bool) -> Sink:
    return _path(uri.with_local_path(), overwrite)


def _zmq(uri: SinkUri, _overwrite: bool) -> Sink:
    from sinks.zeromq.sink import ZmqOptions, ZmqSink

    return ZmqSink(f"{uri.scheme.removeprefix('zmq+')}:{uri.target}", parse_options(uri, ZmqOptions))


def _view(uri: SinkUri, _overwrite: bool) -> Sink:
    try:
        from sinks.view.options import ViewOptions
        from sinks.view.sink import ViewSink
    except ModuleNotFoundError as exc:
        raise ConfigError(f"{uri.text} needs the Python package aiohttp: pip install -e '.[view]'") from exc
    return ViewSink(uri.target, parse_options(uri, ViewOptions))


def _rerun(uri: SinkUri, overwrite: bool) -> Sink:
    try:
        from sinks.rerun.options import RrdOptions, ViewerOptions
        from sinks.rerun.rrd import RrdSink
        from sinks.rerun.sink import RerunSink
    except ModuleNotFoundError as exc:
        raise ConfigError(f"{uri.text} needs the Python package rerun-sdk: pip install -e '.[rerun]'") from exc
    if names_rrd(uri):
        return RrdSink(uri.target, parse_options(uri, RrdOptions), overwrite=overwrite)
    return RerunSink(uri.target, parse_options(uri, ViewerOptions))


def _foxglove(uri: SinkUri, _overwrite: bool) -> Sink:
    try:
        from sinks.foxglove.sink import FoxgloveOptions, FoxgloveSink
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"{uri.text} needs the Python packages foxglove-sdk and rosbags (no {exc.name} here): "
            "pip install -e '.[foxglove]'"
        ) from exc
    return FoxgloveSink(uri.target, parse_options(uri, FoxgloveOptions))


def _null(uri: SinkUri, _overwrite: bool) -> Sink:
    parse_options(uri.without_target(), _NoOptions)
    return NullSink()


def _memory(uri: SinkUri, _overwrite: bool) -> Sink:
    parse_options(uri.without_target(), _NoOptions)
    return MemorySink()


_FACTORIES: dict[str, Callable[[SinkUri, bool], Sink]] = {
    "": _path,
    "file": _file,
    "mcap": _mcap,
    "png": _png,
    "exr": _exr,
    "npz": _npz,
    "lerobot": _lerobot,
    "focal": _focal,
    "zmq+tcp": _zmq,
    "zmq+ipc": _zmq,
    "view": _view,
    "rerun": _rerun,
    "foxglove": _foxglove,
    "null": _null,
    "memory": _memory,
}
