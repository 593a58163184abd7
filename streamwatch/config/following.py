"""Detects that a file was saved, whichever way editors and orchestrators do it."""

from __future__ import annotations

import os
from pathlib import Path

POLL_SECONDS = 0.02
"""Poll interval. One `stat` detects renames, writes in place and swapped symlinks, also on network
file systems, which have no change notifications."""
STILL_SECONDS = 0.1
"""A save is several writes, so size and time must have been unchanged for this long."""
EMPTY_STILL_SECONDS = 1.0
"""The same for a file that is empty or absent, as many editors leave it briefly while saving."""

_Stat = tuple[int, int, int, int] | None
"""Device, inode, size and mtime; None for an absent file."""


class SavedFile:
    """Detects saves of the file at `path`. Not thread-safe; `seconds` are monotonic."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reported = self._seen = self._stat()
        self._since = float("-inf")

    def saved(self, seconds: float) -> bool:
        """Whether the file was saved since this last returned True, and is complete by now."""
        stat = self._stat()
        if stat != self._seen:
            self._seen, self._since = stat, seconds
        if stat == self._reported:
            return False
        empty = stat is None or stat[2] == 0
        if seconds - self._since < (EMPTY_STILL_SECONDS if empty else STILL_SECONDS):
            return False
        self._reported = stat
        return True

    def _stat(self) -> _Stat:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - faster, for 50 calls a second
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
