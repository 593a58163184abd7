"""The file of what is learnt, as long as it can be written, and everything again after that."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from streamwatch.databases import NewerVersion, moved_aside, reason
from streamwatch.learning.store import Contents, Store

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""How often a file that could not be written is tried again."""


class Saving:
    """Writes to a `Store`; what goes wrong is told to `complain`, and never raised.

    `take` is called once with what the file held at first: now, or later where it can't be read
    now. A file that is broken, or a newer version's, is moved aside. After a failure everything
    that `everything` gives is written. For one thread at a time.
    """

    def __init__(
        self,
        file: Path,
        take: Callable[[Contents], None],
        everything: Callable[[Store], None],
        complain: Callable[[str], None],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._take = take
        self._everything = everything
        self._complain = complain
        self._seconds = seconds
        self._store: Store | None = None
        self._was_read = False
        self._try_again_at = 0.0
        self.failing = False
        """Whether the last attempt to write it failed."""
        try:
            self._store = self._opened()
        except (OSError, sqlite3.Error) as error:
            self._fail(error)

    def write(self, write: Callable[[Store], None]) -> bool:
        """Whether it could be written."""
        if self._store is None and not self._mended():
            return False
        assert self._store is not None
        try:
            write(self._store)
        except (OSError, sqlite3.Error) as error:
            self._fail(error)
            return False
        return True

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def _fail(self, error: Exception) -> None:
        self._try_again_at = self._seconds() + RETRY_SECONDS
        self.close()
        self._store = None
        self.failing = True
        self._complain(
            f"what is learnt can't be written to {self._file} ({reason(error)});"
            " it would be lost with the process"
        )

    def _mended(self) -> bool:
        """Whether the file can be opened again, and all that is known was written."""
        if self._seconds() < self._try_again_at:
            return False
        self._try_again_at = self._seconds() + RETRY_SECONDS
        try:
            store = self._opened()
            try:
                self._everything(store)
            except BaseException:
                store.close()
                raise
        except (OSError, sqlite3.Error) as error:
            log.debug("%s still can't be written: %s", self._file, error)
            return False
        self._store, self.failing = store, False
        log.info("what is learnt can be written to %s again", self._file)
        return True

    def _opened(self) -> Store:
        """The file, or a new one in its place. Raises OSError or sqlite3.Error."""
        try:
            return self._opened_as_it_is()
        except (NewerVersion, sqlite3.Error) as error:
            done = moved_aside(self._file, error)
            if done is None:
                raise
        self._complain(f"the file {self._file} of what is learnt {done}, and learning begins anew")
        return self._opened_as_it_is()

    def _opened_as_it_is(self) -> Store:
        """Raises NewerVersion too."""
        store = Store(self._file)
        if self._was_read:
            return store
        try:
            found = store.load()
        except BaseException:
            store.close()
            raise
        self._was_read = True
        self._take(found)
        if found.set_aside:
            self._complain(
                f"what is learnt in {self._file} is not understood by this version of streamwatch:"
                f" {found.set_aside:,} rows; they are kept there, in the table set_aside"
            )
        return store
