"""Many videos, one after another: what is there already is left alone, and one that fails does not end the others."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from stream.errors import ConfigError, DepthStreamError, SourceError, one_line, printable

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One video and its outputs.

    Attributes:
        name: of the video, for people.
        source: what :func:`stream.sources.open_source` opens.
        sinks: URIs of its outputs.
        trouble: why it cannot be converted, where that is known already.
    """

    name: str
    source: str
    sinks: Sequence[str]
    trouble: str = ""


class Convert(Protocol):
    """Converts one video to the outputs that are missing. Returns whether it went to the end; ``False`` ends all."""

    def __call__(self, job: Job, missing: Sequence[str], place: Place) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the batch a video is: its number from 1, of how many, and when the first one began."""

    name: str
    number: int
    total: int
    started: float

    def time_left_s(self, done: float, now: float) -> float | None:
        """Seconds until all are converted if all take as long, ``done`` of this one being done; ``None``: too early."""
        share = (self.number - 1 + done) / self.total
        return (now - self.started) * (1 - share) / share if share > 0.01 else None


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What has become of a batch. ``failed`` has the name of each video and why."""

    converted: int = 0
    there: int = 0
    left: int = 0
    failed: list[tuple[str, str]]

    def __str__(self) -> str:
        counts = [(self.converted, "converted"), (self.there, "there already"), (len(self.failed), "failed")]
        counts.append((self.left, "not finished"))
        total = sum(n for n, _ in counts)
        told = ", ".join(f"{n} {what}" for n, what in counts if n)
        return "\n".join(
            [
                f"{total} {'video' if total == 1 else 'videos'}: {told}",
                *(f"FAILED {printable(name)}: {why}" for name, why in self.failed),
            ]
        )


def run_batch(jobs: Sequence[Job], convert: Convert, *, is_there: Callable[[str], bool]) -> Outcome:
    """Convert ``jobs``.

    Args:
        jobs: the videos, in order.
        convert: does one of them.
        is_there: whether an output is there already, whole.

    Raises:
        ConfigError: an option is wrong, which would be so for each of them.
    """
    outcome, started = Outcome(failed=[]), time.monotonic()
    for number, job in enumerate(jobs, 1):
        missing = [uri for uri in job.sinks if not is_there(uri)]
        if not missing and not job.trouble:
            outcome.there += 1
            continue
        try:
            if job.trouble:
                raise SourceError(job.trouble)
            went_on = convert(job, missing, Place(name=job.name, number=number, total=len(jobs), started=started))
        except ConfigError:
            raise
        except DepthStreamError as exc:
            why = one_line(exc).removeprefix(f"{job.name}: ")
            _log.error("%s: %s", job.name, why)
            outcome.failed.append((job.name, why))
            continue
        if not went_on:
            outcome.left = len(jobs) - number + 1
            break
        outcome.converted += 1
    return outcome
