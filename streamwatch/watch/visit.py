"""One thing's stay before a camera, as a watch follows it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from streamwatch.records import (
    Picture,
    Track,
)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A frame in which the thing counted."""

    track: Track
    seconds: float
    captured_at: datetime
    position: float | None
    size: tuple[int, int]
    zones: tuple[str, ...]


@dataclass(slots=True)
class Visit:
    """One thing's stay, from its first counting frame on; `id` once it has been told.

    `started_at` and `track` are those of the visit before a crash where it goes on with one;
    `first_seconds` is this life's. `changes` are sightings in other zones than those before, still
    to be told.
    """

    track: int
    started_at: datetime
    first_seconds: float
    last: Sighting
    best: Picture
    best_confidence: float
    hits: deque[float] = field(default_factory=deque)
    appeared: bool = False
    id: str | None = None
    continues: str | None = None
    sequence: int = 0
    told_at: float = 0.0
    told_confidence: float = 0.0
    told_zones: frozenset[str] = frozenset()
    changes: deque[Sighting] = field(default_factory=deque)

    def note_zones(self) -> None:
        """Queue the last sighting if its zones differ from those told or queued before.

        Coming back to zones that wait already drops what lies between, so that a thing that goes
        to and fro never makes the queue longer than there are zones to be in.
        """
        zones = frozenset(self.last.zones)
        waiting = [frozenset(change.zones) for change in self.changes]
        if zones in waiting:
            while frozenset(self.changes[-1].zones) != zones:
                self.changes.pop()
        elif self.changes or zones != self.told_zones:
            self.changes.append(self.last)
