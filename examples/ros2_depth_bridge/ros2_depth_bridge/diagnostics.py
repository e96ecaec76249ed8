"""How the bridge fares, for ``/diagnostics``."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from ros2_depth_bridge.client import DepthMessage

_WINDOW_S = 10.0
_SILENT_S = 3.0  # as long as a publisher may be silent before it counts as gone


class Health:
    """Counts what came. Times are those of a monotonic clock, in seconds."""

    def __init__(self, now: float) -> None:
        self._since = self._last = now
        self._age = math.nan
        self._arrivals: deque[float] = deque()
        self._trouble: deque[tuple[float, str]] = deque()  # when, and what
        self._lost = self._skipped = self._unreadable = 0
        self._silence = "no frame has come yet"

    def received(self, frame: DepthMessage, now: float) -> None:
        self._last, self._age = now, frame.age()
        self._arrivals.append(now)
        self._lost += frame.lost
        self._skipped += frame.skipped
        if frame.lost:
            self._trouble.append((now, f"{frame.lost} frames were lost on their way"))

    def unreadable(self, reason: str, now: float) -> None:
        self._unreadable += 1
        self._trouble.append((now, reason))
        self._silence = reason

    def silent(self, reason: str) -> None:
        self._silence = reason

    def status(self, publisher: dict[str, Any] | None, now: float, msgs: Any) -> Any:
        """``DiagnosticStatus`` without a name. ``publisher``: its last; ``msgs``: ``diagnostic_msgs.msg``."""
        while self._arrivals and self._arrivals[0] < now - _WINDOW_S:
            self._arrivals.popleft()
        while self._trouble and self._trouble[0][0] < now - _WINDOW_S:
            self._trouble.popleft()
        state = str(publisher["state"]) if publisher else "unknown"
        rate = len(self._arrivals) / min(_WINDOW_S, max(now - self._since, 1.0))
        status, known = msgs.DiagnosticStatus(), msgs.DiagnosticStatus
        if now - self._last > _SILENT_S:
            status.level, status.message = known.ERROR, self._silence
        elif math.isnan(self._age):
            status.level, status.message = known.WARN, self._silence
        elif state in ("stalled", "ended"):
            status.level, status.message = known.WARN, f"the publisher says that its camera is {state}"
        elif self._trouble:
            status.level, status.message = known.WARN, self._trouble[-1][1]
        else:
            status.level, status.message = known.OK, f"{rate:.1f} frames a second, {self._age * 1000:.0f} ms old"
        values = {
            "age (s)": f"{self._age:.3f}",
            "rate (Hz)": f"{rate:.1f}",
            "since last frame (s)": f"{now - self._last:.1f}",
            "lost": self._lost,
            "skipped": self._skipped,
            "unreadable": self._unreadable,
            "publisher": state,
            **{f"publisher: {k}": publisher[k] for k in ("fps", "dropped", "refused") if publisher and k in publisher},
        }
        status.values = [_key_value(key, value, msgs) for key, value in values.items()]
        return status


def _key_value(key: str, value: object, msgs: Any) -> Any:
    pair = msgs.KeyValue()
    pair.key, pair.value = key, str(value)
    return pair
