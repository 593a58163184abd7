"""Which near misses are kept: the best of each day, of every camera and watch. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date

from streamwatch.geometry import Box, iou
from streamwatch.learning.learnt import NearMissKind

SAME_PLACE_IOU = 0.8
"""With this IoU and the same kind of reason they are the same thing, which has not moved: a statue
would fill a day alone."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A near miss that is kept: the number of its row, and the name of its picture."""

    number: int | None
    file: str | None
    kind: NearMissKind
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class Place:
    """Whether a near miss is to be kept, and the one that goes for it, if any."""

    wanted: bool
    outdone: Kept | None = None


@dataclass(slots=True)
class Day:
    """Those of one day, camera and watch.

    Where there is no room for all, the weakest goes of the kind of reason that there is most of:
    else a hundred people outside the zone would leave no room for the parcel that was too weak.
    """

    day: date
    kept: list[Kept] = field(default_factory=list)

    def place(self, kind: NearMissKind, confidence: float, box: Box, most: int) -> Place:
        """The place of one more, where there is room for so many."""
        if not most:
            return Place(wanted=False)
        for each in self.kept:
            if each.kind == kind and iou(each.box, box) >= SAME_PLACE_IOU:
                return Place(confidence > each.confidence, each)
        if len(self.kept) < most:
            return Place(wanted=True)
        outdone = self._weakest(kind, confidence)
        return Place(outdone is not None, outdone)

    def _weakest(self, kind: NearMissKind, confidence: float) -> Kept | None:
        """The one that goes for another; None if that is the weakest itself."""
        counts = Counter([kind, *(each.kind for each in self.kept)])
        largest = max(counts.values())
        own = counts[kind] == largest
        common = [
            each
            for each in self.kept
            if (each.kind == kind if own else counts[each.kind] == largest)
        ]
        weakest = min(common, key=lambda each: each.confidence, default=None)
        if weakest is None or (own and weakest.confidence >= confidence):
            return None
        return weakest
