"""What one watch on one camera learns of what it finds, and what it tells of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamwatch.geometry import iou
from streamwatch.learning.learnt import NearMiss, Other, Subject, ToldVisit
from streamwatch.learning.lessons import Lessons, Memory
from streamwatch.learning.thresholds import THINGS_PER_STEP, next_threshold, suggested
from streamwatch.records import Detection, Frame, MarkedPicture
from streamwatch.watch.rules import RIVAL_IOU, Reason
from streamwatch.watch.things import SOON_SECONDS, Found, Thing, Things
from streamwatch.watch.visit import Beside, Visit

REPORT_SECONDS = 60.0
"""A thing that does not count is told as a near miss after this time, though it is still there."""
TOGETHER = 0.5
"""Of a visit's frames so many must have the other on the same box, for the two to lie together."""

WhyUntold = Callable[[Visit, int], Reason | None]
"""Why a visit was not told that appeared in at most so many frames; None if it still may be."""


class Learner:
    """Follows what a watch finds, and notes of each thing what came of it. Not thread-safe.

    `start` is the threshold to begin with, and `fixed` says that it is not learnt. `picture` gives
    what is held of something found. Call `move` first.
    """

    def __init__(
        self,
        memory: Memory,
        lessons: Lessons,
        things: Things,
        *,
        start: float,
        fixed: bool,
        why_untold: WhyUntold,
        picture: Callable[[Frame, Detection], MarkedPicture],
    ) -> None:
        self._memory = memory
        self._lessons = lessons
        self._things = things
        self._fixed = fixed
        self._floor = 0.0
        self._why_untold = why_untold
        self._picture = picture
        self._since_step = 0
        """How many things were noted since a step of the threshold was due."""
        self.threshold = start
        """The confidence that things need to count."""

    @property
    def subject(self) -> Subject:
        return self._memory.subject

    def move(self, floor: float, within_seconds: float, fps: float) -> None:
        """Continue with a model of this least threshold, another time of `appear` and pace."""
        self._floor = floor
        self._things.within_seconds = within_seconds
        self._things.soon_seconds = max(SOON_SECONDS, 1.5 / fps)
        learnt = self._memory.learnt.threshold
        if not self._fixed and learnt is not None:
            self.threshold = max(floor, learnt)

    def see(
        self, frame: Frame, found: Sequence[Found], others: Sequence[tuple[str, Detection]]
    ) -> None:
        """Learn of what was found in a frame, and of what `others`, watches by name, found."""

        def picture(each: Found) -> MarkedPicture | None:
            kind = each.reasons[0].kind if each.reasons else "frames"
            sure = each.detection.confidence
            box = each.detection.box
            wanted = self._lessons.wants(self.subject, kind, sure, box, frame.captured_at)
            return self._picture(frame, each.detection) if wanted else None

        self._things.see(frame, found, self.threshold, picture)
        for each in found:
            if each.visit is not None and not each.reasons:
                _note_beside(each.visit, each.detection, others)
        for thing in self._things:
            lasting = frame.seconds - thing.since_seconds >= REPORT_SECONDS
            if lasting and thing.visit is None and not thing.reported:
                self._tell_near_miss(thing)

    def stay(self, seconds: float) -> None:
        """A frame that shows what the last one did."""
        self._things.stay(seconds)

    def settle(self, seconds: float) -> None:
        """Note what came of the things that are gone, once their visits have ended."""
        for thing in self._things.take_gone(seconds):
            self._conclude(thing)

    def conclude(self, *, cut_off: bool = False) -> None:
        """Nothing more will be seen of what is there; where it is `cut_off`, by a change of the
        watch or a stop, nobody knows whether it would have been told."""
        for thing in self._things.take_all():
            if thing.told or not cut_off:
                self._conclude(thing)

    def tell_visit(self, visit: Visit) -> None:
        """A visit was told: as it begins, and as it ends."""
        assert visit.id is not None
        self._lessons.told(
            ToldVisit(
                visit.id,
                self.subject,
                visit.last.track.prompt,
                visit.best_confidence,
                visit.reach,
                visit.started_at,
                None if visit.scrutiny is None else visit.scrutiny.vector,
            )
        )

    def _conclude(self, thing: Thing) -> None:
        visit = thing.visit
        if visit is not None and visit.id is not None:
            if not visit.learnt:
                visit.learnt = True
                if visit.reach > 0:  # else it was told before a restart, and left soon after
                    self._memory.note_visit(visit.reach, _together(visit))
                    self._step_if_due()
            return
        if 0 < thing.reach < self.threshold:
            self._memory.note_weak(thing.reach)
            self._step_if_due()
        if not thing.reported:
            self._tell_near_miss(thing)

    def _tell_near_miss(self, thing: Thing) -> None:
        best = thing.best
        reasons = best.found.reasons
        if thing.visit is not None:
            why = self._why_untold(thing.visit, thing.hits)
            reasons = () if why is None else (why,)
        if not reasons:
            return
        thing.reported = True
        detection = best.found.detection
        self._lessons.near_miss(
            NearMiss(
                self.subject,
                reasons[0].kind,
                "; ".join(reason.text for reason in reasons),
                detection.prompt,
                detection.confidence,
                self.threshold,
                detection.box,
                best.frame_size,
                best.captured_at,
                best.picture,
                thing.reach,
            )
        )

    def _step_if_due(self) -> None:
        self._since_step += 1
        if self._fixed or self._since_step < THINGS_PER_STEP:
            return
        self._since_step = 0
        learnt = self._memory.learnt
        suggestion = suggested(learnt.visits, learnt.weak, self._lessons.votes(self.subject))
        if suggestion is None:
            return
        now = next_threshold(self.threshold, suggestion, self._floor)
        if now == self.threshold:
            return
        before, self.threshold = self.threshold, now
        self._memory.note_threshold(now)
        self._lessons.stepped(self.subject, before, now)


class NoLearner:
    """In its place where nothing is learnt: `threshold` stays as it is."""

    def __init__(self, subject: Subject, threshold: float) -> None:
        self.subject = subject
        self.threshold = threshold

    def move(self, floor: float, within_seconds: float, fps: float) -> None:
        pass

    def see(
        self, frame: Frame, found: Sequence[Found], others: Sequence[tuple[str, Detection]]
    ) -> None:
        pass

    def stay(self, seconds: float) -> None:
        pass

    def settle(self, seconds: float) -> None:
        pass

    def conclude(self, *, cut_off: bool = False) -> None:
        pass

    def tell_visit(self, visit: Visit) -> None:
        pass


def _note_beside(visit: Visit, own: Detection, others: Sequence[tuple[str, Detection]]) -> None:
    visit.frames += 1
    for watch, other in others:
        if iou(own.box, other.box) >= RIVAL_IOU:
            key = Other(own.prompt, watch, other.prompt)
            beside = visit.beside.setdefault(key, Beside())
            beside.frames += 1
            beside.own += own.confidence
            beside.other += other.confidence


def _together(visit: Visit) -> dict[Other, tuple[float, float]]:
    """What lay on a visit's box most of the time, with the mean confidences: its own first."""
    return {
        key: (beside.own / beside.frames, beside.other / beside.frames)
        for key, beside in visit.beside.items()
        if beside.frames >= TOGETHER * visit.frames
    }
