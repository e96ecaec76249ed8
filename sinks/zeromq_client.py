"""Receive depth: one file that needs Python 3.10, pyzmq and numpy and nothing else, so that a robot can just copy it.

::

    with DepthSubscriber("tcp://127.0.0.1:5555", camera="front") as depths:
        for frame in depths:                     # every frame, in order
            print(frame.age(), frame.depth.shape, frame.K)

        newest = depths.latest(timeout=1.0)      # or: the newest one, older ones skipped
        xyz = newest.points()

With asyncio: ``async with``, ``async for``, ``await depths.receive_async()``, ``await depths.latest_async()``.

A wait always ends: with a frame, or with :class:`DepthTimeout`, which says what is wrong as well as can be known from
here. The messages are defined in docs/protocol.md. Depth packed by ``compress=zstd`` needs ``zstandard`` as well,
``compress=png`` OpenCV.
"""

from __future__ import annotations

import json
import math
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import zmq
import zmq.asyncio
from zmq.auth import load_certificate
from zmq.utils.monitor import parse_monitor_message

if TYPE_CHECKING:
    from typing import Self  # Python 3.11; robots may have 3.10

SCHEMA = "depth-pro-stream/2"

_PREAMBLE = struct.Struct("<4sIQQ")  # of messages in a single part
_RETRY_S = 1.0  # between two attempts of somebody who was refused
_DTYPES: dict[str, np.dtype[Any]] = {"32FC1": np.dtype("<f4"), "16UC1": np.dtype("<u2")}


class DepthTimeout(TimeoutError):  # noqa: N818 (as TimeoutError is named)
    """Nothing came in time. The message says why, as far as it can be known from here."""


class ProtocolError(ValueError):
    """What came is not a message of this protocol, or of another version of it."""


