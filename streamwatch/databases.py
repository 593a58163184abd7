"""SQLite files: opened privately, written as a whole, and moved aside where they are broken. Never
deletes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
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


class NewerVersion(Exception):  # noqa: N818 - reads as what happened
    """The file was written by a newer version of streamwatch."""


def prepare(database: sqlite3.Connection, versions: Sequence[str], cache_kb: int) -> None:
    """Have the tables in a file of which a power cut may take the last few transactions
    (`synchronous=NORMAL` in WAL mode), but no part of one.

    `versions` are SQL that makes each version of the one before. `cache_kb` is what of the file is
    in memory, in place of SQLite's 2 MB. Raises NewerVersion and sqlite3.Error.
    """
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(f"PRAGMA cache_size = -{cache_kb}")
    demand_sound(database)
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > len(versions):
        raise NewerVersion
    if version < len(versions):
        with transaction(database):
            for change in versions[version:]:
                for statement in change.split(";"):
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {len(versions)}")


def moved_aside(file: Path, error: Exception) -> str | None:
    """Move aside a file that is broken, or a newer version's; what was done, in words for after its
    name. None where the file is not at fault.

    Raises OSError.
    """
    newer = isinstance(error, NewerVersion)
    if not newer and not is_broken(error):
        return None
    aside = move_aside(file, "newer" if newer else "broken")
    why = "is a newer version's" if newer else f"is broken ({reason(error)})"
    return f"{why}; it is kept as {aside.name}"


def reason(error: Exception) -> str:
    """The error in words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)
