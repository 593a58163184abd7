"""Where events wait until the broker has acknowledged them, and which visits are open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from streamwatch.records import Event


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event on its way; `since` is when it came to the publisher."""

    number: int
    event: Event
    since: datetime


class Outbox(Protocol):
    """Keeps events in the order they came. Not thread-safe: the publisher's thread owns it.

    `len` may be read from any thread.
    """

    @property
    def dropped(self) -> int:
        """How many events were given up because there was no room, or they were too old."""
        ...

    @property
    def lasting(self) -> bool:
        """Whether what waits outlives the process."""
        ...

    def add(self, event: Event, since: datetime) -> int:
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

    def rewind(self, now: datetime) -> Sequence[int]:
        """Count nothing as handed over, drop what is too old, return all numbers, oldest first."""
        ...

    def limit(self, max_bytes: int, max_age: timedelta) -> None:
        """Keep to these limits from the next event on."""
        ...

    def visits(self) -> Sequence[Event]:
        """The last event of each visit that is open, or that a stop of the daemon has ended."""
        ...

    def remember(self, visits: Iterable[Event]) -> None:
        """Let `visits` give these as they are here, and no others.

        One that was not added, or was dropped since, is not remembered either.
        """
        ...

    def close(self) -> None: ...

    def __len__(self) -> int: ...
