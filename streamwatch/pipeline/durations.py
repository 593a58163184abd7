"""Durations, counted by how long they were."""

from __future__ import annotations

import bisect
from collections.abc import Sequence


class Durations:
    """A histogram since the start. One thread observes, any may read."""

    def __init__(self, bounds_seconds: Sequence[float]) -> None:
        self._bounds = tuple(bounds_seconds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.sum_seconds = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect.bisect_left(self._bounds, seconds)] += 1
        self.sum_seconds += seconds

    def cumulative(self) -> list[tuple[float, int]]:
        """By upper bound, infinity at last, how many were not longer."""
        total, found = 0, []
        for bound, count in zip((*self._bounds, float("inf")), tuple(self._counts), strict=True):
            total += count
            found.append((bound, total))
        return found
