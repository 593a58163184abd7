"""The file in which what is learnt outlives the daemon: an SQLite database, a few MB at most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TypeVar, get_args

from streamwatch.databases import opened, prepare, transaction
from streamwatch.learning import rows
from streamwatch.learning.learnt import Learnt, NearMiss, NearMissKind, Subject, ToldVisit, Vote
from streamwatch.learning.near_misses import Day, Kept
from streamwatch.learning.rows import FORMAT, NotUnderstood

CACHE_KB = 256
"""Of the file in memory, in place of SQLite's 2 MB: everything is there already."""
MOST_SET_ASIDE = 1000

_Read = TypeVar("_Read")

_TABLES = """
CREATE TABLE subjects (
    number INTEGER PRIMARY KEY, camera TEXT NOT NULL, watch TEXT NOT NULL, words TEXT NOT NULL,
    format INTEGER NOT NULL, row TEXT NOT NULL, UNIQUE (camera, watch, words)
);
CREATE TABLE visits (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    subject INTEGER NOT NULL REFERENCES subjects ON DELETE CASCADE,
    format INTEGER NOT NULL, row TEXT NOT NULL
);
CREATE TABLE votes (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    subject INTEGER NOT NULL REFERENCES subjects ON DELETE CASCADE,
    format INTEGER NOT NULL, row TEXT NOT NULL
);
CREATE INDEX visits_by_subject ON visits (subject);
CREATE INDEX votes_by_subject ON votes (subject);
CREATE TABLE near_misses (
    number INTEGER PRIMARY KEY, camera TEXT NOT NULL, watch TEXT NOT NULL, day TEXT NOT NULL,
    kind TEXT NOT NULL, confidence REAL NOT NULL, needed REAL NOT NULL, prompt TEXT NOT NULL,
    reason TEXT NOT NULL, captured_at TEXT NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL,
    x2 REAL NOT NULL, y2 REAL NOT NULL, file TEXT
);
CREATE TABLE set_aside (number INTEGER PRIMARY KEY, of TEXT, row TEXT, reason TEXT);
"""
_REACHES = "ALTER TABLE near_misses ADD COLUMN reach REAL NOT NULL DEFAULT 0"
_CHANGES = (_TABLES, _REACHES)
"""What makes each version of the one before."""
VERSION = len(_CHANGES)
"""SQLite's `user_version`."""


@dataclass(slots=True)
class Contents:
    """All that is learnt. `set_aside` rows were not understood."""

    learnt: dict[Subject, Learnt] = field(default_factory=dict)
    visits: list[ToldVisit] = field(default_factory=list)
    votes: list[Vote] = field(default_factory=list)
    days: dict[tuple[str, str], Day] = field(default_factory=dict)
    set_aside: int = 0


