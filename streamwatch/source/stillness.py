"""A camera whose picture has frozen while it goes on sending."""

from __future__ import annotations

import zlib

from streamwatch.records import Image

STILL_SECONDS = 60.0
"""Even of a wall at night no two pictures are equal to the last bit: a sensor has noise."""
STEP = 8
"""Of every eighth row and column: enough to notice any change of the picture as a whole."""


class Stillness:
    """Tells for how long a picture has been the same to the last bit."""

    def __init__(self) -> None:
        self._sum: int | None = None
        self._since = 0.0

    def seconds(self, image: Image, now: float) -> float:
        """How long it has been that of `image`, the picture of `now`."""
        checksum = zlib.crc32(image[::STEP, ::STEP].tobytes())
        if checksum != self._sum:
            self._sum, self._since = checksum, now
        return now - self._since
