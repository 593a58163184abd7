"""Scenes told as positions over time, and the events that a camera's watches make of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.sections.watch import WatchSettings
from streamwatch.geometry import Box
from streamwatch.learning.learnt import Learnt, NearMiss, Subject, ToldVisit
from streamwatch.learning.lessons import Lessons, Unkept
from streamwatch.pixels import Pixels
from streamwatch.records import Detection, Event, Frame
from streamwatch.watch.camera import CameraRules, CameraWatches

START = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
SIZE = (640, 360)
IMAGE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)

Seen = Callable[[float], Sequence[Detection]]
"""What is detected at a time in seconds."""


def frame(seconds: float, size: tuple[int, int] = SIZE) -> Frame:
    image = IMAGE if size == SIZE else np.zeros((size[1], size[0], 3), np.uint8)
    return Frame("porch", 0, START + timedelta(seconds=seconds), seconds, None, Pixels(image))


def person(
    x: float, y: float = 200, confidence: float = 0.8, prompt: str = "person", height: float = 80
) -> Detection:
    """A box 0.4 as wide as high, standing with its foot at (x, y)."""
    half = height * 0.2
    box: Box = (x - half, y - height, x + half, y)
    return Detection(prompt, confidence, box)


def camera_rules(
    watches: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    model_floor: float = 0.1,
    zone: str = "UTC",
    **camera: Any,
) -> CameraRules:
    """Watches by name, one for `person` by default, as the configuration would give them.

    The thresholds are toybox's where none is told; `zone` is the time zone of `active`.
    """
    settings = {
        name: WatchSettings.model_validate({"prompt": ["person"], **keys})
        for name, keys in (watches or {"people": {}}).items()
    }
    return CameraRules(
        CameraSettings.model_validate({"url": "/dev/video0", "fps": 5, **camera}),
        settings,
        {name: _confidence(watch) for name, watch in settings.items()},
        model_floor,
        ZoneInfo(zone),
        {name: watch.not_ for name, watch in settings.items()},
    )


def _confidence(watch: WatchSettings) -> float:
    """toybox's, where it has none or learns its own."""
    return watch.confidence if isinstance(watch.confidence, float) else 0.3


def camera_watches(
    watches: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    life: int = 1,
    lessons: Lessons | None = None,
    **rules: Any,
) -> CameraWatches:
    """The watches of `camera_rules`; the visits are numbered, apart in each `life` of a daemon."""
    name = "visit" if life == 1 else f"life-{life}-visit"
    ids = (f"{name}-{number}" for number in itertools.count(1))
    return CameraWatches("porch", camera_rules(watches, **rules), lambda: next(ids), lessons)


class Notes(Unkept):
    """What the watches tell of what they learn. It wants every near miss."""

    def __init__(self) -> None:
        super().__init__()
        self.misses: list[NearMiss] = []
        self.visits: list[ToldVisit] = []
        self.steps: list[tuple[float, float]] = []

    @property
    def learnt(self) -> dict[str, Learnt]:
        """By watch."""
        return {subject.watch: memory.learnt for subject, memory in self._memories.items()}

    @property
    def reasons(self) -> list[tuple[str, str]]:
        return [(miss.kind, miss.reason) for miss in self.misses]

    def wants(self, *_: object) -> bool:
        return True

    def near_miss(self, miss: NearMiss, /) -> None:
        self.misses.append(miss)

    def told(self, visit: ToldVisit, /) -> None:
        self.visits.append(visit)

    def stepped(self, _subject: Subject, before: float, now: float, /) -> None:
        self.steps.append((before, now))


def play(watches: CameraWatches, seen: Seen, until: float, fps: float = 5) -> list[Event]:
    """The events of a scene from 0 s to `until`."""
    count = round(until * fps) + 1
    return [
        event
        for number in range(count)
        for event in watches.update(frame(number / fps), seen(number / fps))
    ]


def told(events: Sequence[Event]) -> list[tuple[str, str]]:
    """The events in short: (type, id)."""
    return [(event.type, event.id) for event in events]
