"""Detects a camera that keeps sending the same frozen picture."""

from __future__ import annotations

import zlib

from streamwatch.records import Image

STILL_SECONDS = 60.0
"""Sensor noise makes any two frames differ, even of a wall at night."""
STEP = 8
"""Every eighth row and column is compared, enough to notice that noise."""


class Stillness:
    """Measures for how long the picture has not changed by a single bit."""

    def __init__(self) -> None:
        self._sum: int | None = None
        self._since = 0.0

    def seconds(self, image: Image, now: float) -> float:
        """How long the picture has been the same as `image`, taken at `now` (seconds)."""
        checksum = zlib.crc32(image[::STEP, ::STEP].tobytes())
        if checksum != self._sum:
            self._sum, self._since = checksum, now
        return now - self._since
