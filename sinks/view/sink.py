"""The sink that shows depth in browsers."""

from __future__ import annotations

from sinks.view.camera import Calibrate
from sinks.view.options import ViewAddress, ViewOptions
from sinks.view.server import leave, share
from stream.frame import DepthFrame, SourceState
from stream.ports import SourceInfo


class ViewSink:
    """Hands each frame to the server's thread, where newest wins. Nothing is encoded while nobody looks.

    Args:
        target: what stands behind ``view:``: nothing, or ``//host:port``.
        options: how depth is shown.

    Attributes:
        link: what to open in a browser; holds the token, where there is one.
        calibrates: whether viewers may have the run measure its scale.

    Raises:
        ConfigError: no such address, or cameras that do not go together at it.
        SinkError: the address cannot be had.
    """

    needs_image = True

    def __init__(self, target: str = "", options: ViewOptions | None = None) -> None:
        self._server, self._camera = share(ViewAddress.parse(target), options or ViewOptions())
        self.link = self._server.link
        self.calibrates = bool(options and options.calibrate)

    @property
    def name(self) -> str:
        return self.link.partition("#")[0].replace("http:", "view:", 1).rstrip("/")

    def prepare(self, info: SourceInfo) -> None:
        """Where the frames come from."""
        self._camera.prepare(info)

    def write(self, frame: DepthFrame) -> None:
        """Show ``frame``, unless a newer one comes first. Never waits for a viewer."""
        self._camera.offer(frame)
        self._server.notice()

    def observe(self, state: SourceState) -> None:
        """Tell viewers at once what happens to the camera."""
        self._camera.observe(state)
        self._server.tell(self._camera)

    def calibrate_by(self, measure: Calibrate) -> None:
        """What viewers who know a distance hand it to; called by the server's thread, and must not wait."""
        self._camera.calibrate = measure

    def close(self) -> None:
        """Tell viewers that this is the end."""
        leave(self._server, self._camera)
