"""The file in which notices wait: one queue a service."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from streamwatch.databases import demand_sound, opened, transaction
from streamwatch.elapsed import Elapsed
from streamwatch.publisher.outbox.runs import CAME, CAME_AT, Runs

VERSION = 1
"""SQLite's `user_version`."""
ROW_BYTES = 100
"""What SQLite needs for a notice beside its text and picture."""

_TABLES = """
CREATE TABLE IF NOT EXISTS notices (
    number INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, text TEXT NOT NULL,
    picture BLOB, run INTEGER NOT NULL, since REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS notices_by_service ON notices (service, number);
CREATE TABLE IF NOT EXISTS runs (
    run INTEGER PRIMARY KEY, before REAL NOT NULL, lasted REAL NOT NULL, ended_at REAL NOT NULL,
    boot TEXT, ended REAL
);
"""


_BYTES = f"length(CAST(text AS BLOB)) + coalesce(length(picture), 0) + {ROW_BYTES}"


@dataclass(frozen=True, slots=True)
class Notice:
    """What waits for a service; `picture` is a JPEG."""

    number: int
    text: str
    picture: bytes | None


class NoticeQueue:
    """Notices by service, in order. For one thread at a time. Methods may raise sqlite3.Error.

    A notice is on the disk when `put` returns, power cut included. Over `max_bytes` the pictures of
    the oldest notices go first, then these themselves. `service` is never the URL: that is secret.
    """

    def __init__(
        self, file: Path | None, *, max_bytes: int, max_age: timedelta, elapsed: Elapsed
    ) -> None:
        """Raises OSError too."""
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.max_bytes = max_bytes
        self.max_age = max_age
        self._elapsed = elapsed
        self._database = opened(file)
        try:
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            demand_sound(self._database)
            with transaction(self._database):
                for statement in _TABLES.split(";"):
                    self._database.execute(statement)
                (version,) = self._database.execute("PRAGMA user_version").fetchone()
                if version < VERSION:
                    self._database.execute(f"PRAGMA user_version = {VERSION}")
                self._runs = Runs(self._database, elapsed, ("notices",))
            (self._bytes,) = self._database.execute(
                f"SELECT coalesce(sum({_BYTES}), 0) FROM notices"
            ).fetchone()
        except BaseException:
            self._database.close()
            raise

    def put(self, service: str, text: str, picture: bytes | None, came_at: float) -> int:
        """Add a notice that came then, in monotonic seconds; returns how many older ones had to
        make room."""
        with self._written():
            self._database.execute(
                "INSERT INTO notices (service, text, picture, run, since) VALUES (?, ?, ?, ?, ?)",
                (service, text, picture, self._runs.number, self._elapsed.since(came_at)),
            )
            self._bytes += len(text.encode()) + len(picture or b"") + ROW_BYTES
            self._runs.note_time_if_due()
            return self._make_room()

    def first(self, service: str, beside: Collection[int] = ()) -> Notice | None:
        """The oldest of a service, but none of these numbers."""
        rows = self._database.execute(
            "SELECT number FROM notices WHERE service = ? ORDER BY number", (service,)
        )
        number = next((number for (number,) in rows if number not in beside), None)
        row = self._database.execute(
            "SELECT number, text, picture FROM notices WHERE number = ?", (number,)
        ).fetchone()
        return None if row is None else Notice(*row)

    def remove(self, number: int) -> None:
        with self._written():
            self._delete("number = ?", number)

    def expire(self, service: str) -> int:
        """Drop those of a service that have waited too long; returns how many."""
        self._runs.follow_the_clock()
        if not self._elapsed.settled:
            return 0
        oldest = self._runs.now - self.max_age.total_seconds()
        with self._written():
            self._runs.note_time()
            return self._delete(
                f"number IN (SELECT number FROM notices {CAME}"
                f" WHERE service = ? AND {CAME_AT} < ?)",
                service,
                oldest,
            )

    def waiting(self) -> dict[str, int]:
        """How many, by service."""
        return dict(
            self._database.execute("SELECT service, count(*) FROM notices GROUP BY service")
        )

    def keep_only(self, services: Collection[str]) -> int:
        """Drop what waits for other services; returns how many."""
        with self._written():
            return sum(
                self._delete("service = ?", gone) for gone in self.waiting().keys() - set(services)
            )

    def close(self) -> None:
        try:
            with self._written():
                self._runs.note_time()
        finally:
            self._database.close()

    @contextmanager
    def _written(self) -> Iterator[None]:
        before = self._bytes
        try:
            with transaction(self._database):
                yield
        except BaseException:
            self._bytes = before
            raise

    def _make_room(self) -> int:
        """Returns how many notices were dropped; never the newest."""
        dropped = 0
        while self._bytes > self.max_bytes:
            oldest = self._database.execute(
                "SELECT number, length(picture) FROM notices WHERE picture IS NOT NULL"
                " ORDER BY number LIMIT 1"
            ).fetchone()
            if oldest is not None:
                number, size = oldest
                self._database.execute(
                    "UPDATE notices SET picture = NULL WHERE number = ?", (number,)
                )
                self._bytes -= size
                continue
            gone = self._delete(
                "number = (SELECT min(number) FROM notices)"
                " AND number < (SELECT max(number) FROM notices)"
            )
            if not gone:
                break
            dropped += gone
        return dropped

    def _delete(self, condition: str, *values: object) -> int:
        gone = self._database.execute(
            f"DELETE FROM notices WHERE {condition} RETURNING {_BYTES}", values
        ).fetchall()
        self._bytes -= sum(size for (size,) in gone)
        return len(gone)
