"""One watch on one camera: from tracks to visits, from visits to events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from streamwatch.config.models import CameraSettings, WatchSettings
from streamwatch.records import (
    Detection,
    EndReason,
    Event,
    EventType,
    Frame,
    Picture,
    Track,
)
from streamwatch.watch import rules
from streamwatch.watch.tracker import Tracker

UPDATE_CONFIDENCE = 0.05
"""How much better a sighting must be than what was told last."""
UPDATE_SECONDS = 1.0
"""The shortest time between two events of one visit."""
TRACK_SECONDS = 2.0
"""A track is kept for `leave`, and for this at the least: a frame or two at 1 fps."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A frame in which the thing counted."""

    track: Track
    seconds: float
    captured_at: datetime
    position: float | None
    size: tuple[int, int]
    zones: tuple[str, ...]


@dataclass(slots=True)
class _Visit:
    """One thing's stay, from its first counting frame on; `id` once it has been told."""

    first: _Sighting
    last: _Sighting
    best: Picture
    best_confidence: float
    hits: deque[float] = field(default_factory=deque)
    appeared: bool = False
    id: str | None = None
    sequence: int = 0
    told_at: float = 0.0
    told_confidence: float = 0.0
    told_zones: frozenset[str] = frozenset()


class Watch:
    """The rules of one watch applied to one camera's frames. Not thread-safe.

    `ids` numbers the camera's tracks; `new_id` makes the identity of a visit. What one of `rivals`,
    prompts too, beats does not count, and only keeps a track alive.
    """

    def __init__(
        self,
        camera: str,
        name: str,
        settings: WatchSettings,
        camera_settings: CameraSettings,
        confidence: float,
        ids: Iterator[int],
        new_id: Callable[[], str],
        rivals: Collection[str],
    ) -> None:
        self._camera = camera
        self._name = name
        self._settings = settings
        self._confidence = confidence
        self._prompts = frozenset(settings.prompt)
        self.move(camera_settings, rivals)
        self.floor = rules.floor(confidence)
        self._hits = settings.appear.hits
        self._dwell = settings.dwell.total_seconds()
        self._leave = settings.leave.total_seconds()
        self._cooldown = settings.cooldown.total_seconds()
        self._snapshot = settings.snapshot
        self._new_id = new_id
        self._tracker = Tracker(
            strong=self._may_start,
            keep_seconds=max(self._leave, TRACK_SECONDS),
            ids=ids,
        )
        self._visits: dict[int, _Visit] = {}
        self._quiet_until = float("-inf")

    def is_of(self, settings: WatchSettings, confidence: float) -> bool:
        """Whether these are its settings, but for the name that people call it."""
        return confidence == self._confidence and settings == self._settings.model_copy(
            update={"name": settings.name}
        )

    def move(self, camera: CameraSettings, rivals: Collection[str]) -> None:
        """Go on with other settings of the camera (zones, what it ignores, rate) and `rivals`."""
        self._rivals = frozenset(rivals)
        self._rivals_seen: tuple[Detection, ...] = ()
        self._counting = rules.Counting(
            self._confidence,
            (self._settings.min_area, self._settings.max_area),
            None if self._settings.zones is None else frozenset(self._settings.zones),
            rules.Place(camera.zones, camera.ignore),
        )
        # Frames are due every 1/fps, give or take: half of that more lets the last one be late.
        self._within = self._settings.appear.within.total_seconds() + 0.5 / camera.fps

    def update(self, frame: Frame, detections: Sequence[Detection]) -> list[Event]:
        """The events that `frame` causes; `detections` may hold other watches' prompts."""
        self._rivals_seen = tuple(d for d in detections if d.prompt in self._rivals)
        mine = [
            detection
            for detection in detections
            if detection.prompt in self._prompts and detection.confidence >= self.floor
        ]
        events: list[Event] = []
        for track in self._tracker.update(frame.seconds, rules.merge(mine)):
            if rules.beaten(track, self._rivals_seen):
                continue
            zones = self._counting.zones_if_counts(track, frame.size)
            if zones is not None:
                visit = self._sight(frame, track, zones)
                events += self._tell(visit)
        events += self._end_left(frame.seconds)
        return events

    def _may_start(self, detection: Detection) -> bool:
        """Whether a detection of this frame may begin a track."""
        sure = detection.confidence >= self._confidence
        return sure and not rules.beaten(detection, self._rivals_seen)

    def lost(self, gone_seconds: float) -> list[Event]:
        """End the open visits if the camera has been gone for longer than `leave`."""
        return self.close("lost") if gone_seconds > self._leave else []

    def close(self, reason: EndReason) -> list[Event]:
        """End the open visits and forget the others."""
        events = [self._end(visit, reason) for visit in self._visits.values() if visit.id]
        self._visits.clear()
        return events

    def _sight(self, frame: Frame, track: Track, zones: tuple[str, ...]) -> _Visit:
        sighting = _Sighting(
            track, frame.seconds, frame.captured_at, frame.position, frame.size, zones
        )
        visit = self._visits.get(track.id)
        if visit is None:
            visit = _Visit(sighting, sighting, _picture(frame, track), track.confidence)
            self._visits[track.id] = visit
        visit.last = sighting
        if track.confidence > visit.best_confidence:
            visit.best, visit.best_confidence = _picture(frame, track), track.confidence
        if not visit.appeared:
            visit.hits.append(frame.seconds)
            while frame.seconds - visit.hits[0] > self._within:
                visit.hits.popleft()
            visit.appeared = len(visit.hits) >= self._hits
        return visit

    def _tell(self, visit: _Visit) -> list[Event]:
        """`new` or `update`, where the visit's last sighting calls for one."""
        now = visit.last.seconds
        if visit.id is None:
            stayed = now - visit.first.seconds >= self._dwell
            if not (visit.appeared and stayed and now >= self._quiet_until):
                return []
            visit.id = self._new_id()
            return [self._event(visit, "new", with_picture=True)]
        better = visit.best_confidence - visit.told_confidence >= UPDATE_CONFIDENCE
        moved = frozenset(visit.last.zones) != visit.told_zones
        if (better or moved) and now - visit.told_at >= UPDATE_SECONDS:
            return [self._event(visit, "update", with_picture=better)]
        return []

    def _end_left(self, seconds: float) -> list[Event]:
        left = [
            number
            for number, visit in self._visits.items()
            if seconds - visit.last.seconds >= self._leave and visit.last.seconds < seconds
        ]
        gone = [self._visits.pop(number) for number in left]
        return [self._end(visit, "left") for visit in gone if visit.id]

    def _end(self, visit: _Visit, reason: EndReason) -> Event:
        self._quiet_until = max(self._quiet_until, visit.last.seconds + self._cooldown)
        return self._event(visit, "end", reason=reason)

    def _event(
        self,
        visit: _Visit,
        kind: EventType,
        *,
        with_picture: bool = False,
        reason: EndReason | None = None,
    ) -> Event:
        """The visit as it stands, numbered; remembers what was told."""
        assert visit.id is not None
        sighting = visit.last
        event = Event(
            id=visit.id,
            type=kind,
            camera=self._camera,
            watch=self._name,
            prompt=sighting.track.prompt,
            track=sighting.track.id,
            confidence=sighting.track.confidence,
            best_confidence=visit.best_confidence,
            box=sighting.track.box,
            frame_size=sighting.size,
            zones=sighting.zones,
            captured_at=sighting.captured_at,
            started_at=visit.first.captured_at,
            ended_at=sighting.captured_at if kind == "end" else None,
            position=sighting.position,
            sequence=visit.sequence,
            reason=reason,
            snapshot=self._snapshot,
            picture=visit.best if with_picture and self._snapshot else None,
        )
        visit.sequence += 1
        visit.told_at = sighting.seconds
        visit.told_confidence = visit.best_confidence
        visit.told_zones = frozenset(sighting.zones)
        return event


def _picture(frame: Frame, track: Track) -> Picture:
    return Picture(frame.image, track.box, f"{track.prompt} {track.confidence:.0%}")
