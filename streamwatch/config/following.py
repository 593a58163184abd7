"""Noticing that a file was saved, however editors and orchestrators do that."""

from __future__ import annotations

import os
from pathlib import Path

POLL_SECONDS = 0.02
"""How often to look. A look is one `stat`, which sees renames, writes in place and swapped
symlinks alike, on network file systems too, where change notifications are not to be had."""
STILL_SECONDS = 0.1
"""Size and time must not have changed for this long: a save is several writes."""
EMPTY_STILL_SECONDS = 1.0
"""The same for a file that is empty or absent, as it is for a moment while many editors save."""

_Look = tuple[int, int, int, int] | None
"""What tells two contents apart: device, inode, size, time; None for a file that is not there."""


class SavedFile:
    """Tells when the file at `path` was saved. Not thread-safe; `seconds` are monotonic."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._seen = self._look()
        self._since = float("-inf")

    def saved(self, seconds: float) -> bool:
        """Whether what is there has changed since this was last true, and been still for long."""
        look = self._look()
        if look != self._seen:
            self._seen, self._since = look, seconds
        if look == self._known:
            return False
        empty = look is None or look[2] == 0
        if seconds - self._since < (EMPTY_STILL_SECONDS if empty else STILL_SECONDS):
            return False
        self._known = look
        return True

    def _look(self) -> _Look:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - fifty times a second
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
