"""The thread that serves the page and its viewers. Cameras of one run that show themselves at one address share it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from aiohttp import WSCloseCode, web

from sinks.frame_json import to_json
from sinks.view.access import PROTOCOL, Access
from sinks.view.camera import LiveCamera
from sinks.view.door import Door
from sinks.view.message import MOST_LEVELS, SCHEMA
from sinks.view.options import ViewAddress, ViewOptions, make_token
from sinks.view.pages import Pages, security_headers
from sinks.view.viewer import IN_FLIGHT, LARGEST_REQUEST, Viewer
from stream.errors import ConfigError, SinkError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TICK_S = 1.0
_HEARTBEAT_S = 15.0
_STOP_S = 3.0
_NEXT_PORTS = 10
_BACKLOG = 512  # a burst shall not keep others waiting for a second try
_log = logging.getLogger(__name__)
_http_log = logging.getLogger(f"{__name__}.http")
_http_log.setLevel(logging.CRITICAL)  # aiohttp notes every malformed request of whoever comes by


class ViewServer:
    """Serves on a thread of its own, with a loop of its own, from its construction on.

    Args:
        address: where.
        options: of the first camera; those of the others differ in ``camera`` alone.

    Attributes:
        address: where it really listens: with the port that was free, for one.
        session: of this run.

    Raises:
        SinkError: the address cannot be had.
    """

    def __init__(self, address: ViewAddress, options: ViewOptions) -> None:
        token = options.token or (None if address.is_loopback else make_token())
        self.options = replace(options, token=token)
        self._listening = _listen(address)
        self.address = replace(address, port=self._listening.getsockname()[1])
        self.session = uuid.uuid4().hex
        self._access = Access(self.address, self.options)
        self._pages = Pages()
        self._cameras: list[LiveCamera] = []
        self._ended: set[LiveCamera] = set()
        self._viewers: set[Viewer] = set()
        self._sockets: set[web.WebSocketResponse] = set()
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encoder of the view")
        self._loop = asyncio.new_event_loop()
        self._noticing = False
        self._end: asyncio.Event = asyncio.Event()
        self._door: Door | None = None
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="view", daemon=True)
        self._thread.start()
        started.result()

    @property
    def names(self) -> set[str]:
        """Of the cameras so far."""
        return {camera.name for camera in self._cameras}

    @property
    def link(self) -> str:
        """What to open in a browser. Holds the token, behind a ``#``, which browsers send to nobody."""
        host = self.address.host
        if host in ("0.0.0.0", "::"):
            host = _own_address()
        host = f"[{host}]" if ":" in host else host
        secret = f"#token={self.options.token}" if self.options.token else ""
        return f"http://{host}:{self.address.port}/{secret}"

    def add(self, options: ViewOptions) -> LiveCamera:
        """A camera more."""
        camera = LiveCamera(options, self.session)
        self._cameras.append(camera)
        self.tell(camera)
        return camera

    def remove(self, camera: LiveCamera) -> bool:
        """``camera`` has ended. Returns whether no other one is left."""
        self._ended.add(camera)
        self.tell(camera)
        return len(self._ended) == len(self._cameras)

    def notice(self) -> None:
        """A camera has a new frame, or is in another state. Called by any thread; never waits."""
        if not self._noticing:  # one call is enough for all that happens before it
            self._noticing = True
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._notice)

    def tell(self, camera: LiveCamera) -> None:
        """Send viewers at once how ``camera`` fares. Called by any thread; never waits."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._tell, camera)

    def stop(self) -> None:
        """Say goodbye to viewers, for a moment at most, and give the port back."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(2 * _STOP_S)
        self._listening.close()
        self._encoder.shutdown(wait=False, cancel_futures=True)

    def _notice(self) -> None:
        self._noticing = False
        for viewer in self._viewers:
            viewer.notice()

    def _tell(self, camera: LiveCamera) -> None:
        status = to_json(camera.record(ended=camera in self._ended))
        for viewer in self._viewers:
            viewer.tell(camera.name, status)

    def _run(self, started: Future[None]) -> None:
        try:
            self._loop.run_until_complete(self._serve(started))
        finally:
            self._loop.close()

    async def _serve(self, started: Future[None]) -> None:
        app = web.Application(middlewares=[self._guard], client_max_size=LARGEST_REQUEST)
        app.on_response_prepare.append(security_headers)
        app.router.add_get("/live", self._live)
        app.router.add_get("/enter", self._enter)
        app.router.add_get("/{name:.*}", self._pages.answer)
        runner = web.AppRunner(
            app, access_log=None, logger=_http_log, keepalive_timeout=5.0, lingering_time=1.0, shutdown_timeout=1.0
        )
        await runner.setup()
        assert runner.server is not None
        self._door = Door(self._listening, runner.server)
        tasks = [asyncio.ensure_future(self._door.run()), asyncio.ensure_future(self._tick())]
        started.set_result(None)
        await self._end.wait()
        for task in tasks:
            task.cancel()
        self._door.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._say_goodbye(), _STOP_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(runner.cleanup(), _STOP_S)

    async def _say_goodbye(self) -> None:
        await asyncio.sleep(0)  # what was told last is on its way
        closing = [
            asyncio.ensure_future(socket.close(code=WSCloseCode.GOING_AWAY, message=b"the run has ended"))
            for socket in self._sockets
        ]
        if closing:
            await asyncio.wait(closing)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            for camera in self._cameras:
                self._tell(camera)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Nothing is answered, not even with a page, under a name that is not ours."""
        if self._door is not None:
            self._door.heard(request.transport)
        if not self._access.knows_host(request):
            raise web.HTTPForbidden(text="this machine is not known by that name; see hosts= in docs/view.md\n")
        if not self._access.knows_origin(request):
            raise web.HTTPForbidden(text="that page may not connect; see origins= in docs/view.md\n")
        return await handler(request)

    async def _enter(self, request: web.Request) -> web.Response:
        """Whether a WebSocket would be let in: browsers do not tell a page why theirs was not."""
        self._check(request)
        return web.Response(status=204)

    def _check(self, request: web.Request) -> None:
        if not self._access.knows_token(request):
            raise web.HTTPUnauthorized(text="the token is missing or wrong\n")
        if len(self._viewers) >= self.options.viewers:
            raise web.HTTPServiceUnavailable(text="too many viewers; see viewers= in docs/view.md\n")

    async def _live(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        ws = web.WebSocketResponse(
            protocols=[PROTOCOL],
            heartbeat=_HEARTBEAT_S,
            compress=False,
            max_msg_size=LARGEST_REQUEST,
            timeout=1.0,
        )
        if not ws.can_prepare(request):
            raise web.HTTPUpgradeRequired(text="this is a WebSocket\n")
        viewer = Viewer(ws, self._cameras, self._encoder)
        self._viewers.add(viewer)  # before anything is waited for: places are counted by it
        try:
            await ws.prepare(request)
            assert self._door is not None
            self._door.admit(request.transport)
            self._sockets.add(ws)
            await ws.send_str(to_json(self._hello()).decode())
            for camera in self._cameras:
                viewer.tell(camera.name, to_json(camera.record(ended=camera in self._ended)))
            await viewer.run()
        finally:
            self._viewers.discard(viewer)
            self._sockets.discard(ws)
            if request.transport is not None and not self._end.is_set():
                request.transport.close() if ws.closed else request.transport.abort()
        return ws

    def _hello(self) -> dict[str, object]:
        """The first message to a viewer."""
        o = self.options
        return {
            "type": "hello",
            "schema": SCHEMA,
            "session": self.session,
            "cameras": [camera.name for camera in self._cameras],
            "min_m": o.min,
            "max_m": o.max,
            "scale": o.scale,
            "colormap": o.colormap,
            "levels": MOST_LEVELS,
            "in_flight": IN_FLIGHT,
        }


_servers: dict[tuple[str, int], ViewServer] = {}
_sharing = threading.Lock()


def share(address: ViewAddress, options: ViewOptions) -> tuple[ViewServer, LiveCamera]:
    """The server at ``address``, new or of another camera of this run, and a place on it.

    Raises:
        ConfigError: another camera has this name there, or asks for other options.
        SinkError: the address cannot be had.
    """
    key = (address.host, address.port)
    with _sharing:
        server = _servers.get(key)
        if server is None:
            server = _servers[key] = ViewServer(address, options)
            _show(server)
        else:
            same = replace(options, camera=server.options.camera, token=options.token or server.options.token)
            if same != server.options:
                raise ConfigError("cameras that show themselves at one address need the same options there")
            if options.camera in server.names:
                raise ConfigError(f"two cameras called {options.camera} cannot be shown at one address")
        return server, server.add(options)


def leave(server: ViewServer, camera: LiveCamera) -> None:
    """``camera`` has ended; the server ends with its last one."""
    with _sharing:
        if not server.remove(camera):
            return
        for key in [key for key, one in _servers.items() if one is server]:
            del _servers[key]
    server.stop()


def _show(server: ViewServer) -> None:
    """Say where the page is. A token is shown once, to the person at the terminal, and gets into no log."""
    if server.options.token is None:
        _log.info("to see it live, open %s", server.link)
    else:
        _log.info("it can be seen live on port %d, by whoever has the link", server.address.port)
        print(f"to see it live, open {server.link}", file=sys.stderr, flush=True)


def _listen(address: ViewAddress) -> socket.socket:
    ports = range(address.port, min(address.port + _NEXT_PORTS, 65536)) if address.any_port else [address.port]
    reason = ""
    for port in ports:
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(
                address.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listening = socket.socket(family, kind, protocol)
        except (OSError, UnicodeError) as exc:
            reason = getattr(exc, "strerror", None) or str(exc)
            continue
        try:
            if os.name == "posix":  # on Windows it would let two programs share the port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(_BACKLOG)
            listening.setblocking(False)
        except OSError as exc:
            listening.close()
            reason = exc.strerror or str(exc)
            continue
        return listening
    raise SinkError(
        f"depth cannot be shown on {address.host}:{address.port} ({reason}); give another port, as in "
        "view://127.0.0.1:8090"
    )


def _own_address() -> str:
    """This machine's address in its network, as far as it has one. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
