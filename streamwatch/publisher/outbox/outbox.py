"""Interface of the outbox: what waits for the broker's acknowledgement, and open visits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from streamwatch.records import Event, Remembered, Told


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is being sent, and how long ago it came to the publisher."""

    number: int
    told: Told
    waited_seconds: float


class Outbox(Protocol):
    """Keeps events and clips in the order they came.

    Not thread-safe: the publisher's thread owns it. `len`, `dropped` and `expired` may be read from
    any thread.
    """

    @property
    def dropped(self) -> int:
        """How many events were dropped for lack of room."""
        ...

    @property
    def expired(self) -> int:
        """How many events were dropped because of their age."""
        ...

    @property
    def set_aside(self) -> int:
        """How many rows were not understood or can't be sent, and are kept apart."""
        ...

    @property
    def lasting(self) -> bool:
        """Whether waiting events outlive the process."""
        ...

    def add(self, told: Told, came_at: float) -> int:
        """Store an event (without its picture) or a clip and return its number; numbers only rise.

        `came_at` is when it came to the publisher, in monotonic seconds. If there is no room one is
        dropped, perhaps this one.
        """
        ...

    def take(self, number: int) -> Waiting | None:
        """The event to be sent now; it stays until `remove`. None if it was dropped or set
        aside."""
        ...

    def remove(self, number: int) -> None:
        """Delete an event that was acknowledged."""
        ...

    def discard(self, cameras: Collection[str], new_after: float) -> Sequence[Event]:
        """While disconnected: delete and return the events of these cameras since the start, each
        `new` only if it came after this time, in monotonic seconds."""
        ...

    def left_over(self) -> Mapping[int, Event]:
        """The waiting events of former runs, by number, in order."""
        ...

    def put_aside(self, number: int, reason: str) -> None:
        """Keep an event apart that can't be sent, whatever the broker."""
        ...

    def rewind(self) -> Sequence[int]:
        """After a connect: treat all as unsent, drop what is too old, return all numbers in order.

        Nothing is too old in the first minutes after a start or a step of the clock.
        """
        ...

    def limit(self, max_bytes: int, max_age: timedelta) -> None:
        """Apply these limits from the next event on."""
        ...

    def visits(self) -> Sequence[Remembered]:
        """The last event of each visit that is open, or that a stop of the daemon has ended."""
        ...

    def remember(self, visits: Iterable[Event]) -> None:
        """Make these the open visits, in their present state.

        One whose events were never added, or dropped since, is not remembered either.
        """
        ...

    def close(self) -> None: ...

    def __len__(self) -> int: ...
