"""What a publisher says of itself every second."""

from __future__ import annotations

from sinks.live_status import LiveStatus
from sinks.zeromq.message import SCHEMA


class PublisherStatus(LiveStatus):
    """Counts what is published. Not thread-safe: the publisher's lock guards it.

    Args:
        camera: name of the camera.
        session: of this publisher.
        conflate: how it publishes, for subscribers that expect something else.

    Attributes:
        late: frames that were too old to be sent when ZeroMQ could have sent them.
    """

    def __init__(self, camera: str, session: str, *, conflate: bool = False) -> None:
        super().__init__(camera, session)
        self._conflate = conflate
        self.late = 0

    def published(self, *, sequence: int, refused: int, ended: bool) -> dict[str, object]:
        """The fields of a status message.

        Args:
            sequence: that the next frame will have.
            refused: connections turned away so far.
            ended: nothing will follow.
        """
        return {
            "schema": SCHEMA,
            **self.record(sequence=sequence, ended=ended),
            "late": self.late,
            "refused": refused,
            "conflate": self._conflate,
        }
