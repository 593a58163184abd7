"""The folder of clips: `….mp4`, beside it its poster `….jpg`, and what is not whole yet."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from streamwatch.history.visits import Visit
from streamwatch.pictures.keeping import NAME, KeptFolder, named
from streamwatch.records import Event

_OURS = re.compile(rf"{NAME}\.(mp4|jpg|mp4\.part)|\.{NAME}\.(mp4\.ordered|jpg\.part)")


def clip_name(visit: Event | Visit) -> str:
    """The name of the clip of a visit, by any of its events or as it is kept."""
    return named(visit.started_at, visit.camera, visit.watch, visit.id, ".mp4")


def poster_of(clip: Path) -> Path:
    """Where the poster of a clip is."""
    return clip.with_suffix(".jpg")


class ClipFolder(KeptFolder):
    """Every method may raise OSError. Not thread-safe."""

    def __init__(self, path: Path, *, keep: timedelta, max_bytes: int) -> None:
        super().__init__(path, _OURS, keep=keep, max_bytes=max_bytes)
