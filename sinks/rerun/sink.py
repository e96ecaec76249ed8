"""Depth in a viewer of Rerun, live."""

from __future__ import annotations

import logging
import uuid

from sinks.addresses import Address, is_loopback, parse_address
from sinks.rerun.options import VIEWER_MEMORY, ViewerOptions
from sinks.rerun.recording import Recording
from sinks.rerun.viewer import check_answers, share_viewer
from stream.errors import ConfigError, SinkError
from stream.frame import DepthFrame, SourceState

_DEFAULT = Address("127.0.0.1", 9876)
_PATIENCE_S = 10.0
_GOODBYE_S = 2.0
_TOGETHER = uuid.uuid4().hex  # cameras of one run are one recording
_log = logging.getLogger(__name__)


class RerunSink:
    """Sends each frame to a viewer, and waits until it is on its way: what a slow one cannot take does not pile up.

    :mod:`sinks.rerun.recording` says what is sent.

    Args:
        target: what stands behind ``rerun:``: nothing or ``spawn``, a viewer is started; ``//host:port``, one runs.
        options: what is sent.

    Raises:
        ConfigError: no such address, or another machine's without ``insecure``.
        SinkError: there is no viewer, or it does not start.
    """

    def __init__(self, target: str = "", options: ViewerOptions | None = None) -> None:
        self._options = options = options or ViewerOptions()
        starts = target in ("", "spawn")
        if starts:
            address = share_viewer(options.memory or VIEWER_MEMORY).address
        else:
            address = _address(target, options)
            check_answers(address)
        self.name = f"rerun://{address}"
        self._failed = False
        self._recording = Recording(options, recording_id=_TOGETHER)
        self._recording.stream.connect_grpc(f"rerun+http://{address}/proxy")

    @property
    def needs_image(self) -> bool:
        return self._options.image != "none"

    def write(self, frame: DepthFrame) -> None:
        """Send ``frame``, unless the rate is reached.

        Raises:
            SinkError: the viewer is gone, or takes nothing any longer.
        """
        if self._recording.add(frame):
            self._flush(_PATIENCE_S)

    def observe(self, state: SourceState) -> None:
        """Tell what happens to the camera. Never waits."""
        self._recording.tell(state)

    def close(self) -> None:
        """Send what is waiting. The viewer stays."""
        try:
            if not self._failed:
                self._flush(_GOODBYE_S)
        finally:
            self._recording.stream.disconnect()

    def _flush(self, timeout_s: float) -> None:
        try:
            self._recording.stream.flush(timeout_sec=timeout_s)
        except RuntimeError as exc:
            self._failed = True
            raise SinkError(f"{self.name}: the viewer is gone, or takes nothing any longer") from exc


def _address(target: str, options: ViewerOptions) -> Address:
    example = "rerun:, rerun://127.0.0.1:9876 or rerun:walk.rrd"
    address, _ = parse_address("rerun", target, default=_DEFAULT, example=example)
    if options.memory is not None:
        raise ConfigError("memory= is of a viewer that is started here; that one was started with its --memory-limit")
    if not is_loopback(address.host):
        if not options.insecure:
            raise ConfigError(
                f"{address.host} is another machine, and Rerun does not encrypt; say insecure=1 if everybody on the "
                "way there may see the depth"
            )
        _log.warning("depth is sent to %s without encryption", address)
    return address
