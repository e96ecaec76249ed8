"""What tests do with the page, and pages of others."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page

Open = Callable[..., Page]
"""Opens a link in a browser, with a profile of its own."""


def wait_for_frame(page: Page, index: int) -> None:
    page.wait_for_selector(f'#stage[data-index="{index}"]')


def point_at(page: Page, x: int, y: int, *, click: bool = False) -> None:
    """Move the mouse to the centre of a pixel in the last panel."""
    left, top = page.evaluate(
        """([x, y]) => {
          const view = window.depthProStream, box = document.querySelector("#flat").getBoundingClientRect();
          const panel = view.flat.panels(view.look.layout).at(-1);
          return [box.left + panel.x + (x + 0.5) / view.frame.width * panel.width,
                  box.top + panel.y + (y + 0.5) / view.frame.height * panel.height];
        }""",
        [x, y],
    )
    page.mouse.move(left, top)
    if click:
        page.mouse.click(left, top)
    page.wait_for_selector(f'#metres[data-pixel="{x},{y}"]')


@contextmanager
def other_server(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
