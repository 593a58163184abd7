"""Time that only ever goes on."""

from __future__ import annotations


class Timeline:
    """Keeps the seconds of a camera's frames rising where its source begins to count anew.

    A file that is opened again starts at 0, and durations must not wait for it to catch up. Where
    time falls or stands still, `step_seconds` are taken to have passed.
    """

    def __init__(self) -> None:
        self.step_seconds = 1.0
        self._shift = 0.0
        self._last = float("-inf")

    def at(self, seconds: float) -> float:
        """The time of the next frame, whose source says that it is `seconds`."""
        if seconds + self._shift <= self._last:
            self._shift = self._last + self.step_seconds - seconds
        self._last = seconds + self._shift
        return self._last
