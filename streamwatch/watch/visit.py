"""One thing's stay before a camera, as a watch follows it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from streamwatch.learning.learnt import Other
from streamwatch.records import MarkedPicture, SecondLook, Track
from streamwatch.watch.second_look import Scrutiny


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
class Beside:
    """What was found on a visit's box in so many `frames`, with the sums of the confidences: the
    visit's own, and that of the other."""

    frames: int = 0
    own: float = 0.0
    other: float = 0.0


@dataclass(slots=True)
class Visit:
    """One thing's stay, from its first counting frame on; it has an `id` once `new` was published.

    `started_at` and `track` are those from before a crash if it continues such a visit;
    `first_seconds` is of this run. `changes` are sightings in other zones than before, not yet
    published. `scrutiny` is None where the thing is not looked at again; `earlier_look` is what was
    told of looks before a restart. `look_is_news` says that no event has told the newest look yet.
    `reach` is the greatest confidence at which it would have appeared; `beside` is what was found
    on its box, in some of the `frames` in which it counted; `learnt` says that both were noted.
    """

    track: int
    started_at: datetime
    first_seconds: float
    last: Sighting
    best: MarkedPicture
    best_confidence: float
    hits: deque[float] = field(default_factory=deque)
    appeared: bool = False
    id: str | None = None
    continues: str | None = None
    sequence: int = 0
    published_at: float = 0.0
    published_confidence: float = 0.0
    published_zones: frozenset[str] = frozenset()
    changes: deque[Sighting] = field(default_factory=deque)
    scrutiny: Scrutiny | None = None
    earlier_look: SecondLook | None = None
    look_is_news: bool = False
    reach: float = 0.0
    frames: int = 0
    beside: dict[Other, Beside] = field(default_factory=dict)
    learnt: bool = False

    @property
    def second_look(self) -> SecondLook | None:
        """What events tell of the looks."""
        return self.earlier_look if self.scrutiny is None else self.scrutiny.result

    @property
    def rejected(self) -> bool:
        """Whether second looks have held it back for good."""
        return self.scrutiny is not None and self.scrutiny.rejects

    def note_zones(self) -> None:
        """Queue the last sighting if its zones differ from those published or queued before.

        Returning to zones that are queued already drops what lies between, so that going to and
        fro can't make the queue longer than the number of zones.
        """
        zones = frozenset(self.last.zones)
        waiting = [frozenset(change.zones) for change in self.changes]
        if zones in waiting:
            while frozenset(self.changes[-1].zones) != zones:
                self.changes.pop()
        elif self.changes or zones != self.published_zones:
            self.changes.append(self.last)
