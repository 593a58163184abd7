"""The watch stage's door: detections of one camera in, events out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streamwatch.records import Detection, EndReason, Event, Frame


class Watcher(Protocol):
    """Turns one camera's detections into events. Not thread-safe: one thread owns it."""

    @property
    def floor(self) -> float:
        """The least confidence that is of use."""
        ...

    def update(self, frame: Frame, detections: Sequence[Detection]) -> tuple[Event, ...]:
        """What the detections of `frame` change; frames come in order of `Frame.seconds`."""
        ...

    def lost(self, gone_seconds: float) -> tuple[Event, ...]:
        """End what can't be seen any more, the camera having been gone for `gone_seconds`."""
        ...

    def close(self, reason: EndReason) -> tuple[Event, ...]:
        """End everything that is open."""
        ...
