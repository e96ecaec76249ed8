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

A program that receives many large frames a second calls :func:`keep_receive_memory` once.
"""

from __future__ import annotations

import asyncio
import errno
import json
import math
import os
import re
import reprlib
import struct
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import zmq
from zmq.auth import load_certificate
from zmq.utils.monitor import parse_monitor_message

try:
    from orjson import loads as _from_json  # four times as fast; a robot may do without
except ImportError:

    def _from_json(data: bytes | bytearray | memoryview | str, /) -> Any:
        """As strict as orjson: UTF-8 alone, finite numbers, whole ones of 64 bits at most."""
        return json.loads(bytes(data).decode(), parse_constant=_finite, parse_float=_finite, parse_int=_of_64_bits)  # type: ignore[arg-type]


if TYPE_CHECKING:
    from typing import Self  # Python 3.11; robots may have 3.10

SCHEMA = "depth-pro-stream/2"

_CAMERA = re.compile(r"[A-Za-z0-9_.-]{0,64}")
_PORT = re.compile(r"^(?:zmq\+)?tcp://.*:(\d+)$")
_FIELDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("sequence", "width", "height"), (int,)),
    **dict.fromkeys(("capture_time_ns", "received_ns", "published_ns", "published_unix_ns"), (int,)),
    **dict.fromkeys(("session", "encoding", "clock", "compression", "byte_order"), (str,)),
    "K": (list,),
    "depth_unit": (float, int),
    "rectified": (bool,),
    "no_estimate": (int, str),
    "beyond_range": (int, str),
}
_values_of = itemgetter(*_FIELDS)
_TYPES = set(product(*_FIELDS.values()))  # that their values may have
_NUMBERS = {int, float}
_PREAMBLE = struct.Struct("<4sIQQ")  # of messages in a single part
# ZMQ_ZERO_COPY_RECV, which pyzmq does not name. It is for small messages: each header would keep the 18 KB it was
# received in (libzmq PR 2969), and between depths of megabytes these make the C library give memory back and take it
# again, page by page: up to a quarter of the rate when several messages are on their way.
_ZERO_COPY_RECV = 10
_KEEPALIVE = (
    (zmq.TCP_KEEPALIVE, 1),
    (zmq.TCP_KEEPALIVE_IDLE, 10),  # seconds of silence
    (zmq.TCP_KEEPALIVE_INTVL, 5),
    (zmq.TCP_KEEPALIVE_CNT, 3),
)
_RETRY_S = 1.0  # between two attempts of somebody who was refused
_POLL_MS = 50  # how long close() may take
_STOOD_STILL_S = 1.0  # without a look at what arrives, which the thread takes many times a second
_CATCH_UP_S = 2.0  # that frames are held back at most after it stood still, until one comes that is
_LATE_S = 0.2  # less late than this, compared with those before
_SILENT_S = 3.0  # without a status, which comes every second
_MOST_SESSIONS = 64  # whose last sequence is remembered
_LONGEST_SESSION = 64  # characters; this protocol's have 32
_DRAIN_S = 0.01  # how often messages are taken while nobody waits for one
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
        lost: messages of this session that were sent between the one before and this one, and never arrived. 0 for the
            worker of a queue: others have them.
        skipped: messages that arrived and were passed over: by ``latest``, or because nobody asked for them in time.
        restarted: the first frame of a new session of a camera that was seen in another one: frame numbers and times
            begin anew. Of two publishers of one camera that both live, only the first frame of the second says so.
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


class DepthSubscriber:
    """Receives the frames of one camera. An iterator and a context manager, also asynchronous; used by one thread.

    Constructing one changes no setting of the process. A program that receives many large frames a second calls
    :func:`keep_receive_memory` once when it starts.

    Messages that come while nobody waits for one are kept, ``hwm`` at most: then the oldest is skipped, so that whoever
    is slow still sees what is new; a thread of its own sees to that. (A worker of a queue skips none: the publisher
    waits.) So it is after this process stood still, as in a debugger: it goes on with the newest frame, which tells in
    ``lost`` and ``skipped`` what was missed.

    Args:
        url: where the publisher is: ``tcp://host:port`` or ``ipc:///path``.
        camera: its name; empty for all cameras of that publisher. With ``pattern="pull"`` all come in any case.
        timeout: seconds that a wait lasts at most; ``math.inf`` is for ever.
        keys: for an encrypted publisher.
        conflate: the publisher runs with ``conflate=1``.
        pattern: ``sub``, or ``pull`` for a publisher that runs with ``pattern=push``.
        bind: wait here for a publisher that runs with ``connect=1``; not with ``keys``.
        hwm: messages that may wait here.

    Raises:
        ValueError: an argument is out of range or of the wrong form, or a file of ``keys`` holds no key.
        OSError: a file of ``keys`` cannot be read, or ``url`` cannot be bound.
    """

    def __init__(
        self,
        url: str,
        *,
        camera: str = "camera",
        timeout: float = 10.0,
        keys: Keys | None = None,
        conflate: bool = False,
        pattern: Literal["sub", "pull"] = "sub",
        bind: bool = False,
        hwm: int = 4,
    ) -> None:
        if pattern not in ("sub", "pull"):
            raise ValueError(f"pattern is sub, or pull for a publisher with pattern=push, not {pattern!r}")
        if bind and keys is not None:
            raise ValueError("bind=True does not encrypt: let the publisher be bound, or put a proxy between")
        if not isinstance(camera, str) or not _CAMERA.fullmatch(camera):
            raise ValueError(f"camera is a name of letters, digits, _ . and -, or empty for all, not {camera!r}")
        if type(hwm) is not int or hwm < 1:
            raise ValueError(f"hwm is a number of messages, at least 1, not {hwm!r}")
        if (port := _PORT.search(url)) and not 0 < int(port[1]) < 65536:
            raise ValueError(f"{url!r} has no port from 1 to 65535")
        self._timeout = _seconds(timeout)
        self._skips = pattern == "sub"
        self._subscription = _Subscription(camera, counts_losses=self._skips, conflate=conflate)
        self._waiting: deque[_Waiting] = deque()
        self._hwm = 1 if conflate else hwm
        # Whoever waits reads the connection itself: messages handed over by a thread come later and cost more.
        self._reading = threading.Lock()  # of the connection; taken before the other one
        self._keeping = threading.Lock()  # of what waits
        self._wakers: list[Callable[[], object]] = []  # of asyncio's waits, for which the thread reads
        self._wanted = threading.Event()  # the thread is
        self._closed = False
        self._catch_up = _CatchUp()
        # A publisher that conflates keeps one message in this direction too, and so the last of several subscriptions.
        # This side does not conflate: ZeroMQ would abort the process when a message of several parts came.
        kinds = () if pattern == "pull" else ("depth",) if conflate else ("depth", "status")
        self._connection = _Connection(
            url.removeprefix("zmq+"),
            topics=[f"{kind}/{camera}{'/' * bool(camera)}" for kind in kinds],
            keys=keys,
            bind=bind,
            hwm=self._hwm,
        )
        self._thread = threading.Thread(target=self._keep_up, name=f"receives {url}", daemon=True)
        self._thread.start()

    @property
    def status(self) -> dict[str, Any] | None:
        """The last status message, of whichever camera; ``None`` before the first."""
        return self._subscription.status

    def receive(self, timeout: float | None = None) -> DepthMessage:
        """The next frame.

        Args:
            timeout: seconds to wait at most; that of the constructor if not given. The time in which this process
                stood still does not use it up: two seconds are left after it.

        Raises:
            DepthTimeout: none came.
            ProtocolError: what came is damaged, or no message of this protocol and version.
            ImportError: depth is compressed, and the package for it is missing.
            ValueError: this subscriber is closed.
        """
        return self._wait(timeout, self._oldest)

    def latest(self, timeout: float | None = None) -> DepthMessage:
        """The newest frame that has arrived, or else the next one. Older ones are skipped. Raises as ``receive``."""
        self._take_all()
        return self._wait(timeout, self._newest)

    async def receive_async(self, timeout: float | None = None) -> DepthMessage:
        """:meth:`receive` for asyncio."""
        return await self._wait_async(timeout, self._oldest)

    async def latest_async(self, timeout: float | None = None) -> DepthMessage:
        """:meth:`latest` for asyncio."""
        self._take_all()
        return await self._wait_async(timeout, self._newest)

    def __iter__(self) -> Iterator[DepthMessage]:
        """Frames without end. Raises as ``receive``; it may be iterated again after an error."""
        while True:
            yield self.receive()

    async def __aiter__(self) -> AsyncIterator[DepthMessage]:
        while True:
            yield await self.receive_async()

    def close(self) -> None:
        """Hang up. May be called again."""
        with self._keeping:
            self._closed = True
            self._wake()
        self._wanted.set()
        self._thread.join()

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

    # Who asks ---------------------------------------------------------------------------------------------------------

    def _wait(self, timeout: float | None, take: Callable[[], _Waiting | None]) -> DepthMessage:
        limit = self._timeout if timeout is None else _seconds(timeout)
        until = time.monotonic() + limit
        while True:
            with self._reading:
                with self._keeping:
                    if (found := take()) is not None:
                        break
                left = max(until - time.monotonic(), self._catch_up.left)
                if not self._take_one(math.ceil(min(left * 1000, _POLL_MS))) and not left and not self._catch_up.left:
                    if (found := self._last_resort(take)) is not None:
                        break
                    raise self._connection.explain(limit, self._subscription)
        return found.open()

    async def _wait_async(self, timeout: float | None, take: Callable[[], _Waiting | None]) -> DepthMessage:
        limit = self._timeout if timeout is None else _seconds(timeout)
        until = time.monotonic() + limit
        loop = asyncio.get_running_loop()
        while True:
            changed = asyncio.Event()
            with self._keeping:
                if (found := take()) is not None:
                    break
                waker = partial(loop.call_soon_threadsafe, changed.set)
                self._wakers.append(waker)
            self._wanted.set()
            left = max(until - time.monotonic(), self._catch_up.left)
            try:
                await asyncio.wait_for(changed.wait(), None if math.isinf(left) else left)
            except asyncio.TimeoutError:  # noqa: UP041 (Python 3.10's is another one)
                self._look()  # the thread may not have run yet since all stood still
                if self._catch_up.left:
                    continue
                if (found := self._last_resort(take)) is not None:
                    break
                raise self._connection.explain(limit, self._subscription) from None
            finally:  # a wait that ends without a message, or is cancelled, leaves nobody to be woken
                with self._keeping, suppress(ValueError):
                    self._wakers.remove(waker)
        return found.open()

    def _oldest(self) -> _Waiting | None:
        if self._closed:
            raise ValueError("this subscriber is closed; make a new one")
        return self._waiting.popleft() if self._waiting and not self._catch_up.left else None

    def _newest(self) -> _Waiting | None:
        while len(self._waiting) > 1:
            self._skip_oldest()
        return self._oldest()

    def _last_resort(self, take: Callable[[], _Waiting | None]) -> _Waiting | None:
        """What was held back until a moment ago because it is old: at the end of a wait, it is better than nothing."""
        with self._keeping:
            return take()

    def _skip_oldest(self) -> None:
        old = self._waiting.popleft()
        self._waiting[0].follow(old)

    # Who reads the connection -----------------------------------------------------------------------------------------

    def _keep_up(self) -> None:
        """The thread: read for asyncio's waits, and what comes while nobody waits."""
        while not self._closed:
            if not self._wakers:
                self._wanted.wait(_DRAIN_S)
            self._wanted.clear()
            if self._wakers:
                with self._reading:
                    self._take_one(_POLL_MS)
            elif self._skips:
                self._take_all()
        with self._reading:
            self._connection.close()

    def _take_all(self) -> None:
        """What has arrived, without waiting. Nothing if somebody is reading already."""
        if self._reading.acquire(blocking=False):
            try:
                for _ in range(self._hwm + 1):
                    if self._closed or not self._take_one(0):
                        break
            finally:
                self._reading.release()

    def _take_one(self, wait_ms: int) -> bool:
        """Wait for a message and keep it. Whoever calls this is reading."""
        self._look()
        parts = self._connection.receive(wait_ms)
        self._look()  # it may have stood still in there
        message = None if parts is None else self._subscription.take(parts)
        with self._keeping:
            if message is not None:
                old = self._catch_up.left > 0
                if self._skips:
                    self._catch_up.note(message.header)
                self._waiting.append(message)
                most = 1 if old else self._hwm
                while self._skips and len(self._waiting) > most:
                    self._skip_oldest()
            if self._waiting and not self._catch_up.left:
                self._wake()
        return parts is not None

    def _look(self) -> None:
        if self._skips:  # a worker may look as rarely as it likes
            self._catch_up.look()

    def _wake(self) -> None:
        for waker in self._wakers:
            with suppress(RuntimeError):  # its event loop is closed
                waker()
        self._wakers.clear()


