"""One viewer: a WebSocket with its own pace and size. What it cannot take is lost to it alone."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from concurrent.futures import Executor
from contextlib import suppress

from aiohttp import WSMsgType, web

from sinks.frame_json import to_json
from sinks.view.camera import LiveCamera
from sinks.view.message import MOST_LEVELS

IN_FLIGHT = 2
"""Frames sent and not yet said to be shown: one on its way while one is decoded."""

LARGEST_REQUEST = 1024
_REQUESTS_PER_S = 200
_PATIENCE_S = 20.0  # for a frame to be said to be shown, unless the viewer is paused
_SLOW_S, _QUICK_S = 0.5, 0.12  # from sending to shown: a smaller size, and a larger one
_TRIAL_S, _LONGEST_TRIAL_S = 4.0, 120.0  # of a size, before a larger one is tried; doubled by each failure
_LARGEST_SIDE, _FARTHEST_M = 65_536, 10_000.0  # of pictures, and of depth
_log = logging.getLogger(__name__)


class Viewer:
    """Sends frames of cameras to one WebSocket. Used by the server's thread alone.

    Args:
        socket: open.
        cameras: all of this run, in a list that may grow.
        encoder: where frames are encoded.

    Attributes:
        dropped: frames that it did not get because newer ones took their place.
    """

    def __init__(self, socket: web.WebSocketResponse, cameras: Sequence[LiveCamera], encoder: Executor) -> None:
        self._socket, self._cameras, self._encoder = socket, cameras, encoder
        self.dropped = 0
        self._seen: dict[str, int] = {}
        self._told: dict[str, bytes] = {}  # status messages that wait, by camera; newest wins
        self._unshown: deque[float] = deque()  # when frames were sent that are not said to be shown
        self._pace = Pace()
        self._watched: frozenset[str] | None = None  # all
        self._least_level = 0
        self._paused, self._steps = False, 0
        self._wake = asyncio.Event()

    def notice(self) -> None:
        """There may be a new frame."""
        self._wake.set()

    def tell(self, camera: str, status: bytes) -> None:
        """Send a status message soon, unless a newer one takes its place."""
        self._told[camera] = status
        self._wake.set()

    async def run(self) -> None:
        """Until either side closes it."""
        sender = asyncio.ensure_future(self._send())
        receiver = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait({sender, receiver}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sender, receiver):
                task.cancel()
            for outcome in await asyncio.gather(sender, receiver, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, OSError | TimeoutError | _Impolite):
                    _log.warning("a viewer is given up: %s", outcome)

    async def _send(self) -> None:
        while not self._socket.closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._wake.wait()
            self._wake.clear()
            self._check_alive()
            while self._told:
                camera = next(iter(self._told))
                record = self._told.pop(camera)[:-1] + b',"viewer":' + to_json(self._record()) + b"}"
                await self._patiently(self._socket.send_str(record.decode()))
            camera_or_none = self._next()
            if camera_or_none is not None:
                await self._send_frame(camera_or_none)
                self._wake.set()  # perhaps there is another

    async def _send_frame(self, camera: LiveCamera) -> None:
        level = max(self._pace.level, self._least_level)
        sequence, message = await camera.message(level, self._encoder)
        before = self._seen.pop(camera.name, sequence - 1)
        self.dropped += 0 if self._paused else max(0, sequence - before - 1)
        self._seen[camera.name] = sequence  # at the end: the camera that was served longest ago is first
        self._unshown.append(time.monotonic())
        await self._patiently(self._socket.send_bytes(message))

    def _next(self) -> LiveCamera | None:
        """The camera whose turn it is, of those with a frame that this viewer has not got."""
        if self._paused and self._steps < 1:
            return None
        if len(self._unshown) >= IN_FLIGHT:
            return None
        ready = [
            camera
            for camera in self._cameras
            if camera.sequence > self._seen.get(camera.name, 0)
            and (self._watched is None or camera.name in self._watched)
        ]
        if not ready:
            return None
        if self._paused:
            self._steps -= 1
        order = list(self._seen)
        return min(ready, key=lambda camera: order.index(camera.name) if camera.name in order else -1)

    async def _patiently(self, sending: Awaitable[None]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            await sending

    def _check_alive(self) -> None:
        if self._unshown and time.monotonic() - self._unshown[0] > _PATIENCE_S:
            raise _Impolite("it shows nothing of what it gets")

    async def _receive(self) -> None:
        second, count = 0, 0
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                raise _Impolite("it sends something else than text")
            now = int(time.monotonic())
            second, count = (second, count + 1) if now == second else (now, 1)
            if count > _REQUESTS_PER_S:
                raise _Impolite("it sends too much")
            try:
                request = json.loads(message.data)
            except (ValueError, RecursionError):
                raise _Impolite("it sends something else than JSON") from None
            if not isinstance(request, dict):
                raise _Impolite("it sends something else than JSON objects")
            await self._handle(request)

    async def _handle(self, request: dict[str, object]) -> None:
        kind = request.get("type")
        if kind == "shown":
            if self._unshown:
                self._pace.shown(time.monotonic() - self._unshown.popleft())
        elif kind == "clock":
            sent = request.get("sent")
            if isinstance(sent, int | float):
                answer: dict[str, object] = {"type": "clock", "sent": sent, "monotonic_ns": time.monotonic_ns()}
                await self._patiently(self._socket.send_str(to_json(answer).decode()))
        elif kind == "watch":
            self._watch(request.get("cameras"), request.get("level", 0))
            self._paused, self._steps = request.get("paused") is True, 0
        elif kind == "step":
            self._steps = 1
        elif kind == "calibrate":
            self._calibrate(request)
        self._wake.set()

    def _watch(self, names: object, level: object) -> None:
        before = (self._watched, self._least_level)
        if names is None:
            self._watched = None
        elif isinstance(names, list):
            self._watched = frozenset(camera.name for camera in self._cameras if camera.name in names)
        if isinstance(level, int) and 0 <= level <= MOST_LEVELS:
            self._least_level = level
        if (self._watched, self._least_level) != before:
            self._seen.clear()  # the newest frames are sent again, at once and not when newer ones come

    def _calibrate(self, request: dict[str, object]) -> None:
        x, y, metres = (request.get(name) for name in ("x", "y", "metres"))
        camera = next((one for one in self._cameras if one.name == request.get("camera")), None)
        if camera is None or camera.calibrate is None:
            return
        is_pixel = type(x) is int and type(y) is int and 0 <= x < _LARGEST_SIDE and 0 <= y < _LARGEST_SIDE
        if not (is_pixel and isinstance(metres, int | float) and 0 < metres <= _FARTHEST_M):
            camera.calibrated("not measured: that is no pixel, or no distance")
            return
        assert isinstance(x, int)
        assert isinstance(y, int)
        camera.calibrated("being measured …")
        camera.calibrate(x, y, float(metres), camera.calibrated)

    def _record(self) -> dict[str, object]:
        return {"dropped": self.dropped, "level": max(self._pace.level, self._least_level)}


class _Impolite(Exception):  # noqa: N818 (what it says of a viewer)
    """A viewer that does not keep to the protocol."""


class Pace:
    """Which size a viewer can take, from how long frames take until they are shown.

    Attributes:
        level: see :func:`sinks.view.message.level_size`.
    """

    def __init__(self) -> None:
        self.level = 0
        self._mean_s: float | None = None
        self._since = time.monotonic()
        self._trial_s, self._on_trial = _TRIAL_S, False

    def shown(self, took_s: float) -> None:
        """A frame was shown so many seconds after it was sent."""
        self._mean_s = took_s if self._mean_s is None else 0.7 * self._mean_s + 0.3 * took_s
        here_s = time.monotonic() - self._since
        if self._mean_s > _SLOW_S and self.level < MOST_LEVELS and here_s > 1.0:
            if self._on_trial and here_s < self._trial_s:  # the larger size was tried too soon
                self._trial_s = min(2 * self._trial_s, _LONGEST_TRIAL_S)
            self._change(1)
        elif self._mean_s < _QUICK_S and self.level > 0 and here_s > self._trial_s:
            self._change(-1)

    def _change(self, by: int) -> None:
        self.level += by
        self._on_trial = by < 0
        self._mean_s, self._since = None, time.monotonic()
