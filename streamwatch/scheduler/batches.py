"""Which frames go to the detector together, and whose turn it is when there are too many.

Fair queueing: each camera has a position, which advances by 1 / `fps` with each of its frames that
is analysed, and the camera that is least far comes first. So at overload all cameras get the same
share of the frames that are due: a camera at 5 fps five times as many as one at 1 fps. Positions
are in seconds of video.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from streamwatch.records import Frame
from streamwatch.scheduler.limit import BatchLimit

BUSY_FRAMES = 0.5
"""A busy camera's place in the queue is better by so much of the time between two of its frames: it
comes before cameras that are about as far, and never gets more than they for long."""
BEHIND_FRAMES = 1.0
"""A camera that gave no frames, or none that were needed, is at most so many behind when it gives
some again, so it can't make up for that time at the others' expense. With less, a camera would lose
its turn when that comes a moment before its frame."""
AHEAD_FRAMES = 1.5
"""A camera that is further ahead than this of the one that comes first waits, even if the batch has
room, since other cameras would pay for it: one frame it has just got, and a half for rounding."""


class FrameSlot(Protocol):
    """Where a camera leaves its newest frame."""

    def take(self) -> Frame | None:
        """The newest frame not taken yet, if there is one; never blocks."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """A camera's frames, and what decides when it is their turn.

    A frame is due `fps` times a second. `busy` says whether an event is open there or something
    moves. `needed` is asked once for each frame that is taken, in order, and says whether it is to
    be analysed. Both are called in the thread that calls `next_batch`, while no slot can be filled,
    so they should take a millisecond at most.
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
        """How far the camera is that came first in the latest batch."""
        self._batches = 0
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
                    place.position, place.served = known.position, known.served
                self._places.append(place)

    def _collect(self, held: Collection[FrameSlot]) -> Batch:
        """What is there, in the order of the queue, until the batch is full."""
        batch = Batch([], [])
        limit = self._limit.frames
        self._batches += 1
        for rank, _, place in self._queue():
            if place.feed.slot in held:
                continue
            if batch.frames and rank > self._present + AHEAD_FRAMES * place.step:
                continue
            frame = place.feed.slot.take()
            if frame is None:
                continue
            if not place.feed.needed(frame):
                batch.still.append(frame)
                continue
            if not batch.frames:
                self._present = max(self._present, rank)
            place.position = self._start(place) + place.step
            place.served = self._batches
            batch.frames.append(frame)
            if len(batch.frames) == limit:
                break
        return batch

    def _queue(self) -> list[tuple[float, int, _Place]]:
        """The places with their rank, in seconds of video, the first one first."""
        ranked = []
        for place in self._places:
            rank = self._start(place)
            if place.feed.busy():
                rank -= BUSY_FRAMES * place.step
            ranked.append((rank, place.served, place))
        return sorted(ranked, key=lambda each: each[:2])

    def _start(self, place: _Place) -> float:
        """Where the place is in the queue if nothing is better for it."""
        return max(place.position, self._present - BEHIND_FRAMES * place.step)

    def _forget_the_past(self) -> None:
        """Nobody waits and the detector is free: no camera owes another anything."""
        self._present = max(
            [self._present, *(place.position - place.step for place in self._places)]
        )
        for place in self._places:
            place.position = self._present
