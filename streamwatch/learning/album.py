"""The near misses that are kept: the best of each day, with their pictures and rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

from ulid import ULID

from streamwatch.config import Config, NearMissSettings, near_miss_folder
from streamwatch.elapsed import Elapsed
from streamwatch.geometry import Box
from streamwatch.learning.learnt import NearMiss, NearMissKind
from streamwatch.learning.near_misses import Day, Kept
from streamwatch.learning.store import Store
from streamwatch.pictures.drawing import NOT_DRAWN, render_crop
from streamwatch.pictures.folder import Gallery, SnapshotFolder
from streamwatch.pictures.keeping import named

Pair = tuple[str, str]
"""A camera and a watch."""


class Album:
    """What is kept of near misses. `wants` and `change` are for any thread, the rest for one.

    `write` writes to the store, if that is possible. `complain` is called with one sentence.
    """

    def __init__(
        self,
        config: Config,
        *,
        write: Callable[[Callable[[Store], None]], bool],
        complain: Callable[[str], None],
        now: Callable[[], datetime],
    ) -> None:
        self._write = write
        self._complain = complain
        self._now = now
        self._elapsed = Elapsed(time.monotonic, now)
        self._lock = threading.Lock()
        """Held while days are read or changed."""
        self._days: dict[Pair, Day] = {}
        self._kept_by: NearMissSettings | None = None
        self.change(config)
        self._gallery = self._opened()

    def change(self, config: Config) -> None:
        """Continue with another configuration."""
        self._config = config

    def recall(self, days: dict[Pair, Day]) -> None:
        """Take up those of the file, where none are known yet."""
        with self._lock:
            self._days = days | self._days

    def wants(
        self, pair: Pair, kind: NearMissKind, confidence: float, box: Box, at: datetime
    ) -> bool:
        """Whether one would be kept."""
        most = self._config.near_misses.a_day
        with self._lock:
            day = self._days.get(pair)
            if day is None or day.day != self._day(at):
                return most > 0
            return day.place(kind, confidence, box, most).wanted

    def keep(self, miss: NearMiss) -> tuple[bool, Path | None]:
        """Whether it is kept, and where its picture is, if it has one."""
        pair, today = (miss.subject.camera, miss.subject.watch), self._day(miss.captured_at)
        with self._lock:
            day, is_new = self._days_page(pair, today)
            most = self._config.near_misses.a_day
            place = day.place(miss.kind, miss.confidence, miss.box, most)
        if is_new:
            first = today - self._config.near_misses.keep - timedelta(days=1)
            self._write(lambda store: store.drop_near_misses_before(first))
        if day.day != today or not place.wanted:
            return False, None
        path = self._pictured(miss)
        kept, outdone = self._noted(miss, today, path, place.outdone), place.outdone
        with self._lock:
            if outdone is not None:
                day.kept.remove(outdone)
            day.kept.append(kept)
        if outdone is not None and outdone.file is not None:
            self._gallery.delete(outdone.file)
        return True, path

    def clean_if_due(self) -> None:
        """Delete the pictures that are too old or too many."""
        if self._config.near_misses != self._kept_by:
            self._gallery = self._opened()
        self._gallery.clean_if_due()

    def _days_page(self, pair: Pair, today: date) -> tuple[Day, bool]:
        """The day that is written on, and whether it was just begun.

        One that lies ahead is of a clock that was wrong then, but for what was seen just before
        midnight.
        """
        day = self._days.get(pair)
        if day is not None and timedelta(0) <= day.day - today <= timedelta(days=1):
            return day, False
        day = self._days[pair] = Day(today)
        return day, True

    def _noted(self, miss: NearMiss, today: date, path: Path | None, outdone: Kept | None) -> Kept:
        """With a row in the file, if that can be written, in place of the one that goes."""
        name = None if path is None else path.name
        number: int | None = None

        def write(store: Store) -> None:
            nonlocal number
            number = store.keep_near_miss(miss, today, name)
            if outdone is not None and outdone.number is not None:
                store.drop_near_miss(outdone.number)

        self._write(write)
        return Kept(number, name, miss.kind, miss.confidence, miss.box)

    def _pictured(self, miss: NearMiss) -> Path | None:
        """Where the picture of its box is, which is drawn and kept now; None if it has none."""
        if miss.picture is None:
            return None
        subject = miss.subject
        name = named(miss.captured_at, subject.camera, subject.watch, str(ULID()))
        try:
            crop = render_crop(miss.picture, self._config.snapshots.quality)
        except NOT_DRAWN as error:
            self._complain(f"a near miss of {subject.camera} can't be drawn: {error}")
            return None
        return self._gallery.keep_as(name, crop)

    def _opened(self) -> Gallery:
        self._kept_by = settings = self._config.near_misses
        return Gallery(
            SnapshotFolder(
                near_miss_folder(settings), keep=settings.keep, max_bytes=settings.max_size
            ),
            noun="near misses",
            complain=self._complain,
            now=self._now,
            seconds=time.monotonic,
            elapsed=self._elapsed,
        )

    def _day(self, at: datetime) -> date:
        return at.astimezone(self._config.zone).date()
