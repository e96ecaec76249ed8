"""When to try a camera again, and whether to try at all."""

from __future__ import annotations

import random

import av

from stream.errors import SourceError
from stream.sources.ffmpeg_errors import Interruption, Misdirection

_FIRST_S = 0.25
_JITTER = 0.25  # so that many robots do not come back to one server in step
_PATIENCE_WITH_404_S = 60.0

# What no waiting cures. Anything else may pass: a server that restarts, a network that comes back.
_REFUSED = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError, av.error.PermissionError)
_WRONG = (
    av.error.HTTPBadRequestError,
    av.error.HTTPOtherClientError,
    av.error.InvalidDataError,
    av.error.DemuxerNotFoundError,
    av.error.ProtocolNotFoundError,
    av.error.DecoderNotFoundError,
    av.error.PatchWelcomeError,
    Misdirection,
)


class Backoff:
    """Waits that double up to a cap.

    Args:
        cap_s: the longest wait.
        retries: attempts in a row that may fail after the first one, ``None`` for any number.
    """

    def __init__(self, *, cap_s: float, retries: int | None, rng: random.Random | None = None) -> None:
        self._cap_s, self._retries = cap_s, retries
        self._rng = rng or random.Random()
        self.attempt = 0

    def next_s(self) -> float | None:
        """Seconds to wait before the next attempt, ``None`` where there is to be none."""
        if self._retries is not None and self.attempt >= self._retries:
            return None
        self.attempt += 1
        wait = min(_FIRST_S * 2.0 ** min(self.attempt - 1, 30), self._cap_s)
        return min(wait * self._rng.uniform(1 - _JITTER, 1 + _JITTER), self._cap_s)

    def reset(self) -> None:
        """The camera is back: the next wait is a short one again."""
        self.attempt = 0


def may_pass(error: SourceError, *, network: bool, silent_s: float | None) -> bool:
    """Whether it makes sense to try again after ``error``.

    Args:
        error: why a connection could not be made, or broke off.
        network: the camera is behind a server; those of this machine may only be plugged in again.
        silent_s: seconds since the last picture, ``None`` if there has never been one.
    """
    cause = error.__cause__
    if isinstance(cause, _REFUSED):
        return False
    if silent_s is not None:
        # A server that starts again may not know its streams at once.
        return not isinstance(cause, av.error.HTTPNotFoundError) or silent_s < _PATIENCE_WITH_404_S
    if not network or cause is None:  # no cause: it was opened, and is no video
        return False
    return isinstance(cause, Interruption) or not isinstance(cause, (*_WRONG, av.error.HTTPNotFoundError))
