"""The pictures that the command `learn` makes prompts of, in the state folder."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from ulid import ULID

from streamwatch import files
from streamwatch.errors import StreamwatchError
from streamwatch.paths import state_dir

PICTURE_QUALITY = 95
"""Of the JPEG: more than of snapshots, since it is looked at as long as its watch lasts."""
MOST_BYTES = 32 * 1024 * 1024

_ID = re.compile("[0-9A-HJKMNP-TV-Z]{26}")
_IN_A_NAME = re.compile("[^a-z0-9_-]+")


def crop_of(snapshots: Path, visit: str) -> bytes:
    """The picture of the thing alone of an alert, by its id. Raises StreamwatchError."""
    found = [*snapshots.glob(f"*_{visit}.crop.jpg")] if _ID.fullmatch(visit) else []
    try:
        (file,) = found
        return files.read(file, MOST_BYTES, follow=False)
    except (OSError, ValueError):
        raise StreamwatchError(f"no picture of the alert {visit} is kept") from None


def kept_picture(watch: str, content: bytes) -> Path:
    """Keep a picture for a watch of this name; returns its file. Raises StreamwatchError."""
    folder = state_dir() / "pictures"
    name = _IN_A_NAME.sub("-", watch.lower())[:63]
    file = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}_{name}_{ULID()}.jpg"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace(file, content, on_disk=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StreamwatchError(f"the picture can't be kept in {folder} ({reason})") from None
    return file
