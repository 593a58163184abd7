"""An outbox in an SQLite database."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamwatch.databases import demand_sound, opened, transaction
from streamwatch.elapsed import Elapsed
from streamwatch.publisher.outbox.outbox import Waiting
from streamwatch.publisher.outbox.rows import FORMAT, NotUnderstood, event_of, row_of, told_of
from streamwatch.publisher.outbox.runs import CAME, CAME_AT, Runs
from streamwatch.publisher.outbox.schema import migrated
from streamwatch.records import Clip, Event, Remembered, Told

MAX_BYTES = 256_000_000
MAX_AGE = timedelta(days=7)
ROW_BYTES = 100
"""What SQLite needs for an event beside its text: key, index entries, page headers."""
MOST_ON_THEIR_WAY = 100
"""More than are ever unacknowledged: this many rows are searched for one that may be dropped."""
MOST_SET_ASIDE = 10_000
_IS_CLIP = f"AND type = '{Clip.type}'"
COLUMNS = "number, visit, type, event, format, run, since"
"""Of an event, waiting or set aside."""


class SqliteOutbox:
    """An outbox in a database: a file, or memory that dies with the process.

    An event is on the disk when `add` returns, power cut included (`synchronous=FULL` in WAL mode:
    5,791 a second were measured). Over `max_bytes` the oldest `update` is dropped first, then the
    oldest clip; with none left, all events of the oldest visit, later ones too. A visit whose `new`
    was already sent is dropped last, since its `end` is owed. What is being sent is never dropped.

    Rows that are not understood are set aside in a table of their own, and read again by the next
    version; those of a newer version are left where they are. Raises sqlite3.Error where the file
    can't be read or written.
    """

    def __init__(
        self,
        file: Path | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        max_age: timedelta = MAX_AGE,
        elapsed: Elapsed | None = None,
    ) -> None:
        self.dropped = self.expired = self.set_aside = 0
        self.lasting = file is not None
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._elapsed = elapsed or Elapsed(time.monotonic, lambda: datetime.now(UTC))
        self._database = opened(file)
        self._count = self._bytes = self.next_number = self.of_a_newer_version = 0
        self._taken: set[int] = set()
        try:
            self._prepare()
            self._read_what_is_there()
            with self._transaction():
                self._runs = Runs(self._database, self._elapsed)
        except BaseException:
            self._database.close()
            raise

    def __len__(self) -> int:
        return self._count

    def add(self, told: Told, came_at: float) -> int:
        number = self.next_number
        self.next_number += 1
        since = self._elapsed.since(came_at)
        with self._transaction():
            if self._is_given_up(told):
                return number
            row = row_of(told)
            if isinstance(told, Event):
                self._remember(told, row, since)
            self._insert(number, told, row, since)
            self._runs.note_time_if_due()
            while self._bytes > self._max_bytes and self._make_room():
                pass
        return number

    def take(self, number: int) -> Waiting | None:
        self._runs.follow_the_clock()
        found = self._database.execute(
            f"SELECT event, {CAME_AT} FROM events {CAME} WHERE number = ? AND format <= ?",
            (number, FORMAT),
        ).fetchone()
        if found is None:
            return None
        try:
            told = told_of(found[0])
        except NotUnderstood as reason:
            with self._transaction():
                self._set_aside(number, str(reason))
            return None
        self._taken.add(number)
        return Waiting(number, told, self._runs.age(found[1]))

    def remove(self, number: int) -> None:
        with self._transaction():
            self._delete([number])
        self._taken.discard(number)

    def discard(self, cameras: Collection[str], new_after: float) -> Sequence[Event]:
        found = self.to_discard(cameras, new_after)
        with self._transaction():
            self._delete([*found])
        self._taken.difference_update(found)
        return tuple(found.values())

    def to_discard(self, cameras: Collection[str], new_after: float) -> dict[int, Event]:
        """What `discard` deletes, by number."""
        found = self._waiting(
            "run = ? AND (type != 'new' OR since > ?)",
            (self._runs.number, self._elapsed.since(new_after)),
        )
        return {number: event for number, event in found.items() if event.camera in cameras}

    def left_over(self) -> Mapping[int, Event]:
        return self._waiting("run != ?", (self._runs.number,))

    def _waiting(self, condition: str, values: tuple[float, ...]) -> dict[int, Event]:
        """The events of which this is true, by number, in order."""
        found: dict[int, Event] = {}
        for number, row in self._database.execute(
            "SELECT number, event FROM events WHERE format <= ? AND type != ?"
            f" AND {condition} ORDER BY number",
            (FORMAT, Clip.type, *values),
        ).fetchall():
            with suppress(NotUnderstood):  # it is set aside when it is its turn
                found[number] = event_of(row)
        return found

    def put_aside(self, number: int, reason: str) -> None:
        with self._transaction():
            self._set_aside(number, reason)
        self._taken.discard(number)

    def rewind(self) -> Sequence[int]:
        self._runs.follow_the_clock()
        self._taken.clear()
        if self._elapsed.settled:
            self._expire()
        rows = self._database.execute(
            "SELECT number FROM events WHERE format <= ? ORDER BY number", (FORMAT,)
        )
        return tuple(number for (number,) in rows)

    def limit(self, max_bytes: int, max_age: timedelta) -> None:
        self._max_bytes, self._max_age = max_bytes, max_age

    def visits(self) -> Sequence[Remembered]:
        self._runs.follow_the_clock()
        rows = self._database.execute(
            f"SELECT event, {CAME_AT} FROM visits {CAME} WHERE format <= ? ORDER BY visit",
            (FORMAT,),
        )
        return tuple(Remembered(event_of(row), self._runs.age(since)) for row, since in rows)

    def remember(self, visits: Iterable[Event]) -> None:
        now = {event.id: row_of(event) for event in visits}
        before = dict(
            self._database.execute(
                "SELECT visit, event FROM visits WHERE format <= ?", (FORMAT,)
            ).fetchall()
        )
        since = self._elapsed.seconds
        gone = [(visit,) for visit in before.keys() - now.keys()]
        changed = [
            (now[visit], self._runs.number, since, visit)
            for visit in before.keys() & now.keys()
            if now[visit] != before[visit]
        ]
        if gone or changed:
            with self._transaction():
                self._database.executemany("DELETE FROM visits WHERE visit = ?", gone)
                self._database.executemany(
                    "UPDATE visits SET event = ?, run = ?, since = ? WHERE visit = ?", changed
                )
                self._runs.note_time_if_due()

    def take_over(self, other: SqliteOutbox) -> None:
        """Add everything of `other`, of this run, under its numbers, which must be above these."""
        read = other._database.execute
        events = read(
            f"SELECT number, visit, type, event, format, {self._runs.number}, since FROM events"
        ).fetchall()
        visits = read("SELECT visit, event, format, since FROM visits").fetchall()
        with self._transaction():
            self._database.executemany(
                f"INSERT INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", events
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO visits (visit, event, format, since, run)"
                f" VALUES (?, ?, ?, ?, {self._runs.number})",
                visits,
            )
            self._database.executemany(
                "INSERT OR IGNORE INTO given_up VALUES (?)", read("SELECT visit FROM given_up")
            )
            self._count += len(events)
            self._bytes += sum(len(event) + ROW_BYTES for _, _, _, event, *_ in events)
            self.dropped += other.dropped
            self.expired += other.expired
            self.set_aside += other.set_aside
        self.next_number = max(self.next_number, other.next_number)
        self._taken |= other._taken

    def put_back(self, waiting: Mapping[int, Told], visits: Iterable[Event]) -> None:
        """Add what was read of a broken file, as if it had come now; by number."""
        with self._transaction():
            for visit in visits:
                self._remember(visit, row_of(visit), self._elapsed.seconds)
            for number, told in waiting.items():
                self._insert(number, told, row_of(told), self._elapsed.seconds)
        self.next_number = max([self.next_number, *(number + 1 for number in waiting)])

    def close(self) -> None:
        try:
            if self.lasting:
                with self._transaction():
                    self._runs.note_time()
        finally:
            self._database.close()

    def _prepare(self) -> None:
        # Only one process: two with the same outbox would send every alert twice.
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        demand_sound(self._database)
        migrated(self._database, self._elapsed.began_at)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        before = self._count, self._bytes, self.dropped, self.expired, self.set_aside
        try:
            with transaction(self._database):
                yield
        except BaseException:
            self._count, self._bytes, self.dropped, self.expired, self.set_aside = before
            raise

    def _insert(self, number: int, told: Told, row: bytes, since: float) -> None:
        self._database.execute(
            f"INSERT INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (number, told.id, told.type, row, FORMAT, self._runs.number, since),
        )
        self._count += 1
        self._bytes += len(row) + ROW_BYTES

    def _is_given_up(self, told: Told) -> bool:
        """Whether the visit's earlier events were dropped; then it is dropped too."""
        found = self._database.execute(
            "SELECT 1 FROM given_up WHERE visit = ?", (told.id,)
        ).fetchone()
        if found is None:
            return False
        self.dropped += 1
        if told.type == "end":
            self._database.execute("DELETE FROM given_up WHERE visit = ?", (told.id,))
        return True

    def _remember(self, event: Event, row: bytes, since: float) -> None:
        """Keep track of open visits; one that a clean stop ended may continue after the restart."""
        if event.continues is not None:
            self._database.execute("DELETE FROM visits WHERE visit = ?", (event.continues,))
        if event.type == "end" and event.reason != "shutdown":
            self._database.execute("DELETE FROM visits WHERE visit = ?", (event.id,))
        else:
            self._database.execute(
                "INSERT OR REPLACE INTO visits (visit, event, format, run, since)"
                " VALUES (?, ?, ?, ?, ?)",
                (event.id, row, FORMAT, self._runs.number, since),
            )

    def _make_room(self) -> bool:
        """Drop the least important; False if there was nothing that may be dropped."""
        alone = self._first_free("AND type = 'update'") or self._first_free(_IS_CLIP)
        if alone is not None:
            self.dropped += self._delete([alone[0]])
            return True
        first = self._first_free("AND type = 'new'") or self._first_free("")
        if first is None:
            return False
        self.dropped += self._give_up(first[1])
        return True

    def _first_free(self, condition: str) -> tuple[int, str] | None:
        rows = self._database.execute(
            f"SELECT number, visit FROM events WHERE format <= ? {condition}"
            " ORDER BY number LIMIT ?",
            (FORMAT, MOST_ON_THEIR_WAY),
        )
        return next(((number, visit) for number, visit in rows if number not in self._taken), None)

    def _give_up(self, visit: str) -> int:
        """Delete the waiting events of a visit, and those still to come; returns how many wait."""
        rows = self._database.execute(
            "SELECT number, type FROM events WHERE visit = ? AND format <= ? ORDER BY number",
            (visit, FORMAT),
        ).fetchall()
        free = [(number, kind) for number, kind in rows if number not in self._taken]
        if free:
            self._database.execute("DELETE FROM visits WHERE visit = ?", (visit,))
            if "end" not in (kind for _, kind in free):
                self._database.execute("INSERT OR IGNORE INTO given_up VALUES (?)", (visit,))
        return self._delete([number for number, _ in free])

    def _delete(self, numbers: Sequence[int]) -> int:
        """Returns how many of them there were."""
        before = self._count
        for number in numbers:
            gone = self._database.execute(
                "DELETE FROM events WHERE number = ? RETURNING length(event)", (number,)
            ).fetchall()
            self._count -= len(gone)
            self._bytes -= sum(length + ROW_BYTES for (length,) in gone)
        return before - self._count

    # --- what is too old, of another version, or broken -------------------------------------------

    def _expire(self) -> None:
        """Drop what has waited too long."""
        oldest = self._runs.now - self._max_age.total_seconds()
        with self._transaction():
            self._runs.note_time()
            clips = self._database.execute(
                f"SELECT number FROM events {CAME} WHERE {CAME_AT} < ? AND format <= ? {_IS_CLIP}",
                (oldest, FORMAT),
            ).fetchall()
            self.expired += self._delete([number for (number,) in clips])
            for (visit,) in self._database.execute(
                f"SELECT DISTINCT visit FROM events {CAME} WHERE {CAME_AT} < ? AND format <= ?",
                (oldest, FORMAT),
            ).fetchall():
                self.expired += self._give_up(visit)

    def _read_what_is_there(self) -> None:
        """Count the waiting events, and set aside what is not understood."""
        (last,) = self._database.execute("SELECT coalesce(max(number), -1) FROM events").fetchone()
        self.next_number = last + 1
        (self.of_a_newer_version,) = self._database.execute(
            "SELECT count(*) FROM events WHERE format > ?", (FORMAT,)
        ).fetchone()
        with self._transaction():
            self._take_back()
            for number, row, length in self._database.execute(
                "SELECT number, event, length(event) FROM events WHERE format <= ?", (FORMAT,)
            ).fetchall():
                self._count += 1
                self._bytes += length + ROW_BYTES
                try:
                    told_of(row)
                except NotUnderstood as reason:
                    self._set_aside(number, str(reason))
            for visit, row in self._database.execute(
                "SELECT visit, event FROM visits WHERE format <= ?", (FORMAT,)
            ).fetchall():
                try:
                    event_of(row)
                except NotUnderstood:  # its events, if they wait, are set aside by themselves
                    self._database.execute("DELETE FROM visits WHERE visit = ?", (visit,))

    def _set_aside(self, number: int, reason: str) -> None:
        """Move a row to the table of those that are not understood."""
        self._database.execute(
            f"INSERT OR REPLACE INTO set_aside ({COLUMNS}, reason)"
            f" SELECT {COLUMNS}, ? FROM events WHERE number = ?",
            (reason, number),
        )
        self._database.execute(
            "DELETE FROM set_aside WHERE number <= (SELECT max(number) FROM set_aside) - ?",
            (MOST_SET_ASIDE,),
        )
        self.set_aside += self._delete([number])

    def _take_back(self) -> None:
        """Rows that an older version set aside and this one understands wait again."""
        for number, row in self._database.execute("SELECT number, event FROM set_aside").fetchall():
            try:
                told_of(row)
            except NotUnderstood:
                continue
            self._database.execute(
                f"INSERT OR IGNORE INTO events ({COLUMNS})"
                f" SELECT {COLUMNS} FROM set_aside WHERE number = ?",
                (number,),
            )
            self._database.execute("DELETE FROM set_aside WHERE number = ?", (number,))