class Store:
    """For one thread at a time. Every method may raise sqlite3.Error.

    A transaction is whole or not there at all, a kill or a power cut included; the last few may be
    lost to a power cut (`synchronous=NORMAL` in WAL mode).
    """

    def __init__(self, file: Path) -> None:
        """Raises OSError too, and NewerVersion."""
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = opened(file)
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        self._database.execute("PRAGMA foreign_keys = ON")
        prepare(self._database, _CHANGES, CACHE_KB)

    def load(self) -> Contents:
        """Everything; what is not understood is set aside in a table of its own."""
        contents = Contents()
        odd: list[tuple[str, int, str]] = []
        subjects: dict[int, Subject] = {}
        for number, camera, watch, words, format, row in self._database.execute(
            "SELECT number, camera, watch, words, format, row FROM subjects"
        ):
            subject = subjects[number] = Subject(str(camera), str(watch), str(words))
            try:
                contents.learnt[subject] = rows.learnt_of(_fields(row, format))
            except NotUnderstood as reason:
                contents.learnt[subject] = Learnt()
                odd.append(("subjects", number, str(reason)))

        def read(
            table: str, read_row: Callable[[Subject, Mapping[str, object]], _Read]
        ) -> list[_Read]:
            """What a table holds of the subjects, in the order in which it was put there."""
            found = []
            for number, of, format, row in self._database.execute(
                f"SELECT number, subject, format, row FROM {table} ORDER BY number"
            ):
                try:
                    found.append(read_row(subjects[of], _fields(row, format)))
                except (NotUnderstood, KeyError) as reason:
                    odd.append((table, number, str(reason)))
            return found

        contents.visits = read("visits", rows.visit_of)
        contents.votes = read("votes", rows.vote_of)
        contents.days = self._days()
        with transaction(self._database):
            for table, number, why in odd:
                self._set_aside(table, number, why)
        contents.set_aside = len(odd)
        return contents

    def save(
        self,
        learnt: Mapping[Subject, Learnt],
        visits: Iterable[ToldVisit] = (),
        votes: Iterable[Vote] = (),
    ) -> None:
        """Write these over what is known of the same subjects and visits."""
        with transaction(self._database):
            for subject, found in learnt.items():
                self._database.execute(
                    "UPDATE subjects SET format = ?, row = ? WHERE number = ?",
                    (FORMAT, rows.text(rows.learnt_row(found)), self._number(subject)),
                )
            for visit in visits:
                self._put("visits", visit, rows.text(rows.visit_row(visit)))
            for vote in votes:
                self._put("votes", vote.visit, rows.text(rows.vote_row(vote)))

    def forget(
        self,
        *,
        visits: Iterable[str] = (),
        votes: Iterable[str] = (),
        subjects: Iterable[Subject] = (),
    ) -> None:
        """Delete visits and votes by the visits' ids, and subjects with all that is theirs."""
        with transaction(self._database):
            self._database.executemany("DELETE FROM visits WHERE id = ?", [(id,) for id in visits])
            self._database.executemany("DELETE FROM votes WHERE id = ?", [(id,) for id in votes])
            self._database.executemany(
                "DELETE FROM subjects WHERE camera = ? AND watch = ? AND words = ?",
                [(each.camera, each.watch, each.words) for each in subjects],
            )

    def keep_near_miss(self, miss: NearMiss, day: date, file: str | None) -> int:
        """Its number; `file` is the name of its picture."""
        with transaction(self._database):
            cursor = self._database.execute(
                "INSERT INTO near_misses (camera, watch, day, kind, confidence, needed, prompt,"
                " reason, captured_at, x1, y1, x2, y2, file, reach)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(miss.subject.camera, miss.subject.watch, day.isoformat(), miss.kind),
                    *(miss.confidence, miss.needed, miss.prompt, miss.reason),
                    *(miss.captured_at.isoformat(), *map(float, miss.box), file, miss.reach),
                ),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def drop_near_miss(self, number: int) -> None:
        with transaction(self._database):
            self._database.execute("DELETE FROM near_misses WHERE number = ?", (number,))

    def drop_near_misses_before(self, day: date) -> None:
        with transaction(self._database):
            self._database.execute("DELETE FROM near_misses WHERE day < ?", (day.isoformat(),))

    def close(self) -> None:
        self._database.close()

    def _days(self) -> dict[tuple[str, str], Day]:
        """The newest day of each camera and watch."""
        found: dict[tuple[str, str], dict[str, list[Kept]]] = defaultdict(dict)
        for number, file, camera, watch, day, kind, confidence, *box in self._database.execute(
            "SELECT number, file, camera, watch, day, kind, confidence, x1, y1, x2, y2"
            " FROM near_misses"
        ):
            file_fits = file is None or isinstance(file, str)
            numbers = all(isinstance(value, float) for value in (confidence, *box))
            if kind in get_args(NearMissKind) and numbers and file_fits:
                x1, y1, x2, y2 = box
                kept = found[camera, watch].setdefault(day, [])
                kept.append(Kept(number, file, kind, confidence, (x1, y1, x2, y2)))
        days = {}
        for pair, of_pair in found.items():
            newest = max(of_pair)
            try:
                days[pair] = Day(date.fromisoformat(newest), of_pair[newest])
            except ValueError:
                continue
        return days

    def _put(self, table: str, visit: ToldVisit, row: str) -> None:
        self._database.execute(
            f"INSERT INTO {table} (id, subject, format, row) VALUES (?1, ?2, ?3, ?4)"
            " ON CONFLICT (id) DO UPDATE SET subject = ?2, format = ?3, row = ?4",
            (visit.id, self._number(visit.subject), FORMAT, row),
        )

    def _number(self, subject: Subject) -> int:
        key = subject.camera, subject.watch, subject.words
        self._database.execute(
            "INSERT OR IGNORE INTO subjects (camera, watch, words, format, row)"
            " VALUES (?, ?, ?, ?, ?)",
            (*key, FORMAT, rows.text(rows.learnt_row(Learnt()))),
        )
        (number,) = self._database.execute(
            "SELECT number FROM subjects WHERE camera = ? AND watch = ? AND words = ?", key
        ).fetchone()
        return int(number)

    def _set_aside(self, table: str, number: int, reason: str) -> None:
        self._database.execute(
            f"INSERT INTO set_aside (of, row, reason) SELECT ?, row, ? FROM {table}"
            " WHERE number = ?",
            (table, reason, number),
        )
        # A subject's row is begun anew: its visits and votes go on.
        if table == "subjects":
            self._database.execute(
                "UPDATE subjects SET format = ?, row = ? WHERE number = ?",
                (FORMAT, rows.text(rows.learnt_row(Learnt())), number),
            )
        else:
            self._database.execute(f"DELETE FROM {table} WHERE number = ?", (number,))
        self._database.execute(
            "DELETE FROM set_aside WHERE number <= (SELECT max(number) FROM set_aside) - ?",
            (MOST_SET_ASIDE,),
        )


def _fields(row: object, format: object) -> dict[str, object]:
    if not isinstance(format, int) or format > FORMAT:
        raise NotUnderstood("it is of another version")
    return rows.fields(row)