class _CatchUp:
    """After this process stood still: frames are held back until one comes as soon after it was sent as those before.

    What waits in ZeroMQ and in the kernel then is seconds old, and comes first. The connection may be gone, too.
    """

    def __init__(self) -> None:
        self._delays: dict[str, float] = {}  # of each session: arrival minus publication, on clocks of two machines
        self._looked_at = time.monotonic()
        self._until = -math.inf

    @property
    def left(self) -> float:
        """Seconds that frames are still held back, 0 for none; and that waits last at least."""
        return max(self._until - time.monotonic(), 0)

    def look(self) -> None:
        """Whoever reads says so, many times a second. If not, the process stood still."""
        now = time.monotonic()
        if now - self._looked_at > _STOOD_STILL_S:
            self._until = now + _CATCH_UP_S
        self._looked_at = now

    def note(self, header: dict[str, Any]) -> None:
        """A frame has arrived. Ends the catching up if it is no later than those before."""
        if not header:
            return  # an error in a message's place
        session = header["session"]
        delay = time.monotonic() - header["published_ns"] * 1e-9
        if self.left and delay > self._delays.get(session, math.inf) + _LATE_S:
            return
        self.end()
        _remember(self._delays, session, delay)

    def end(self) -> None:
        """Hold nothing back any more."""
        self._until = -math.inf


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """What a camera's last status said, as far as the message of a timeout needs it: short, whoever sent it."""

    at: float
    camera: str
    state: str
    source: str | None  # how the camera's connection fares
    conflate: bool | None


