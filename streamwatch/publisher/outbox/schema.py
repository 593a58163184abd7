"""The tables of the outbox, and how those of former versions become these.

Later versions only add tables and columns, and name the columns that they write: so an older
version finds its way in a newer file. What an event's row holds has a number of its own, `format`.
"""

from __future__ import annotations

import sqlite3

from streamwatch.databases import transaction

VERSION = 1
"""SQLite's `user_version`; 0 is the first release's, whose rows hold the time of day."""

_TABLES = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY, visit TEXT NOT NULL, type TEXT NOT NULL,
    since REAL NOT NULL, event BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_visit ON events (visit);
CREATE INDEX IF NOT EXISTS events_by_type ON events (type, number);
CREATE TABLE IF NOT EXISTS given_up (visit TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS visits (visit TEXT PRIMARY KEY, event BLOB NOT NULL);
"""
_SINCE_1 = """
ALTER TABLE events ADD COLUMN format INTEGER NOT NULL DEFAULT 1;
ALTER TABLE events ADD COLUMN run INTEGER NOT NULL DEFAULT 0;
ALTER TABLE visits ADD COLUMN format INTEGER NOT NULL DEFAULT 1;
ALTER TABLE visits ADD COLUMN run INTEGER NOT NULL DEFAULT 0;
ALTER TABLE visits ADD COLUMN since REAL NOT NULL DEFAULT 0;
CREATE TABLE runs (
    run INTEGER PRIMARY KEY, before REAL NOT NULL, lasted REAL NOT NULL, ended_at REAL NOT NULL,
    boot TEXT, ended REAL
);
CREATE TABLE set_aside (
    number INTEGER PRIMARY KEY, visit TEXT, type TEXT, event BLOB, format INTEGER, run INTEGER,
    since REAL, reason TEXT
);
"""


def migrated(database: sqlite3.Connection, now: float) -> None:
    """Make the tables, or bring those of a former version forward; `now` is Unix time.

    Raises sqlite3.Error.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version >= VERSION:
        return
    with transaction(database):
        for statement in (_TABLES + _SINCE_1).split(";"):
            database.execute(statement)
        # Run 0 ended just now, and its seconds count from there back.
        database.execute("UPDATE events SET since = min(0, since - ?)", (now,))
        database.execute(
            "UPDATE visits SET since = min(0, coalesce(unixepoch(CASE"
            " WHEN json_valid(CAST(event AS TEXT))"
            " THEN json_extract(CAST(event AS TEXT), '$.captured_at') END), ?1) - ?1)",
            (now,),
        )
        database.execute(
            "INSERT INTO runs (run, before, lasted, ended_at) VALUES (0, 0, 0, ?)", (now,)
        )
        database.execute(f"PRAGMA user_version = {VERSION}")
