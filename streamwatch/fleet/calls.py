"""What controller and workers say to each other. All of it is pickled."""

from __future__ import annotations

from dataclasses import dataclass

from streamwatch.records import Event


@dataclass(frozen=True, slots=True)
class Hello:
    """How a worker stands: `epoch` is that of the newest controller it has heard, 0 for none.

    `capacity`, in frames a second, is None before it has begun, and is about the same for all that
    run on the same `hardware`. `lacks` are the cameras whose file is not on its machine.
    """

    worker: str
    pid: int
    version: str
    epoch: int
    capacity: float | None
    hardware: str
    cameras: frozenset[str]
    lacks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a worker could not do what it was told, in a sentence."""

    sentence: str
    outdated: bool = False
    """A newer controller has told it something since."""


@dataclass(frozen=True, slots=True)
class News:
    """What a worker tells by itself.

    `orphans` are open visits of cameras that it lost, see `Part.orphans`; `cameras` are those that
    it watches, and `finished` those of them whose file has ended.
    """

    orphans: tuple[Event, ...] = ()
    cameras: frozenset[str] = frozenset()
    finished: frozenset[str] = frozenset()

    def is_like(self, other: News) -> bool:
        """Whether they tell the same: a copy of an event is not equal to it."""
        ids = {event.id for event in self.orphans}, {event.id for event in other.orphans}
        same = (self.cameras, self.finished) == (other.cameras, other.finished)
        return same and ids[0] == ids[1]
