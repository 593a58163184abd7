"""A clock that only advances when a test sets it or the code waits."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from streamwatch.source import Clock

START = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


class FakeClock:
    """`now` is monotonic seconds; the wall clock shows START + `now`. `waits` holds the seconds
    of each wait.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    @property
    def clock(self) -> Clock:
        return Clock(
            monotonic=lambda: self.now,
            wall=lambda: START + timedelta(seconds=self.now),
            wait=self._wait,
        )

    def _wait(self, stop: threading.Event, seconds: float) -> bool:
        if stop.is_set():
            return True
        self.waits.append(seconds)
        self.now += seconds
        return False
