"""What a trial has seen of one watch: how sure the detector was, what was told at each threshold,
and what was not."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from streamwatch.geometry import Box
from streamwatch.learning.learnt import BINS, Learnt, NearMiss, NearMissKind, Subject, bin_of
from streamwatch.learning.lessons import Unkept
from streamwatch.pictures.drawing import NOT_DRAWN, cut_out, jpeg
from streamwatch.records import Event, MarkedPicture

THUMBNAIL_QUALITY = 80
THUMBNAIL_PX = 160
"""The longer side."""
MOST_THUMBNAILS = 300
"""Of alerts, per watch: about 2 MB."""
MOST_NEAR_MISSES = 30
"""Kept of each watch, the surest."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One that a watch has sent, or would have with another threshold.

    `footage` is the name of what it was seen in, `position` its seconds there; None of a live
    camera. The box is in pixels of a frame of `frame_size`.
    """

    footage: str
    position: float | None
    captured_at: datetime
    prompt: str
    confidence: float
    box: Box
    frame_size: tuple[int, int]
    zones: tuple[str, ...]


@dataclass(slots=True)
class Visit:
    """An alert at the watch's own threshold, and what became of it."""

    alert: Alert
    best_confidence: float
    ended_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Miss:
    """A near miss, with its thumbnail as JPEG; None without one."""

    footage: str
    position: float | None
    kind: NearMissKind
    reason: str
    prompt: str
    confidence: float
    needed: float
    box: Box
    frame_size: tuple[int, int]
    captured_at: datetime
    thumbnail: bytes | None = field(repr=False)


@dataclass(slots=True, eq=False)
class Seen:
    """Of one watch.

    `needed` is its own threshold; `histograms` are by prompt, of every detection from the lowest
    threshold's floor on; `counting` is how many were as sure as needed. `beaten` counts, by prompt
    that is surer of the same box, the detections that were. `alerts` are those that each threshold
    would have sent, in order.
    """

    needed: float
    thresholds: tuple[float, ...]
    histograms: dict[str, list[int]]
    counting: Counter[str] = field(default_factory=Counter)
    surest: dict[str, float] = field(default_factory=dict)
    beaten: Counter[str] = field(default_factory=Counter)
    visits: list[Visit] = field(default_factory=list)
    held_back: int = 0
    alerts: dict[float, list[Alert]] = field(default_factory=dict)
    thumbnails: dict[Alert, bytes] = field(default_factory=dict)
    misses: list[Miss] = field(default_factory=list)

    @classmethod
    def of(cls, prompts: Sequence[str], needed: float, thresholds: tuple[float, ...]) -> Seen:
        return cls(
            needed,
            thresholds,
            {prompt: [0] * BINS for prompt in prompts},
            alerts={threshold: [] for threshold in thresholds},
        )

    def note(self, prompt: str, confidence: float) -> None:
        """A detection."""
        self.histograms[prompt][bin_of(confidence)] += 1
        self.counting[prompt] += confidence >= self.needed
        self.surest[prompt] = max(confidence, self.surest.get(prompt, 0.0))

    def told(self, threshold: float, alert: Alert, picture: MarkedPicture | None) -> None:
        """An alert at one of the thresholds."""
        self.alerts[threshold].append(alert)
        if alert in self.thumbnails or len(self.thumbnails) >= MOST_THUMBNAILS:
            return
        made = thumbnail(picture)
        if made is not None:
            self.thumbnails[alert] = made


def alert_of(event: Event, footage: str) -> Alert:
    return Alert(
        footage,
        event.position,
        event.captured_at,
        event.prompt,
        event.confidence,
        event.box,
        event.frame_size,
        event.zones,
    )


def thumbnail(picture: MarkedPicture | None) -> bytes | None:
    """The thing as a small JPEG; None where there is no picture, or none that can be made."""
    if picture is None:
        return None
    try:
        crop = cut_out(picture).picture
        share = min(1.0, THUMBNAIL_PX / max(crop.size))
        small = crop.bgr((max(1, round(crop.size[0] * share)), max(1, round(crop.size[1] * share))))
        return jpeg(small, THUMBNAIL_QUALITY)
    except NOT_DRAWN:
        return None


class NearMisses(Unkept):
    """Collects what was found and not told; the surest of each watch."""

    def __init__(self) -> None:
        super().__init__()
        self._footage = ""
        self._began: datetime | None = None
        self._best: dict[str, list[tuple[float, int, Miss]]] = {}
        """By watch, a heap of the surest."""
        self._count = 0

    @property
    def learnt(self) -> dict[Subject, Learnt]:
        return {subject: memory.learnt for subject, memory in self._memories.items()}

    def look_at(self, footage: str, began: datetime | None) -> None:
        """What is looked at from now on, and when its position was 0; None of a live camera."""
        self._footage, self._began = footage, began

    def wants(
        self,
        subject: Subject,
        _kind: NearMissKind,
        confidence: float,
        _box: Box,
        _at: datetime,
        /,
    ) -> bool:
        kept = self._best.get(subject.watch, [])
        return len(kept) < MOST_NEAR_MISSES or confidence > kept[0][0]

    def near_miss(self, miss: NearMiss, /) -> None:
        kept = self._best.setdefault(miss.subject.watch, [])
        if len(kept) >= MOST_NEAR_MISSES and miss.confidence <= kept[0][0]:
            return
        self._count += 1
        noted = Miss(
            self._footage,
            self._position(miss.captured_at),
            miss.kind,
            miss.reason,
            miss.prompt,
            miss.confidence,
            miss.needed,
            miss.box,
            miss.frame_size,
            miss.captured_at,
            thumbnail(miss.picture),
        )
        heapq.heappush(kept, (miss.confidence, self._count, noted))
        if len(kept) > MOST_NEAR_MISSES:
            heapq.heappop(kept)

    def _position(self, at: datetime) -> float | None:
        return None if self._began is None else (at - self._began).total_seconds()

    def of(self, watch: str) -> list[Miss]:
        """The surest first."""
        kept: Iterable[tuple[float, int, Miss]] = self._best.get(watch, ())
        return [miss for _, _, miss in sorted(kept, reverse=True, key=lambda row: row[:2])]
