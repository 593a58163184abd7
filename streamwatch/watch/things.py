"""Follows whatever a watch finds, told or not, to learn from it: how sure it gets, and why it was
not told."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import hypot

from streamwatch.geometry import Box, center, iou
from streamwatch.pictures.drawing import NOT_DRAWN, cut_out
from streamwatch.records import Detection, Frame, MarkedPicture
from streamwatch.watch.rules import Reason
from streamwatch.watch.visit import Visit

MOST_FOLLOWED = 8
"""At once, the surest: a low threshold finds a lot of noise."""
MOST_PICTURES = 2
"""Of a watch's things so many hold a picture of where they were seen best, the surest ones."""
STAYED_IOU = 0.7
"""What is found is the same thing as before if their boxes overlap so much: it has stayed."""
FORGOTTEN_SECONDS = 600.0
"""After so long without any frame, nothing is the same thing as before."""
SAME_IOU = 0.3
REACH_DIAGONALS = 0.75
"""Soon after, it is so too if they overlap so much, or if it is so many of the box's diagonals
away. Coarser than the tracker, which decides what is told."""
SOON_SECONDS = 1.0
"""A frame's time and a half, if that is longer."""


@dataclass(frozen=True, slots=True)
class Found:
    """Something found in a frame, and why it does not count. `visit` is the one it belongs to."""

    detection: Detection
    reasons: tuple[Reason, ...]
    visit: Visit | None

    @property
    def would_count(self) -> bool:
        """Whether it counts, or only its confidence is in the way."""
        return all(reason.kind == "below" for reason in self.reasons)


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A thing in the frame in which it was surest; its picture is None where that is not held.

    It is the whole frame, which takes some MB, until the thing is seen less surely (`whole`); then
    the crop alone.
    """

    found: Found
    frame_size: tuple[int, int]
    captured_at: datetime
    picture: MarkedPicture | None
    whole: bool = True

    def settled(self) -> Sight:
        """With the crop alone; without a picture where that can't be made."""
        if self.picture is None or not self.whole:
            return self
        try:
            crop = cut_out(self.picture)
        except NOT_DRAWN:
            crop = None
        return replace(self, picture=crop, whole=False)


@dataclass(slots=True, eq=False)
class Thing:
    """Something that was found in one frame or in many.

    `hits` is the most frames that counted within the time of `appear`. `reach` is the greatest
    confidence at which it would have appeared: it was that sure in as many frames as that asks for.
    """

    box: Box
    seen_seconds: float
    best: Sight
    since_seconds: float
    reported: bool = False
    reach: float = 0.0
    hits: int = 0
    visit: Visit | None = None
    _recent: deque[tuple[float, float]] = field(default_factory=deque)
    """Seconds and confidence of each frame in which it would count."""

    @property
    def confidence(self) -> float:
        return self.best.found.detection.confidence

    @property
    def told(self) -> bool:
        return self.visit is not None and self.visit.id is not None

    def likeness(self, found: Found, soon: bool) -> float:
        """How well what was found fits: above 0 where it may be the same thing."""
        if self.visit is not None and found.visit is not None:
            return 2.0 if self.visit is found.visit else 0.0
        box = found.detection.box
        overlap = iou(self.box, box)
        if overlap >= (SAME_IOU if soon else STAYED_IOU):
            return 1.0 + overlap
        if not soon:
            return 0.0
        x1, y1, x2, y2 = self.box
        reach = REACH_DIAGONALS * hypot(x2 - x1, y2 - y1)
        (x, y), (a, b) = center(self.box), center(box)
        return max(0.0, 1.0 - hypot(x - a, y - b) / reach) if reach else 0.0

    def note(
        self, seconds: float, found: Found, threshold: float, within: float, hits: int
    ) -> None:
        if found.visit is not None and not self.told:
            self.visit = found.visit
        if not found.would_count:
            return
        self._recent.append((seconds, found.detection.confidence))
        while seconds - self._recent[0][0] > within:
            self._recent.popleft()
        counted = sum(confidence >= threshold for _, confidence in self._recent)
        self.hits = max(self.hits, counted)
        if len(self._recent) >= hits:
            surest = heapq.nlargest(hits, (confidence for _, confidence in self._recent))
            self.reach = max(self.reach, surest[-1])
        if self.visit is not None:
            self.visit.reach = max(self.visit.reach, self.reach)


