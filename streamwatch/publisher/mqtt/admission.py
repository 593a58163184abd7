"""How much of what others send may wait for the publisher's thread."""

from __future__ import annotations

import threading

from streamwatch.publisher.mqtt.attempt import Arrived

MOST_WAITING = 1_000
"""Most messages that wait, besides retained ones: those are bounded by their bytes alone, since a
sweep brings them all at once."""
MOST_BYTES = 8_000_000
EACH_BYTES = 500
"""What a message takes besides its content."""


class Admission:
    """Counts the messages that have arrived and were not taken yet. Thread-safe.

    What exceeds the bounds is dropped where it arrives: to answer it would take what is short.
    """

    def __init__(self) -> None:
        self._waiting = 0
        self._bytes = 0
        self._dropped = 0
        self._lock = threading.Lock()

    def enter(self, arrived: Arrived) -> bool:
        """Whether it may wait; if not, it counts as dropped."""
        size = _size(arrived)
        with self._lock:
            full = not arrived.retained and self._waiting >= MOST_WAITING
            if full or self._bytes + size > MOST_BYTES:
                self._dropped += 1
                return False
            self._waiting += not arrived.retained
            self._bytes += size
        return True

    def leave(self, arrived: Arrived) -> None:
        """It waits no more."""
        with self._lock:
            self._waiting -= not arrived.retained
            self._bytes -= _size(arrived)

    def drop(self) -> None:
        """Count one that is dropped later."""
        with self._lock:
            self._dropped += 1

    def take_dropped(self) -> int:
        """How many were dropped since the last call."""
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        return dropped


def _size(arrived: Arrived) -> int:
    content = (arrived.payload, arrived.topic, arrived.response_topic, arrived.correlation)
    return EACH_BYTES + sum(len(part) for part in content if part is not None)