@dataclass(frozen=True, kw_only=True)
class DepthMessage:
    """One frame as it was received.

    Attributes:
        header: all that the publisher said, see docs/protocol.md.
        values: depth as it was sent: ``float32`` metres or ``uint16`` in ``depth_unit``, ``[H, W]``; where nothing was
            compressed, in the memory it was received in, without a copy.
        image: ``bytes`` of a JPEG, ``uint8 [H, W, 3]`` RGB, or ``None``, as the header's ``image`` says.
        lost: messages that were sent between the one before and this one, and never arrived.
        skipped: messages that arrived and were passed over by ``latest``.
        restarted: the publisher is another one than that of the frame before: frame numbers and times begin anew.
    """

    header: dict[str, Any]
    values: npt.NDArray[Any]
    image: bytes | npt.NDArray[np.uint8] | None
    lost: int = 0
    skipped: int = 0
    restarted: bool = False

    @cached_property
    def depth(self) -> npt.NDArray[np.float32]:
        """Metres along the optical axis, ``float32 [H, W]``; NaN: no estimate; +Inf: beyond range (REP 117)."""
        if self.values.dtype == np.float32:
            return self.values
        metres = self.values * np.float32(self.header["depth_unit"])
        metres[self.values == self.header["no_estimate"]] = math.nan
        metres[self.values == self.header["beyond_range"]] = math.inf
        return metres

    @property
    def K(self) -> npt.NDArray[np.float64]:  # noqa: N802 (its name everywhere)
        """Camera matrix for the depth as it is sized, ``float64 [3, 3]``."""
        return np.array(self.header["K"], np.float64).reshape(3, 3)

    def points(self) -> npt.NDArray[np.float32]:
        """XYZ in the optical frame (x right, y down, z forward), ``float32 [N, 3]`` metres; finite depth only.

        Raises:
            ValueError: the picture is distorted, so that K alone does not tell where a pixel looks.
        """
        if not self.header["rectified"]:
            raise ValueError("the picture is not rectified: undistort its pixels with K and D, or rectify the source")
        rows, columns = np.nonzero(np.isfinite(self.depth))
        z = self.depth[rows, columns]
        (fx, _, cx), (_, fy, cy), _ = self.K.astype(np.float32)
        return np.stack(((columns - cx) / fx * z, (rows - cy) / fy * z, z), axis=1)

    def age(self) -> float:
        """Seconds since the picture was taken; of a file, since the publisher read it.

        Between machines, as wrong as their wall clocks disagree.
        """
        h = self.header
        if h["clock"] == "camera-rtcp":
            return (time.time_ns() - int(h["capture_time_ns"])) * 1e-9
        since = h["capture_time_ns"] if h["clock"] == "host-monotonic" else h["received_ns"]
        before_publication = int(h["published_ns"]) - int(since)
        return (time.time_ns() - int(h["published_unix_ns"]) + before_publication) * 1e-9


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What an encrypted connection needs.

    Attributes:
        secret: this subscriber's own certificate, ``NAME.key_secret``.
        server: the publisher's public certificate, ``NAME.key``.
    """

    secret: str | Path
    server: str | Path


class _Subscription:
    """The state of one subscription: what has been received, what is missing. Knows no sockets."""

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self.status: dict[str, Any] | None = None
        self.status_at = -math.inf
        self._last: tuple[str, int] | None = None  # session and sequence of the last frame

    def take(self, parts: list[Any]) -> DepthMessage | None:
        """A frame of the parts of a message, ``None`` if it was a status.

        Raises:
            ProtocolError: it is neither.
        """
        try:
            return self._take(parts)
        except (KeyError, TypeError, ValueError) as exc:
            if isinstance(exc, ProtocolError):
                raise
            raise ProtocolError(f"a message came that cannot be understood: {exc!r}") from exc

    def _take(self, parts: list[Any]) -> DepthMessage | None:
        topic, *rest = unpack(parts[0]) if len(parts) == 1 else parts
        header = _header(rest[0]) if rest else {}
        if header.get("schema") != SCHEMA:
            raise ProtocolError(f"a message of {header.get('schema')!r} came, and this client speaks {SCHEMA}")
        if header["type"] == "status":
            self.status, self.status_at = header, time.monotonic()
            return None
        if len(rest) < 2:
            raise ProtocolError(f"a message on {bytes(topic)!r} came without depth")
        session, sequence = header["session"], header["sequence"]
        lost, restarted = 0, False
        if self._last is not None:
            restarted = self._last[0] != session
            lost = max(sequence - self._last[1] - 1, 0) if not restarted else 0
        self._last = (session, sequence)
        values = _depth(header, rest[1])
        image = _image(header, rest[2]) if len(rest) > 2 else None
        return DepthMessage(header=header, values=values, image=image, lost=lost, restarted=restarted)


class _Connection:
    """A socket with its monitor, set up so that it can neither wait for ever nor hold more than a few messages."""

    def __init__(
        self,
        context: zmq.Context[Any],
        url: str,
        *,
        camera: str,
        keys: Keys | None,
        conflate: bool,
        pattern: str,
        bind: bool,
        hwm: int,
    ) -> None:
        self.url = url
        self._bind = bind
        self._facts = "nobody answers there yet"
        self._retry_at = math.inf
        self.socket = context.socket(zmq.SUB if pattern == "sub" else zmq.PULL)
        self.monitor = self.socket.get_monitor_socket()
        try:
            self.socket.linger = 0
            self.socket.rcvhwm = hwm
            self.socket.set(zmq.CONFLATE, int(conflate))
            self.socket.set(zmq.HEARTBEAT_IVL, 2_000)  # a publisher whose machine has lost its power is let go
            self.socket.set(zmq.HEARTBEAT_TIMEOUT, 6_000)
            self.socket.set(zmq.RECONNECT_IVL, 100)
            self.socket.set(zmq.RECONNECT_IVL_MAX, 2_000)
            if "[" in url:
                self.socket.set(zmq.IPV6, 1)
            if keys is not None:
                self.socket.curve_publickey, self.socket.curve_secretkey = _secret(keys.secret)
                self.socket.curve_serverkey = load_certificate(keys.server)[0]
            if pattern == "sub":
                for kind in ("depth",) if conflate else ("depth", "status"):
                    self.socket.subscribe(f"{kind}/{camera}/" if camera else f"{kind}/")
            (self.socket.bind if bind else self.socket.connect)(url)
        except BaseException:
            self.close()
            raise

    def watch(self) -> None:
        """Read what the monitor tells, and knock again where ZeroMQ has given up."""
        while self.monitor.poll(0):
            self._note(parse_monitor_message(self.monitor.recv_multipart())["event"])
        if time.monotonic() >= self._retry_at:
            self._retry_at = math.inf
            with suppress(zmq.ZMQError):  # it is gone already
                self.socket.disconnect(self.url)
            self.socket.connect(self.url)

    def _note(self, event: int) -> None:
        if event in _FINAL and not self._bind:
            # Keys are put on lists, and publishers started again with the right options: a robot should not have to be.
            self._retry_at = time.monotonic() + _RETRY_S
        if event == zmq.EVENT_DISCONNECTED and self._facts != _FACTS[zmq.EVENT_HANDSHAKE_SUCCEEDED]:
            return  # it follows a failed handshake too, and that says more
        self._facts = _FACTS.get(event, self._facts)

    def explain(self, timeout: float, subscription: _Subscription) -> DepthTimeout:
        """Why there was no frame for ``timeout`` seconds."""
        reason = self._facts
        status, since = subscription.status, time.monotonic() - subscription.status_at
        if status is not None and status["state"] == "ended":
            reason = "the publisher has ended"
        elif status is not None and since < 3:
            reason = f"the publisher lives, and its camera is {status['state']}"
        elif status is not None:
            reason = f"the publisher has been silent for {since:.0f} s"
        return DepthTimeout(
            f"no frame of camera {subscription.camera or '*'!r} on {self.url} in {timeout:g} s: {reason}"
        )

    def close(self) -> None:
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close(linger=0)


_FACTS: dict[int, str] = {
    zmq.EVENT_HANDSHAKE_SUCCEEDED: "connected, and nothing comes; is it the right camera?",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "the publisher refuses this key; have its .key file put on the allow-list",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "no common language: one side encrypts and the other does not, or the "
    "publisher's key is another one",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "the other side hung up: it may want encryption, or refuse this key",
    zmq.EVENT_DISCONNECTED: "the connection was lost and has not come back",
}


_FINAL = (zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)  # after them ZeroMQ does not reconnect


class DepthSubscriber:
    """Receives the frames of one camera. An iterator and a context manager, also asynchronous; used by one thread.

    Args:
        url: where the publisher is: ``tcp://host:port`` or ``ipc:///path``.
        camera: its name; empty for all cameras of that publisher.
        timeout: seconds that iteration waits for a frame.
        keys: for an encrypted publisher.
        conflate: the publisher runs with ``conflate=1``; only the newest message waits here.
        pattern: ``sub``, or ``pull`` for a publisher that runs with ``pattern=push``.
        bind: wait here for a publisher that runs with ``connect=1``.
        hwm: frames that may wait here; when they are full, the publisher drops those that follow.

    Raises:
        zmq.ZMQError: ``url`` is no address, or cannot be bound.
        OSError, ValueError: the files of ``keys`` cannot be used.

    ``status`` is the last status message, ``None`` before the first.
    """

    def __init__(
        self,
        url: str,
        *,
        camera: str = "camera",
        timeout: float = 10.0,
        keys: Keys | None = None,
        conflate: bool = False,
        pattern: str = "sub",
        bind: bool = False,
        hwm: int = 4,
    ) -> None:
        self._timeout = timeout
        self._subscription = _Subscription(camera)
        self._context: zmq.Context[Any] = zmq.Context()
        try:
            self._connection = _Connection(
                self._context, url, camera=camera, keys=keys, conflate=conflate, pattern=pattern, bind=bind, hwm=hwm
            )
        except BaseException:
            self._context.term()
            raise
        self._poller = zmq.Poller()
        self._poller.register(self._connection.socket, zmq.POLLIN)
        self._poller.register(self._connection.monitor, zmq.POLLIN)

    @property
    def status(self) -> dict[str, Any] | None:
        return self._subscription.status

    def receive(self, timeout: float | None = None) -> DepthMessage:
        """The next frame.

        Args:
            timeout: seconds to wait at most; that of the constructor if not given.

        Raises:
            DepthTimeout: none came.
            ProtocolError: something else came.
        """
        waits = self._waits(timeout)
        while (frame := self._take_waiting()) is None:
            self._poller.poll(next(waits))
        return frame

    async def receive_async(self, timeout: float | None = None) -> DepthMessage:
        """:meth:`receive` for asyncio."""
        poller = zmq.asyncio.Poller()
        poller.register(self._connection.socket, zmq.POLLIN)
        poller.register(self._connection.monitor, zmq.POLLIN)
        waits = self._waits(timeout)
        while (frame := self._take_waiting()) is None:
            await poller.poll(next(waits))
        return frame

    def latest(self, timeout: float | None = None) -> DepthMessage:
        """The newest frame that has arrived, or else the next one. Older ones are skipped. Raises as ``receive``."""
        return self._newest(self.receive(timeout))

    async def latest_async(self, timeout: float | None = None) -> DepthMessage:
        """:meth:`latest` for asyncio."""
        return self._newest(await self.receive_async(timeout))

    def __iter__(self) -> Iterator[DepthMessage]:
        """Frames without end. Raises as ``receive``; it may be iterated again after an error."""
        while True:
            yield self.receive()

    async def __aiter__(self) -> AsyncIterator[DepthMessage]:
        while True:
            yield await self.receive_async()

    def close(self) -> None:
        """Hang up. May be called again."""
        if not self._context.closed:
            self._connection.close()
            self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _waits(self, timeout: float | None) -> Iterator[int]:
        """Milliseconds that may still be waited, again and again until there are none."""
        limit = self._timeout if timeout is None else timeout
        until = time.monotonic() + limit
        while (left := until - time.monotonic()) > 0:
            yield math.ceil(min(left, _RETRY_S) * 1000)
        raise self._connection.explain(limit, self._subscription)

    def _newest(self, frame: DepthMessage) -> DepthMessage:
        """The last of ``frame`` and those that wait behind it, with what was missed on the way."""
        while (newer := self._take_waiting()) is not None:
            frame = replace(
                newer,
                lost=frame.lost + newer.lost,
                skipped=frame.skipped + 1,
                restarted=frame.restarted or newer.restarted,
            )
        return frame

    def _take_waiting(self) -> DepthMessage | None:
        """The next frame that is already here."""
        self._connection.watch()
        while True:
            try:
                parts = self._connection.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return None
            frame = self._subscription.take(parts)
            if frame is not None:
                return frame


# Messages -------------------------------------------------------------------------------------------------------------


def unpack(part: Any) -> list[Any]:
    """Topic, header, depth and picture of a message in a single part (``conflate=1``).

    Raises:
        ProtocolError: it is none.
    """
    data = memoryview(part)
    head = bytes(data[:256])
    topic_end = head.find(b"/", head.find(b"/") + 1) + 1
    topic, rest = data[:topic_end], data[topic_end:]
    if bytes(topic).startswith(b"status/"):
        return [topic, rest]
    if not topic_end or len(rest) < _PREAMBLE.size:
        raise ProtocolError("a message of one part came that is not of this protocol")
    magic, *lengths = _PREAMBLE.unpack_from(rest)
    if magic != b"DPS2" or _PREAMBLE.size + sum(lengths) != len(rest):
        raise ProtocolError("a message of one part came that is damaged, or of another version")
    parts, start = [topic], _PREAMBLE.size
    for length in lengths:
        parts.append(rest[start : start + length])
        start += length
    return parts if lengths[2] else parts[:3]


def _header(part: Any) -> dict[str, Any]:
    try:
        header = json.loads(bytes(part))
    except ValueError as exc:
        raise ProtocolError("a message came whose header is not JSON") from exc
    if not isinstance(header, dict):
        raise ProtocolError("a message came whose header is no object")
    return header


def _depth(header: dict[str, Any], part: Any) -> npt.NDArray[Any]:
    """``[H, W]`` as it was sent, in the memory it was received in unless it was compressed."""
    shape = (header["height"], header["width"])
    dtype = _DTYPES[header["encoding"]]
    size = math.prod(shape) * dtype.itemsize
    data = part
    if header["compression"] == "zstd":
        import zstandard

        data = zstandard.ZstdDecompressor().decompress(part, max_output_size=size)
    elif header["compression"] == "png":
        import cv2

        picture = cv2.imdecode(np.frombuffer(part, np.uint8), cv2.IMREAD_UNCHANGED)
        data = b"" if picture is None else picture.data
    if memoryview(data).nbytes != size:
        raise ProtocolError("a message came whose depth is not as large as its header says")
    return np.frombuffer(data, dtype).reshape(shape)


def _image(header: dict[str, Any], part: Any) -> bytes | npt.NDArray[np.uint8]:
    if header["image"]["encoding"] == "jpeg":
        return bytes(part)
    return np.frombuffer(part, np.uint8).reshape(header["height"], header["width"], 3)


def _secret(path: str | Path) -> tuple[bytes, bytes]:
    public, secret = load_certificate(path)
    if secret is None:
        raise ValueError(f"{path} holds no secret key; give the file that ends in .key_secret")
    return public, secret
