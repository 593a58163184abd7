"""Detects that a file was saved, whichever way editors and orchestrators do it."""

from __future__ import annotations

from pathlib import Path

from streamwatch.config.values.paths import SeenPictures
from streamwatch.config.values.pictures import matching, stats_of
from streamwatch.files import Stat, stat_of

POLL_SECONDS = 0.02
"""Poll interval. One `stat` detects renames, writes in place and swapped symlinks, also on network
file systems, which have no change notifications."""
STILL_SECONDS = 0.1
"""A save is several writes, so size and time must have been unchanged for this long."""
PICTURE_SECONDS = 1.0
"""Poll interval for pictures, of which there may be many."""
EMPTY_STILL_SECONDS = 1.0
"""The same for a file that is empty or absent, as many editors leave it briefly while saving."""


class SavedFile:
    """Detects saves of the file at `path`. Not thread-safe; `seconds` are monotonic."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reported = self._seen = self._stat()
        self._since = float("-inf")
        self._again = False
        self._had_a_name = self._has_a_name()

    def look_again(self) -> None:
        """Count the file as saved, once it is complete."""
        self._again = True

    @property
    def cut_off(self) -> bool:
        """Whether this is a file that has been removed from its folder, and yet is at `path`.

        So it is where it was mounted alone, as into a container, and another took its place
        outside: that is never seen here. File systems that count no names have none from the start.
        """
        return self._had_a_name and self._reported is not None and not self._has_a_name()

    def saved(self, seconds: float) -> bool:
        """Whether the file was saved since this last returned True, and is complete by now."""
        stat = self._stat()
        if stat != self._seen:
            self._seen, self._since = stat, seconds
        if stat == self._reported and not self._again:
            return False
        empty = stat is None or stat.size == 0
        if seconds - self._since < (EMPTY_STILL_SECONDS if empty else STILL_SECONDS):
            return False
        self._reported, self._again = stat, False
        self._had_a_name = self._had_a_name or self._has_a_name()
        return True

    def _has_a_name(self) -> bool:
        # Not what was seen just now: a file that is being replaced has no name for a moment.
        return self._reported is not None and self._reported.names > 0

    def _stat(self) -> Stat | None:
        return stat_of(self._path)


class SavedPictures:
    """Detects that pictures were saved, added or removed, by what `load` saw of them before it read
    them. Not thread-safe; `seconds` are monotonic.
    """

    def __init__(self, seen: SeenPictures) -> None:
        self._looked_at = float("-inf")
        self.follow(seen)

    def follow(self, seen: SeenPictures) -> None:
        """Follow these from now on."""
        self._reported = self._seen = seen
        self._since = float("-inf")

    def saved(self, seconds: float) -> bool:
        """Whether any was since this last returned True, and is complete by now. Looks once a
        second."""
        if seconds - self._looked_at < PICTURE_SECONDS:
            return False
        self._looked_at = seconds
        now = {pattern: stats_of(matching(pattern)) for pattern in self._reported}
        if now != self._seen:
            self._seen, self._since = now, seconds
        if now == self._reported or seconds - self._since < STILL_SECONDS:
            return False
        self._reported = now
        return True
