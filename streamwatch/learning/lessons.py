"""The interface between the watches, which learn, and what keeps that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from streamwatch.geometry import Box
from streamwatch.learning.learnt import (
    Learnt,
    NearMiss,
    NearMissKind,
    Other,
    Subject,
    Taught,
    ToldVisit,
    Vote,
)


class Memory:
    """What is learnt of one subject. One thread changes it; `learnt` may be read by any."""

    def __init__(self, subject: Subject, learnt: Learnt | None = None) -> None:
        self.subject = subject
        self.learnt = learnt or Learnt()

    def note_visit(self, reach: float, others: Mapping[Other, tuple[float, float]]) -> None:
        """A visit is over that was told."""
        self.learnt = self.learnt.with_visit(reach, others)

    def note_weak(self, reach: float) -> None:
        """A thing is gone that only the threshold kept from being told."""
        self.learnt = self.learnt.with_weak(reach)

    def note_threshold(self, threshold: float) -> None:
        """The threshold was learnt anew."""
        self.learnt = replace(self.learnt, threshold=threshold)


class Lessons(Protocol):
    """Keeps what is learnt. For any thread; no method blocks."""

    def memory(self, subject: Subject, /) -> Memory:
        """What is known of it: the same object each time."""
        ...

    def votes(self, subject: Subject, /) -> Sequence[Vote]:
        """What was said of its visits."""
        ...

    def taught(self, watch: str, words: str, /) -> Taught:
        """The crops of what was said of a watch's visits on all cameras."""
        ...

    def wants(
        self, subject: Subject, kind: NearMissKind, confidence: float, box: Box, at: datetime, /
    ) -> bool:
        """Whether a near miss would be among the best of its day."""
        ...

    def near_miss(self, miss: NearMiss, /) -> None: ...

    def told(self, visit: ToldVisit, /) -> None:
        """A visit was told; once more when it is over."""
        ...

    def stepped(self, subject: Subject, before: float, now: float, /) -> None:
        """A learnt threshold has changed."""
        ...


class Unkept:
    """Learns while it lives, and keeps nothing: neither near misses nor what anybody says."""

    def __init__(self) -> None:
        self._memories: dict[Subject, Memory] = {}

    def memory(self, subject: Subject, /) -> Memory:
        return self._memories.setdefault(subject, Memory(subject))

    def votes(self, _subject: Subject, /) -> Sequence[Vote]:
        return ()

    def taught(self, _watch: str, _words: str, /) -> Taught:
        return Taught()

    def wants(
        self,
        _subject: Subject,
        _kind: NearMissKind,
        _confidence: float,
        _box: Box,
        _at: datetime,
        /,
    ) -> bool:
        return False

    def near_miss(self, miss: NearMiss, /) -> None:
        pass

    def told(self, visit: ToldVisit, /) -> None:
        pass

    def stepped(self, subject: Subject, before: float, now: float, /) -> None:
        pass
