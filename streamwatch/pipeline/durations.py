"""A histogram and percentiles of durations."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Sequence

import numpy as np

NEWEST = 1000
"""Durations kept for the percentiles."""


class Durations:
    """A histogram since the start, and percentiles of the newest. One thread observes."""

    def __init__(self, bounds_seconds: Sequence[float]) -> None:
        self._bounds = tuple(bounds_seconds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._newest: deque[float] = deque(maxlen=NEWEST)
        self.sum_seconds = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect.bisect_left(self._bounds, seconds)] += 1
        self._newest.append(seconds)
        self.sum_seconds += seconds

    @property
    def count(self) -> int:
        return sum(self._counts)

    def cumulative(self) -> list[tuple[float, int]]:
        """By upper bound, infinity at last, how many were not longer."""
        total, found = 0, []
        for bound, count in zip((*self._bounds, float("inf")), tuple(self._counts), strict=True):
            total += count
            found.append((bound, total))
        return found

    def percentiles_ms(self) -> tuple[float | None, float | None]:
        """Median and 95th percentile of the newest in milliseconds; None before the first."""
        newest = self._newest.copy()
        if not newest:
            return None, None
        p50, p95 = np.percentile(np.array(newest) * 1000, [50, 95])
        return round(float(p50), 1), round(float(p95), 1)
