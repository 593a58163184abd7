"""What can still be read of a broken outbox."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from streamwatch.publisher.outbox.rows import NotUnderstood, event_of, told_of
from streamwatch.records import Event, Told


def readable(broken: Path) -> tuple[dict[int, Told], list[Event]]:
    """What waited in the file, by number, and the last event of each open visit.

    Reads from both ends up to the broken part. Raises nothing.
    """
    waiting: dict[int, Told] = {}
    visits: dict[str, Event] = {}
    with suppress(sqlite3.Error), closing(sqlite3.connect(broken)) as database:
        for order in ("ASC", "DESC"):
            with suppress(sqlite3.Error):
                for number, row in database.execute(
                    f"SELECT number, event FROM events ORDER BY number {order}"
                ):
                    with suppress(NotUnderstood):
                        waiting[number] = told_of(row)
            with suppress(sqlite3.Error):
                for visit, row in database.execute(
                    f"SELECT visit, event FROM visits ORDER BY visit {order}"
                ):
                    with suppress(NotUnderstood):
                        visits[visit] = event_of(row)
    return dict(sorted(waiting.items())), list(visits.values())
