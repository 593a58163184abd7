"""An outbox in an SQLite database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamwatch.publisher.outbox.outbox import Waiting
from streamwatch.records import Event

MAX_BYTES = 256_000_000
MAX_AGE = timedelta(days=7)
ROW_BYTES = 100
"""What SQLite needs for an event beside its text: key, index entries, page headers."""
LOCK_SECONDS = 0.5
"""How long to wait for a process that is just closing the file."""
MOST_ON_THEIR_WAY = 100
"""More than are ever unacknowledged: this many rows are searched for one that may be dropped."""
_FIELDS = tuple(field.name for field in fields(Event) if field.name != "picture")
_MOMENTS = ("captured_at", "started_at", "ended_at")
_TUPLES = ("box", "frame_size", "zones")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY, visit TEXT NOT NULL, type TEXT NOT NULL,
    since REAL NOT NULL, event BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_visit ON events (visit);
CREATE INDEX IF NOT EXISTS events_by_type ON events (type, number);
CREATE TABLE IF NOT EXISTS given_up (visit TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS visits (visit TEXT PRIMARY KEY, event BLOB NOT NULL);
"""


class SqliteOutbox:
    """An outbox in a database: a file, or memory that dies with the process.

    An event is on the disk when `add` returns, power cut included (`synchronous=FULL` in WAL mode:
    5,791 a second were measured). Over `max_bytes` the oldest `update` is dropped first; with no
    update left, all events of the oldest visit, later ones too. A visit whose `new` was already
    sent is dropped last, since its `end` is owed. Events being sent are never dropped. Raises
    sqlite3.Error where the file can't be read or written.
    """

    def __init__(
        self, file: Path | None = None, *, max_bytes: int = MAX_BYTES, max_age: timedelta = MAX_AGE
    ) -> None:
        self.dropped = 0
        self.lasting = file is not None
        self._max_bytes = max_bytes
        self._max_age = max_age
        # Made by one thread and then owned by another.
        self._database = sqlite3.connect(
            ":memory:" if file is None else file,
            isolation_level=None,
            check_same_thread=False,
            timeout=LOCK_SECONDS,
        )
        # Only one process: two with the same outbox would send every alert twice.
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)
        count, size, last = self._database.execute(
            "SELECT count(*), coalesce(sum(length(event) + ?), 0), coalesce(max(number), -1)"
            " FROM events",
            (ROW_BYTES,),
        ).fetchone()
        self._count: int = count
        self._bytes: int = size
        self.next_number: int = last + 1
        self._taken: set[int] = set()

    def __len__(self) -> int:
        return self._count

    def add(self, event: Event, since: datetime) -> int:
        number = self.next_number
        self.next_number += 1
        row = _row(event)
        with self._transaction():
            if self._is_given_up(event):
                return number
            self._remember(event, row)
            self._database.execute(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?)",
                (number, event.id, event.type, since.timestamp(), row),
            )
            self._count += 1
            self._bytes += len(row) + ROW_BYTES
            while self._bytes > self._max_bytes and self._make_room():
                pass
        return number

    def take(self, number: int) -> Waiting | None:
        found = self._database.execute(
            "SELECT event, since FROM events WHERE number = ?", (number,)
        ).fetchone()
        if found is None:
            return None
        self._taken.add(number)
        return Waiting(number, _event(found[0]), datetime.fromtimestamp(found[1], UTC))

    def remove(self, number: int) -> None:
        with self._transaction():
            self._delete([number])
        self._taken.discard(number)

    def rewind(self, now: datetime) -> Sequence[int]:
        self._taken.clear()
        oldest = (now - self._max_age).timestamp()
        with self._transaction():
            for (visit,) in self._database.execute(
                "SELECT DISTINCT visit FROM events WHERE since < ?", (oldest,)
            ).fetchall():
                self._give_up(visit)
        rows = self._database.execute("SELECT number FROM events ORDER BY number")
        return tuple(number for (number,) in rows)

    def limit(self, max_bytes: int, max_age: timedelta) -> None:
        self._max_bytes, self._max_age = max_bytes, max_age

    def visits(self) -> Sequence[Event]:
        rows = self._database.execute("SELECT event FROM visits ORDER BY visit").fetchall()
        return tuple(_event(row) for (row,) in rows)

    def remember(self, visits: Iterable[Event]) -> None:
        now = {event.id: _row(event) for event in visits}
        before = dict(self._database.execute("SELECT visit, event FROM visits").fetchall())
        gone = [(visit,) for visit in before.keys() - now.keys()]
        changed = [
            (now[visit], visit)
            for visit in before.keys() & now.keys()
            if now[visit] != before[visit]
        ]
        if gone or changed:
            with self._transaction():
                self._database.executemany("DELETE FROM visits WHERE visit = ?", gone)
                self._database.executemany("UPDATE visits SET event = ? WHERE visit = ?", changed)

    def take_over(self, other: SqliteOutbox) -> None:
        """Add everything of `other` under its numbers, which must be above these."""
        events = other._database.execute("SELECT * FROM events").fetchall()
        with self._transaction():
            for table, rows in (
                ("events", events),
                ("given_up", other._database.execute("SELECT * FROM given_up").fetchall()),
                ("visits", other._database.execute("SELECT * FROM visits").fetchall()),
            ):
                if rows:
                    places = ", ".join("?" for _ in rows[0])
                    self._database.executemany(
                        f"INSERT OR REPLACE INTO {table} VALUES ({places})", rows
                    )
            self._count += len(events)
            self._bytes += sum(len(row[-1]) + ROW_BYTES for row in events)
            self.dropped += other.dropped
        self.next_number = max(self.next_number, other.next_number)
        self._taken |= other._taken

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        before = self._count, self._bytes, self.dropped
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            self._count, self._bytes, self.dropped = before
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _is_given_up(self, event: Event) -> bool:
        """Whether the visit's earlier events were dropped; then it is dropped too."""
        found = self._database.execute(
            "SELECT 1 FROM given_up WHERE visit = ?", (event.id,)
        ).fetchone()
        if found is None:
            return False
        self.dropped += 1
        if event.type == "end":
            self._database.execute("DELETE FROM given_up WHERE visit = ?", (event.id,))
        return True

    def _remember(self, event: Event, row: bytes) -> None:
        """Keep track of open visits; one that a clean stop ended may continue after the restart."""
        if event.continues is not None:
            self._database.execute("DELETE FROM visits WHERE visit = ?", (event.continues,))
        if event.type == "end" and event.reason != "shutdown":
            self._database.execute("DELETE FROM visits WHERE visit = ?", (event.id,))
        else:
            self._database.execute("INSERT OR REPLACE INTO visits VALUES (?, ?)", (event.id, row))

    def _make_room(self) -> bool:
        """Drop the least important; False if there was nothing that may be dropped."""
        update = self._first_free("WHERE type = 'update'")
        if update is not None:
            self._drop([update[0]])
            return True
        first = self._first_free("WHERE type = 'new'") or self._first_free("")
        if first is None:
            return False
        self._give_up(first[1])
        return True

    def _first_free(self, condition: str) -> tuple[int, str] | None:
        rows = self._database.execute(
            f"SELECT number, visit FROM events {condition} ORDER BY number LIMIT ?",
            (MOST_ON_THEIR_WAY,),
        )
        return next(((number, visit) for number, visit in rows if number not in self._taken), None)

    def _give_up(self, visit: str) -> None:
        """Drop the waiting events of a visit, and those still to come."""
        rows = self._database.execute(
            "SELECT number, type FROM events WHERE visit = ? ORDER BY number", (visit,)
        ).fetchall()
        free = [(number, kind) for number, kind in rows if number not in self._taken]
        self._drop([number for number, _ in free])
        if not free:
            return
        self._database.execute("DELETE FROM visits WHERE visit = ?", (visit,))
        if free[-1][1] != "end":
            self._database.execute("INSERT OR IGNORE INTO given_up VALUES (?)", (visit,))

    def _drop(self, numbers: Sequence[int]) -> None:
        self._delete(numbers)
        self.dropped += len(numbers)

    def _delete(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            gone = self._database.execute(
                "DELETE FROM events WHERE number = ? RETURNING length(event)", (number,)
            ).fetchall()
            self._count -= len(gone)
            self._bytes -= sum(length + ROW_BYTES for (length,) in gone)


def _row(event: Event) -> bytes:
    """An event without its picture, as stored."""
    values = {name: getattr(event, name) for name in _FIELDS}
    return json.dumps(values, default=datetime.isoformat, separators=(",", ":")).encode()


def _event(row: bytes) -> Event:
    values = json.loads(row)
    for name in _MOMENTS:
        values[name] = values[name] and datetime.fromisoformat(values[name])
    for name in _TUPLES:
        values[name] = tuple(values[name])
    return Event(**values)
