"""The queue of notices on the disk, which continues in memory while the disk can't be written."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from streamwatch.databases import is_broken, move_aside, reason
from streamwatch.elapsed import Elapsed, this_boot
from streamwatch.publisher.notices.queue import Notice, NoticeQueue

RETRY_SECONDS = 30.0
"""How often a disk that failed is tried again."""


class DurableQueue:
    """See `NoticeQueue`. For any thread; a full, read-only or broken disk never raises.

    What can't be written waits in memory, and is sent before what comes later to the disk. Of a
    broken file nothing is read: it is moved aside, never deleted. `complain` is told in a sentence.
    Without a `file` all waits in memory.
    """

    def __init__(
        self,
        file: Path | None,
        *,
        max_bytes: int,
        max_age: timedelta,
        complain: Callable[[str], None],
        now: Callable[[], datetime],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._max_bytes, self._max_age = max_bytes, max_age
        self._complain = complain
        self._seconds = seconds
        self._elapsed = Elapsed(seconds, now, this_boot())
        self._lock = threading.Lock()
        self._memory = self._opened(None)
        self._disk: NoticeQueue | None = None
        self._sent: set[int] = set()
        """Done with, but still on a disk that can't be written."""
        self._failed = False
        self._next_try = float("-inf")
        if file is not None:
            self._reopen()

    @property
    def lasting(self) -> bool:
        """Whether what waits outlives the process."""
        return self._disk is not None and not self._in_memory

    def put(self, service: str, text: str, picture: bytes | None) -> int:
        """Returns how many older notices had to make room."""
        came_at = self._seconds()
        with self._lock:
            self._try_again()
            if self._disk is not None and not self._in_memory:
                try:
                    dropped = self._disk.put(service, text, picture, came_at)
                except (OSError, sqlite3.Error) as error:
                    self._fail(error)
                else:
                    self._failed = False
                    return dropped
            return self._memory.put(service, text, picture, came_at)

    def first(self, service: str) -> Notice | None:
        with self._lock:
            self._try_again()
            if self._disk is not None:
                try:
                    notice = self._disk.first(service, self._sent)
                except (OSError, sqlite3.Error) as error:
                    self._fail(error)
                else:
                    if notice is not None:
                        return notice
            held = self._memory.first(service)
            return None if held is None else Notice(-held.number, held.text, held.picture)

    def remove(self, number: int) -> None:
        """It was sent, or given up."""
        with self._lock:
            if number < 0:
                self._memory.remove(-number)
                return
            self._sent.add(number)
            self._remove_sent()

    def expire(self, service: str) -> int:
        with self._lock:
            expired = self._memory.expire(service)
            if self._disk is not None:
                with suppress(sqlite3.Error):
                    expired += self._disk.expire(service)
            return expired

    def waiting(self) -> dict[str, int]:
        """How many, by service."""
        with self._lock:
            found = self._memory.waiting()
            if self._disk is not None:
                with suppress(sqlite3.Error):
                    for service, count in self._disk.waiting().items():
                        found[service] = found.get(service, 0) + count
            return found

    def keep_only(self, services: Collection[str]) -> int:
        """Drop what waits for other services; returns how many."""
        with self._lock:
            gone = self._memory.keep_only(services)
            if self._disk is not None:
                with suppress(sqlite3.Error):
                    gone += self._disk.keep_only(services)
            return gone

    def limit(self, max_bytes: int, max_age: timedelta) -> None:
        with self._lock:
            self._max_bytes, self._max_age = max_bytes, max_age
            for queue in (self._memory, self._disk):
                if queue is not None:
                    queue.max_bytes, queue.max_age = max_bytes, max_age

    def close(self) -> None:
        with self._lock:
            self._memory.close()
            if self._disk is not None:
                with suppress(sqlite3.Error):
                    self._disk.close()

    @property
    def _in_memory(self) -> bool:
        return bool(self._memory.waiting())

    def _opened(self, file: Path | None) -> NoticeQueue:
        return NoticeQueue(
            file, max_bytes=self._max_bytes, max_age=self._max_age, elapsed=self._elapsed
        )

    def _reopen(self) -> None:
        assert self._file is not None
        try:
            self._disk = self._opened(self._file)
        except (OSError, sqlite3.Error) as error:
            self._fail(error)

    def _try_again(self) -> None:
        """Open and clean the disk again, once in a while, after it failed."""
        if not self._failed or self._seconds() < self._next_try:
            return
        self._next_try = self._seconds() + RETRY_SECONDS
        if self._disk is None:
            self._reopen()
        self._remove_sent()

    def _remove_sent(self) -> None:
        if self._disk is None:
            return
        try:
            for number in sorted(self._sent):
                self._disk.remove(number)
                self._sent.discard(number)
        except (OSError, sqlite3.Error) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        told, self._failed = self._failed, True
        self._next_try = self._seconds() + RETRY_SECONDS
        sentence = f"notices can't be kept on the disk ({reason(error)}) and wait in memory"
        if is_broken(error) and self._file is not None:
            if self._disk is not None:
                with suppress(sqlite3.Error):
                    self._disk.close()
            self._disk = None
            with suppress(OSError):
                aside = move_aside(self._file)
                sentence = f"the file of notices was broken ({reason(error)}) and is now {aside}"
            self._next_try = float("-inf")
        if not told:
            self._complain(sentence)
