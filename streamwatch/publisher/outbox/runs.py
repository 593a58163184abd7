"""When rows of the outbox came, by the runs of the daemon and the seconds in them.

So no step of the time of day makes them older or younger. Only how long the machine was off is
taken from the time of day, as it is since the clock was set.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from streamwatch.elapsed import STEP_SECONDS, Elapsed

CAME = "LEFT JOIN runs USING (run)"
CAME_AT = "(since + coalesce(before, 0))"
"""When a row came, in seconds from the first run on."""
NOTE_SECONDS = 60.0
"""How often the time is written down while something waits; after a crash so much is guessed."""


class Runs:
    """This run among those that the table `runs` holds. Raises sqlite3.Error.

    `before` is the time from the first run on to the beginning of a run, `lasted` how long it went
    on, and `ended_at` the Unix time of its end; `ended` is the same on the monotonic clock, for a
    run in the same `boot` of the machine. Its maker and callers hold a transaction. The rows of
    `tables` each name a run.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        elapsed: Elapsed,
        tables: Sequence[str] = ("events", "visits", "set_aside"),
    ) -> None:
        self._database = database
        self._elapsed = elapsed
        last = database.execute(
            "SELECT run, before + lasted, ended_at, boot, ended FROM runs ORDER BY run DESC LIMIT 1"
        ).fetchone()
        self.number: int = 1 if last is None else last[0] + 1
        self._last_end: float = 0.0 if last is None else last[1]
        self._last_ended_at: float = elapsed.began_at if last is None else last[2]
        self._same_boot_ended: float | None = None
        """When the last run ended on the monotonic clock, if that went on since."""
        if last is not None and elapsed.boot is not None and last[3] == elapsed.boot:
            self._same_boot_ended = last[4]
        used = " UNION ".join(f"SELECT run FROM {table}" for table in tables)
        database.execute(
            f"DELETE FROM runs WHERE run NOT IN ({used} UNION SELECT max(run) FROM runs)"
        )
        database.execute(
            "INSERT INTO runs (run, before, lasted, ended_at) VALUES (?, 0, 0, 0)", (self.number,)
        )
        self.note_time()

    @property
    def now(self) -> float:
        """Seconds from the first run on."""
        return self._before + self._elapsed.seconds

    def follow_the_clock(self) -> None:
        """Before ages are read: correct the beginning of this run if the clock was set since."""
        if abs(self._beginning() - self._before) > STEP_SECONDS:
            self.note_time()

    def age(self, came_at: float) -> float:
        return max(0.0, self.now - came_at)

    def note_time(self) -> None:
        self._noted_at = self._elapsed.seconds
        self._before = self._beginning()
        self._database.execute(
            "UPDATE runs SET before = ?, lasted = ?, ended_at = ?, boot = ?, ended = ?"
            " WHERE run = ?",
            (
                self._before,
                self._noted_at,
                self._elapsed.began_at + self._noted_at,
                self._elapsed.boot,
                self._elapsed.began + self._noted_at,
                self.number,
            ),
        )

    def note_time_if_due(self) -> None:
        if self._elapsed.seconds - self._noted_at >= NOTE_SECONDS:
            self.note_time()

    def _beginning(self) -> float:
        if self._same_boot_ended is not None:
            away = self._elapsed.began - self._same_boot_ended
        else:
            away = self._elapsed.began_at - self._last_ended_at
        return self._last_end + max(0.0, away)
