"""The pictures kept on disk."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from streamwatch import files
from streamwatch.elapsed import Elapsed
from streamwatch.pictures.keeping import NAME, Cleaning, KeptFolder, Trouble, named
from streamwatch.records import Event

_NAME = rf"{NAME}(\.crop)?\.jpg"
_OURS = re.compile(rf"{_NAME}|\.{_NAME}\.part")


def file_name(event: Event) -> str:
    """The name of the whole picture: when the visit began, so one name a visit."""
    return named(event.started_at, event.camera, event.watch, event.id)


def crop_name(name: str) -> str:
    """The name of the picture of the thing alone, by that of the whole picture."""
    return f"{name.removesuffix('.jpg')}.crop.jpg"


class SnapshotFolder(KeptFolder):
    """A folder of JPEGs. Every method may raise OSError.

    A visit has two: the whole picture, and `….crop.jpg`, the thing alone; one that was held back
    has the latter. Not thread-safe.
    """

    def __init__(self, path: Path, *, keep: timedelta, max_bytes: int) -> None:
        super().__init__(path, _OURS, keep=keep, max_bytes=max_bytes)

    def path_of(self, event: Event) -> Path:
        """Where the whole picture of `event`'s visit is, if it is kept."""
        return self.path / file_name(event)

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
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self.path / name
        self._write(target, jpeg)
        return target

    def _write(self, target: Path, jpeg: bytes) -> None:
        files.replace(target, jpeg, part=self.path / f".{target.name}.part")
        self.note(len(jpeg))


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
        self._trouble = Trouble(noun, folder.path, complain)
        self._cleaning = Cleaning(
            folder, noun, complain=complain, now=now, seconds=seconds, elapsed=elapsed
        )

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

    def clean_if_due(self) -> None:
        """See `Cleaning`."""
        self._cleaning.clean_if_due()

    def _save(self, save: Callable[[], Path]) -> Path | None:
        try:
            path = save()
        except OSError as error:
            self._trouble.failed(error)
            return None
        self._trouble.over()
        return path
