"""One watch on one camera: from tracks to visits, from visits to events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

from streamwatch.config import CameraSettings, WatchSettings
from streamwatch.geometry import Box
from streamwatch.learning.learnt import Subject
from streamwatch.learning.lessons import Lessons
from streamwatch.records import (
    Detection,
    EndReason,
    Event,
    EventType,
    Finding,
    Frame,
    LookRequest,
    MarkedPicture,
    Remembered,
    Track,
)
from streamwatch.watch import companions, rules
from streamwatch.watch.active_hours import ActiveHours
from streamwatch.watch.companions import Companions
from streamwatch.watch.learner import Learner, NoLearner
from streamwatch.watch.remembered import MEMORY_SECONDS, RememberedVisits, ends
from streamwatch.watch.second_look import Scrutiny, View, is_cut
from streamwatch.watch.things import MOST_FOLLOWED, Found, Things
from streamwatch.watch.tracker import Tracker
from streamwatch.watch.visit import Sighting, Visit

UPDATE_CONFIDENCE = 0.05
"""An `update` is due when confidence is this much above the last published one."""
UPDATE_SECONDS = 1.0
"""The least time between two events of one visit."""
REST_SECONDS = 10.0
"""A frame is analysed at least this often though nothing moves: a thing may have come so slowly
that it was not noticed."""
OPEN_REST_SECONDS = 2.0
"""The same while something is there, so that its end is told soon."""
IN_QUESTION_SECONDS = 5.0
"""Every due frame is analysed while something is about to appear, or was not found in the last one:
for so long at least. A detector misses a thing now and then, and finds it again soon."""
_OVER: tuple[EndReason, ...] = ("left", "lost")
"""Reasons for which a visit ends by itself."""
TRACK_SECONDS = 2.0
"""A track is kept for `leave`, but at least for this: a frame or two at 1 fps."""


def forgotten_seconds(settings: WatchSettings, fps: float) -> float:
    """How long a watch whose camera gives so many frames a second must find nothing, until it makes
    no difference whether it is shown more frames with nothing in them."""
    longest = max(settings.leave.total_seconds(), TRACK_SECONDS, companions.MEMORY_SECONDS)
    return longest + 2 / fps


@dataclass(frozen=True, slots=True)
class Conditions:
    """What may change around a watch without ending its visits.

    `model_floor` is the confidence from which a sighting below the threshold keeps a track alive,
    `zone` the time zone of `active`, None for the system's. A thing that one of the prompts
    `rivals` finds with higher confidence does not count. What is learnt, is learnt of `subject`.
    """

    camera: CameraSettings
    model_floor: float
    zone: tzinfo | None
    rivals: Collection[str]
    subject: Subject


class Watch:
    """The rules of one watch applied to one camera's frames. Not thread-safe.

    `confidence` is what things need to count; where that is learnt, from the beginning.
    `ids` numbers the camera's tracks; `new_id` makes the id of a visit. Without `lessons` nothing
    is learnt.
    """

    def __init__(
        self,
        camera: str,
        name: str,
        settings: WatchSettings,
        confidence: float,
        conditions: Conditions,
        ids: Iterator[int],
        new_id: Callable[[], str],
        lessons: Lessons | None,
    ) -> None:
        self._camera = camera
        self._name = name
        self._settings = settings
        self._start = self._confidence = confidence
        self._prompts = frozenset(settings.prompt)
        self._company = Companions(settings, confidence)
        self._lessons = lessons
        self._visits: dict[int, Visit] = {}
        """By the number of their track, as far as this run knows it."""
        self._learner = self._made_learner(conditions)
        self.move(conditions)
        self._hits = settings.appear.hits
        self._dwell = settings.dwell.total_seconds()
        self._leave = settings.leave.total_seconds()
        self._cooldown = settings.cooldown.total_seconds()
        self._snapshot = settings.snapshot
        self._look = settings.look
        self._new_id = new_id
        self._tracker = Tracker(
            strong=self._may_start,
            keep_seconds=max(self._leave, TRACK_SECONDS),
            ids=ids,
        )
        self._leaving: dict[int, tuple[Visit, EndReason]] = {}
        """Visits that are over while a look decides whether they are told at all."""
        self._looks: list[LookRequest] = []
        self._seconds = float("-inf")
        """Of the newest frame."""
        self._past = RememberedVisits()
        self._quiet_until = float("-inf")

    def is_of(self, settings: WatchSettings, confidence: float) -> bool:
        """Whether these are its settings; its display name may differ."""
        return confidence == self._start and settings == self._settings.model_copy(
            update={"name": settings.name}
        )

    def move(self, conditions: Conditions) -> None:
        """Continue under other conditions."""
        camera = conditions.camera
        self._conditions = conditions
        self._rivals = frozenset(conditions.rivals)
        self._rivals_seen: tuple[Detection, ...] = ()
        self._crop = camera.crop or (0.0, 0.0, 1.0, 1.0)
        self._schedule = ActiveHours(self._settings.active, conditions.zone)
        self._company.change_rate(camera.fps)
        # Frames come every 1/fps with some jitter: half a frame's time more lets the last be late.
        self._within = self._settings.appear.within.total_seconds() + 0.5 / camera.fps
        if conditions.subject != self._learner.subject:
            self._learner.conclude(cut_off=True)
            self._learner = self._made_learner(conditions)
        self._learner.move(conditions.model_floor, self._within, camera.fps)
        self._need(self._learner.threshold)

    def _made_learner(self, conditions: Conditions) -> Learner | NoLearner:
        settings = self._settings
        if self._lessons is None:
            return NoLearner(conditions.subject, self._start)
        return Learner(
            self._lessons.memory(conditions.subject),
            self._lessons,
            Things(max(settings.leave.total_seconds(), TRACK_SECONDS), settings.appear.hits),
            start=self._start,
            fixed=settings.confidence != "auto",
            why_untold=self._why_untold,
            picture=lambda frame, found: MarkedPicture(frame.picture, found.box, ""),
        )

    def _need(self, confidence: float) -> None:
        """Let things count from this confidence on."""
        conditions = self._conditions
        self._confidence = confidence
        least = min(confidence, self._settings.picture_confidence or confidence)
        self.floor = rules.floor(least, conditions.model_floor)
        self._company.need(confidence)
        self._counting = rules.counting(self._settings, conditions.camera, confidence)

    def sure(self, detections: Sequence[Detection]) -> list[tuple[str, Detection]]:
        """Those of the detections that are this watch's and sure enough to count, with its name."""
        return [
            (self._name, found)
            for found in detections
            if found.prompt in self._prompts
            and found.confidence >= self._counting.needed(found.prompt)
        ]

    def update(
        self,
        frame: Frame,
        detections: Sequence[Detection],
        others: Sequence[tuple[str, Detection]] = (),
        *,
        repeated: bool = False,
    ) -> list[Event]:
        """The events that `frame` causes; `detections` may hold other watches' prompts.

        `others` are those that are `sure` for watches of the camera. `repeated` are those of an
        earlier frame, which this one looks like: they are no further hit of `appear`, so that one
        false detection alone never alerts, and nothing is learnt of them.
        """
        if self._learner.threshold != self._confidence:
            self._need(self._learner.threshold)
        self._seconds = frame.seconds
        self._past.pass_time(frame)
        # Weaker ones are there only because another watch of the camera asks for them.
        detections = [found for found in detections if found.confidence >= self.floor]
        self._rivals_seen = tuple(d for d in detections if d.prompt in self._rivals)
        mine = [detection for detection in detections if detection.prompt in self._prompts]
        merged = rules.merge(mine)
        things = self._tracker.update(frame.seconds, frame.size, merged)
        in_sight = [
            detection
            for detection in detections
            if not self._counting.zones.ignores(detection.box, frame.size)
        ]
        in_company = self._company.update(frame.seconds, frame.size, in_sight, things)
        found = []
        for track in things:
            zones, reasons = self._judge(track, frame.size, self._held(track, frame.size))
            if track.id not in in_company:
                reasons = *reasons, rules.Reason("company", self._company.lacking)
            if not reasons:
                self._sight(frame, track, zones, repeated=repeated)
            seen = Detection(track.prompt, track.confidence, track.box)
            found.append(Found(seen, reasons, self._visits.get(track.id)))
        if repeated:
            self._learner.stay(frame.seconds)
        elif self._lessons is not None:
            found += self._untracked(frame, merged, things)
            foreign = [other for other in others if other[0] != self._name]
            self._learner.see(frame, found, foreign)
        events = self._go_on(frame)
        events += (e for visit in self._visits.values() for e in self._due(visit, frame.seconds))
        events += self._end_left(frame.seconds)
        self._learner.settle(frame.seconds)
        return events

    def _judge(
        self, found: Detection | Track, size: tuple[int, int], held: Collection[str] = ()
    ) -> tuple[tuple[str, ...], tuple[rules.Reason, ...]]:
        """The zones it stands in, and why it does not count."""
        zones, reasons = self._counting.judge(found, size, held)
        rival = rules.beaten_by(found, self._rivals_seen)
        if rival is not None:
            by = f'beaten by "{rival.prompt}" ({rival.confidence:.2f})'
            reasons = *reasons, rules.Reason("beaten", by)
        return zones, reasons

    def _untracked(
        self, frame: Frame, merged: Sequence[Detection], things: Sequence[Track]
    ) -> list[Found]:
        """The surest of what begins no track, since it is too weak or beaten."""
        tracked = {track.box for track in things}
        return [
            Found(found, self._judge(found, frame.size)[1], visit=None)
            for found in merged[:MOST_FOLLOWED]
            if found.box not in tracked
        ]

    def _why_untold(self, visit: Visit, hits: int) -> rules.Reason | None:
        """Why no alert has told of a visit, whose thing counted in at most so many frames of those
        that `appear` asks for; None if that is not decided."""
        scrutiny = visit.scrutiny
        if not visit.appeared:
            noun = "frame" if hits == 1 else "frames"
            return rules.Reason("frames", f"seen in {hits} {noun} of {self._hits}")
        if scrutiny is not None and scrutiny.begun:
            if scrutiny.under_way or scrutiny.decided is None:
                return None
            return rules.Reason("look", f"second look: {scrutiny.why}")
        stayed = visit.last.seconds - visit.first_seconds
        if stayed < self._dwell:
            return rules.Reason("dwell", f"there for {stayed:.0f} s of {self._dwell:.0f} s")
        if not self._schedule.active(visit.last.captured_at):
            return rules.Reason("hours", "not in active hours")
        return rules.Reason("cooldown", "in the cooldown after another visit")

    def _may_start(self, detection: Detection) -> bool:
        """Whether a detection of this frame may begin a track."""
        sure = detection.confidence >= self._counting.needed(detection.prompt)
        return sure and not rules.beaten(detection, self._rivals_seen)

    def rest_seconds(self, analysed_seconds: float) -> float:
        """How long after the last analysed frame, at `analysed_seconds`, the next must be, though
        nothing has moved."""
        rests = (self._rest_for(visit, analysed_seconds) for visit in self._visits.values())
        return min(rests, default=REST_SECONDS)

    def _rest_for(self, visit: Visit, analysed_seconds: float) -> float:
        seen_seconds = visit.last.seconds
        in_question = not visit.appeared or seen_seconds < analysed_seconds
        if in_question and self._seconds - seen_seconds <= max(self._within, IN_QUESTION_SECONDS):
            return 0.0
        return OPEN_REST_SECONDS if visit.appeared else REST_SECONDS

    def take_looks(self) -> list[LookRequest]:
        """The second looks that are due since the last call."""
        due, self._looks = self._looks, []
        return due

    def answer(self, number: int, finding: Finding) -> list[Event]:
        """The events that a second look causes which `take_looks` has asked for."""
        if number in self._leaving:
            return self._decide_late(*self._leaving.pop(number), finding)
        visit = self._visits.get(number)
        if visit is None or visit.scrutiny is None:
            return []
        visit.look_is_news |= visit.scrutiny.take(finding, self._seconds)
        if visit.id is not None:
            return []
        return [self._reject(visit)] if visit.rejected else self._new_if_due(visit)

    def _decide_late(self, visit: Visit, reason: EndReason, finding: Finding) -> list[Event]:
        """Tell of a visit that ended before the look at it."""
        assert visit.scrutiny is not None
        visit.scrutiny.take(finding, self._seconds)
        visit.scrutiny.conclude()
        if visit.scrutiny.holds_back:
            return [self._reject(visit)]
        return [self._begin(visit), self._end(visit, reason)] if self._is_due(visit) else []

    def recall(self, visits: Iterable[Remembered]) -> list[Event]:
        """Continue these when their things are seen again; returns the `end` of all others."""
        others = []
        for visit in visits:
            if visit.last.prompt in self._prompts and visit.age_seconds <= MEMORY_SECONDS:
                self._past.add(visit)
            else:
                others.append(visit)
        return ends(others, "restart")

    def open_visits(self) -> list[Event]:
        """The open visits as they are now, to be continued after a restart."""
        now = [
            self._at(visit, visit.last, "update", visit.sequence - 1)
            for visit in self._visits.values()
            if visit.id is not None
        ]
        return now + [visit.last for visit in self._past.visits]

    def lost(self, gone_seconds: float) -> list[Event]:
        """End the open visits if the camera has been gone for longer than `leave`."""
        events = []
        if gone_seconds > self._leave:
            events = self._end_all("lost")
            self._learner.conclude()
        return events + ends(self._past.take_lost(gone_seconds), "restart")

    def close(self, reason: EndReason) -> list[Event]:
        """End the open visits and forget those that have not appeared."""
        self._looks.clear()
        if reason not in _OVER:
            self._leaving.clear()
        events = self._end_all(reason) + ends(self._past.take_all(), reason)
        self._learner.conclude(cut_off=reason not in _OVER)
        return events

    def _held(self, track: Track, size: tuple[int, int]) -> tuple[str, ...]:
        """The zones that a thing is in until it has clearly left them: none before it appeared,
        which may have been before a restart."""
        visit = self._visits.get(track.id)
        if visit is not None and visit.appeared:
            return visit.last.zones
        before = self._past.at(track.box, size)
        return () if before is None else before.last.zones

    def _sight(self, frame: Frame, track: Track, zones: tuple[str, ...], *, repeated: bool) -> None:
        sighting = Sighting(
            track, frame.seconds, frame.captured_at, frame.position, frame.size, zones
        )
        picture = self._picture(frame, track, zones)
        visit = self._visits.get(track.id)
        if visit is None:
            visit = Visit(
                track.id,
                frame.captured_at,
                frame.seconds,
                sighting,
                picture,
                track.confidence,
                scrutiny=None if self._look is None else Scrutiny(self._look),
            )
            self._visits[track.id] = visit
        visit.last = sighting
        if visit.scrutiny is not None:
            cut = is_cut(track.box, self._seen_part(frame.size))
            visit.scrutiny.offer(View(picture, track.confidence, whole=not cut))
        if track.confidence > visit.best_confidence:
            visit.best = picture
            visit.best_confidence = track.confidence
        if not visit.appeared and not repeated:
            visit.hits.append(frame.seconds)
            while frame.seconds - visit.hits[0] > self._within:
                visit.hits.popleft()
            visit.appeared = len(visit.hits) >= self._hits
        if visit.id is not None:
            visit.note_zones()

    def _seen_part(self, size: tuple[int, int]) -> Box:
        """The part of the frame that the detector sees, in pixels."""
        x1, y1, x2, y2 = self._crop
        width, height = size
        return x1 * width, y1 * height, x2 * width, y2 * height

    def _picture(self, frame: Frame, track: Track, zones: Collection[str]) -> MarkedPicture:
        label = f"{track.prompt} {track.confidence:.0%}"
        return MarkedPicture(frame.picture, track.box, label, self._counting.deciding(zones))

    def _due(self, visit: Visit, now: float) -> list[Event]:
        """`new` or `update`, if one is due at `now`, whether seen in this frame or not."""
        if visit.id is None:
            return self._new_if_due(visit)
        self._look_again(visit)
        better = visit.best_confidence - visit.published_confidence >= UPDATE_CONFIDENCE
        news = better or visit.changes or visit.look_is_news
        if not news or now - visit.published_at < UPDATE_SECONDS:
            return []
        sighting = visit.changes.popleft() if visit.changes else visit.last
        visit.published_at = now
        return [self._event(visit, "update", sighting, with_picture=better)]

    def _new_if_due(self, visit: Visit) -> list[Event]:
        if visit.rejected or not self._is_due(visit):
            return []
        self._look_again(visit)
        if visit.scrutiny is not None and visit.scrutiny.holds_back:
            return []
        return [self._begin(visit)]

    def _is_due(self, visit: Visit) -> bool:
        now = visit.last.seconds
        stayed = now - visit.first_seconds >= self._dwell
        if not (visit.appeared and stayed and now >= self._quiet_until):
            return False
        return self._schedule.active(visit.last.captured_at)

    def _look_again(self, visit: Visit) -> None:
        """Ask for a second look if one is due."""
        if visit.scrutiny is None:
            return
        seen = visit.scrutiny.next_look(self._seconds)
        if seen is not None:
            number = visit.last.track.id
            self._looks.append(
                LookRequest(self._camera, self._name, number, seen.picture, seen.box)
            )

    def _begin(self, visit: Visit) -> Event:
        visit.id = self._new_id()
        visit.published_at = visit.last.seconds
        self._learner.tell_visit(visit)
        return self._event(visit, "new", visit.last, with_picture=True)

    def _go_on(self, frame: Frame) -> list[Event]:
        """Continue visits of the previous run whose things count in `frame`, in the same place.

        They were published already, so `appear`, `dwell`, `cooldown` and `active` don't apply.
        """
        untold = {
            number: visit.last.track.box
            for number, visit in self._visits.items()
            if visit.id is None and visit.last.seconds == frame.seconds
        }
        return [
            self._resume(self._visits[number], before.last)
            if before.open
            else self._continue(self._visits[number], before.last)
            for number, before in self._past.take_matches(untold, frame.size)
        ]

    def _resume(self, visit: Visit, before: Event) -> Event:
        """Continue a visit that a crash left open, under the same id."""
        better = visit.best_confidence > before.best_confidence
        visit.id, visit.continues = before.id, before.continues
        visit.track, visit.started_at = before.track, before.started_at
        visit.sequence = before.sequence + 1
        visit.best_confidence = max(visit.best_confidence, before.best_confidence)
        visit.appeared = True
        visit.scrutiny, visit.earlier_look = None, before.second_look
        visit.published_at = visit.last.seconds
        return self._event(visit, "update", visit.last, with_picture=better)

    def _continue(self, visit: Visit, before: Event) -> Event:
        """Begin a visit that continues one that a clean stop ended."""
        visit.continues = before.id
        visit.appeared = True
        visit.scrutiny, visit.earlier_look = None, before.second_look
        return self._begin(visit)

    def _end_left(self, seconds: float) -> list[Event]:
        left = [
            number
            for number, visit in self._visits.items()
            if seconds - visit.last.seconds >= self._leave and visit.last.seconds < seconds
        ]
        events = [
            event for number in left for event in self._conclude(self._visits.pop(number), "left")
        ]
        missed = self._past.take_gone(self._leave)
        for visit in missed:
            self._keep_quiet(seconds - visit.age_seconds)
        return events + ends(missed, "restart")

    def _end_all(self, reason: EndReason) -> list[Event]:
        events = [e for visit in self._visits.values() for e in self._conclude(visit, reason)]
        self._visits.clear()
        return events

    def _conclude(self, visit: Visit, reason: EndReason) -> list[Event]:
        """The `end` of a visit, or that it was rejected, if it was held back until now."""
        scrutiny = visit.scrutiny
        if visit.id is not None:
            if scrutiny is not None:
                scrutiny.conclude()
            return [self._end(visit, reason)]
        if scrutiny is None or not scrutiny.begun or scrutiny.decided is not None:
            return []
        if reason not in _OVER:
            return []
        if scrutiny.under_way:
            self._leaving[visit.last.track.id] = visit, reason
            return []
        scrutiny.conclude()
        return [self._reject(visit)]

    def _reject(self, visit: Visit) -> Event:
        """Tell that a visit was held back."""
        return replace(
            self._at(visit, visit.last, "rejected", 0),
            picture=visit.best if self._snapshot else None,
        )

    def _end(self, visit: Visit, reason: EndReason) -> Event:
        self._keep_quiet(visit.last.seconds)
        self._learner.tell_visit(visit)
        return self._event(visit, "end", visit.last, reason=reason)

    def _keep_quiet(self, ended_seconds: float) -> None:
        self._quiet_until = max(self._quiet_until, ended_seconds + self._cooldown)

    def _event(
        self,
        visit: Visit,
        kind: EventType,
        sighting: Sighting,
        *,
        with_picture: bool = False,
        reason: EndReason | None = None,
    ) -> Event:
        """The visit as it was at `sighting`, with the next sequence number; notes what is
        published."""
        event = replace(
            self._at(visit, sighting, kind, visit.sequence),
            reason=reason,
            picture=visit.best if with_picture and self._snapshot else None,
        )
        visit.sequence += 1
        visit.published_confidence = visit.best_confidence
        visit.published_zones = frozenset(sighting.zones)
        visit.look_is_news = False
        return event

    def _at(self, visit: Visit, sighting: Sighting, kind: EventType, sequence: int) -> Event:
        """The visit as it was at `sighting`."""
        return Event(
            id=visit.id or self._new_id(),
            type=kind,
            camera=self._camera,
            watch=self._name,
            prompt=sighting.track.prompt,
            track=visit.track,
            confidence=sighting.track.confidence,
            best_confidence=visit.best_confidence,
            box=sighting.track.box,
            frame_size=sighting.size,
            zones=sighting.zones,
            captured_at=sighting.captured_at,
            started_at=visit.started_at,
            ended_at=sighting.captured_at if kind == "end" else None,
            position=sighting.position,
            sequence=sequence,
            reason=None,
            snapshot=self._snapshot,
            continues=visit.continues,
            second_look=visit.second_look,
        )
