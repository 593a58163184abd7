"""SQLite files: opened privately, written as a whole, and moved aside where they are broken. Never
deletes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamwatch.files import PRIVATE

LOCK_SECONDS = 0.5
"""How long to wait for a process that is just closing the file."""
_NOT_THE_FILE = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR),
    *(sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY),
}
"""SQLite's error codes that say nothing of the file's content."""


def opened(file: Path | None) -> sqlite3.Connection:
    """A database that its owner alone may read, made if need be; None is one in memory.

    For one thread at a time, whichever that is. Raises OSError and sqlite3.Error.
    """
    if file is not None:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
        file.chmod(PRIVATE)  # SQLite gives its other files the same mode
    return sqlite3.connect(
        ":memory:" if file is None else file,
        isolation_level=None,
        check_same_thread=False,
        timeout=LOCK_SECONDS,
    )


def demand_sound(database: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError if what the file holds is broken."""
    (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(str(found).splitlines()[0])


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """What is done in it is written as a whole or not at all. Raises sqlite3.Error."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def is_broken(error: Exception) -> bool:
    """Whether the file itself is at fault, rather than the disk or another process."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", None)  # None for errors raised by ourselves
    if code is None:
        return not isinstance(error, sqlite3.OperationalError)
    return code & 0xFF not in _NOT_THE_FILE


def move_aside(file: Path, why: str = "broken") -> Path:
    """Rename a file and what belongs to it to the first free `….broken-1`; returns its new path.

    Raises OSError.
    """
    number = 1
    while (aside := file.with_suffix(f".{why}-{number}")).exists():
        number += 1
    file.rename(aside)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{file}{suffix}").rename(f"{aside}{suffix}")
    return aside


def reason(error: Exception) -> str:
    """The error in words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)
