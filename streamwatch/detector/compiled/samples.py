"""Pictures that the network was given, masked and cropped as it saw them, to quantize it with."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamwatch.records import Vectors

log = logging.getLogger(__name__)

ENOUGH = 100
"""How many are taken. NNCF's default is 300; with 100 of another clip toybox found as much."""
APART_SECONDS = 2.0
APART_BATCHES = 10
"""One is taken after so many seconds, or batches: a file may be read faster than it plays."""
TOLD = 25
"""After how many more it is logged."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """An image `(height, width, 3)` uint8 BGR, and what it was searched for: `(slots, 512)`."""

    image: NDArray[np.uint8]
    texts: Vectors


class Samples:
    """Takes one picture of a batch now and then, until there are enough. For one thread.

    `seconds` is the monotonic clock.
    """

    def __init__(self, enough: int = ENOUGH, seconds: Callable[[], float] = time.monotonic) -> None:
        self._enough = enough
        self._seconds = seconds
        self._last = float("-inf")
        self._batches = 0
        self.taken: list[Sample] = []

    @property
    def complete(self) -> bool:
        return len(self.taken) >= self._enough

    def offer(self, images: NDArray[np.uint8], texts: Vectors) -> None:
        """See `protocol.Network.forward` for both; they are copied if taken."""
        self._batches += 1
        now = self._seconds()
        soon = now - self._last < APART_SECONDS and self._batches < APART_BATCHES
        if soon or self.complete:
            return
        self._last, self._batches = now, 0
        number = len(self.taken) % len(images)  # the cameras of a batch take turns
        self.taken.append(Sample(images[number].copy(), texts[number].copy()))
        if len(self.taken) % TOLD == 0:
            log.info("%d of %d pictures for precision int8", len(self.taken), self._enough)
