"""The folders that the daemon of a configuration writes into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamwatch.config import Config, clip_folder, near_miss_folder, snapshot_folder
from streamwatch.paths import cache_dir, state_dir


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder: what is kept there, its configuration key and how many bytes it may take at most;
    None where it has no limit."""

    subject: str
    folder: Path
    key: str
    most_bytes: int | None


def folders(config: Config | None) -> Iterator[Kept]:
    """Raises StreamwatchError where there is no home folder."""
    yield Kept("state", state_dir(), "STATE_DIRECTORY", None)
    yield Kept("cache", cache_dir(), "CACHE_DIRECTORY", None)
    if config is None:
        return
    outbox = config.mqtt.outbox
    yield Kept("outbox", state_dir() / "outbox", "mqtt.outbox.max_size", outbox.max_size)
    pictures = config.snapshots
    if any(watch.snapshot for watch in config.watches.values()):
        yield Kept("snapshots", snapshot_folder(pictures), "snapshots.max_size", pictures.max_size)
    clips = config.clips
    if any(watch.clip for watch in config.watches.values()):
        yield Kept("clips", clip_folder(clips), "clips.max_size", clips.max_size)
    near = config.near_misses
    if near.a_day:
        yield Kept("near misses", near_miss_folder(near), "near_misses.max_size", near.max_size)
