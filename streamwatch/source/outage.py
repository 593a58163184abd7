"""An outage of a camera: since when, why, and the wait before the next retry."""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 5.0
REFUSED_SECONDS = 60.0
"""Cameras lock an account after a few wrong passwords."""
JITTER = 0.2
"""Largest random reduction of the wait, as a share: the cameras of one recorder should not all
reconnect at once."""
STEADY_SECONDS = 5.0
"""An outage ends once frames have arrived for this long; else a camera that sends one frame a
connection would be retried without back-off, and each failure logged again."""

MOST_SAID = 20
"""So many different problems of one outage are logged: a text may hold a number that changes."""


@dataclass(slots=True)
class Outage:
    """`problem` is the latest error, `said` those already logged; `since` in monotonic seconds."""

    since: float
    problem: str
    failures: int = 0
    said: set[str] = field(default_factory=set)


def retry_seconds(failures: int, *, refused: bool, chance: float) -> float:
    """The wait before the next try after `failures` (from 1) in a row; `chance` is 0 to 1."""
    # 2 ** 10 is far above the cap; more would overflow a float in a very long outage.
    doubled = FIRST_SECONDS * 2 ** min(failures - 1, 10)
    longest = REFUSED_SECONDS if refused else min(LONGEST_SECONDS, doubled)
    return longest * (1 - JITTER * chance)