@dataclass(kw_only=True, slots=True)
class _Waiting:
    """A message that waits to be asked for, or the error that took its place."""

    header: dict[str, Any]
    parts: list[Any]
    lost: int = 0
    skipped: int = 0
    restarted: bool = False
    error: Exception | None = None

    def follow(self, skipped: _Waiting) -> None:
        """Take over what was missed up to the one before, which is skipped."""
        self.lost += skipped.lost
        self.skipped += skipped.skipped + 1
        self.restarted |= skipped.restarted

    def open(self) -> DepthMessage:
        """The frame, read only now: one that is skipped need not be decompressed."""
        if self.error is not None:
            raise self.error
        try:
            values = _depth(self.header, self.parts[0])
            image = _image(self.header, self.parts[1]) if len(self.parts) > 1 else None
        except (ProtocolError, ImportError):
            raise
        except Exception as exc:
            raise ProtocolError(f"a message came that cannot be read: {_brief(exc)}") from exc
        return DepthMessage(
            header=self.header,
            values=values,
            image=image,
            lost=self.lost,
            skipped=self.skipped,
            restarted=self.restarted,
        )


class _Subscription:
    """What has been received, and what is missing. Knows no sockets."""

    def __init__(self, camera: str, *, counts_losses: bool, conflate: bool) -> None:
        self.camera, self.conflate = camera, conflate
        self._counts_losses = counts_losses  # what other workers of a queue have got is not lost
        self.status: dict[str, Any] | None = None
        self.frame_at = -math.inf
        self.in_one_part: bool | None = None  # how the last frame came
        self._told: dict[str, _Told] = {}  # by each camera
        self._last: dict[str, int] = {}  # sequence of the last frame of each session
        self._cameras: dict[str, None] = {}  # that frames have come from

    @property
    def pulls(self) -> bool:
        """Whether this is one of several workers."""
        return not self._counts_losses

    def told(self) -> list[_Told]:
        """What the last status of each camera said, the newest last."""
        return list(self._told.values())

    def take(self, parts: list[Any]) -> _Waiting | None:
        """A frame of the parts of a message, ``None`` if it was a status."""
        try:
            return self._take(parts)
        except ProtocolError as exc:
            return _Waiting(header={}, parts=[], error=exc)
        except Exception as exc:  # noqa: BLE001 (whatever a stranger sends, the camera's next frame is received)
            return _Waiting(
                header={}, parts=[], error=ProtocolError(f"a message came that cannot be read: {_brief(exc)}")
            )

    def _take(self, parts: list[Any]) -> _Waiting | None:
        topic, *rest = unpack(parts[0]) if len(parts) == 1 else parts
        header = _from_json(bytes(rest[0])) if rest else {}
        if not isinstance(header, dict) or header.get("schema") != SCHEMA:
            version = header.get("schema") if isinstance(header, dict) else None
            raise ProtocolError(f"a message of {_brief(version)} came, and this client speaks {SCHEMA}")
        if header["type"] == "status":
            self.status = {**header, "state": _one_line(header["state"], 40)}
            camera, conflate = _one_line(header.get("camera"), 64), header.get("conflate")
            told = _Told(
                at=time.monotonic(),
                camera=camera,
                state=self.status["state"],
                source=_source(header.get("source")),
                conflate=conflate if isinstance(conflate, bool) else None,
            )
            _remember(self._told, camera, told)
            return None
        if len(rest) < 2:
            raise ProtocolError(f"a message on {_brief(bytes(topic))} came without depth")
        if header["type"] != "depth":
            raise ProtocolError(f"a message came whose type is {_brief(header['type'])}")
        _check(header)
        session, sequence = header["session"], header["sequence"]
        camera, lost = _one_line(header.get("camera"), 64), 0
        restarted = camera in self._cameras and session not in self._last
        if self._counts_losses and session in self._last:
            lost = max(sequence - self._last[session] - 1, 0)
        _remember(self._last, session, sequence)
        _remember(self._cameras, camera, None)
        self.frame_at, self.in_one_part = time.monotonic(), len(parts) == 1
        return _Waiting(header=header, parts=rest[1:], lost=lost, restarted=restarted)


