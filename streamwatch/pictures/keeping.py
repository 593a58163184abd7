"""A folder of what is kept for a while: names that say what a file is of, and cleaning up."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

NAME = (
    r"\d{8}T\d{6}\.\d{3}Z_[a-z0-9_-]{1,63}_[a-z0-9_-]{1,63}"
    r"_[0-9A-HJKMNP-TV-Z]{26}"  # a ULID: Crockford's base 32, without I, L, O and U
)
"""What `named` gives, without what comes after it."""
_ROOM_AFTER_CLEANING = 0.95
"""Cleaning leaves at most this share of the allowed size, so that not every file cleans again."""


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    bytes: int
    written_at: float


def named(moment: datetime, camera: str, watch: str, id: str, suffix: str = ".jpg") -> str:
    """`20260102T030405.678Z_porch_parcel_01J….jpg`."""
    moment = moment.astimezone(UTC)
    stamp = f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z"
    return f"{stamp}_{camera}_{watch}_{id}{suffix}"


class KeptFolder:
    """Files that stay for `keep` and below `max_bytes`. Every method may raise OSError.

    Only regular files directly in the folder whose names match `ours` are deleted, never anything
    else. Not thread-safe.
    """

    def __init__(
        self, path: Path, ours: re.Pattern[str], *, keep: timedelta, max_bytes: int
    ) -> None:
        self.path = path
        self._pattern = ours
        self._keep_seconds = keep.total_seconds()
        self._max_bytes = max_bytes
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether the folder is over its limit, so that `clean` is due."""
        return self._bytes > self._max_bytes

    def note(self, more_bytes: int) -> None:
        """That so many were written."""
        self._bytes += more_bytes

    def delete(self, name: str) -> None:
        """Delete the file of this name, if it is one of these."""
        if self._pattern.fullmatch(name):
            with suppress(FileNotFoundError):
                size = (self.path / name).stat().st_size
                (self.path / name).unlink()
                self._bytes = max(0, self._bytes - size)

    def clean(self, now: datetime | None) -> int:
        """Delete what is too old, then the oldest until the rest fits; returns how many.

        Without the time of day `now` nothing is too old.
        """
        if not self.path.exists():
            return 0
        kept = sorted(self._ours(), key=lambda file: (file.written_at, file.path))
        room = sum(file.bytes for file in kept)
        limit = self._max_bytes
        if room > limit:
            limit = int(limit * _ROOM_AFTER_CLEANING)
        deleted = 0
        for file in kept:
            too_old = now is not None and now.timestamp() - file.written_at > self._keep_seconds
            if not too_old and room <= limit:
                break
            file.path.unlink(missing_ok=True)
            room -= file.bytes
            deleted += 1
        self._bytes = room
        return deleted

    def _ours(self) -> list[_Kept]:
        kept = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                if not self._pattern.fullmatch(entry.name) or not entry.is_file(
                    follow_symlinks=False
                ):
                    continue
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    kept.append(_Kept(Path(entry.path), status.st_size, status.st_mtime))
        return kept
