"""SQLite files that break: what is at fault, and how a file is moved aside. Never deletes."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

_NOT_THE_FILE = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR),
    *(sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY),
}
"""SQLite's error codes that say nothing of the file's content."""


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
