"""Detects a camera that keeps sending the same frozen picture."""

from __future__ import annotations

STILL_SECONDS = 60.0
"""Sensor noise makes any two frames differ, even of a wall at night."""


class Stillness:
    """Measures for how long the picture has not changed by a single bit."""

    def __init__(self) -> None:
        self._sum: int | None = None
        self._since = 0.0

    def seconds(self, checksum: int, now: float) -> float:
        """How long pictures have had the same checksum as that taken at `now` (seconds)."""
        if checksum != self._sum:
            self._sum, self._since = checksum, now
        return now - self._since
