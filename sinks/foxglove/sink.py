"""Depth for Foxglove, live: the topics, schemas and messages of our recordings, so that a layout works for both.

:mod:`sinks.ros.sink` lists them. ``/tf_static`` comes with every frame, for who connects late. Frames have the same
stamps as in a recording. What nobody subscribes to is not made.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from foxglove import Channel, Schema, StatusLevel

from sinks.addresses import Address, is_loopback, parse_address
from sinks.foxglove.server import Server, leave, share
from sinks.ros.messages import RosTime, definition, serialize
from sinks.ros.topics import TF, Offer, TopicOptions, offers, transform
from stream.errors import ConfigError
from stream.frame import DepthFrame, SourceState

_DEFAULT = Address("127.0.0.1", 8765)
_MAX_HWM = 10_000
_LEVELS = {"streaming": StatusLevel.Info, "ended": StatusLevel.Info, "connecting": StatusLevel.Info}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoxgloveOptions(TopicOptions):
    """What is sent, and to whom.

    Attributes:
        hwm: messages waiting for one viewer; a slower one loses the oldest instead of filling memory.
        insecure: allow other machines to look in: there are no keys, and nothing is encrypted.
    """

    hwm: int = 32
    insecure: bool = False

    def __post_init__(self) -> None:
        TopicOptions.__post_init__(self)
        if not 1 <= self.hwm <= _MAX_HWM:
            raise ConfigError(f"hwm must be from 1 to {_MAX_HWM} messages, not {self.hwm}")


class FoxgloveSink:
    """Offers each frame on a WebSocket server. Cameras of one run that name the same address share it.

    Args:
        target: what stands behind ``foxglove:``: nothing, or ``//host:port``.
        options: what is sent, and to whom.

    Raises:
        ConfigError: no such address, one that others can reach without ``insecure``, or cameras that do not go together
            at it.
        SinkError: the address cannot be had.
    """

    def __init__(self, target: str = "", options: FoxgloveOptions | None = None) -> None:
        self._options = options = options or FoxgloveOptions()
        self._time = RosTime()
        self._channels: dict[str, Channel] = {}
        self._server: Server = share(_address(target, options), options.camera, hwm=options.hwm)

    @property
    def name(self) -> str:
        return f"foxglove://{self._server.address}"

    @property
    def needs_image(self) -> bool:
        return self._options.image != "none"

    def write(self, frame: DepthFrame) -> None:
        """Offer ``frame``. Never waits for a viewer.

        Raises:
            SinkError: a topic needs its picture, and it came without one; or ROS has no number for its time.
        """
        stamp_ns = self._time.stamp_ns(frame)
        topics = {TF: transform(stamp_ns, self._options), **offers(frame, stamp_ns, self._options)}
        for topic, offer in topics.items():
            channel = self._channel(topic, offer)
            if channel.has_sinks():
                channel.log(serialize(offer.make()), log_time=stamp_ns)

    def observe(self, state: SourceState) -> None:
        """Tell viewers what happens to the camera; they show it among their problems."""
        reason = f": {state.reason}" if state.reason else ""
        text = f"camera {self._options.camera} is {state.state}{reason}"
        level = StatusLevel.Error if state.state == "failed" else _LEVELS.get(state.state, StatusLevel.Warning)
        self._server.tell(text, level, self._options.camera)

    def close(self) -> None:
        """Take the topics back; the server ends with its last camera."""
        for channel in self._channels.values():
            channel.close()
        leave(self._server, self._options.camera)

    def _channel(self, topic: str, offer: Offer) -> Channel:
        if topic not in self._channels:
            schema = Schema(name=offer.type, encoding="ros2msg", data=definition(offer.type).encode())
            self._channels[topic] = self._server.channel(topic, "cdr", schema)
        return self._channels[topic]


def _address(target: str, options: FoxgloveOptions) -> Address:
    example = "foxglove: or foxglove://127.0.0.1:8765"
    address = parse_address("foxglove", target, default=_DEFAULT, example=example)[0] if target else _DEFAULT
    if not is_loopback(address.host):
        if not options.insecure:
            raise ConfigError(
                f"{address} can be reached from the network, and viewers need no key; say insecure=1 if everybody "
                "there may see the depth"
            )
        _log.warning("%s can be reached from the network, and depth is sent without encryption", address)
    return address