def _remember(memory: dict[str, Any], key: str, value: Any) -> None:
    """As the newest of so many entries; whoever sends can make up as many as it likes."""
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > _MOST_SESSIONS:
        del memory[next(iter(memory))]


class _Connection:
    """A socket with its monitor. Used by one thread at a time."""

    def __init__(self, url: str, *, topics: list[str], keys: Keys | None, bind: bool, hwm: int) -> None:
        self._url = url
        self._bind = bind
        self._facts = "nobody is there yet; is the address right?" if not bind else "nobody has connected yet"
        self._facts_at = -math.inf
        self._was_let_in = False
        self._retry_at = math.inf
        self._wait_ms = -1  # as ZeroMQ starts: for ever
        self._context: zmq.Context[Any] = zmq.Context()
        with suppress(zmq.ZMQError):  # libzmq before 4.3 does not know it
            self._context.set(_ZERO_COPY_RECV, 0)
        self._socket = self._context.socket(zmq.SUB if topics else zmq.PULL)
        self._monitor = self._socket.get_monitor_socket()
        try:
            self._socket.linger = 0
            self._socket.rcvhwm = hwm
            # The kernel lets go of a publisher whose machine has lost its power, 25 s later; its status is missed after
            # three. ZeroMQ's heartbeats would
            # end a process in which Python stood still for some seconds, as in a debugger (an assertion in libzmq).
            for option, value in _KEEPALIVE:
                self._socket.set(option, value)
            self._socket.set(zmq.RECONNECT_IVL, 100)
            self._socket.set(zmq.RECONNECT_IVL_MAX, 2_000)
            self._socket.set(zmq.IPV6, int("[" in url))
            if keys is not None:
                self._socket.curve_publickey, self._socket.curve_secretkey = _secret_keys(keys.secret)
                self._socket.curve_serverkey = _public_key(keys.server)
            for topic in topics:
                self._socket.subscribe(topic)
            try:
                (self._socket.bind if bind else self._socket.connect)(url)
            except zmq.ZMQError as exc:
                if bind and exc.errno not in (errno.EINVAL, errno.EPROTONOSUPPORT):
                    raise OSError(exc.errno, f"cannot be bound: {os.strerror(exc.errno or 0)}", url) from exc
                raise ValueError(f"{url!r} is no address such as tcp://127.0.0.1:5555 or ipc:///tmp/depth") from exc
            self.url = self._socket.get_string(zmq.LAST_ENDPOINT)
        except BaseException:
            self.close()
            raise

    def receive(self, wait_ms: int) -> list[Any] | None:
        """The parts of a message, ``None`` if none came in that time."""
        if wait_ms != self._wait_ms:
            self._socket.rcvtimeo = self._wait_ms = wait_ms
        try:
            parts = [self._socket.recv(copy=False)]
        except zmq.Again:
            self._look_after()
            return None
        while parts[-1].more:  # the parts of a message come all together; this is twice as fast as recv_multipart
            parts.append(self._socket.recv(copy=False))
        return parts

    def _look_after(self) -> None:
        """What is to be done while nothing comes."""
        while self._monitor.poll(0):
            self._note(parse_monitor_message(self._monitor.recv_multipart())["event"])
        if time.monotonic() >= self._retry_at:
            self._retry_at = math.inf
            with suppress(zmq.ZMQError):  # it is gone already
                self._socket.disconnect(self._url)
            self._socket.connect(self._url)

    def _note(self, event: int) -> None:
        """Remember what the monitor told, for the message of a timeout."""
        if event in _FINAL and not self._bind:
            # Keys are put on lists, and publishers started again with the right options: a robot should not have to be.
            self._retry_at = time.monotonic() + _RETRY_S
        if event == zmq.EVENT_DISCONNECTED and self._facts != _FACTS[zmq.EVENT_HANDSHAKE_SUCCEEDED]:
            return  # it follows a failed handshake too, and that says more
        if event == zmq.EVENT_CONNECTED and self._facts in _REFUSED:
            return  # the next attempt of somebody who was refused
        if event in _FACTS:
            self._facts, self._facts_at = _FACTS[event], time.monotonic()
            self._was_let_in |= event == zmq.EVENT_HANDSHAKE_SUCCEEDED

    def explain(self, timeout: float, subscription: _Subscription) -> DepthTimeout:
        """Why there was no frame for ``timeout`` seconds."""
        reason = self._reason(subscription)
        return DepthTimeout(
            f"no frame of camera {subscription.camera or '*'!r} on {self.url} in {timeout:g} s: {reason}"
        )

    def _reason(self, subscription: _Subscription) -> str:
        now = time.monotonic()
        told = subscription.told()
        living = [t for t in told if t.state != "ended" and now - t.at < _SILENT_S]
        # Of several publishers that connect here, one may be gone or refused while the others go on.
        counts = not (self._bind and living)
        open_ = self._facts == _FACTS[zmq.EVENT_HANDSHAKE_SUCCEEDED]
        since_told = open_ and (not told or self._facts_at > told[-1].at)  # connected again, and heard nothing yet
        # What the connection tells goes first: the last status says "streaming" for seconds after a key was revoked.
        if self._facts in _REFUSED and counts:
            revoked = self._was_let_in and self._facts == _FACTS[zmq.EVENT_HANDSHAKE_FAILED_AUTH]
            return _REVOKED if revoked else self._facts
        if told and all(t.state == "ended" for t in told) and not since_told:
            return "the publisher has ended"
        if self._facts == _FACTS[zmq.EVENT_DISCONNECTED] and counts:
            return self._facts
        if told and told[-1].conflate and not subscription.conflate and told[-1].state == "streaming":
            return _CONFLATES
        if living:
            return "; ".join(_alive(t, named=not subscription.camera) for t in living[-4:])
        if told and not since_told:
            silent = f"the publisher has been silent for {now - told[-1].at:.0f} s"
            return f"{silent}: its process stands still, or the network to it is down"
        return _of_silence(subscription, now) if open_ else self._facts

    def close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)
        self._context.term()


