"""How many frames a batch may have, learned from how long batches take. Pure."""

from __future__ import annotations

import statistics
from collections import deque
from itertools import combinations

MOST_FRAMES = 8
"""Larger batches are hardly faster a frame, on any device."""
BUDGET_SECONDS = 0.25
"""What a batch may take: so long a frame that comes just after its start waits at least."""
RECENT_BATCHES = 15
"""So many are learned from: a median of them forgives a few that were disturbed, and a detector
that was exchanged, or whose device became busy, is known after eight."""


class BatchLimit:
    """The number of frames that a batch may have.

    A batch is taken to last `fixed + each * frames` seconds. On a CPU nearly all is `each`, and the
    limit is what fits the budget. On a GPU nearly all is `fixed`, whatever the limit, so the frames
    may always take as long again as what is fixed.
    """

    def __init__(self) -> None:
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT_BATCHES)

    def note(self, frames: int, seconds: float) -> None:
        """Learn that a batch of so many frames, at least 1, took so long."""
        self._recent.append((frames, seconds))

    @property
    def frames(self) -> int:
        """At least 1, at most `MOST_FRAMES`."""
        if not self._recent:
            return MOST_FRAMES
        fixed, each = self._fitted()
        room = max(BUDGET_SECONDS - fixed, fixed)
        fitting = int(room / each) if each * MOST_FRAMES > room else MOST_FRAMES
        limit = max(fitting, 1)
        # Batches of one size don't tell `fixed` and `each` apart: then one frame more is tried.
        if len(self._recent) == RECENT_BATCHES and {size for size, _ in self._recent} == {limit}:
            limit += 1
        return min(limit, MOST_FRAMES)

    def _fitted(self) -> tuple[float, float]:
        """`fixed` and `each` in seconds, by medians (Theil and Sen); of batches of one size, as if
        nothing was fixed."""
        slopes = [
            (seconds - other) / (size - other_size)
            for (size, seconds), (other_size, other) in combinations(self._recent, 2)
            if size != other_size
        ]
        if not slopes:
            return 0.0, statistics.median(seconds / size for size, seconds in self._recent)
        each = max(statistics.median(slopes), 0.0)
        fixed = statistics.median(seconds - each * size for size, seconds in self._recent)
        if fixed < 0:
            return 0.0, statistics.median(seconds / size for size, seconds in self._recent)
        return fixed, each
