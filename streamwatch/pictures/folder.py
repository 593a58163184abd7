"""The pictures kept on disk."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from streamwatch import files
from streamwatch.elapsed import Elapsed
from streamwatch.records import Event

logger = logging.getLogger(__name__)

CLEANING_SECONDS = 600.0
_NAME = (
    r"\d{8}T\d{6}\.\d{3}Z_[a-z0-9_-]{1,63}_[a-z0-9_-]{1,63}"
    r"_[0-9A-HJKMNP-TV-Z]{26}(\.crop)?\.jpg"  # a ULID: Crockford's base 32, without I, L, O and U
)
_OURS = re.compile(rf"{_NAME}|\.{_NAME}\.part")
_ROOM_AFTER_CLEANING = 0.95
"""Cleaning leaves at most this share of the allowed size, so that not every picture cleans
again."""


@dataclass(frozen=True, slots=True)
class _Kept:
    path: Path
    bytes: int
    written_at: float


def file_name(event: Event) -> str:
    """The name of the whole picture: when the visit began, so one name a visit."""
    return named(event.started_at, event.camera, event.watch, event.id)


def named(moment: datetime, camera: str, watch: str, id: str) -> str:
    """`20260102T030405.678Z_porch_parcel_01J….jpg`."""
    moment = moment.astimezone(UTC)
    stamp = f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z"
    return f"{stamp}_{camera}_{watch}_{id}.jpg"


def crop_name(name: str) -> str:
    """The name of the picture of the thing alone, by that of the whole picture."""
    return f"{name.removesuffix('.jpg')}.crop.jpg"


class SnapshotFolder:
    """A folder of JPEGs, kept for `keep` and below `max_bytes`. Every method may raise OSError.

    A visit has two: the whole picture, and `….crop.jpg`, the thing alone; one that was held back
    has the latter. Only regular files directly in the folder and with such names are deleted, never
    anything else. Not thread-safe.
    """

    def __init__(self, path: Path, *, keep: timedelta, max_bytes: int) -> None:
        self._path = path
        self._keep_seconds = keep.total_seconds()
        self._max_bytes = max_bytes
        self._bytes = 0

    @property
    def path(self) -> Path:
        return self._path

    @property
    def full(self) -> bool:
        """Whether the folder is over its limit, so that `clean` is due."""
        return self._bytes > self._max_bytes

    def path_of(self, event: Event) -> Path:
        """Where the whole picture of `event`'s visit is, if it is kept."""
        return self._path / file_name(event)

    def save(self, event: Event, jpeg: bytes, crop: bytes) -> Path:
        """Write the pictures of `event`'s visit over earlier ones; returns the whole picture's
        path.

        Only the owner may read them. Each is replaced as a whole, the crop first.
        """
        self.save_crop(event, crop)
        target = self.path_of(event)
        self._write(target, jpeg)
        return target

    def save_crop(self, event: Event, crop: bytes) -> Path:
        """Write the picture of the thing alone; returns its path."""
        return self.save_as(crop_name(file_name(event)), crop)

    def save_as(self, name: str, jpeg: bytes) -> Path:
        """Write a picture under a name as of `named`; returns its path."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self._path / name
        self._write(target, jpeg)
        return target

    def delete(self, name: str) -> None:
        """Delete the picture of this name, if it is one of these."""
        if _OURS.fullmatch(name):
            with suppress(FileNotFoundError):
                size = (self._path / name).stat().st_size
                (self._path / name).unlink()
                self._bytes = max(0, self._bytes - size)

    def _write(self, target: Path, jpeg: bytes) -> None:
        files.replace(target, jpeg, part=self._path / f".{target.name}.part")
        self._bytes += len(jpeg)

    def clean(self, now: datetime | None) -> int:
        """Delete what is too old, then the oldest until the rest fits; returns how many.

        Without the time of day `now` nothing is too old.
        """
        if not self._path.exists():
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
        with os.scandir(self._path) as entries:
            for entry in entries:
                if not _OURS.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
                    continue
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    kept.append(_Kept(Path(entry.path), status.st_size, status.st_mtime))
        return kept


class Gallery:
    """A snapshot folder whose errors are reported instead of raised: once, and when they are over.

    Not thread-safe. `complain` is called with one sentence, which calls the pictures `noun`.
    """

    def __init__(
        self,
        folder: SnapshotFolder,
        *,
        noun: str = "snapshots",
        complain: Callable[[str], None],
        now: Callable[[], datetime],
        seconds: Callable[[], float],
        elapsed: Elapsed,
    ) -> None:
        self._folder = folder
        self._noun = noun
        self._complain = complain
        self._elapsed = elapsed
        self._now = now
        self._seconds = seconds
        self._next_cleaning = seconds()
        self._unsaved = 0
        self._uncleaned = False

    def path_of(self, event: Event) -> Path | None:
        """The file with the picture of `event`'s visit; None where none is kept now."""
        path = self._folder.path_of(event)
        try:
            return path if path.is_file() else None
        except OSError:
            return None

    def keep(self, event: Event, jpeg: bytes, crop: bytes) -> None:
        self._save(partial(self._folder.save, event, jpeg, crop))

    def keep_crop(self, event: Event, crop: bytes) -> Path | None:
        """Where the picture of the thing alone is; None if it could not be saved."""
        return self._save(partial(self._folder.save_crop, event, crop))

    def keep_as(self, name: str, jpeg: bytes) -> Path | None:
        """Where the picture of this name is; None if it could not be saved."""
        return self._save(partial(self._folder.save_as, name, jpeg))

    def delete(self, name: str) -> None:
        """Delete the picture of this name; what can't be deleted now goes with its age."""
        with suppress(OSError):
            self._folder.delete(name)

    def _save(self, save: Callable[[], Path]) -> Path | None:
        try:
            path = save()
        except OSError as error:
            self._unsaved += 1
            if self._unsaved == 1:
                self._complain(
                    f"{self._noun} can't be saved in {self._folder.path} ({_reason(error)});"
                    " alerts go on without"
                )
            return None
        if self._unsaved:
            logger.info(
                "%s are saved in %s again; %d were not",
                self._noun,
                self._folder.path,
                self._unsaved,
            )
            self._unsaved = 0
        return path

    def clean_if_due(self) -> None:
        """Clean at the start, every ten minutes, and when the folder is over its limit.

        Nothing is deleted for its age while the time of day may still be wrong.
        """
        if self._seconds() < self._next_cleaning and not self._folder.full:
            return
        self._next_cleaning = self._seconds() + CLEANING_SECONDS
        try:
            self._folder.clean(self._now() if self._elapsed.settled else None)
        except OSError as error:
            if not self._uncleaned:
                self._uncleaned = True
                self._complain(
                    f"old {self._noun} in {self._folder.path} can't be deleted ({_reason(error)})"
                )
        else:
            self._uncleaned = False


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