def _alive(told: _Told, *, named: bool) -> str:
    camera = f"camera {told.camera!r}" if named else "camera"
    said = f"the publisher lives, and its {camera} is {told.source or told.state}"
    if told.source is not None or told.state != "streaming":
        return said
    if told.conflate is None:
        return f"{said}, but no frame comes; if it runs with conflate=1, say conflate=True here"
    return f"{said}, but no frame comes; wait longer than from one frame to the next, or make them smaller (size=)"


def _of_silence(subscription: _Subscription, now: float) -> str:
    """Why nothing comes over a connection that stands, as far as can be known without a status."""
    came = f"the last frame came {now - subscription.frame_at:.0f} s ago, and the connection stands"
    if subscription.pulls:
        return "connected, and nothing comes: the publisher has no frames, or other workers take them"
    if not subscription.conflate:
        return _FACTS[zmq.EVENT_HANDSHAKE_SUCCEEDED]
    if subscription.in_one_part is None:
        return "connected, and no frame comes; is it the right camera? Without conflate=True here its status would tell"
    if subscription.in_one_part:
        return f"{came}; its camera may be lost, which the publisher's log tells"
    return f"{came}; the publisher runs without conflate=1: leave conflate=True out here, and its status tells why"


def _source(source: object) -> str | None:
    """What the publisher says of its camera's connection; ``None`` if nothing, or nothing that is wrong."""
    if not isinstance(source, dict) or not isinstance(source.get("state"), str) or source["state"] == "streaming":
        return None
    state, reason = _one_line(source["state"], 40), source.get("reason")
    return f"{state}: {_one_line(reason, 160)}" if isinstance(reason, str) and reason else state


