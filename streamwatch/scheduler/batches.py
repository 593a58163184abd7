"""Which frames go to the detector together, and whose turn it is when there are too many.

Fair queueing: each camera has a position, which advances by 1 / `fps` with each of its frames that
is analysed, and the camera that is least far comes first. So at overload all cameras get the same
share of the frames that are due: a camera at 5 fps five times as many as one at 1 fps. Positions
are in seconds of video.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from streamwatch.records import Frame
from streamwatch.scheduler.limit import BatchLimit

BUSY_FRAMES = 0.5
"""A busy camera's place in the queue is better by so much of the time between two of its frames: it
comes before cameras that are about as far, and never gets more than they for long."""
ABSENT_FRAMES = 1.5
"""A camera that gave no frame for so many times the time between two is absent. Before that its
next frame is on the way, and it keeps its turn."""
BEHIND_SECONDS = 2.0
"""A camera may catch up with so much video at most, as one that gives fewer frames than its `fps`
could after hours."""
AHEAD_FRAMES = 1.5
"""A camera that is further ahead than this of the one that comes first waits, even if the batch has
room, since other cameras would pay for it: one frame it has just got, and a half for rounding."""


class FrameSlot(Protocol):
    """Where a camera leaves its newest frame."""

    def peek(self) -> Frame | None:
        """What `take` would give."""
        ...

    def take(self) -> Frame | None:
        """The newest frame not taken yet, if there is one; never blocks."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """A camera's frames, and what decides when it is their turn.

    A frame is due `fps` times a second. `busy` says whether an event is open there or something
    moves. `needed` is asked of the newest frame, more than once if it waits, and says whether it is
    to be analysed. Both are called in the thread that calls `next_batch`, while no slot can be
    filled, so they should take a millisecond at most.
    """

    slot: FrameSlot
    fps: float
    busy: Callable[[], bool]
    needed: Callable[[Frame], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Frames that were taken, at most one of a camera: `frames` are to be analysed; `still` were
    not needed."""

    frames: list[Frame]
    still: list[Frame]


@dataclass(slots=True, eq=False)
class _Place:
    """A feed's place in the queue."""

    feed: Feed
    position: float
    """Seconds of video."""
    absent_from: float = math.inf
    """In seconds of the detector's work; infinite while frames come."""
    served: int = 0
    """The number of its latest batch: of two that are equally far, the longer one waits first."""

    @property
    def step(self) -> float:
        return 1 / self.feed.fps


class Scheduler:
    """Forms batches from the cameras' slots. One thread calls all methods but `wake`.

    `ready` is the condition that every slot notifies when it is filled or closed.
    """

    def __init__(self, feeds: Iterable[Feed], ready: threading.Condition) -> None:
        self._places = [_Place(feed, 0.0) for feed in feeds]
        self._ready = ready
        self._present = 0.0
        """How far the camera is that comes next. One that was absent begins here again, so that it
        can't make up for that time at the others' expense."""
        self._batches = 0
        self._worked_seconds = 0.0
        self._limit = BatchLimit()
        self._woken = False

    def next_batch(self, timeout: float, held: Collection[FrameSlot] = ()) -> Batch:
        """The next frames to analyse; empty if none came within `timeout` s.

        From the `held` slots nothing is taken.
        """
        with self._ready:
            batch = self._collect(held)
            if not batch.frames and not batch.still and not self._woken:
                self._forget_the_past()
                self._ready.wait(timeout)
                batch = self._collect(held)
            self._woken = False
            return batch

    def note(self, frames: int, seconds: float) -> None:
        """Learn how long the detector took for a batch of so many frames."""
        self._limit.note(frames, seconds)
        self._worked_seconds += seconds

    def wake(self) -> None:
        """Make the present or next call of `next_batch` return at once; from any thread."""
        with self._ready:
            self._woken = True
            self._ready.notify_all()

    def replace(self, feeds: Iterable[Feed]) -> None:
        """Take frames from these from now on. Those whose slot stays keep their place."""
        with self._ready:
            before = {place.feed.slot: place for place in self._places}
            self._places = []
            for feed in feeds:
                place = _Place(feed, self._present)
                if (known := before.get(feed.slot)) is not None:
                    # At a new rate it is ahead by a frame of that at most.
                    place.position = min(known.position, self._present + place.step)
                    place.served = known.served
                self._places.append(place)

    def _collect(self, held: Collection[FrameSlot]) -> Batch:
        """What is there, in the order of the queue, until the batch is full."""
        batch = Batch([], self._take_still(held))
        limit = self._limit.frames
        self._batches += 1
        first = math.inf
        for rank, _, place in self._queue():
            if place.feed.slot in held:
                place.absent_from = self._worked_seconds
                continue
            if batch.frames and rank > first + AHEAD_FRAMES * place.step:
                continue
            frame = place.feed.slot.take()
            if frame is None:
                soon = self._worked_seconds + ABSENT_FRAMES * place.step
                place.absent_from = min(place.absent_from, soon)
                if self._worked_seconds < place.absent_from:
                    first = min(first, rank)  # its frame comes soon, so the batch is kept short
                continue
            first = min(first, rank)
            place.position = max(place.position, self._present) + place.step
            place.absent_from = math.inf
            place.served = self._batches
            batch.frames.append(frame)
            if len(batch.frames) == limit:
                break
        if batch.frames:
            self._advance()
        return batch

    def _take_still(self, held: Collection[FrameSlot]) -> list[Frame]:
        """The frames that need no detector, whoever's turn it is."""
        still = []
        for place in self._places:
            slot = place.feed.slot
            frame = None if slot in held else slot.peek()
            if frame is not None and not place.feed.needed(frame):
                slot.take()
                still.append(frame)
                place.absent_from = self._worked_seconds
        return still

    def _advance(self) -> None:
        """Go on to the camera that comes next."""
        there = [place for place in self._places if self._worked_seconds < place.absent_from]
        next_one = min(place.position for place in there)
        # So far ahead is a camera that has just had its frame, at most.
        had = 1 + AHEAD_FRAMES + BUSY_FRAMES
        fair = max(place.position - had * place.step for place in there)
        self._present = max(self._present, next_one, fair - BEHIND_SECONDS)

    def _queue(self) -> list[tuple[float, int, _Place]]:
        """The places with their rank, in seconds of video, the first one first."""
        ranked = []
        for place in self._places:
            rank = max(place.position, self._present)
            if place.feed.busy():
                rank -= BUSY_FRAMES * place.step
            ranked.append((rank, place.served, place))
        return sorted(ranked, key=lambda each: each[:2])

    def _forget_the_past(self) -> None:
        """Nobody waits and the detector is free: no camera owes another anything."""
        self._present = max(
            [self._present, *(place.position - place.step for place in self._places)]
        )
        for place in self._places:
            place.position = self._present
