"""The outbox on disk that continues in memory while the disk can't be written."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from streamwatch.databases import is_broken, move_aside, reason
from streamwatch.elapsed import Elapsed
from streamwatch.publisher.outbox.outbox import Waiting
from streamwatch.publisher.outbox.salvage import readable
from streamwatch.publisher.outbox.sqlite import SqliteOutbox
from streamwatch.records import Event, Remembered, Told

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""How often a disk that failed is tried again."""
FAR_BEYOND = 1 << 40
"""A number above that of any event on disk."""


class DurableOutbox:
    """See `Outbox`. A full, read-only or broken disk is reported to `complain` and never raises.

    What can't be written waits in memory, and is written when the disk works again. A file that is
    broken, as a whole or in part, is moved aside, never deleted; what can be read of it goes on
    waiting.
    """

    def __init__(
        self,
        file: Path,
        *,
        max_bytes: int,
        max_age: timedelta,
        complain: Callable[[str], None],
        seconds: Callable[[], float],
        elapsed: Elapsed,
    ) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._complain = complain
        self._seconds = seconds
        self._elapsed = elapsed
        self._disk: SqliteOutbox | None = None
        self._memory: SqliteOutbox | None = None
        self._removed: set[int] = set()
        """Acknowledged, but still on a disk that can't be written."""
        self._found_late: Sequence[Remembered] = ()
        """Visits of the previous run on a disk that could not be read at the start: they can't be
        continued any more, and the next run ends them."""
        self._try_again_at = 0.0
        try:
            self._disk = self._opened()
        except (OSError, sqlite3.Error) as error:
            self._fail(error)

    @property
    def dropped(self) -> int:
        return sum(outbox.dropped for outbox in self._both())

    @property
    def expired(self) -> int:
        return sum(outbox.expired for outbox in self._both())

    @property
    def set_aside(self) -> int:
        return sum(outbox.set_aside for outbox in self._both())

    @property
    def lasting(self) -> bool:
        return self._memory is None

    def __len__(self) -> int:
        return sum(len(outbox) for outbox in self._both()) - len(self._removed)

    def add(self, told: Told, came_at: float) -> int:
        self._mend_if_due()
        if self._memory is None and self._disk is not None:
            try:
                return self._disk.add(told, came_at)
            except sqlite3.Error as error:
                self._fail(error)
                return self.add(told, came_at)
        assert self._memory is not None
        return self._memory.add(told, came_at)

    def take(self, number: int) -> Waiting | None:
        for outbox in self._both():
            try:
                if (waiting := outbox.take(number)) is not None:
                    return waiting
            except sqlite3.Error as error:  # it stays on the disk until that can be read again
                self._fail(error)
        return None

    def remove(self, number: int) -> None:
        if self._memory is not None:
            before = len(self._memory)
            self._memory.remove(number)
            if len(self._memory) < before:
                return
        if self._disk is not None:
            try:
                self._disk.remove(number)
            except sqlite3.Error as error:
                self._removed.add(number)
                self._fail(error)

    def discard(self, cameras: Collection[str], new_after: float) -> Sequence[Event]:
        found: dict[int, Event] = {}
        for outbox in self._both():
            try:
                found |= outbox.to_discard(cameras, new_after)
            except sqlite3.Error as error:
                self._fail(error)
        gone = {number: event for number, event in found.items() if number not in self._removed}
        for number in gone:
            self.remove(number)
        return tuple(gone.values())

    def left_over(self) -> Mapping[int, Event]:
        if self._disk is not None:
            with suppress(sqlite3.Error):
                return self._disk.left_over()
        return {}

    def put_aside(self, number: int, reason: str) -> None:
        for outbox in self._both():
            try:
                outbox.put_aside(number, reason)
            except sqlite3.Error as error:
                self._fail(error)

    def rewind(self) -> Sequence[int]:
        self._mend_if_due()
        numbers: list[int] = []
        for outbox in self._both():
            try:
                numbers += outbox.rewind()
            except sqlite3.Error as error:
                self._fail(error)
        return [number for number in numbers if number not in self._removed]

    def limit(self, max_bytes: int, max_age: timedelta) -> None:
        self._max_bytes, self._max_age = max_bytes, max_age
        for outbox in self._both():
            outbox.limit(max_bytes, max_age)

    def visits(self) -> Sequence[Remembered]:
        found: list[Remembered] = []
        for outbox in self._both():
            with suppress(sqlite3.Error):
                found += outbox.visits()
        return found

    def remember(self, visits: Iterable[Event]) -> None:
        visits = (*visits, *(visit.last for visit in self._found_late))
        for outbox in self._both():
            with suppress(sqlite3.Error):  # retried the next time
                outbox.remember(visits)

    def close(self) -> None:
        for outbox in self._both():
            with suppress(sqlite3.Error):
                outbox.close()

    def _both(self) -> list[SqliteOutbox]:
        return [outbox for outbox in (self._disk, self._memory) if outbox is not None]

    def _opened(self) -> SqliteOutbox:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            outbox = self._outbox(self._file)
        except sqlite3.Error as error:
            if not is_broken(error):
                raise
            outbox = self._renewed(error)
        if outbox.of_a_newer_version:
            self._complain(
                f"alerts of a newer version of streamwatch in {self._file}:"
                f" {outbox.of_a_newer_version:,}; they are left there for it"
            )
        return outbox

    def _renewed(self, error: Exception) -> SqliteOutbox:
        """A new file in the place of a broken one, with what can be read of that."""
        aside = move_aside(self._file)
        outbox = self._outbox(self._file)
        waiting, visits = readable(aside)
        outbox.put_back(waiting, visits)
        self._complain(
            f"the outbox {self._file} is broken ({reason(error)}); it is kept as {aside.name}, "
            f"alerts read of it: {len(waiting):,}"
        )
        return outbox

    def _outbox(self, file: Path | None) -> SqliteOutbox:
        return SqliteOutbox(
            file, max_bytes=self._max_bytes, max_age=self._max_age, elapsed=self._elapsed
        )

    def _fail(self, error: Exception) -> None:
        """Continue in a new file if this one is broken, else in memory."""
        if self._memory is not None:
            return
        due = self._seconds() >= self._try_again_at
        self._try_again_at = self._seconds() + RETRY_SECONDS
        if self._disk is not None and due and is_broken(error) and self._opens_anew(self._disk):
            return
        self._memory = self._outbox(None)
        # Events on disk come first, also if it can't be read to count them.
        self._memory.next_number = self._disk.next_number if self._disk else FAR_BEYOND
        self._complain(
            f"the outbox {self._file} can't be written ({reason(error)}): alerts wait in memory "
            "and would be lost with the process"
        )

    def _opens_anew(self, broken: SqliteOutbox) -> bool:
        """Whether the file could be opened again, renewed if it is broken."""
        self._disk = None
        with suppress(sqlite3.Error):
            broken.close()
        try:
            disk = self._opened()
            self._remove_from(disk)
        except (OSError, sqlite3.Error):
            return False
        disk.next_number = max(disk.next_number, broken.next_number)
        self._disk = disk
        return True

    def _mend_if_due(self) -> None:
        if self._memory is None or self._seconds() < self._try_again_at:
            return
        try:
            self._mend(self._memory)
        except (OSError, sqlite3.Error):
            self._try_again_at = self._seconds() + RETRY_SECONDS
            return
        self._memory = None
        log.info("the outbox %s can be written again", self._file)

    def _mend(self, memory: SqliteOutbox) -> None:
        """Write to the disk what is in memory."""
        if self._disk is None:
            self._disk = self._opened()
            self._found_late = self._disk.visits()
        self._remove_from(self._disk)
        self._disk.take_over(memory)
        memory.close()

    def _remove_from(self, disk: SqliteOutbox) -> None:
        """Remove what was acknowledged while the disk could not be written."""
        for number in tuple(self._removed):
            disk.remove(number)
            self._removed.discard(number)