def _one_line(text: object, most: int) -> str:
    """A stranger's text for a message or a key: so many characters, all of them printable."""
    if not isinstance(text, str):
        return _brief(text)[:most]
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())[:most]


_OTHER_PATTERN = "if it publishes with pattern=push, use pattern='pull', and the other way round"
_FACTS: dict[int, str] = {
    zmq.EVENT_CONNECTED: f"somebody is there and does not speak; {_OTHER_PATTERN}",
    zmq.EVENT_HANDSHAKE_SUCCEEDED: "connected, and nothing comes, not even the status of every second; is it the right "
    "camera? If the publisher runs with conflate=1, say conflate=True here",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "the publisher refuses this key; have its .key file put on the allow-list",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "no common language: one side encrypts and the other does not, or the "
    "publisher's key is another one than keys.server",
    # Of two sockets whose patterns do not fit, either may be the first to hang up: so that is told in both places.
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "the other side hung up: it may want encryption, refuse this key, or have "
    f"another key than keys.server; {_OTHER_PATTERN}",
    zmq.EVENT_DISCONNECTED: "the connection was lost and has not come back; does the publisher run, and the network?",
}
_REVOKED = (
    "the publisher let this key in before and refuses it now: it was taken off the allow-list; have its .key file put "
    "back, or use another key"
)
_CONFLATES = "the publisher runs with conflate=1; say conflate=True here"
_FINAL = (zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)  # after them ZeroMQ does not reconnect
_REFUSED = [_FACTS[event] for event in (*_FINAL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)]


