"""How many commands may wait, and for what; beyond, they are told to come again."""

from __future__ import annotations

from collections import Counter

from streamwatch.errors import StreamwatchError

BUSY = "busy, try later"
MOST_LOOKS = 32
"""Most `detect` and `snapshot` commands that wait for a frame, or whose frame waits for them."""
MOST_LOOKS_OF_ONE = 8
"""The same of one camera."""
MOST_LOOKED_AT = 8
"""Most detections of one frame that a `detect` command has looked at again."""
MOST_ENCODED = 16
"""Most `detect` commands that wait for the text encoder, and most changes that do."""


class Places:
    """At most so many are taken at once, and so many by one of those that take them.

    Not thread-safe.
    """

    def __init__(self, most: int, of_one: int) -> None:
        self._most = most
        self._of_one = of_one
        self._taken: Counter[str] = Counter()

    def take(self, who: str) -> None:
        """Raises StreamwatchError if no place is free."""
        if self._taken.total() >= self._most or self._taken[who] >= self._of_one:
            raise StreamwatchError(BUSY)
        self._taken[who] += 1

    def leave(self, who: str) -> None:
        self._taken[who] -= 1
        if not self._taken[who]:
            del self._taken[who]
