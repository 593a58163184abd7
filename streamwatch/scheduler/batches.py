"""Which frames go to the detector together: the newest of every camera that has one."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from typing import Protocol

from streamwatch.records import Frame

BATCH_LIMIT = 8
"""Most frames in a batch, so that no camera waits long."""


class FrameSlot(Protocol):
    """Where a camera leaves its newest frame."""

    def take(self) -> Frame | None:
        """The newest frame not taken yet, if there is one; never blocks."""
        ...


class Scheduler:
    """Forms batches from the cameras' slots. One thread calls `next_batch`.

    `ready` is the condition that every slot notifies when it is filled or closed.
    """

    def __init__(self, slots: Iterable[FrameSlot], ready: threading.Condition) -> None:
        self._slots = list(slots)
        self._ready = ready
        self._start = 0
        self._woken = False

    def next_batch(self, timeout: float, held: Collection[FrameSlot] = ()) -> list[Frame]:
        """At most one frame per camera, cameras taking turns; empty if none came within `timeout`
        s. From the `held` slots nothing is taken."""
        with self._ready:
            batch = self._collect(held)
            if not batch and not self._woken:
                self._ready.wait(timeout)
                batch = self._collect(held)
            self._woken = False
            return batch

    def wake(self) -> None:
        """Make the present or next call of `next_batch` return at once; from any thread."""
        with self._ready:
            self._woken = True
            self._ready.notify_all()

    def replace_slots(self, slots: Iterable[FrameSlot]) -> None:
        """Take frames from these slots from now on. For the thread that calls `next_batch`."""
        with self._ready:
            self._slots = list(slots)
            self._start = 0

    def _collect(self, held: Collection[FrameSlot]) -> list[Frame]:
        """One frame per camera, starting after the last batch's last, so that all wait equally."""
        batch: list[Frame] = []
        count = len(self._slots)
        for offset in range(count):
            number = (self._start + offset) % count
            slot = self._slots[number]
            frame = None if slot in held else slot.take()
            if frame is not None:
                batch.append(frame)
                if len(batch) == BATCH_LIMIT:
                    self._start = (number + 1) % count
                    break
        return batch