def keep_receive_memory() -> None:
    """Have the C library keep the memory that messages are received in. For programs that receive at a high rate.

    A setting of the whole process, so the program makes it, once, and not :class:`DepthSubscriber`.

    glibc gives memory back to the kernel when the end of a heap is free for twice the size of the largest block that
    was ever freed (mallopt(3), M_MMAP_THRESHOLD), and takes it again page by page. Two free messages are enough for
    that. So this frees a block of 31 MB, nearly the largest that glibc minds (32); the block is never touched. From
    then on it takes seven free messages of 1080p, and up to 62 MB stay with the process. Other C libraries do not care.
    """
    np.empty(31 << 20, np.uint8)


def _seconds(timeout: float) -> float:
    if not isinstance(timeout, int | float) or not timeout >= 0:
        raise ValueError(f"timeout takes seconds from 0 on, or math.inf, not {timeout!r}")
    return float(timeout)


def _secret_keys(path: str | Path) -> tuple[bytes, bytes]:
    """Public and secret key of a certificate."""
    public, secret = _certificate(path)
    if secret is None:
        raise ValueError(f"{path} holds no secret key; keys.secret is the file that ends in .key_secret")
    if zmq.curve_public(secret) != public:
        raise ValueError(f"{path} is damaged: its two keys do not belong together")
    return public, secret


def _public_key(path: str | Path) -> bytes:
    public, secret = _certificate(path)
    if secret is not None:
        raise ValueError(f"{path} holds the publisher's secret, which it must keep; keys.server is the file NAME.key")
    return public


