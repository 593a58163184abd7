"""A camera that can't be read: since when, why, and how long to wait before the next try."""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 5.0
REFUSED_SECONDS = 60.0
"""Cameras lock an account after a few wrong passwords."""
JITTER = 0.2
"""Share of the wait that chance may take off: the cameras of a recorder shouldn't come at once."""
STEADY_SECONDS = 5.0
"""Frames must have come for this long before an outage is over; else a camera that gives one frame
a connection would be hammered, and each of its failures told anew."""


@dataclass(slots=True)
class Outage:
    """`problem` is the newest, `said` those that were told; `since` is in monotonic seconds."""

    since: float
    problem: str
    failures: int = 0
    said: set[str] = field(default_factory=set)


def retry_seconds(failures: int, *, refused: bool, chance: float) -> float:
    """The wait after that many failures in a row (from 1); `chance` is 0 to 1."""
    # 2 ** 10 is far above the cap, and a camera that is gone for a year must not overflow a float.
    doubled = FIRST_SECONDS * 2 ** min(failures - 1, 10)
    longest = REFUSED_SECONDS if refused else min(LONGEST_SECONDS, doubled)
    return longest * (1 - JITTER * chance)
