"""The page's files: read once, answered from memory, under a policy that lets a browser load nothing else."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from pathlib import Path
from typing import get_args

from aiohttp import web

from sinks.frame_json import to_json
from sinks.video.colormap import ColormapName, DepthColormap

_FOLDER = Path(__file__).with_name("page")
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_INLINE = re.compile(rb'<script type="importmap">(.*?)</script>', re.DOTALL)


class Pages:
    """Answers ``GET /`` and every file of the folder ``page``. No path of a request is ever opened."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, bytes, bytes, str]] = {}
        for path in _FOLDER.rglob("*"):
            if path.suffix in _TYPES:
                self._add(path.relative_to(_FOLDER).as_posix(), _TYPES[path.suffix], path.read_bytes())
        maps: dict[str, object] = {
            name: DepthColormap(name=name).lut.tobytes().hex() for name in get_args(ColormapName)
        }
        self._add("colormaps.json", "application/json", to_json(maps))
        self._files[""] = self._files["index.html"]

    def _add(self, name: str, kind: str, data: bytes) -> None:
        tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
        self._files[name] = (kind, data, gzip.compress(data, 6), tag)

    async def answer(self, request: web.Request) -> web.Response:
        """The file that a request names."""
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text="there is no such page\n")
        kind, data, compressed, tag = found
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"], data = "gzip", compressed
        return web.Response(body=data, headers=headers, content_type=kind, charset="utf-8")


def _policy() -> str:
    """What the page may load: its own files, and the pictures that it makes itself."""
    inline = _INLINE.search((_FOLDER / "index.html").read_bytes())
    digest = base64.b64encode(hashlib.sha256(inline[1]).digest()).decode() if inline else ""
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


_POLICY = _policy()


async def security_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Put the policy on every answer. ``Host`` has been checked, or the answer is a refusal."""
    host = request.headers.get("Host", "")
    own = f"ws://{host} wss://{host}" if re.fullmatch(r"[A-Za-z0-9.:\[\]_-]{1,255}", host) else ""
    response.headers.update(
        {
            "Content-Security-Policy": _POLICY.format(sockets=own),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Server": "depth-pro-stream",
        }
    )
