"""How long to wait before a camera is tried again."""

from __future__ import annotations

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 5.0
REFUSED_SECONDS = 60.0
"""Cameras lock an account after a few wrong passwords."""
JITTER = 0.2
"""Share of the wait that chance may take off: the cameras of a recorder shouldn't come at once."""


def retry_seconds(failures: int, *, refused: bool, chance: float) -> float:
    """The wait after that many failures in a row (from 1); `chance` is 0 to 1."""
    # 2 ** 10 is far above the cap, and a camera that is gone for a year must not overflow a float.
    doubled = FIRST_SECONDS * 2 ** min(failures - 1, 10)
    longest = REFUSED_SECONDS if refused else min(LONGEST_SECONDS, doubled)
    return longest * (1 - JITTER * chance)