class Things:
    """The things of one watch on one camera. Not thread-safe."""

    def __init__(self, keep_seconds: float, hits: int) -> None:
        """A thing not found for `keep_seconds` is gone; `hits` are those of `appear`."""
        self._keep_seconds = keep_seconds
        self.within_seconds = 0.0
        """The time of `appear`."""
        self.soon_seconds = SOON_SECONDS
        self._hits = hits
        self._things: list[Thing] = []
        self._last_seconds = float("-inf")

    def __iter__(self) -> Iterator[Thing]:
        return iter(self._things)

    def see(
        self,
        frame: Frame,
        found: Sequence[Found],
        threshold: float,
        picture: Callable[[Found], MarkedPicture | None],
    ) -> None:
        """Follow what was found in a frame; `picture` gives what may be held of it."""
        surest = sorted(found, key=lambda each: each.detection.confidence, reverse=True)
        free = list(self._things)
        better = set[Thing]()
        for each in surest[:MOST_FOLLOWED]:
            thing = self._same(free, each, frame.seconds)
            if thing is None:
                if len(self._things) >= MOST_FOLLOWED:
                    continue
                thing = Thing(each.detection.box, frame.seconds, _sight(frame, each), frame.seconds)
                self._things.append(thing)
                is_best = True
            else:
                free.remove(thing)
                is_best = each.detection.confidence > thing.confidence
            thing.box, thing.seen_seconds = each.detection.box, frame.seconds
            thing.note(frame.seconds, each, threshold, self.within_seconds, self._hits)
            if is_best:
                thing.best = _sight(frame, each, None if thing.told else picture(each))
                better.add(thing)
        self._last_seconds = frame.seconds
        self._hold_few_pictures()
        for thing in self._things:
            if thing not in better:
                thing.best = thing.best.settled()

    def stay(self, seconds: float) -> None:
        """A frame that shows what the last one did: what was there is there."""
        for thing in self._things:
            if thing.seen_seconds == self._last_seconds:
                thing.seen_seconds = seconds
        self._last_seconds = seconds

    def take_gone(self, seconds: float) -> list[Thing]:
        """Those that are gone at `seconds`, which are forgotten now."""
        gone = [one for one in self._things if seconds - one.seen_seconds >= self._keep_seconds]
        self._things = [one for one in self._things if one not in gone]
        return gone

    def take_all(self) -> list[Thing]:
        gone, self._things = self._things, []
        return gone

    def _same(self, things: Sequence[Thing], found: Found, seconds: float) -> Thing | None:
        """The one of these that was found again, if any."""
        fits = [
            (thing.likeness(found, unseen_seconds <= self.soon_seconds), number)
            for number, thing in enumerate(things)
            if (unseen_seconds := seconds - thing.seen_seconds) <= FORGOTTEN_SECONDS
        ]
        best, number = max(fits, default=(0.0, 0))
        return things[number] if best > 0 else None

    def _hold_few_pictures(self) -> None:
        held = [one for one in self._things if one.best.picture is not None]
        held.sort(key=lambda one: (not one.told, one.confidence), reverse=True)
        for place, thing in enumerate(held):
            if thing.told or place >= MOST_PICTURES:
                thing.best = replace(thing.best, picture=None)


def _sight(frame: Frame, found: Found, picture: MarkedPicture | None = None) -> Sight:
    return Sight(found, frame.size, frame.captured_at, picture)
