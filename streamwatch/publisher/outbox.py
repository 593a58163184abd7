"""Where events wait until the broker has acknowledged them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streamwatch.records import Event

MAX_EVENTS = 10_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event on its way; `since_seconds` is when it came, on the publisher's monotonic clock."""

    number: int
    event: Event
    since_seconds: float


class Outbox(Protocol):
    """Keeps events in the order they came. Not thread-safe: the publisher's thread owns it.

    `len` may be read from any thread.
    """

    @property
    def dropped(self) -> int:
        """How many events were given up because there was no room."""
        ...

    def add(self, event: Event, since_seconds: float) -> int:
        """Keep an event (without its picture) and return its number, which only ever rises.

        Where there is no room something is dropped, which may be this very event.
        """
        ...

    def take(self, number: int) -> Waiting | None:
        """The event to hand over now; it stays here until `remove`. None if it was dropped."""
        ...

    def remove(self, number: int) -> None:
        """Forget an event for good: acknowledged, or refused by the broker."""
        ...

    def rewind(self) -> Sequence[int]:
        """Count nothing as handed over, and return all numbers, oldest first."""
        ...

    def __len__(self) -> int: ...


class MemoryOutbox:
    """An outbox of at most `max_events` events, which dies with the process.

    Over the limit the oldest `update` goes first; with no update left, all that waits of the oldest
    visit goes, its later events too when they come. A visit whose `new` was already handed over is
    the last to go, since its `end` is owed. Events handed over are never dropped.
    """

    def __init__(self, max_events: int = MAX_EVENTS) -> None:
        self.dropped = 0
        self._max_events = max_events
        self._next_number = 0
        self._events: dict[int, Waiting] = {}
        self._taken: set[int] = set()
        self._dropped_visits: set[str] = set()

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Event, since_seconds: float) -> int:
        number = self._next_number
        self._next_number += 1
        if event.id in self._dropped_visits:
            self.dropped += 1
            if event.type == "end":
                self._dropped_visits.remove(event.id)
            return number
        self._events[number] = Waiting(number, event, since_seconds)
        if len(self._events) > self._max_events:
            self._make_room()
        return number

    def take(self, number: int) -> Waiting | None:
        waiting = self._events.get(number)
        if waiting is not None:
            self._taken.add(number)
        return waiting

    def remove(self, number: int) -> None:
        self._events.pop(number, None)
        self._taken.discard(number)

    def rewind(self) -> Sequence[int]:
        self._taken.clear()
        return tuple(self._events)

    def _make_room(self) -> None:
        free = [self._events[number] for number in self._events if number not in self._taken]
        for waiting in free:
            if waiting.event.type == "update":
                self._drop([waiting])
                return
        if free:
            begun_here = (waiting for waiting in free if waiting.event.type == "new")
            visit = next(begun_here, free[0]).event.id
            gone = [waiting for waiting in free if waiting.event.id == visit]
            self._drop(gone)
            if gone[-1].event.type != "end":
                self._dropped_visits.add(visit)

    def _drop(self, gone: Sequence[Waiting]) -> None:
        for waiting in gone:
            del self._events[waiting.number]
        self.dropped += len(gone)
