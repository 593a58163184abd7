"""Detects that a file was saved, whichever way editors and orchestrators do it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamwatch.config.values.pictures import matching

POLL_SECONDS = 0.02
"""Poll interval. One `stat` detects renames, writes in place and swapped symlinks, also on network
file systems, which have no change notifications."""
STILL_SECONDS = 0.1
"""A save is several writes, so size and time must have been unchanged for this long."""
PICTURE_SECONDS = 1.0
"""Poll interval for pictures, of which there may be many."""
EMPTY_STILL_SECONDS = 1.0
"""The same for a file that is empty or absent, as many editors leave it briefly while saving."""


@dataclass(frozen=True, slots=True)
class _Stat:
    """What a save changes: each changes `ctime_ns` at least, which no program can set back."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    names: int
    """How many names it has in folders."""


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

    def _stat(self) -> _Stat | None:
        return _stat_of(self._path)


class SavedPictures:
    """Detects that pictures were saved, added or removed, by the patterns that name them.

    Not thread-safe; `seconds` are monotonic. `patterns` gives those of the configuration in force.
    """

    def __init__(self, patterns: Callable[[], frozenset[str]]) -> None:
        self._read_patterns = patterns
        self._patterns = patterns()
        self._reported = self._seen = self._stats()
        self._since = self._looked_at = float("-inf")

    def saved(self, seconds: float) -> bool:
        """Whether any was since this last returned True, and is complete by now. Looks once a
        second."""
        if seconds - self._looked_at < PICTURE_SECONDS:
            return False
        self._looked_at = seconds
        now = self._read_patterns()
        if now != self._patterns:  # the file was saved, and its pictures were read for it
            self._patterns = now
            self._reported = self._seen = self._stats()
        stats = self._stats()
        if stats != self._seen:
            self._seen, self._since = stats, seconds
        if stats == self._reported or seconds - self._since < STILL_SECONDS:
            return False
        self._reported = stats
        return True

    def _stats(self) -> dict[str, _Stat | None]:
        return {path: _stat_of(path) for pattern in self._patterns for path in matching(pattern)}


def _stat_of(path: Path | str) -> _Stat | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - faster, for 50 calls a second
    except OSError:
        return None
    return _Stat(
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_nlink,
    )
