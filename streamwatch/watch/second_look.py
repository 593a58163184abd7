"""When a visit's thing is looked at again, and what the looks decide."""

from __future__ import annotations

from dataclasses import dataclass

from streamwatch.config import SecondLookSettings
from streamwatch.geometry import Box
from streamwatch.records import Decided, Finding, LookedBy, MarkedPicture, SecondLook, Vectors
from streamwatch.watch import rules

LEAST_SIDE_PX = 24.0
"""A thing whose longer side is shorter shows too little to be looked at."""
EDGE_PX = 2.0
"""A box that comes this near to the edge of what the detector sees is cut off by it."""
BETTER_CONFIDENCE = 0.05
BETTER_SIDE = 1.2
"""A frame is better than the one looked at last where the thing is whole and was cut, or where it
was found with so much more confidence, or is so many times as large."""
RETRY_SECONDS = 2.0
"""After a failure with `on_failure: hold`."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One frame of a thing, and how good it is for a look."""

    picture: MarkedPicture
    confidence: float
    whole: bool

    @property
    def large(self) -> bool:
        """Whether it shows enough to be looked at."""
        return self._side_px >= LEAST_SIDE_PX

    def beats(self, other: View | None) -> bool:
        """Whether a look at it is worth more than one at `other`."""
        return other is None or self._worth > other._worth

    def is_better(self, looked: View) -> bool:
        """Whether it is worth another look after one at `looked`."""
        if self.whole != looked.whole:
            return self.whole
        return (
            self.confidence >= looked.confidence + BETTER_CONFIDENCE
            or self._side_px >= BETTER_SIDE * looked._side_px
        )

    @property
    def _side_px(self) -> float:
        x1, y1, x2, y2 = self.picture.box
        return max(x2 - x1, y2 - y1)

    @property
    def _worth(self) -> tuple[bool, bool, float, float]:
        return self.large, self.whole, self.confidence, self._side_px


def is_cut(box: Box, seen: Box) -> bool:
    """Whether a box ends at the edge of the part of the picture that is seen, both in pixels."""
    return (
        box[0] <= seen[0] + EDGE_PX
        or box[1] <= seen[1] + EDGE_PX
        or box[2] >= seen[2] - EDGE_PX
        or box[3] >= seen[3] - EDGE_PX
    )


class Scrutiny:
    """The second looks at one visit's thing. Not thread-safe.

    Each sighting is `offer`ed; while the alert is due, `next_look` gives what to look at.
    """

    def __init__(self, settings: SecondLookSettings) -> None:
        self._settings = settings
        self._best: View | None = None
        """Of those that are better than the last that was looked at."""
        self._looked: View | None = None
        """The last that was looked at, or is."""
        self._looks = 0
        self._finding: Finding | None = None
        """The best of those that are none of a failure."""
        self.vector: Vectors | None = None
        """The image tower's of the last crop that showed the whole thing; a thing that is cut off
        looks like too many others."""
        self._not_before = float("-inf")
        self.begun = False
        """Whether an alert was due, so that it is told how this ends."""
        self.under_way = False
        self.decided: Decided | None = None

    @property
    def holds_back(self) -> bool:
        """Whether no alert may be told now."""
        return self._settings.mode == "require" and self.decided not in ("confirmed", "skipped")

    @property
    def rejects(self) -> bool:
        """Whether no alert will ever be told."""
        return self.holds_back and self.decided == "rejected"

    def offer(self, view: View) -> None:
        if self._looked is not None and not view.is_better(self._looked):
            return
        if view.beats(self._best):
            self._best = view

    def next_look(self, seconds: float) -> MarkedPicture | None:
        """What to look at now, if anything; from then on a look is under way.

        `seconds` is the time of the newest frame.
        """
        self.begun = True
        view = self._best
        if self.under_way or self.decided is not None or view is None:
            return None
        if not view.large:
            if self._goes_without:
                self.decided = "skipped"
            return None
        if seconds < self._not_before:
            return None
        self._looked, self._best = view, None
        self.under_way = True
        return view.picture

    def take(self, finding: Finding, seconds: float) -> bool:
        """Take what the look under way gave; whether it says something new."""
        self.under_way = False
        if finding.failure is not None:
            self._take_failure(seconds)
            return False
        self._looks += 1
        if self._looked is not None and self._looked.whole:
            self.vector = finding.vector
        if self._finding is None or finding.confirms or _share(finding) > _share(self._finding):
            self._finding = finding
        if finding.confirms:
            self.decided = "confirmed"
        elif self._looks >= self._settings.looks:
            self.decided = "rejected"
        return self._looks == 1 or finding.confirms

    def _take_failure(self, seconds: float) -> None:
        if self._goes_without:
            self.decided = "skipped"
            return
        assert self._looked is not None
        tried, self._looked = self._looked, None
        self.offer(tried)
        self._not_before = seconds + RETRY_SECONDS

    @property
    def _goes_without(self) -> bool:
        """Whether the alert is not to wait for another chance to look."""
        settings = self._settings
        return settings.mode == "require" and settings.on_failure == "alert" and not self._looks

    def conclude(self) -> None:
        """Decide by the looks that there were, since there will be none any more."""
        if self.decided is None:
            self.decided = "rejected" if self._looks else "skipped"

    @property
    def why(self) -> str:
        """Why the looks reject, in words."""
        found = self._finding
        if found is None:
            return "it could not be looked at"
        if found.taught_by is not None:
            return f"like {found.taught_by}, which was taught wrong"
        if found.answer is not None:
            return f"the answer was {found.answer}"
        if found.beaten_by is not None:
            return f'rather "{found.beaten_by}"'
        return rules.below(found.score or 0.0, self._settings.at_least)

    @property
    def result(self) -> SecondLook | None:
        """What to tell; None before the first look."""
        found = self._finding
        if found is None and self.decided is None:
            return None
        by: LookedBy = "clip" if self._settings.by_words else "vlm"
        return SecondLook(
            by,
            None if found is None else found.score,
            None if found is None else found.answer,
            None if found is None else found.beaten_by,
            self._looks,
            self.decided or "rejected",
            None if found is None else found.milliseconds,
            None if found is None else found.taught_by,
        )


def _share(finding: Finding) -> float:
    return finding.score or 0.0