def _certificate(path: str | Path) -> tuple[bytes, bytes | None]:
    file = Path(path).expanduser()
    file.open("rb").close()  # pyzmq does not tell what cannot be read
    try:
        public, secret = load_certificate(file)
    except ValueError as exc:
        raise ValueError(f"{path} is no ZeroMQ certificate; make one with: python -m sinks.zeromq.keygen") from exc
    if len(public) != 40 or (secret is not None and len(secret) != 40):
        raise ValueError(f"{path} is damaged: a key has 40 characters")
    return public, secret


# Messages -------------------------------------------------------------------------------------------------------------


_shortener = reprlib.Repr()
_shortener.maxstring, _shortener.maxother = 60, 120
_brief = _shortener.repr  # of what a stranger sends, who may send megabytes


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number of JSON's")
    return number


def _of_64_bits(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**64:
        raise ValueError("a number has more than 64 bits")
    return number


def _check(header: dict[str, Any]) -> None:
    """Check the fields of a header that this client computes with.

    Raises:
        ProtocolError: one is missing, of another type, or out of range.
    """
    try:
        right = tuple(map(type, _values_of(header))) in _TYPES
    except KeyError:
        right = False
    if not right:
        name = next(name for name, types in _FIELDS.items() if type(header.get(name)) not in types)
        raise ProtocolError(f"a message came whose {name} is {_brief(header.get(name))}")
    K = header["K"]
    if len(K) != 9 or not _NUMBERS.issuperset(map(type, K)):
        raise ProtocolError(f"a message came whose K is {_brief(K)}")
    if len(header["session"]) > _LONGEST_SESSION:
        raise ProtocolError(f"a message came whose session is {_brief(header['session'])}")
    if header["sequence"] < 0:
        raise ProtocolError(f"a message came whose sequence is {header['sequence']}")
    if header["byte_order"] != "little":
        raise ProtocolError(
            f"a message came whose byte_order is {_brief(header['byte_order'])}; this client reads little"
        )


def unpack(part: Any) -> list[Any]:
    """Topic, header, depth and picture of a message in a single part (``conflate=1``).

    Raises:
        ProtocolError: its lengths do not fit, or it begins with something else.
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


def _depth(header: dict[str, Any], part: Any) -> npt.NDArray[Any]:
    """``[H, W]`` as it was sent, in the memory it was received in unless it was compressed."""
    height, width, compression = header["height"], header["width"], header["compression"]
    dtype = _DTYPES[header["encoding"]]
    size = height * width * dtype.itemsize
    if height < 1 or width < 1 or compression not in _COMPRESSIONS:
        raise ProtocolError(
            f"a message came with depth of {width}x{height} pixels, compressed by {_brief(compression)}"
        )
    try:
        data = _COMPRESSIONS[compression](part, size)
    except ImportError as exc:
        package = {"zstd": "zstandard", "png": "opencv-python"}[compression]
        raise ImportError(
            f"depth comes compressed by {compression}, which takes a package: pip install {package}"
        ) from exc
    if memoryview(data).nbytes != size:
        raise ProtocolError("a message came whose depth is not as large as its header says")
    return np.frombuffer(data, dtype).reshape(height, width)


def _zstd(part: Any, size: int) -> Any:
    import zstandard

    # What the frame says of its own size counts for more than the limit: it may be gigabytes, of a few kilobytes.
    if zstandard.frame_content_size(part) not in (size, -1):
        return b""
    return zstandard.ZstdDecompressor().decompress(part, max_output_size=size)


def _png(part: Any, _size: int) -> Any:
    import cv2

    picture = cv2.imdecode(np.frombuffer(part, np.uint8), cv2.IMREAD_UNCHANGED)
    return b"" if picture is None or picture.dtype != np.uint16 or picture.ndim != 2 else picture.data


_COMPRESSIONS: dict[str, Callable[[Any, int], Any]] = {"none": lambda part, _: part, "zstd": _zstd, "png": _png}


def _image(header: dict[str, Any], part: Any) -> bytes | npt.NDArray[np.uint8]:
    if header["image"]["encoding"] == "jpeg":
        return bytes(part)
    return np.frombuffer(part, np.uint8).reshape(header["height"], header["width"], 3)
