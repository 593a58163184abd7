"""The visits that were told, in a file of their own, so that people may look back."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streamwatch.databases import NewerVersion, moved_aside, opened, prepare, reason, transaction
from streamwatch.elapsed import Elapsed
from streamwatch.history.visits import Visit, row_of, visit_of, with_event
from streamwatch.records import Event

log = logging.getLogger(__name__)

CACHE_KB = 256
MOST_VISITS = 20_000
"""The oldest go first."""
MOST_WAITING = 5_000
"""Events that wait to be written; of more the oldest are left out."""
WRITE_SECONDS = 2.0
CLEAN_SECONDS = 600.0
RETRY_SECONDS = 30.0
"""How often a file that could not be written is tried again."""

_TABLE = """
CREATE TABLE visits (
    id TEXT PRIMARY KEY, camera TEXT NOT NULL, watch TEXT NOT NULL, started_at REAL NOT NULL,
    row TEXT NOT NULL
);
CREATE INDEX visits_by_time ON visits (started_at);
"""
_CHANGES = (_TABLE,)
"""What makes each version of the one before."""
VERSION = len(_CHANGES)
"""SQLite's `user_version`."""
_COLUMNS = "id, camera, watch, started_at, row"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which visits: of a camera, of a watch, those before another in the list, by its id."""

    camera: str | None = None
    watch: str | None = None
    before: str | None = None


class History:
    """Keeps the visits of `keep` in a file; without one, in memory.

    For any thread: `take` returns at once, and reading waits for what is being written. What can't
    be written is told once to `complain`, in the thread `history`; alerts don't depend on it.
    """

    def __init__(
        self,
        file: Path | None,
        keep: timedelta,
        complain: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._file = file
        self._keep = keep
        self._complain = complain
        self._now = now
        self._elapsed = Elapsed(time.monotonic, now)
        self._lock = threading.Lock()
        """Held while the file is used."""
        self._database: sqlite3.Connection | None = None
        self._waiting: deque[Event] = deque(maxlen=MOST_WAITING)
        self._newest: Event | None = None
        self._open_again_at = 0.0
        self._failing = False
        self._clean_at = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Write what is left; waits for at most so many seconds. A second call does nothing."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def change(self, keep: timedelta) -> None:
        """Keep visits for so long from now on."""
        self._keep = keep

    @property
    def newest(self) -> Event | None:
        """The `new` that was told last, since the start."""
        return self._newest

    def take(self, event: Event) -> None:
        # Without its picture, which would stay in memory while nothing can be written.
        event = replace(event, picture=None)
        if event.type == "new":
            self._newest = event
        self._waiting.append(event)

    def recent(self, wanted: Wanted, most: int) -> list[Visit]:
        """The newest of those that are wanted, the newest first; none where the file can't be
        read."""
        conditions: list[str] = ["1"]
        values: list[object] = []
        for column, value in (("camera", wanted.camera), ("watch", wanted.watch)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        if wanted.before is not None:
            conditions.append("(started_at, id) < (SELECT started_at, id FROM visits WHERE id = ?)")
            values.append(wanted.before)
        return self._read(
            f"SELECT {_COLUMNS} FROM visits WHERE {' AND '.join(conditions)}"
            " ORDER BY started_at DESC, id DESC LIMIT ?",
            (*values, most),
        )

    def visit(self, id: str) -> Visit | None:
        found = self._read(f"SELECT {_COLUMNS} FROM visits WHERE id = ?", (id,))
        return found[0] if found else None

    def _read(self, query: str, values: tuple[object, ...]) -> list[Visit]:
        found: list[Visit] = []
        with self._using() as database:
            if database is not None:
                self._write(database)
                found = [
                    visit
                    for id, camera, watch, at, row in database.execute(query, values)
                    if (visit := _read_row(id, camera, watch, at, row)) is not None
                ]
        return found

    # --- writing ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.wait(WRITE_SECONDS):
            with self._using() as database:
                if database is not None:
                    self._write(database)
                    self._clean_if_due(database)
        with self._using() as database:
            if database is not None:
                self._write(database)
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None
                self._open_again_at = float("inf")

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection | None]:
        """The database, locked; None where it can't be opened. What fails is told, not raised."""
        with self._lock:
            database = None
            try:
                database = self._opened()
            except (OSError, sqlite3.Error) as error:
                self._fail(error)
            try:
                yield database
            except (OSError, sqlite3.Error) as error:
                self._fail(error)
            else:
                if database is not None and self._failing:
                    self._failing = False
                    log.info("past alerts can be written to %s again", self._file)

    def _opened(self) -> sqlite3.Connection | None:
        if self._database is None and time.monotonic() >= self._open_again_at:
            self._open_again_at = time.monotonic() + RETRY_SECONDS
            try:
                self._database = self._prepared()
            except (NewerVersion, sqlite3.Error) as error:
                done = None if self._file is None else moved_aside(self._file, error)
                if done is None:
                    raise
                self._complain(
                    f"the file {self._file} of past alerts {done}, and the list begins anew"
                )
                self._database = self._prepared()
        return self._database

    def _prepared(self) -> sqlite3.Connection:
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = opened(self._file)
        try:
            prepare(database, _CHANGES, CACHE_KB)
            database.execute(f"SELECT {_COLUMNS} FROM visits LIMIT 0")
        except BaseException:
            database.close()
            raise
        return database

    def _write(self, database: sqlite3.Connection) -> None:
        """Raises sqlite3.Error; then what was not written waits on."""
        events = list(self._taken())
        if not events:
            return
        try:
            with transaction(database):
                for event in events:
                    self._put(database, event)
        except sqlite3.Error:
            room = MOST_WAITING - len(self._waiting)  # others have come meanwhile
            self._waiting.extendleft(reversed(events[-room:] if room > 0 else []))
            raise

    def _taken(self) -> Iterable[Event]:
        while self._waiting:
            yield self._waiting.popleft()

    def _put(self, database: sqlite3.Connection, event: Event) -> None:
        found = database.execute(
            f"SELECT {_COLUMNS} FROM visits WHERE id = ?", (event.id,)
        ).fetchone()
        visit = with_event(None if found is None else _read_row(*found), event)
        database.execute(
            f"INSERT OR REPLACE INTO visits ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)",
            (
                *(visit.id, visit.camera, visit.watch, visit.started_at.timestamp()),
                json.dumps(row_of(visit)),
            ),
        )

    def _clean_if_due(self, database: sqlite3.Connection) -> None:
        if time.monotonic() < self._clean_at:
            return
        self._clean_at = time.monotonic() + CLEAN_SECONDS
        with transaction(database):
            if self._elapsed.settled:
                oldest = (self._now() - self._keep).timestamp()
                database.execute("DELETE FROM visits WHERE started_at < ?", (oldest,))
            database.execute(
                "DELETE FROM visits WHERE id IN"
                " (SELECT id FROM visits ORDER BY started_at DESC LIMIT -1 OFFSET ?)",
                (MOST_VISITS,),
            )

    def _fail(self, error: Exception) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        self._open_again_at = time.monotonic() + RETRY_SECONDS
        if not self._failing:
            self._failing = True
            self._complain(
                f"past alerts can't be written to {self._file} ({reason(error)}); alerts go on,"
                " but the page lists them no more"
            )


def _read_row(id: str, camera: str, watch: str, at: float, row: str) -> Visit | None:
    try:
        fields = json.loads(row)
    except (ValueError, RecursionError):
        return None
    return visit_of(id, camera, watch, at, fields) if isinstance(fields, dict) else None
