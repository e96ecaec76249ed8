"""HTTP serves files and cameras alike: only looking tells which."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from stream.errors import SourceError
from stream.ports import Source
from stream.sources.address import LIVE_OPTIONS, Address
from stream.sources.camera import Camera
from stream.sources.config import SourceConfig
from stream.sources.connection import Connection
from stream.sources.pacer import SEGMENTED_FORMATS
from stream.sources.retry import Backoff, may_pass
from stream.sources.video import VideoFile

log = logging.getLogger(__name__)


def open_http(address: Address, config: SourceConfig) -> Source:
    """The file or camera at ``address``. A server that does not answer is waited for as a camera is.

    Raises:
        SourceError: waiting would not help, or there were enough retries.
    """
    connection = _reach(address, config)
    if not connection.live:
        return VideoFile(address, connection, strict=config.strict)
    # Opened anew when its frames are wanted. Now that it is known to be no file, what was read while probing may go.
    options = dict(LIVE_OPTIONS)
    if connection.container.format.name in SEGMENTED_FORMATS:
        options["live_start_index"] = "-1"  # the newest segment instead of the third last
    rate = connection.frame_rate
    connection.close()
    return Camera(replace(address, live=True, options=options), config, frame_rate=rate)


def _reach(address: Address, config: SourceConfig) -> Connection:
    backoff = Backoff(cap_s=config.retry_max_s, retries=config.retries)
    said = ""
    while True:
        try:
            return Connection(address, config)
        except SourceError as error:
            wait_s = backoff.next_s() if may_pass(error, network=True, silent_s=None) else None
            if wait_s is None:
                raise
            if str(error) != said:
                said = str(error)
                log.warning("%s; trying again", said)
            time.sleep(wait_s)
