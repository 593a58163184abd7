"""The watch stage's interface: detections of one camera in, events out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streamwatch.records import Detection, EndReason, Event, Finding, Frame, LookRequest, Remembered


class Watcher(Protocol):
    """Turns one camera's detections into events. Not thread-safe: one thread owns it."""

    @property
    def floor(self) -> float:
        """Detections below this confidence are not used."""
        ...

    def update(self, frame: Frame, detections: Sequence[Detection]) -> tuple[Event, ...]:
        """What the detections of `frame` change; frames come in order of `Frame.seconds`."""
        ...

    def repeat(self, frame: Frame) -> tuple[Event, ...]:
        """What `frame` changes, which was not analysed: it shows what the last analysed one did."""
        ...

    @property
    def engaged(self) -> bool:
        """Whether something is there or about to appear."""
        ...

    def may_repeat(self, frame: Frame) -> bool:
        """Whether the next frame need not be analysed, if nothing has moved in it."""
        ...

    def take_looks(self) -> tuple[LookRequest, ...]:
        """The second looks that are due since the last call; each is answered with `answer`."""
        ...

    def answer(self, request: LookRequest, finding: Finding) -> tuple[Event, ...]:
        """What a second look changes; nothing where its watch or its visit is gone."""
        ...

    def hand_over(self) -> tuple[Event, ...]:
        """Forget everything; returns the open visits, to be recalled elsewhere."""
        ...

    def recall(self, visits: Sequence[Remembered]) -> tuple[Event, ...]:
        """Before the first frame: continue these visits when their things are seen again. Returns
        the `end` of those that can't be continued."""
        ...

    def open_visits(self) -> tuple[Event, ...]:
        """The open visits, each as its newest event, to be continued after a restart."""
        ...

    def lost(self, gone_seconds: float) -> tuple[Event, ...]:
        """End visits because the camera has given no frame for `gone_seconds`."""
        ...

    def close(self, reason: EndReason) -> tuple[Event, ...]:
        """End everything that is open."""
        ...
