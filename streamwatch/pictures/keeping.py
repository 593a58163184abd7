"""A folder of what is kept for a while: names that say what a file is of, and cleaning up."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamwatch.elapsed import Elapsed

logger = logging.getLogger(__name__)

CLEANING_SECONDS = 600.0
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


class Trouble:
    """Tells once that `noun` can't be saved in a folder, and logs when that is over.

    `complain` is called with one sentence. Not thread-safe.
    """

    def __init__(self, noun: str, folder: Path, complain: Callable[[str], None]) -> None:
        self._noun = noun
        self._folder = folder
        self._complain = complain
        self._unsaved = 0

    def failed(self, error: Exception) -> None:
        self._unsaved += 1
        if self._unsaved == 1:
            self._complain(
                f"{self._noun} can't be saved in {self._folder} ({reason(error)});"
                " alerts go on without"
            )

    def over(self) -> None:
        """One was saved."""
        if self._unsaved:
            logger.info(
                "%s are saved in %s again; %d were not", self._noun, self._folder, self._unsaved
            )
            self._unsaved = 0


class Cleaning:
    """Cleans a folder at the start, every ten minutes, and when it is over its limit.

    Nothing is deleted for its age while the time of day may still be wrong. What can't be deleted
    is told once. Not thread-safe.
    """

    def __init__(
        self,
        folder: KeptFolder,
        noun: str,
        *,
        complain: Callable[[str], None],
        now: Callable[[], datetime],
        seconds: Callable[[], float],
        elapsed: Elapsed,
    ) -> None:
        self._folder = folder
        self._noun = noun
        self._complain = complain
        self._now = now
        self._seconds = seconds
        self._elapsed = elapsed
        self._next_cleaning = seconds()
        self._uncleaned = False

    def clean_if_due(self) -> None:
        if self._seconds() < self._next_cleaning and not self._folder.full:
            return
        self._next_cleaning = self._seconds() + CLEANING_SECONDS
        try:
            self._folder.clean(self._now() if self._elapsed.settled else None)
        except OSError as error:
            if not self._uncleaned:
                self._uncleaned = True
                self._complain(
                    f"old {self._noun} in {self._folder.path} can't be deleted ({reason(error)})"
                )
        else:
            self._uncleaned = False


def reason(error: Exception) -> str:
    """Of an error of the operating system or of FFmpeg, in a few words."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
