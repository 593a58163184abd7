"""All the watches of one camera."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Self

from streamwatch.config import CameraSettings, WatchSettings
from streamwatch.learning.learnt import Subject
from streamwatch.learning.lessons import Lessons
from streamwatch.records import Detection, EndReason, Event, Finding, Frame, LookRequest, Remembered
from streamwatch.watch.remembered import ends
from streamwatch.watch.watch import REST_SECONDS, Conditions, Watch


@dataclass(frozen=True, slots=True)
class CameraRules:
    """The settings that the watches of a camera apply.

    `confidences` are what each watch needs, by its name, or begins with where it learns that;
    `model_floor` is the confidence from which a weaker sighting keeps a track alive. `zone` is the
    time zone of `active`, None for the system's. `rivals` are the prompts that each watch must
    beat, by its name, and `words` the fingerprints of what each means, as in `Subject`.
    """

    settings: CameraSettings
    watches: Mapping[str, WatchSettings]
    confidences: Mapping[str, float]
    model_floor: float
    zone: tzinfo | None
    rivals: Mapping[str, Collection[str]]
    words: Mapping[str, str] = field(default_factory=dict)


class CameraWatches:
    """Runs the watches of one camera over its frames. Not thread-safe: one thread owns it."""

    def __init__(
        self,
        camera: str,
        rules: CameraRules,
        new_id: Callable[[], str],
        lessons: Lessons | None = None,
    ) -> None:
        """`lessons` keeps what is learnt; without it nothing is."""
        self._camera = camera
        self._timeline = _Timeline()
        self._tracks = _Numbers()
        self._new_id = new_id
        self._lessons = lessons
        self._watches: dict[str, Watch] = {}
        self._found: tuple[Detection, ...] = ()
        """In the last frame that was analysed."""
        self._analysed_seconds = float("-inf")
        self.adopt(rules)

    def adopt(
        self, rules: CameraRules, why_gone: Callable[[str], EndReason] = lambda _: "removed"
    ) -> tuple[Event, ...]:
        """Continue with other rules; returns the `end` of each visit that this ends.

        A watch with the same settings keeps its tracks and visits, even if the camera's settings or
        the model have changed. `why_gone` gives the reason for each watch that no longer exists.
        """
        self._timeline.step_seconds = 1 / rules.settings.fps
        before, self._watches = self._watches, {}
        events: list[Event] = []
        for name, watch in rules.watches.items():
            conditions = Conditions(
                rules.settings,
                rules.model_floor,
                rules.zone,
                rules.rivals[name],
                Subject(self._camera, name, rules.words.get(name, "")),
            )
            confidence = rules.confidences[name]
            kept = before.get(name)
            if kept is not None and kept.is_of(watch, confidence):
                kept.move(conditions)
                self._watches[name] = before.pop(name)
                continue
            self._watches[name] = Watch(
                self._camera,
                name,
                watch,
                confidence,
                conditions,
                self._tracks,
                self._new_id,
                self._lessons,
            )
        for name, gone in before.items():
            events += gone.close("changed" if name in rules.watches else why_gone(name))
        return tuple(events)

    @property
    def floor(self) -> float:
        return min((watch.floor for watch in self._watches.values()), default=1.0)

    def recall(self, visits: Sequence[Remembered]) -> tuple[Event, ...]:
        """Continue visits of the previous run when their things are seen again.

        Call before the first frame. Returns the `end` of each visit that no watch can continue.
        """
        self._tracks.go_on_after(max((visit.last.track for visit in visits), default=0))
        events: list[Event] = []
        for name, watch in self._watches.items():
            events += watch.recall(visit for visit in visits if visit.last.watch == name)
        others = [visit for visit in visits if visit.last.watch not in self._watches]
        return (*events, *ends(others, "restart"))

    def update(self, frame: Frame, detections: Sequence[Detection]) -> tuple[Event, ...]:
        frame = self._timed(frame)
        self._found = tuple(detections)
        self._analysed_seconds = frame.seconds
        sure = [found for watch in self._watches.values() for found in watch.sure(detections)]
        return tuple(
            event
            for watch in self._watches.values()
            for event in watch.update(frame, detections, sure)
        )

    def repeat(self, frame: Frame) -> tuple[Event, ...]:
        frame = self._timed(frame)
        return tuple(
            event
            for watch in self._watches.values()
            for event in watch.update(frame, self._found, repeated=True)
        )

    def may_repeat(self, frame: Frame) -> bool:
        return self._timeline.peek(frame.seconds) - self._analysed_seconds < self._rest_seconds

    @property
    def engaged(self) -> bool:
        return self._rest_seconds < REST_SECONDS

    @property
    def _rest_seconds(self) -> float:
        analysed = self._analysed_seconds
        rests = (watch.rest_seconds(analysed) for watch in self._watches.values())
        return min(rests, default=REST_SECONDS)

    def _timed(self, frame: Frame) -> Frame:
        return replace(frame, seconds=self._timeline.at(frame.seconds))

    def take_looks(self) -> tuple[LookRequest, ...]:
        return tuple(look for watch in self._watches.values() for look in watch.take_looks())

    def answer(self, request: LookRequest, finding: Finding) -> tuple[Event, ...]:
        watch = self._watches.get(request.watch)
        return () if watch is None else tuple(watch.answer(request.visit, finding))

    def open_visits(self) -> tuple[Event, ...]:
        return tuple(e for watch in self._watches.values() for e in watch.open_visits())

    def hand_over(self) -> tuple[Event, ...]:
        visits = self.open_visits()
        self.close("shutdown")
        # All that was told of a visit with the sequence 0 is that it is new.
        return tuple(replace(e, type="new") if e.sequence == 0 else e for e in visits)

    def lost(self, gone_seconds: float) -> tuple[Event, ...]:
        return tuple(e for watch in self._watches.values() for e in watch.lost(gone_seconds))

    def close(self, reason: EndReason) -> tuple[Event, ...]:
        return tuple(e for watch in self._watches.values() for e in watch.close(reason))


class _Numbers:
    """1, 2, 3 and so on."""

    def __init__(self) -> None:
        self._last = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> int:
        self._last += 1
        return self._last

    def go_on_after(self, last: int) -> None:
        """Continue after `last`, if that is higher."""
        self._last = max(self._last, last)


class _Timeline:
    """Keeps the seconds of a camera's frames rising when its source starts counting again.

    A file that is opened again starts at 0, and durations must not wait until it has caught up.
    When time goes back or stands still, `step_seconds` are assumed to have passed.
    """

    def __init__(self) -> None:
        self.step_seconds = 1.0
        self._shift = 0.0
        self._last = float("-inf")

    def at(self, seconds: float) -> float:
        """The time of the next frame, which the source puts at `seconds`."""
        self._shift = self._shift_at(seconds)
        self._last = seconds + self._shift
        return self._last

    def peek(self, seconds: float) -> float:
        """What `at` would return."""
        return seconds + self._shift_at(seconds)

    def _shift_at(self, seconds: float) -> float:
        if seconds + self._shift <= self._last:
            return self._last + self.step_seconds - seconds
        return self._shift
