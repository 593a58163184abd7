"""The watch stage's door: detections of one camera in, events out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streamwatch.records import Detection, EndReason, Event, Frame, Remembered


class Watcher(Protocol):
    """Turns one camera's detections into events. Not thread-safe: one thread owns it."""

    @property
    def floor(self) -> float:
        """The least confidence that is of use."""
        ...

    def update(self, frame: Frame, detections: Sequence[Detection]) -> tuple[Event, ...]:
        """What the detections of `frame` change; frames come in order of `Frame.seconds`."""
        ...

    def recall(self, visits: Sequence[Remembered]) -> tuple[Event, ...]:
        """Before the first frame: go on with these where their things are seen again, and end
        those with which that can't be."""
        ...

    def open_visits(self) -> tuple[Event, ...]:
        """The visits that would go on after a restart now, each as its newest event."""
        ...

    def lost(self, gone_seconds: float) -> tuple[Event, ...]:
        """End what can't be seen any more, the camera having been gone for `gone_seconds`."""
        ...

    def close(self, reason: EndReason) -> tuple[Event, ...]:
        """End everything that is open."""
        ...
